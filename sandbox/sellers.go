// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"

	"github.com/agentd-project/agentd/sandbox/chain"
	"github.com/agentd-project/agentd/sandbox/contracts"
)

// seller is a payee whose key the Market has.
type seller struct {
	address common.Address
	key     *ecdsa.PrivateKey
}

// defaultSellers are the payees of the first n default services. Their keys are published by how they are made.
func defaultSellers(n int) []seller {
	sellers := make([]seller, n)
	for i := range sellers {
		// A hash is no key once in 2^128.
		key, _ := crypto.ToECDSA(crypto.Keccak256(fmt.Appendf(nil, "agentd-sandbox seller %d", i+1)))
		sellers[i] = seller{crypto.PubkeyToAddress(key.PublicKey), key}
	}
	return sellers
}

// sellersOf returns the payees of the default services, the keeper of the plain escrow and those of the keys, by address.
func sellersOf(hexKeys []string) (map[common.Address]seller, error) {
	byAddress := map[common.Address]seller{}
	for _, s := range defaultSellers(len(DefaultServices())) {
		byAddress[s.address] = s
	}
	for _, hexKey := range append([]string{DefaultKeeperKey}, hexKeys...) {
		key, err := crypto.ToECDSA(common.FromHex(hexKey))
		if err != nil {
			return nil, errors.New("sandbox: a seller's key is not a secp256k1 private key of 32 bytes hex")
		}
		byAddress[crypto.PubkeyToAddress(key.PublicKey)] = seller{crypto.PubkeyToAddress(key.PublicKey), key}
	}
	return byAddress, nil
}

// keeper is the address of the plain escrow.
func (m *Market) keeper() common.Address {
	address, _ := AddressOf(DefaultKeeperKey)
	return address
}

// transferFrom moves tokens of a seller, as a plain Transfer, without his needing gas. The lock must not be held.
func (m *Market) transferFrom(ctx context.Context, from, to common.Address, value *big.Int) (common.Hash, error) {
	s, known := m.sellers[from]
	if !known {
		return common.Hash{}, fmt.Errorf("sandbox: nobody has the key of %s", from)
	}
	auth := chain.Authorization{From: from, To: to, Value: value, ValidAfter: new(big.Int), ValidBefore: big.NewInt(1 << 40)}
	if _, err := io.ReadFull(m.opt.Random, auth.Nonce[:]); err != nil {
		return common.Hash{}, err
	}
	var err error
	if auth.Signature, err = crypto.Sign(m.digest(auth), s.key); err != nil {
		return common.Hash{}, err
	}
	return m.chain.Settle(ctx, auth)
}

// sellerGas is what a seller gets from the owner for a transaction, in wei.
var sellerGas = big.NewInt(1e16)

// refundByPayee has the payee of an order tell the escrow contract to pay back. The lock must not be held.
func (m *Market) refundByPayee(ctx context.Context, payee common.Address, id common.Hash) (common.Hash, error) {
	endpoint, ok := m.chain.(interface{ Handler() http.Handler })
	if !ok {
		return common.Hash{}, errors.New("sandbox: the chain takes no transactions")
	}
	s, known := m.sellers[payee]
	if !known {
		return common.Hash{}, fmt.Errorf("sandbox: nobody has the key of %s", payee)
	}
	owner, err := crypto.ToECDSA(common.FromHex(m.opt.OwnerKey))
	if err != nil {
		return common.Hash{}, errors.New("sandbox: owner key")
	}
	client, err := chain.Dial(endpoint.Handler())
	if err != nil {
		return common.Hash{}, err
	}
	defer client.Close()
	artifact, err := contracts.Escrow()
	if err != nil {
		return common.Hash{}, err
	}
	input, err := artifact.ABI.Pack("refund", id)
	if err != nil {
		return common.Hash{}, err
	}
	m.sending.Lock()
	defer m.sending.Unlock()
	if _, err := m.sendAs(ctx, client, owner, payee, sellerGas, nil); err != nil {
		return common.Hash{}, err
	}
	return m.sendAs(ctx, client, s.key, m.chain.Escrow(), nil, input)
}

// sendAs sends a transaction and waits until it is mined; one that fails is an error.
func (m *Market) sendAs(ctx context.Context, client *ethclient.Client, key *ecdsa.PrivateKey, to common.Address, value *big.Int, input []byte) (common.Hash, error) {
	nonce, err := client.PendingNonceAt(ctx, crypto.PubkeyToAddress(key.PublicKey))
	if err != nil {
		return common.Hash{}, fmt.Errorf("sandbox: read nonce: %w", err)
	}
	id := new(big.Int).SetUint64(m.chain.ID())
	tx, err := types.SignNewTx(key, types.LatestSignerForChainID(id), &types.DynamicFeeTx{ChainID: id, Nonce: nonce, Gas: 200_000,
		GasTipCap: big.NewInt(1e9), GasFeeCap: big.NewInt(20e9), To: &to, Value: value, Data: input})
	if err != nil {
		return common.Hash{}, fmt.Errorf("sandbox: sign: %w", err)
	}
	if err := client.SendTransaction(ctx, tx); err != nil {
		return common.Hash{}, fmt.Errorf("sandbox: send: %w", err)
	}
	for range 1000 {
		receipt, err := m.chain.Receipt(ctx, tx.Hash())
		switch {
		case err != nil:
			return tx.Hash(), err
		case receipt != nil && receipt.Status != types.ReceiptStatusSuccessful:
			return tx.Hash(), errors.New("sandbox: the transaction failed")
		case receipt != nil:
			return tx.Hash(), nil
		case !m.pause(10 * time.Millisecond):
			return tx.Hash(), errors.New("sandbox: closed")
		}
	}
	return tx.Hash(), errors.New("sandbox: the transaction is not mined")
}

// SPDX-License-Identifier: Apache-2.0

package chain

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math/big"
	"sync"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/ethereum/go-ethereum/rpc"
)

// facilitatorWei is what the facilitator begins with: ten thousand ether, more than any test can burn.
var facilitatorWei = new(big.Int).Mul(big.NewInt(10_000), big.NewInt(1e18))

// tip is the facilitator's priority fee in wei a gas.
var tip = big.NewInt(1_000_000)

// settler sends authorizations from the facilitator's key, which lives as long as the chain.
type settler struct {
	reader
	key     *ecdsa.PrivateKey
	address common.Address
	blocks  *blocks
	// lane is held from reading the nonce until the transaction is in the pool.
	lane sync.Mutex
}

func newFacilitator(random io.Reader) (*ecdsa.PrivateKey, Account, error) {
	if random == nil {
		random = rand.Reader
	}
	raw := make([]byte, 32)
	if _, err := io.ReadFull(random, raw); err != nil {
		return nil, Account{}, fmt.Errorf("make facilitator key: %w", err)
	}
	key, err := crypto.ToECDSA(raw) // but for one value in 2^127 all are keys
	if err != nil {
		return nil, Account{}, fmt.Errorf("make facilitator key: %w", err)
	}
	return key, Account{Address: crypto.PubkeyToAddress(key.PublicKey), Wei: facilitatorWei}, nil
}

func newSettler(client *ethclient.Client, key *ecdsa.PrivateKey) (*settler, error) {
	r, err := newReader(client)
	if err != nil {
		return nil, err
	}
	return &settler{reader: r, key: key, address: crypto.PubkeyToAddress(key.PublicKey), blocks: newBlocks()}, nil
}

// Settle sends transferWithAuthorization from the facilitator's key and returns once it is mined. See Chain.Settle.
func (s *settler) Settle(ctx context.Context, a Authorization) (common.Hash, error) {
	input, err := s.settlement(a)
	if err != nil {
		return common.Hash{}, err
	}
	hash, err := s.send(ctx, input)
	if err != nil {
		return common.Hash{}, err
	}
	receipt, err := s.wait(ctx, hash)
	if err != nil {
		return hash, err
	}
	if receipt.Status != types.ReceiptStatusSuccessful {
		return hash, fmt.Errorf("settle authorization: %w", ErrReverted)
	}
	return hash, nil
}

func (s *settler) settlement(a Authorization) ([]byte, error) {
	if len(a.Signature) != crypto.SignatureLength {
		return nil, fmt.Errorf("settle authorization: signature has %d bytes, want %d: %w", len(a.Signature), crypto.SignatureLength, ErrReverted)
	}
	v := a.Signature[64]
	if v < 27 {
		v += 27
	}
	var r, sig [32]byte
	copy(r[:], a.Signature[:32])
	copy(sig[:], a.Signature[32:64])
	input, err := s.token.Pack("transferWithAuthorization", a.From, a.To, orZero(a.Value), orZero(a.ValidAfter), orZero(a.ValidBefore), a.Nonce, v, r, sig)
	if err != nil {
		return nil, fmt.Errorf("settle authorization: %w", err)
	}
	return input, nil
}

func (s *settler) send(ctx context.Context, input []byte) (common.Hash, error) {
	token := TokenAddress
	// On the pending block: the newest one may be older than validAfter, or than validBefore.
	gas, err := s.eth.EstimateGasAtBlock(ctx, ethereum.CallMsg{From: s.address, To: &token, Data: input}, big.NewInt(rpc.PendingBlockNumber.Int64()))
	if err != nil {
		return common.Hash{}, s.refusal(err)
	}
	head, err := s.Head(ctx)
	if err != nil {
		return common.Hash{}, err
	}
	feeCap := new(big.Int).Add(tip, new(big.Int).Lsh(head.BaseFee, 2))
	s.lane.Lock()
	defer s.lane.Unlock()
	nonce, err := s.eth.PendingNonceAt(ctx, s.address)
	if err != nil {
		return common.Hash{}, fmt.Errorf("read facilitator nonce: %w", err)
	}
	tx, err := types.SignNewTx(s.key, types.LatestSignerForChainID(new(big.Int).SetUint64(ChainID)), &types.DynamicFeeTx{
		ChainID: new(big.Int).SetUint64(ChainID), Nonce: nonce, GasTipCap: tip, GasFeeCap: feeCap,
		// A fifth more, as storage that another transaction clears first may cost more than estimated.
		Gas: gas + gas/5, To: &token, Data: input,
	})
	if err != nil {
		return common.Hash{}, fmt.Errorf("sign settlement: %w", err)
	}
	if err := s.eth.SendTransaction(ctx, tx); err != nil {
		return common.Hash{}, fmt.Errorf("send settlement: %w", err)
	}
	return tx.Hash(), nil
}

// refusal names the contract's own error where an estimate reverted.
func (s *settler) refusal(err error) error {
	withData, ok := errors.AsType[rpc.DataError](err)
	if !ok {
		return fmt.Errorf("estimate settlement: %w", err)
	}
	text, ok := withData.ErrorData().(string)
	if !ok {
		return fmt.Errorf("estimate settlement: %w", err)
	}
	data, decodeErr := hexutil.Decode(text)
	if decodeErr != nil || len(data) < 4 {
		return fmt.Errorf("settle authorization: %w", ErrReverted)
	}
	declared, lookupErr := s.token.ErrorByID([4]byte(data[:4]))
	if lookupErr != nil {
		return fmt.Errorf("settle authorization: %w", ErrReverted)
	}
	return fmt.Errorf("settle authorization: %s: %w", declared.Name, ErrReverted)
}

func (s *settler) wait(ctx context.Context, tx common.Hash) (*types.Receipt, error) {
	for {
		next := s.blocks.next()
		receipt, err := s.Receipt(ctx, tx)
		if err != nil || receipt != nil {
			return receipt, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for settlement: %w", ctx.Err())
		case <-next:
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

package wallet

import (
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
)

// Transfer describes an EIP-1559 transaction that transfers an ERC-20 token.
type Transfer struct {
	// ChainID is the EIP-155 chain id.
	ChainID uint64
	Nonce   uint64
	// Gas is the gas limit.
	Gas uint64
	// TipCap and FeeCap are in wei per gas.
	TipCap, FeeCap money.Amount
	// Token is the contract that is called.
	Token common.Address
	// To receives Amount base units of the token.
	To     common.Address
	Amount money.Amount
}

// Signed is a signed transaction in its canonical encoding (EIP-2718).
type Signed struct {
	Hash common.Hash
	Raw  []byte
}

// transferSelector is the first four bytes of keccak256("transfer(address,uint256)").
var transferSelector = [4]byte{0xa9, 0x05, 0x9c, 0xbb}

// TransferCall returns the calldata of transfer(to, amount), as
// [Wallet.SignTransfer] signs it.
func TransferCall(to common.Address, amount money.Amount) []byte {
	v := amount.Uint256()
	word := v.Bytes32()
	data := make([]byte, 0, 4+32+32)
	data = append(data, transferSelector[:]...)
	data = append(data, make([]byte, 12)...)
	data = append(data, to[:]...)
	return append(data, word[:]...)
}

// SignTransfer signs a token transfer that equals its grant in kind, chain,
// token, payee and amount. It fails with [ErrNoGrant] or a [*GrantError]. The
// transaction carries no native value.
func (w *Wallet) SignTransfer(g policy.Grant, t Transfer) (Signed, error) {
	err := compare(g, moves{kind: policy.KindTransfer, chainID: t.ChainID, token: t.Token, payee: t.To, amount: t.Amount})
	if err != nil {
		return Signed{}, err
	}
	if t.TipCap.Cmp(t.FeeCap) > 0 {
		return Signed{}, &GrantError{"fee", "at most " + t.FeeCap.String(), t.TipCap.String()}
	}
	chainID := new(big.Int).SetUint64(t.ChainID)
	tx, err := types.SignNewTx(w.key, types.LatestSignerForChainID(chainID), &types.DynamicFeeTx{
		ChainID: chainID, Nonce: t.Nonce, Gas: t.Gas, GasTipCap: t.TipCap.Big(), GasFeeCap: t.FeeCap.Big(),
		To: &t.Token, Value: new(big.Int), Data: TransferCall(t.To, t.Amount),
	})
	if err != nil {
		return Signed{}, fmt.Errorf("sign transfer: %w", err)
	}
	raw, err := tx.MarshalBinary()
	if err != nil {
		return Signed{}, fmt.Errorf("encode transfer: %w", err)
	}
	return Signed{Hash: tx.Hash(), Raw: raw}, nil
}

// SPDX-License-Identifier: Apache-2.0

package wallet

import (
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/agentd-project/agentd/money"
)

// Gas is what every EIP-1559 transaction has besides its call.
type Gas struct {
	// ChainID is the EIP-155 chain id.
	ChainID uint64
	Nonce   uint64
	// Gas is the gas limit.
	Gas uint64
	// TipCap and FeeCap are in wei per gas.
	TipCap, FeeCap money.Amount
}

// Signed is a signed transaction in its canonical encoding (EIP-2718).
type Signed struct {
	Hash common.Hash
	Raw  []byte
}

// sign signs a call that one of the typed functions has checked. It carries no
// native value.
func (w *Wallet) sign(g Gas, to common.Address, data []byte) (Signed, error) {
	if g.TipCap.Cmp(g.FeeCap) > 0 {
		return Signed{}, &GrantError{"fee", "at most " + g.FeeCap.String(), g.TipCap.String()}
	}
	chainID := new(big.Int).SetUint64(g.ChainID)
	tx, err := types.SignNewTx(w.key, types.LatestSignerForChainID(chainID), &types.DynamicFeeTx{
		ChainID: chainID, Nonce: g.Nonce, Gas: g.Gas, GasTipCap: g.TipCap.Big(), GasFeeCap: g.FeeCap.Big(),
		To: &to, Value: new(big.Int), Data: data,
	})
	if err != nil {
		return Signed{}, fmt.Errorf("sign transaction: %w", err)
	}
	raw, err := tx.MarshalBinary()
	if err != nil {
		return Signed{}, fmt.Errorf("encode transaction: %w", err)
	}
	return Signed{Hash: tx.Hash(), Raw: raw}, nil
}

// SignCancel signs a transaction that takes a nonce and does nothing else: no
// coin to ourselves, no data. It moves nothing but the fee and needs no grant.
func (w *Wallet) SignCancel(g Gas) (Signed, error) {
	if g.ChainID == 0 || g.FeeCap.IsZero() {
		return Signed{}, &GrantError{"fee", "a chain and a fee", "none"}
	}
	return w.sign(g, w.address, nil)
}

// tokenCall is the calldata of an ERC-20 method that takes an account and an amount.
func tokenCall(selector [4]byte, account common.Address, amount money.Amount) []byte {
	v := amount.Uint256()
	word := v.Bytes32()
	data := make([]byte, 0, 4+32+32)
	data = append(data, selector[:]...)
	data = append(data, make([]byte, 12)...)
	data = append(data, account[:]...)
	return append(data, word[:]...)
}

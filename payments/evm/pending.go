// SPDX-License-Identifier: Apache-2.0

package evm

import (
	"bytes"
	"errors"
	"fmt"
	"math/big"
	"strconv"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/wallet"
)

// pending is a stored transaction, decoded.
type pending struct {
	ledger.Attempt
	tx   *types.Transaction
	from common.Address
}

func decode(a ledger.Attempt) (*pending, error) {
	tx := new(types.Transaction)
	if err := tx.UnmarshalBinary(a.Raw); err != nil {
		return nil, fmt.Errorf("stored transaction: %w", err)
	}
	id, ok := a.Chain.EVM()
	if !ok {
		return nil, fmt.Errorf("stored transaction: %s has no transactions of ours", a.Chain)
	}
	// The chain's signer is asked and not the transaction's, which may name any chain, and chain 0 makes go-ethereum panic.
	from, err := types.Sender(types.LatestSignerForChainID(new(big.Int).SetUint64(id)), tx)
	if err != nil {
		return nil, fmt.Errorf("stored transaction: %w", err)
	}
	if tx.Hash().Hex() != a.Hash || strconv.FormatUint(tx.Nonce(), 10) != a.Nonce || from != a.Signer {
		return nil, errors.New("stored transaction differs from its record")
	}
	if tx.To() == nil || tx.Value().Sign() != 0 || tx.Type() != types.DynamicFeeTxType {
		return nil, errors.New("stored transaction is none that is signed here")
	}
	return &pending{Attempt: a, tx: tx, from: from}, nil
}

// matches holds stored bytes against where a call goes and what it says.
func (p *pending) matches(to common.Address, data []byte) error {
	if *p.tx.To() != to {
		return &wallet.GrantError{Field: "payee", Granted: to.Hex(), Asked: p.tx.To().Hex()}
	}
	if !bytes.Equal(p.tx.Data(), data) {
		return &wallet.GrantError{Field: "amount", Granted: fmt.Sprintf("calldata %x", data), Asked: fmt.Sprintf("calldata %x", p.tx.Data())}
	}
	return nil
}

// TransferOf decodes the signed bytes of a token transfer as this program makes
// them; anything else is an error.
func TransferOf(raw []byte) (token, to common.Address, amount money.Amount, err error) {
	return tokenCallOf(raw, wallet.TransferCall)
}

// ApprovalOf decodes the signed bytes of an approval, or of its revocation with
// amount 0, as this program makes them; anything else is an error.
func ApprovalOf(raw []byte) (token, spender common.Address, amount money.Amount, err error) {
	return tokenCallOf(raw, wallet.ApproveCall)
}

func tokenCallOf(raw []byte, call func(common.Address, money.Amount) []byte) (token, account common.Address, amount money.Amount, err error) {
	tx := new(types.Transaction)
	if err := tx.UnmarshalBinary(raw); err != nil {
		return token, account, amount, fmt.Errorf("stored transaction: %w", err)
	}
	if tx.To() == nil || tx.Value().Sign() != 0 {
		return token, account, amount, errNoCall
	}
	if account, amount, err = readTokenCall(tx.Data(), call); err != nil {
		return token, account, amount, err
	}
	return *tx.To(), account, amount, nil
}

var errNoCall = errors.New("stored transaction is not that call of a token")

// readTokenCall reads calldata of an account and an amount that call would make.
func readTokenCall(data []byte, call func(common.Address, money.Amount) []byte) (account common.Address, amount money.Amount, err error) {
	if len(data) != 4+32+32 {
		return account, amount, errNoCall
	}
	account = common.BytesToAddress(data[16:36])
	if amount, err = money.ParseBase("0x" + common.Bytes2Hex(data[36:])); err != nil {
		return account, amount, err
	}
	if !bytes.Equal(data, call(account, amount)) {
		return account, amount, errNoCall
	}
	return account, amount, nil
}

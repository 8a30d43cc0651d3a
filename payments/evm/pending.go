// SPDX-License-Identifier: Apache-2.0

package evm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/wallet"
)

// pending is a stored transfer, decoded.
type pending struct {
	ledger.Attempt
	tx    *types.Transaction
	token common.Address
	to    common.Address
	// amount is in base units of token.
	amount money.Amount
}

// TransferOf decodes the signed bytes of a token transfer as this program makes
// them; anything else is an error.
func TransferOf(raw []byte) (token, to common.Address, amount money.Amount, err error) {
	tx := new(types.Transaction)
	if err := tx.UnmarshalBinary(raw); err != nil {
		return token, to, amount, fmt.Errorf("stored transaction: %w", err)
	}
	return transferIn(tx)
}

func transferIn(tx *types.Transaction) (token, to common.Address, amount money.Amount, err error) {
	data := tx.Data()
	if tx.To() == nil || len(data) != 68 || tx.Value().Sign() != 0 {
		return token, to, amount, errors.New("stored transaction is not a token transfer")
	}
	to = common.BytesToAddress(data[16:36])
	if amount, err = money.ParseBase("0x" + common.Bytes2Hex(data[36:])); err != nil {
		return token, to, amount, err
	}
	if !bytes.Equal(data, wallet.TransferCall(to, amount)) {
		return token, to, amount, errors.New("stored transaction is not a token transfer")
	}
	return *tx.To(), to, amount, nil
}

func decode(a ledger.Attempt) (*pending, error) {
	tx := new(types.Transaction)
	if err := tx.UnmarshalBinary(a.Raw); err != nil {
		return nil, fmt.Errorf("stored transaction: %w", err)
	}
	p := &pending{Attempt: a, tx: tx}
	var err error
	if p.token, p.to, p.amount, err = transferIn(tx); err != nil {
		return nil, err
	}
	if tx.Hash().Hex() != a.Hash || strconv.FormatUint(tx.Nonce(), 10) != a.Nonce {
		return nil, errors.New("stored transaction differs from its record")
	}
	return p, nil
}

// matches holds stored bytes against the grant under which they are sent again.
func (p *pending) matches(g policy.Grant) error {
	id, _ := g.Chain().EVM()
	switch {
	case p.tx.ChainId().Uint64() != id:
		return &wallet.GrantError{Field: "chain", Granted: string(g.Chain()), Asked: p.tx.ChainId().String()}
	case p.token != g.Token():
		return &wallet.GrantError{Field: "token", Granted: g.Token().Hex(), Asked: p.token.Hex()}
	case p.to != g.Payee():
		return &wallet.GrantError{Field: "payee", Granted: g.Payee().Hex(), Asked: p.to.Hex()}
	case p.amount != g.Amount():
		return &wallet.GrantError{Field: "amount", Granted: g.Amount().String(), Asked: p.amount.String()}
	}
	return nil
}

// stored returns the purchase's transfer that is under way or final, nil if there
// is none or each is proven dead, and [ErrReverted] if a final block holds it as
// failed.
func (s *Sender) stored(ctx context.Context, id policy.PurchaseID) (*pending, error) {
	attempts, err := s.ledger.Attempts(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("read attempts: %w", err)
	}
	for _, a := range attempts {
		if a.Kind != AttemptTransfer {
			continue
		}
		if a.Chain != s.chain.ID() || a.Signer != s.wallet.Address() {
			return nil, fmt.Errorf("purchase %s has a transfer by %s on %s", id, a.Signer, a.Chain)
		}
		switch a.Status {
		case ledger.AttemptDead:
		case ledger.AttemptFailed:
			return nil, fmt.Errorf("%w: %s", ErrReverted, a.Hash)
		default:
			return decode(a)
		}
	}
	return nil, nil
}

// SPDX-License-Identifier: Apache-2.0

package payments

import (
	"context"
	"fmt"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/payments/evm"
	"github.com/agentd-project/agentd/policy"
)

// held knows the tokens that signed bytes may still take from our account.
type held struct {
	ledger  evm.Ledger
	signer  common.Address
	escrows escrows
}

// enough refuses if the account's balance does not cover an amount beside what
// is signed and undecided. What the chain has taken already but is not final
// counts twice for a moment: the error is on the safe side.
func (h held) enough(ctx context.Context, c *evm.Chain, token common.Address, amount money.Amount) error {
	needed, err := h.sum(ctx, c.ID(), token)
	if err != nil {
		return err
	}
	if needed, err = needed.Add(amount); err != nil {
		return refuse(policy.ReasonInsufficientTokens, "%w", err)
	}
	balance, err := c.TokenBalance(ctx, token, h.signer)
	if err != nil {
		return err
	}
	if balance.Cmp(needed) < 0 {
		return refuse(policy.ReasonInsufficientTokens, "%s base units of %s, %s needed with what is signed already", balance, token, needed)
	}
	return nil
}

func (h held) sum(ctx context.Context, chain money.ChainID, token common.Address) (money.Amount, error) {
	open, err := h.ledger.OpenAttempts(ctx, chain, h.signer)
	if err != nil {
		return money.Amount{}, fmt.Errorf("read attempts: %w", err)
	}
	var sum money.Amount
	for _, a := range open {
		var (
			spends common.Address
			amount money.Amount
		)
		switch a.Kind {
		case evm.AttemptTransfer:
			spends, _, amount, err = evm.TransferOf(a.Raw)
		case evm.AttemptLock:
			spends, amount, err = h.lockedBy(a, token)
		case attemptAuthorization:
			var stored storedHeader
			stored, err = readHeader(a.Raw)
			spends, amount = stored.token, stored.amount
		}
		if err != nil {
			return money.Amount{}, fmt.Errorf("attempt %d of purchase %s: %w", a.Seq, a.Purchase, err)
		}
		if spends != token {
			continue
		}
		if sum, err = sum.Add(amount); err != nil {
			return money.Amount{}, err
		}
	}
	return sum, nil
}

// lockedBy returns what a signed lock takes. One whose method does not name its
// token counts as of the token that is asked about: the error is on the safe
// side. One in an escrow that is no longer listed cannot be read and counts for
// nothing; the chain refuses what it cannot pay.
func (h held) lockedBy(a ledger.Attempt, asked common.Address) (token common.Address, amount money.Amount, err error) {
	tx, err := decodeTx(a)
	if err != nil {
		return token, amount, err
	}
	listed := h.escrows[escrowKey{a.Chain, *tx.To()}]
	if listed.Contract == nil {
		return token, amount, nil
	}
	f, err := listed.Contract.ReadLock(tx.Data())
	if err != nil {
		return token, amount, err
	}
	if f.Token == (common.Address{}) {
		f.Token = asked
	}
	return f.Token, f.Amount, nil
}

// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"errors"
	"fmt"

	"github.com/agentd-project/agentd/policy"
)

// ForeignID is the id under which a transfer is kept that no purchase made.
func ForeignID(ref string, index uint) policy.PurchaseID {
	return policy.PurchaseID(fmt.Sprintf("foreign-%s-%d", ref, index))
}

// Accept records a transfer that the chain shows and no purchase made, such as
// one that an older copy of the ledger does not know. The operator named by who
// answers for it. It counts as spent at its chain time, so that a ledger which
// forgot a payment does not pay its budget out twice. s.Purchase is a [ForeignID];
// accepting again changes nothing.
func (l *Ledger) Accept(ctx context.Context, s Settlement, who string) error {
	if s.Purchase == "" || s.Chain == "" || s.Ref == "" || s.At.IsZero() || s.Value < 0 {
		return errors.New("ledger: accept: a transfer needs an id, a chain, a reference and its chain time")
	}
	return l.write(ctx, "accept "+string(s.Purchase), func(t *txn) error {
		switch before, err := settlementOf(t, s.Purchase); {
		case err == nil && before.Ref != s.Ref:
			return ErrConflict
		case err == nil:
			return errUnchanged
		case !errors.Is(err, ErrNotFound):
			return err
		}
		c, err := readControl(t)
		if err != nil {
			return err
		}
		b := settleBody{
			Value: s.Value, Amount: s.Amount, Chain: s.Chain, Token: s.Token, Payee: s.Payee, Ref: s.Ref, At: micros(s.At), Rail: s.Rail, Stamp: micros(s.At),
		}
		if err := t.putSettled(&b, s.Purchase, c.compacted); err != nil {
			return err
		}
		return t.appendEntry(link{Purchase: s.Purchase, Kind: KindAccept, Detail: who}, b)
	})
}

// EachTransfer calls do with the settlements that moved a token on a chain, the
// newest entry first, until it returns false.
func (l *Ledger) EachTransfer(ctx context.Context, do func(Settlement) (more bool)) error {
	return l.read(ctx, "transfers", func(q querier) error {
		a := audit{ctx: ctx, q: q}
		for _, query := range []string{selectLiving + ` WHERE s.chain <> '' ORDER BY s.rowid DESC`, selectReceipts + ` WHERE chain <> '' ORDER BY n DESC`} {
			err := a.each(query, func(scan func(...any) error) error {
				r, err := scanReceipt(scan)
				if err == nil && !do(r.settlement()) {
					err = errEnough
				}
				return err
			})
			if errors.Is(err, errEnough) {
				return nil
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

var errEnough = errors.New("enough was read")

// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/agentd-project/agentd/policy"
)

// approvalBody is what the journal keeps of a question or an answer.
type approvalBody struct {
	Hash     string
	Decision Decision
	Who      string `json:",omitempty"`
	Expires  int64  `json:",omitempty"`
}

// RequestApproval records a question to a person; m may be nil. A question that
// is pending with the same hash stays as it is; any other before is replaced,
// and with it its answer.
func (l *Ledger) RequestApproval(ctx context.Context, a Approval, m *Move) error {
	if a.Purchase == "" || a.Hash == "" || a.Expires.IsZero() {
		return errors.New("ledger: request approval: purchase, hash and expiry are needed")
	}
	return l.write(ctx, "request approval of "+string(a.Purchase), func(t *txn) error {
		before, err := approvalOf(t, a.Purchase)
		switch {
		case err == nil && before.Decision == DecisionPending && before.Hash == a.Hash && t.now.Before(before.Expires):
			return t.again(a.Purchase, m)
		case err != nil && !errors.Is(err, ErrNotFound):
			return err
		}
		_, err = t.exec(`INSERT INTO approvals (purchase, hash, shown, expires, decision, who, requested, decided)
			VALUES (?, ?, ?, ?, 'pending', '', ?, 0)
			ON CONFLICT (purchase) DO UPDATE SET hash = excluded.hash, shown = excluded.shown, expires = excluded.expires,
				decision = 'pending', who = '', requested = excluded.requested, decided = 0`,
			string(a.Purchase), a.Hash, string(a.Shown), micros(a.Expires), micros(t.now))
		if err != nil {
			return err
		}
		return t.move(a.Purchase, m, KindApproval, approvalBody{Hash: a.Hash, Decision: DecisionPending, Expires: micros(a.Expires)})
	})
}

// DecideApproval records the answer of a person. The same answer again changes
// nothing; another one is [ErrConflict], one past the expiry [ErrExpired], one to
// a question that was not asked [ErrNotFound].
func (l *Ledger) DecideApproval(ctx context.Context, id policy.PurchaseID, approve bool, who string) error {
	decision := DecisionDenied
	if approve {
		decision = DecisionApproved
	}
	return l.write(ctx, "decide approval of "+string(id), func(t *txn) error {
		a, err := approvalOf(t, id)
		switch {
		case err != nil:
			return err
		case a.Decision == decision:
			return errUnchanged
		case a.Decision != DecisionPending:
			return fmt.Errorf("%w: it is %s", ErrConflict, a.Decision)
		case !t.now.Before(a.Expires):
			return ErrExpired
		}
		_, err = t.exec(`UPDATE approvals SET decision = ?, who = ?, decided = ? WHERE purchase = ?`,
			string(decision), who, micros(t.now), string(id))
		if err != nil {
			return err
		}
		return t.appendEntry(link{Purchase: id, Kind: KindApproval}, approvalBody{Hash: a.Hash, Decision: decision, Who: who})
	})
}

// ApprovalOf returns the approval of a purchase, or [ErrNotFound]. A question
// that nobody answered in time reads as expired.
func (l *Ledger) ApprovalOf(ctx context.Context, id policy.PurchaseID) (a Approval, err error) {
	err = l.query(ctx, "approval of "+string(id), func(q querier) error {
		a, err = approvalOf(q, id)
		return err
	})
	if err == nil && a.Decision == DecisionPending && !l.now().Before(a.Expires) {
		a.Decision = DecisionExpired
	}
	return a, err
}

func approvalOf(q querier, id policy.PurchaseID) (Approval, error) {
	return one(q, func(scan func(...any) error) (a Approval, err error) {
		var shown string
		var expires, requested, decided int64
		err = scan(&a.Purchase, &a.Hash, &shown, &expires, &a.Decision, &a.Who, &requested, &decided)
		a.Expires, a.Requested, a.Decided = fromMicros(expires), fromMicros(requested), fromMicros(decided)
		if shown != "" {
			a.Shown = json.RawMessage(shown)
		}
		return a, err
	}, `SELECT purchase, hash, shown, expires, decision, who, requested, decided FROM approvals WHERE purchase = ?`, string(id))
}

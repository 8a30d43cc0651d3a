// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"errors"
	"fmt"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
)

// settleBody is what the journal keeps of a settlement. Freed is what the
// reservation counted until then, Was its state, Stamp the time it counts at.
type settleBody struct {
	Value  money.Value
	Amount money.Amount
	Chain  money.ChainID
	Token  common.Address
	Payee  common.Address
	Ref    string
	At     int64
	Rail   string
	Stamp  int64
	Freed  money.Value
	Was    policy.ReservationStatus
}

// endBody is what the journal keeps of a release or a refund.
type endBody struct {
	Value money.Value
	Was   policy.ReservationStatus
	// Token, Chain, Amount and Stamp are those of the settlement taken back, Ref is
	// what brought it back.
	Chain  money.ChainID  `json:",omitzero"`
	Token  common.Address `json:",omitzero"`
	Amount money.Amount   `json:",omitzero"`
	Stamp  int64          `json:",omitzero"`
	Ref    string         `json:",omitempty"`
}

// Settle turns a reservation into spend; m may be nil. It counts from then on at
// the chain time of the transfer, but not before the time it was reserved at;
// what moved on no chain counts at the time of the last reservation. A released reservation that the chain shows paid after all is settled too, since
// the ledger follows the chain. Settling again with the same reference changes
// nothing but the purchase; another reference is [ErrConflict], no reservation
// [ErrNotFound], a refunded one [ErrClosed].
func (l *Ledger) Settle(ctx context.Context, s Settlement, m *Move) error {
	if s.Value < 0 || (s.Chain != "" && (s.Ref == "" || s.At.IsZero())) {
		return errors.New("ledger: settle: a transfer needs a value, a reference and its chain time")
	}
	return l.write(ctx, "settle "+string(s.Purchase), func(t *txn) error {
		r, err := reservationOf(t, s.Purchase)
		if err != nil {
			return err
		}
		switch r.Status {
		case policy.ReservationSettled:
			before, err := settlementOf(t, s.Purchase)
			if err == nil && before.Ref != s.Ref {
				err = fmt.Errorf("%w: it is settled by %q", ErrConflict, before.Ref)
			}
			if err != nil {
				return err
			}
			return t.again(s.Purchase, m)
		case policy.ReservationRefunded:
			return ErrClosed
		}
		return t.settle(&s, &r, m)
	})
}

func (t *txn) settle(s *Settlement, r *policy.Reservation, m *Move) error {
	b := settleBody{
		Value: s.Value, Amount: s.Amount, Chain: s.Chain, Token: s.Token, Payee: s.Payee, Ref: s.Ref,
		At: micros(s.At), Rail: s.Rail, Was: r.Status,
	}
	opened := int64(0)
	if r.Status == policy.ReservationOpen {
		b.Freed, opened = r.Value, -1
	}
	c, err := readControl(t)
	if err != nil {
		return err
	}
	if b.Stamp = max(b.At, micros(r.At)); s.Chain == "" {
		// Without a chain there is no chain time, and no other is proven.
		b.Stamp = max(c.floor, micros(r.At))
	}
	if err := t.setStatus(r.Purchase, policy.ReservationSettled); err != nil {
		return err
	}
	if err := t.addOpen(-b.Freed, opened, 0); err != nil {
		return err
	}
	if err := t.putSettled(&b, s.Purchase, c.compacted); err != nil {
		return err
	}
	return t.move(s.Purchase, m, KindSettle, b)
}

// putSettled writes the row and adds it to the sums.
func (t *txn) putSettled(b *settleBody, id policy.PurchaseID, compacted int64) error {
	if err := t.addSettled(b.Stamp, b.Value, compacted); err != nil {
		return err
	}
	_, err := t.exec(`INSERT INTO settlements (purchase, value, amount, chain, token, payee, ref, at, stamp, rail, refunded)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)`,
		string(id), int64(b.Value), b.Amount.String(), string(b.Chain), b.Token.Hex(), b.Payee.Hex(), b.Ref, b.At, b.Stamp, b.Rail)
	return err
}

func (t *txn) setStatus(id policy.PurchaseID, status policy.ReservationStatus) error {
	_, err := t.exec(`UPDATE reservations SET status = ? WHERE purchase = ?`, string(status), string(id))
	return err
}

// addSettled adds to the three buckets of a time and to the sums. Of a time that
// was compacted only the day is kept.
func (t *txn) addSettled(stamp int64, value money.Value, compacted int64) error {
	s, v := seconds(stamp), int64(value)
	rows, args := `(86400, ?, ?, 1)`, []any{floorTo(s, day), v}
	if s >= compacted {
		rows, args = rows+`, (60, ?, ?, 1), (3600, ?, ?, 1)`, append(args, floorTo(s, minute), v, floorTo(s, hour), v)
	}
	_, err := t.exec(`INSERT INTO buckets (width, start, value, count) VALUES `+rows+`
		ON CONFLICT (width, start) DO UPDATE SET value = value + excluded.value, count = count + 1`, args...)
	if err != nil {
		return err
	}
	_, err = t.exec(`UPDATE control SET settled = settled + ?, settled_count = settled_count + 1 WHERE id = 1`, v)
	return err
}

// takeSettled corrects what addSettled added; the purchase still counts. The
// table refuses a sum below zero.
func (t *txn) takeSettled(stamp int64, value money.Value) error {
	s := seconds(stamp)
	_, err := t.exec(`UPDATE buckets SET value = value - ?
		WHERE (width = 60 AND start = ?) OR (width = 3600 AND start = ?) OR (width = 86400 AND start = ?)`,
		int64(value), floorTo(s, minute), floorTo(s, hour), floorTo(s, day))
	if err != nil {
		return err
	}
	_, err = t.exec(`UPDATE control SET settled = settled - ? WHERE id = 1`, int64(value))
	return err
}

func seconds(stamp int64) int64 { return floorTo(stamp, 1_000_000) / 1_000_000 }

// Release ends a reservation of which nothing was or will be spent; m may be nil.
// Releasing again, or where nothing was reserved, changes nothing but the
// purchase. A settled or refunded reservation is [ErrClosed].
func (l *Ledger) Release(ctx context.Context, id policy.PurchaseID, m *Move) error {
	return l.write(ctx, "release "+string(id), func(t *txn) error {
		r, err := reservationOf(t, id)
		if errors.Is(err, ErrNotFound) || (err == nil && r.Status == policy.ReservationReleased) {
			return t.again(id, m)
		}
		if err != nil {
			return err
		}
		if r.Status != policy.ReservationOpen {
			return ErrClosed
		}
		if err := t.setStatus(id, policy.ReservationReleased); err != nil {
			return err
		}
		if err := t.addOpen(-r.Value, -1, 0); err != nil {
			return err
		}
		return t.move(id, m, KindRelease, endBody{Value: r.Value, Was: r.Status})
	})
}

// Refund takes back what a purchase spent, because the value came back; m may be
// nil. Ref is the transaction that brought it, as [Ledger.RefundRefTaken] knows
// it; a transfer on a chain needs one. The settled entry is corrected where it
// stands, so the window it fell into is relieved; it still counts as a purchase.
// Refunding again by the same transaction changes nothing but the purchase; by
// another one, or by one that another purchase was refunded by, is [ErrConflict].
// What is not settled cannot come back: it is [ErrClosed] if it was released, and
// [ErrConflict] while it is open.
func (l *Ledger) Refund(ctx context.Context, id policy.PurchaseID, ref string, m *Move) error {
	return l.write(ctx, "refund "+string(id), func(t *txn) error {
		r, err := reservationOf(t, id)
		if err != nil {
			return err
		}
		switch r.Status {
		case policy.ReservationReleased:
			return ErrClosed
		case policy.ReservationOpen:
			return fmt.Errorf("%w: it is not settled", ErrConflict)
		}
		s, err := settlementOf(t, id)
		switch {
		case err != nil:
			return err
		case s.Refunded && s.RefundRef != ref:
			return fmt.Errorf("%w: it came back by %q", ErrConflict, s.RefundRef)
		case s.Refunded:
			return t.again(id, m)
		case s.Chain != "" && ref == "":
			return errors.New("a transfer that came back needs the transaction that brought it")
		}
		return t.refund(&s, ref, m)
	})
}

func (t *txn) refund(s *settlement, ref string, m *Move) error {
	if taken, err := refundRefTaken(t, ref); err != nil || taken {
		return errors.Join(err, fmt.Errorf("%w: %q brought another purchase's value back", ErrConflict, ref))
	}
	if err := t.takeSettled(s.stamp, s.Value); err != nil {
		return err
	}
	if err := t.setStatus(s.Purchase, policy.ReservationRefunded); err != nil {
		return err
	}
	if _, err := t.exec(`UPDATE settlements SET refunded = 1 WHERE purchase = ?`, string(s.Purchase)); err != nil {
		return err
	}
	if _, err := t.exec(`INSERT INTO refunds (purchase, ref, at) VALUES (?, ?, ?)`, string(s.Purchase), ref, micros(t.now)); err != nil {
		return err
	}
	return t.move(s.Purchase, m, KindRefund, endBody{
		Value: s.Value, Was: policy.ReservationSettled, Chain: s.Chain, Token: s.Token, Amount: s.Amount, Stamp: s.stamp, Ref: ref,
	})
}

// RefundRefTaken says whether a transaction is recorded as the one that brought
// some purchase's value back.
func (l *Ledger) RefundRefTaken(ctx context.Context, ref string) (taken bool, err error) {
	err = l.query(ctx, "look for a refund", func(q querier) error {
		taken, err = refundRefTaken(q, ref)
		return err
	})
	return taken, err
}

func refundRefTaken(q querier, ref string) (taken bool, err error) {
	if ref == "" {
		return false, nil
	}
	err = q.row(`SELECT EXISTS (SELECT 1 FROM refunds WHERE ref = ? AND ref <> '')`, []any{ref}, &taken)
	return taken, err
}

// settlement is a row with the time that it counts at.
type settlement struct {
	Settlement
	stamp int64
}

const settlementColumns = `purchase, value, amount, chain, token, payee, ref, at, stamp, rail, refunded,
	COALESCE((SELECT ref FROM refunds WHERE purchase = settlements.purchase), '')`

func scanSettlement(scan func(...any) error) (s settlement, err error) {
	var token, payee string
	var at int64
	err = scan(&s.Purchase, &s.Value, &s.Amount, &s.Chain, &token, &payee, &s.Ref, &at, &s.stamp, &s.Rail, &s.Refunded, &s.RefundRef)
	s.Token, s.Payee, s.At = common.HexToAddress(token), common.HexToAddress(payee), fromMicros(at)
	return s, err
}

func settlementOf(q querier, id policy.PurchaseID) (settlement, error) {
	return one(q, scanSettlement, `SELECT `+settlementColumns+` FROM settlements WHERE purchase = ?`, string(id))
}

// Settlements returns every settlement, refunded ones included, the oldest first.
func (l *Ledger) Settlements(ctx context.Context) ([]Settlement, error) {
	return l.settlements(ctx, selectReceipts+` UNION ALL `+selectLiving+` ORDER BY 17, 1`)
}

// SettledTransfers returns the settlements that moved a token on a chain,
// refunded ones included since their transfer happened, and those that were
// compacted, the oldest first. The chain must show exactly these.
func (l *Ledger) SettledTransfers(ctx context.Context) ([]Settlement, error) {
	return l.settlements(ctx, selectReceipts+` WHERE chain <> '' UNION ALL `+selectLiving+` WHERE s.chain <> '' ORDER BY 17, 1`)
}

func (l *Ledger) settlements(ctx context.Context, query string) (all []Settlement, err error) {
	err = l.read(ctx, "settlements", func(q querier) error {
		rows, err := collect(q, scanReceipt, query)
		for i := range rows {
			all = append(all, rows[i].settlement())
		}
		return err
	})
	return all, err
}

func (r *Receipt) settlement() Settlement {
	return Settlement{
		Purchase: r.Purchase, Value: r.Value, Amount: r.Amount, Chain: r.Chain, Token: r.Token, Payee: r.Payee, Ref: r.Ref,
		At: r.At, Rail: r.Rail, Refunded: r.Refunded(), RefundRef: r.RefundRef,
	}
}

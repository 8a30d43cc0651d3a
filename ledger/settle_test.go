// SPDX-License-Identifier: Apache-2.0

package ledger_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/policy"
)

// TestEndingAReservation tries each end after each end.
func TestEndingAReservation(t *testing.T) {
	ends := map[string]func(context.Context, *ledger.Ledger) error{
		"settle": func(ctx context.Context, l *ledger.Ledger) error {
			return l.Settle(ctx, settlement("p1", 500, t0), nil)
		},
		"settle other": func(ctx context.Context, l *ledger.Ledger) error { return l.Settle(ctx, otherTransfer(), nil) },
		"release":      func(ctx context.Context, l *ledger.Ledger) error { return l.Release(ctx, "p1", nil) },
		"refund":       func(ctx context.Context, l *ledger.Ledger) error { return l.Refund(ctx, "p1", "0xback", nil) },
		"refund other": func(ctx context.Context, l *ledger.Ledger) error { return l.Refund(ctx, "p1", "0xback2", nil) },
		"settle and refund": func(ctx context.Context, l *ledger.Ledger) error {
			return errors.Join(l.Settle(ctx, settlement("p1", 500, t0), nil), l.Refund(ctx, "p1", "0xback", nil))
		},
	}
	for _, c := range []struct {
		name, first, second string
		want                error
		status              policy.ReservationStatus
		spent               int64
	}{
		{"settled", "settle", "", nil, policy.ReservationSettled, 500},
		{"settled again", "settle", "settle", nil, policy.ReservationSettled, 500},
		{"settled by another transfer", "settle", "settle other", ledger.ErrConflict, policy.ReservationSettled, 500},
		{"settled, then released", "settle", "release", ledger.ErrClosed, policy.ReservationSettled, 500},
		{"settled, then refunded", "settle", "refund", nil, policy.ReservationRefunded, 0},
		{"released", "release", "", nil, policy.ReservationReleased, 0},
		{"released again", "release", "release", nil, policy.ReservationReleased, 0},
		{"released, but the chain shows it paid", "release", "settle", nil, policy.ReservationSettled, 500},
		{"released, then refunded", "release", "refund", ledger.ErrClosed, policy.ReservationReleased, 0},
		{"refunded", "settle and refund", "", nil, policy.ReservationRefunded, 0},
		{"refunded again", "settle and refund", "refund", nil, policy.ReservationRefunded, 0},
		{"refunded by another transaction", "settle and refund", "refund other", ledger.ErrConflict, policy.ReservationRefunded, 0},
		{"refunded, then settled", "settle and refund", "settle", ledger.ErrClosed, policy.ReservationRefunded, 0},
		{"refunded, then released", "settle and refund", "release", ledger.ErrClosed, policy.ReservationRefunded, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, ck := fresh(t)
			mustReserve(t, guard(t, l, ck, rules()), request("p1", 700))
			if err := ends[c.first](t.Context(), l); err != nil {
				t.Fatal(err)
			}
			if c.second != "" {
				if err := ends[c.second](t.Context(), l); !errors.Is(err, c.want) {
					t.Errorf("got %v, want %v", err, c.want)
				}
			}
			r, err := l.Reservation(t.Context(), "p1")
			if err != nil || r.Status != c.status {
				t.Errorf("got %s, %v, want %s", r.Status, err, c.status)
			}
			u := mustUsage(t, l, ck.t, rules().Windows...)
			if int64(u.Spent[0]) != c.spent || int64(u.Lifetime) != c.spent || u.Reserved != 0 || u.Open != 0 {
				t.Errorf("got %+v, want %d spent", u, c.spent)
			}
			verifyClean(t, l)
		})
	}
}

func otherTransfer() ledger.Settlement {
	s := settlement("p1", 500, t0)
	s.Ref = "0xother"
	return s
}

func TestEndingWithAMove(t *testing.T) {
	l, c := fresh(t)
	ctx := t.Context()
	req := request("p1", 700)
	req.Record = &ledger.Move{Purchase: purchase("p1", "reserved")}
	mustReserve(t, guard(t, l, c, rules()), req)
	move := &ledger.Move{Purchase: purchase("p1", "settled"), From: "reserved", Event: "settled"}
	for range 2 { // a repeated call finds its outcome and writes nothing
		if err := l.Settle(ctx, settlement("p1", 700, t0), move); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Refund(ctx, "p1", "0xback", &ledger.Move{Purchase: purchase("p1", "refunded"), From: "reserved"}); !errors.Is(err, ledger.ErrStale) {
		t.Errorf("stale refund: got %v", err)
	}
	if r, err := l.Reservation(ctx, "p1"); err != nil || r.Status != policy.ReservationSettled {
		t.Errorf("a stale move ended the reservation: %s, %v", r.Status, err)
	}
	// Settled already, and the purchase goes on to another state.
	late := &ledger.Move{Purchase: purchase("p1", "disputed"), From: "settled", Event: "disputed"}
	if err := l.Settle(ctx, settlement("p1", 700, t0), late); err != nil {
		t.Fatal(err)
	}
	h, err := l.History(ctx, "p1")
	if err != nil || len(h) != 3 || h[1].Kind != ledger.KindSettle || h[2].To != "disputed" {
		t.Errorf("got %d entries, %v", len(h), err)
	}
	// A move that starts where it ends is not a repetition.
	if err := l.Settle(ctx, settlement("p1", 700, t0), &ledger.Move{Purchase: purchase("p1", "disputed"), From: "disputed", Event: "noted"}); err != nil {
		t.Fatal(err)
	}
	if h, err = l.History(ctx, "p1"); err != nil || len(h) != 4 {
		t.Errorf("got %d entries, %v, want 4", len(h), err)
	}
	// Nothing was reserved: only the purchase moves.
	if err := l.Create(ctx, purchase("p2", "planned")); err != nil {
		t.Fatal(err)
	}
	if err := l.Release(ctx, "p2", &ledger.Move{Purchase: purchase("p2", "cancelled"), From: "planned"}); err != nil {
		t.Fatal(err)
	}
	if p, err := l.Get(ctx, "p2"); err != nil || p.State != "cancelled" {
		t.Errorf("got %+v, %v", p, err)
	}
	verifyClean(t, l)
}

func TestSettleRefuses(t *testing.T) {
	l, c := fresh(t)
	mustReserve(t, guard(t, l, c, rules()), request("p1", 700))
	for name, change := range map[string]func(*ledger.Settlement){
		"a transfer without its reference":  func(s *ledger.Settlement) { s.Ref = "" },
		"a transfer without its chain time": func(s *ledger.Settlement) { s.At = time.Time{} },
		"a negative value":                  func(s *ledger.Settlement) { s.Value = -1 },
		"an unknown purchase":               func(s *ledger.Settlement) { s.Purchase = "p9" },
	} {
		s := settlement("p1", 700, t0)
		change(&s)
		if err := l.Settle(t.Context(), s, nil); err == nil {
			t.Errorf("settled %s", name)
		}
	}
	if err := l.Refund(t.Context(), "p1", "0xback", nil); !errors.Is(err, ledger.ErrConflict) {
		t.Errorf("refund of what is not settled: got %v", err)
	}
	if err := l.Refund(t.Context(), "p9", "0xback", nil); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("refund of an unknown purchase: got %v", err)
	}
}

func TestAFreePurchaseIsSettledAndCounted(t *testing.T) {
	l, c := fresh(t)
	r := rules()
	r.Counts = []policy.CountLimit{{Over: time.Hour, Limit: 2}}
	g := guard(t, l, c, r)
	for i, id := range []policy.PurchaseID{"p1", "p2", "p3"} {
		req := request(id, 0)
		req.Rail, req.Currency = policy.RailNotRequired, ""
		v, err := g.Reserve(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		if i == 2 {
			if v.Reason != policy.ReasonCountLimit {
				t.Errorf("third: got %q", v.Reason)
			}
			break
		}
		// The time is nobody's proven one and must not bound a window.
		s := ledger.Settlement{Purchase: id, Rail: policy.RailNotRequired, At: t0.AddDate(9, 0, 0)}
		if err := l.Settle(t.Context(), s, nil); err != nil {
			t.Fatal(err)
		}
	}
	st, err := l.State(t.Context(), policy.Query{At: t0.Add(2 * time.Hour), Trusted: true, Counts: r.Counts})
	if err != nil || st.Counts[0] != 0 {
		t.Errorf("two hours later: got %v, %v, want them out of the window", st.Counts, err)
	}
	if transfers, err := l.SettledTransfers(t.Context()); err != nil || len(transfers) != 0 {
		t.Errorf("got transfers %v, %v", transfers, err)
	}
	verifyClean(t, l)
}

// One transaction brings back the value of one purchase.
func TestARefundServesOnePurchase(t *testing.T) {
	l, c := fresh(t)
	ctx := t.Context()
	g := guard(t, l, c, rules())
	for _, id := range []policy.PurchaseID{"p1", "p2"} {
		mustReserve(t, g, request(id, 700))
		if err := l.Settle(ctx, settlement(id, 700, t0), nil); err != nil {
			t.Fatal(err)
		}
	}
	if taken, err := l.RefundRefTaken(ctx, "0xback"); err != nil || taken {
		t.Errorf("before: taken %t, %v", taken, err)
	}
	if err := l.Refund(ctx, "p1", "", nil); err == nil {
		t.Error("a transfer came back by no transaction")
	}
	if err := l.Refund(ctx, "p1", "0xback", nil); err != nil {
		t.Fatal(err)
	}
	if taken, err := l.RefundRefTaken(ctx, "0xback"); err != nil || !taken {
		t.Errorf("after: taken %t, %v", taken, err)
	}
	if err := l.Refund(ctx, "p2", "0xback", nil); !errors.Is(err, ledger.ErrConflict) {
		t.Errorf("the same transaction for another purchase: got %v", err)
	}
	all, err := l.SettledTransfers(ctx)
	if err != nil || len(all) != 2 || !all[0].Refunded || all[0].RefundRef != "0xback" || all[1].Refunded || all[1].RefundRef != "" {
		t.Errorf("got %+v, %v", all, err)
	}
	if taken, err := l.RefundRefTaken(ctx, ""); err != nil || taken {
		t.Errorf("no transaction is taken: %t, %v", taken, err)
	}
	verifyClean(t, l)
}

// Value in an escrow is settled with the escrow as its receiver.
func TestSettledToTheEscrow(t *testing.T) {
	for name, payee := range map[string]common.Address{"escrow": payeeB, "payee": payeeA} {
		t.Run(name, func(t *testing.T) {
			l, c := fresh(t)
			req := request("p1", 700)
			req.Rail = policy.RailEscrow
			g := guard(t, l, c, rules())
			mustReserve(t, g, req)
			tm := terms(700)
			tm.Rail, tm.Escrow = policy.RailEscrow, payeeB
			if _, v, err := g.Grant(t.Context(), req, tm); err != nil || !v.Allowed() {
				t.Fatalf("grant: %q, %v", v.Reason, err)
			}
			s := settlement("p1", 700, t0)
			s.Rail, s.Payee = policy.RailEscrow, payee
			if err := l.Settle(t.Context(), s, nil); err != nil {
				t.Fatal(err)
			}
			r, err := l.Verify(t.Context())
			if err != nil || (len(r.Findings) == 0) != (payee == payeeB) {
				t.Errorf("settled to the %s: findings %v, %v", name, r.Findings, err)
			}
		})
	}
}

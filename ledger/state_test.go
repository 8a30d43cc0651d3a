// SPDX-License-Identifier: Apache-2.0

package ledger_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
)

// A window counts each settlement once, whichever buckets it takes it from: at
// the edges of minutes, hours and days.
func TestWindowEdges(t *testing.T) {
	l, c := fresh(t)
	r := rules()
	r.Counts, r.Windows[0].Limit = nil, 1<<40
	g := guard(t, l, c, r)
	midnight := t0.Truncate(24 * time.Hour).Add(24 * time.Hour)
	c.t = midnight.Add(-8 * time.Hour)
	var stamps []time.Time
	for i, d := range []time.Duration{
		-7 * time.Hour, -5*time.Hour - time.Second, -5 * time.Hour, -5*time.Hour + 59*time.Second, -5*time.Hour + time.Minute,
		-time.Second, 0, 59 * time.Second, time.Minute, time.Hour - time.Second, time.Hour, 25 * time.Hour,
	} {
		id := policy.PurchaseID(fmt.Sprintf("p%d", i))
		mustReserve(t, g, request(id, 1000))
		if err := l.Settle(t.Context(), settlement(id, 1000, midnight.Add(d)), nil); err != nil {
			t.Fatal(err)
		}
		stamps = append(stamps, midnight.Add(d))
	}
	now := midnight.Add(26 * time.Hour)
	for start := midnight.Add(-6 * time.Hour); start.Before(now); start = start.Add(time.Minute) {
		want := money.Value(0)
		for _, s := range stamps {
			if !s.Before(start) {
				want += 1000
			}
		}
		if u := mustUsage(t, l, now, policy.Window{Over: now.Sub(start)}); u.Spent[0] != want {
			t.Fatalf("since %s: got %s, want %s", start, u.Spent[0], want)
		}
	}
}

// The sum for the server's daily limit is the UTC day's, with what is reserved.
func TestServerDay(t *testing.T) {
	l, c := fresh(t)
	g := guard(t, l, c, rules())
	for id, at := range map[policy.PurchaseID]time.Time{"p1": t0, "p2": t0.Add(13 * time.Hour)} {
		mustReserve(t, g, request(id, 700))
		if err := l.Settle(t.Context(), settlement(id, 700, at), nil); err != nil {
			t.Fatal(err)
		}
	}
	mustReserve(t, g, request("p3", 50))
	for _, tt := range []struct {
		at   time.Time
		want money.Value
	}{{t0, 1450}, {t0.Add(12 * time.Hour), 750}, {t0.Add(36 * time.Hour), 50}} {
		st, err := l.State(t.Context(), policy.Query{At: tt.at})
		if err != nil || st.ServerDay != tt.want {
			t.Errorf("at %s: got %s, %v, want %s", tt.at, st.ServerDay, err, tt.want)
		}
	}
}

// An approval is the store's word, and is used up by the reservation that needs it.
func TestApprovalInTheState(t *testing.T) {
	l, c := fresh(t)
	ctx := t.Context()
	g := guard(t, l, c, rules())
	approved := func(want bool) {
		t.Helper()
		if st, err := l.State(ctx, policy.Query{At: t0, Purchase: "p1"}); err != nil || st.Approved != want {
			t.Errorf("approved: got %t, %v, want %t", st.Approved, err, want)
		}
	}
	decision := func(want ledger.Decision) {
		t.Helper()
		if a, err := l.ApprovalOf(ctx, "p1"); err != nil || a.Decision != want {
			t.Errorf("got %q, %v, want %q", a.Decision, err, want)
		}
	}
	approved(false)
	if err := l.RequestApproval(ctx, ledger.Approval{Purchase: "p1", Hash: "h", Expires: t0.Add(time.Hour)}, nil); err != nil {
		t.Fatal(err)
	}
	approved(false)
	if err := l.DecideApproval(ctx, "p1", true, "anna"); err != nil {
		t.Fatal(err)
	}
	approved(true)
	mustReserve(t, g, request("p1", 700)) // does not need it
	decision(ledger.DecisionApproved)
	req := request("p1", 700)
	req.Approved = true
	mustReserve(t, g, req)
	decision(ledger.DecisionUsed)
	approved(true)
	if err := l.RequestApproval(ctx, ledger.Approval{Purchase: "p2", Hash: "h", Expires: t0.Add(time.Hour)}, nil); err != nil {
		t.Fatal(err)
	}
	if err := l.DecideApproval(ctx, "p2", false, "anna"); err != nil {
		t.Fatal(err)
	}
	if st, err := l.State(ctx, policy.Query{At: t0, Purchase: "p2"}); err != nil || st.Approved {
		t.Errorf("denied, and approved is %t, %v", st.Approved, err)
	}
}

// The store refuses terms for more than it holds, whatever the decision says.
func TestBindRefusesMoreThanReserved(t *testing.T) {
	l, c := fresh(t)
	mustReserve(t, guard(t, l, c, rules()), request("p1", 700))
	yes := func(*policy.State) policy.Verdict { return allow }
	for value, want := range map[money.Value]error{701: ledger.ErrConflict, 700: nil} {
		if _, err := l.Bind(t.Context(), "p1", terms(value), value, policy.Query{At: t0, Provider: "acme"}, yes, nil); !errors.Is(err, want) {
			t.Errorf("%s of 0.0007: got %v, want %v", value, err, want)
		}
	}
}

// A reservation that cannot be read is not one that does not exist.
func TestUnreadableReservationStopsTheDecision(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	c := &clock{t: t0}
	l := open(t, path, c)
	g := guard(t, l, c, rules())
	mustReserve(t, g, request("p1", 700))
	edit(t, path, `UPDATE reservations SET terms = '{'`)
	if v, err := g.Reserve(t.Context(), request("p1", 700)); err == nil {
		t.Errorf("got %q and no error", v.Reason)
	}
}

// SPDX-License-Identifier: Apache-2.0

package ledger_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/google/go-cmp/cmp"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
)

func mustReserve(t *testing.T, g *policy.Guard, req policy.Request) {
	t.Helper()
	if v, err := g.Reserve(context.Background(), req); err != nil || !v.Allowed() {
		t.Fatalf("reserve %s: %q, %v", req.Purchase, v.Reason, err)
	}
}

func mustUsage(t *testing.T, l *ledger.Ledger, at time.Time, windows ...policy.Window) ledger.Usage {
	t.Helper()
	u, err := l.Usage(context.Background(), windows, at)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// TestBucketsLeaveTheWindow settles one purchase and asks at the times around
// which its bucket's end leaves the window: never before the entry itself does,
// and at most a minute after.
func TestBucketsLeaveTheWindow(t *testing.T) {
	settledAt := time.Date(2026, 11, 24, 12, 34, 20, 0, time.UTC)
	bucketEnd := time.Date(2026, 11, 24, 12, 35, 0, 0, time.UTC)
	for _, c := range []struct {
		name   string
		window policy.Window
		at     time.Time
		counts bool
	}{
		{"hour, entry inside", policy.Window{Over: time.Hour}, settledAt.Add(time.Hour), true},
		{"hour, a moment before the bucket's end leaves", policy.Window{Over: time.Hour}, bucketEnd.Add(time.Hour - 1), true},
		{"hour, the bucket's end has left", policy.Window{Over: time.Hour}, bucketEnd.Add(time.Hour), false},
		{"day, a moment before", policy.Window{Over: 24 * time.Hour}, bucketEnd.Add(24*time.Hour - 1), true},
		{"day, left", policy.Window{Over: 24 * time.Hour}, bucketEnd.Add(24 * time.Hour), false},
		{"30 days, a moment before", policy.Window{Over: 720 * time.Hour}, bucketEnd.Add(720*time.Hour - 1), true},
		{"30 days, left", policy.Window{Over: 720 * time.Hour}, bucketEnd.Add(720 * time.Hour), false},
		{"odd span, a moment before", policy.Window{Over: 26*time.Hour + 26*time.Minute}, bucketEnd.Add(26*time.Hour + 26*time.Minute - 1), true},
		{"odd span, left", policy.Window{Over: 26*time.Hour + 26*time.Minute}, bucketEnd.Add(26*time.Hour + 26*time.Minute), false},
		{"UTC day, last moment", policy.Window{Calendar: policy.CalendarDay}, time.Date(2026, 11, 25, 0, 0, 0, -1, time.UTC), true},
		{"UTC day, next day", policy.Window{Calendar: policy.CalendarDay}, time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC), false},
		{"UTC month, last moment", policy.Window{Calendar: policy.CalendarMonth}, time.Date(2026, 12, 1, 0, 0, 0, -1, time.UTC), true},
		{"UTC month, next month", policy.Window{Calendar: policy.CalendarMonth}, time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC), false},
		{"chain time ahead of ours", policy.Window{Over: time.Hour}, settledAt.Add(-time.Minute), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, ck := fresh(t)
			mustReserve(t, guard(t, l, ck, rules()), request("p1", 1_000_000))
			if err := l.Settle(t.Context(), settlement("p1", 1_000_000, settledAt), nil); err != nil {
				t.Fatal(err)
			}
			want := money.Value(0)
			if c.counts {
				want = 1_000_000
			}
			if got := mustUsage(t, l, c.at, c.window).Spent[0]; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

func TestAnOpenReservationCountsWhateverItsAge(t *testing.T) {
	l, c := fresh(t)
	g := guard(t, l, c, rules())
	mustReserve(t, g, request("p1", 2_000_000))
	at := t0.AddDate(3, 0, 0)
	u := mustUsage(t, l, at, rules().Windows...)
	if u.Spent[0] != 2_000_000 || u.Reserved != 2_000_000 || u.Open != 1 {
		t.Errorf("got %+v", u)
	}
	// Settled, it counts at its chain time again.
	if err := l.Settle(t.Context(), settlement("p1", 2_000_000, t0.Add(time.Minute)), nil); err != nil {
		t.Fatal(err)
	}
	if u = mustUsage(t, l, at, rules().Windows...); u.Spent[0] != 0 || u.Lifetime != 2_000_000 || u.Open != 0 {
		t.Errorf("settled: got %+v", u)
	}
}

// A chain that lies about an old time must not free the budget.
func TestSettlingDoesNotCountBeforeTheReservation(t *testing.T) {
	l, c := fresh(t)
	mustReserve(t, guard(t, l, c, rules()), request("p1", 2_000_000))
	if err := l.Settle(t.Context(), settlement("p1", 2_000_000, time.Unix(1, 0)), nil); err != nil {
		t.Fatal(err)
	}
	if u := mustUsage(t, l, t0.Add(time.Hour), rules().Windows...); u.Spent[0] != 2_000_000 {
		t.Errorf("got %s, want it to count from its reservation on", u.Spent[0])
	}
	all, err := l.Settlements(t.Context())
	if err != nil || len(all) != 1 || !all[0].At.Equal(time.Unix(1, 0)) {
		t.Errorf("got %+v, %v, want the chain's own time kept", all, err)
	}
}

func TestTimeNeverRunsBackwards(t *testing.T) {
	l, c := fresh(t)
	g := guard(t, l, c, rules())
	mustReserve(t, g, request("p1", 1))
	c.t = t0.Add(-48 * time.Hour)
	st, err := l.State(t.Context(), policy.Query{At: c.t, Trusted: true})
	if err != nil || !st.At.Equal(t0) {
		t.Errorf("got time %s, %v, want the floor %s", st.At, err, t0)
	}
	mustReserve(t, g, request("p2", 1))
	if r, err := l.Reservation(t.Context(), "p2"); err != nil || !r.At.Equal(t0) {
		t.Errorf("reserved at %s, %v, want %s", r.At, err, t0)
	}
	// Untrusted time is refused and leaves the floor where it is.
	c.t, c.untrusted = t0.AddDate(9, 0, 0), true
	if v, err := g.Reserve(t.Context(), request("p3", 1)); err != nil || v.Reason != policy.ReasonClockUntrusted {
		t.Errorf("got %q, %v", v.Reason, err)
	}
	if st, err = l.State(t.Context(), policy.Query{At: t0}); err != nil || !st.At.Equal(t0) {
		t.Errorf("floor is now %s, %v, want %s", st.At, err, t0)
	}
}

// The store keeps its floor by itself, even if a decision allows what it must not.
func TestOnlyTrustedTimeRaisesTheFloor(t *testing.T) {
	l, _ := fresh(t)
	allowing := func(*policy.State) policy.Verdict { return allow }
	for _, c := range []struct {
		id      policy.PurchaseID
		at      time.Time
		trusted bool
		want    time.Time
	}{
		{"p1", t0, true, t0},
		{"p2", t0.AddDate(9, 0, 0), false, t0},
		{"p3", t0.Add(time.Hour), true, t0.Add(time.Hour)},
		{"p4", t0, true, t0.Add(time.Hour)},
	} {
		if _, err := l.Reserve(t.Context(), request(c.id, 1), policy.Query{At: c.at, Trusted: c.trusted}, allowing); err != nil {
			t.Fatal(err)
		}
		if st, err := l.State(t.Context(), policy.Query{}); err != nil || !st.At.Equal(c.want) {
			t.Errorf("%s: floor is %s, %v, want %s", c.id, st.At, err, c.want)
		}
	}
}

func TestReserveAgainReplaces(t *testing.T) {
	l, c := fresh(t)
	g := guard(t, l, c, rules())
	mustReserve(t, g, request("p1", 5_000_000))
	mustReserve(t, g, request("p2", 5_000_000))
	mustReserve(t, g, request("p3", 5_000_000))
	// 15 of 20 are taken; p1's own 5 do not stand in its own way.
	mustReserve(t, g, request("p4", 5_000_000))
	mustReserve(t, g, request("p1", 4_000_000))
	if u := mustUsage(t, l, c.t, rules().Windows...); u.Reserved != 19_000_000 || u.Open != 4 {
		t.Errorf("got %+v", u)
	}
	if _, v, err := g.Grant(t.Context(), request("p1", 4_000_000), terms(4_000_000)); err != nil || !v.Allowed() {
		t.Fatalf("grant: %v, %v", v, err)
	}
	if _, err := g.Reserve(t.Context(), request("p1", 1)); !errors.Is(err, ledger.ErrClosed) {
		t.Errorf("after the grant: got %v, want ErrClosed", err)
	}
	if err := l.Release(t.Context(), "p2", nil); err != nil {
		t.Fatal(err)
	}
	// Released without a grant, a purchase may search again and reserve anew.
	mustReserve(t, g, request("p2", 1_000_000))
	if u := mustUsage(t, l, c.t, rules().Windows...); u.Reserved != 15_000_000 || u.Open != 4 {
		t.Errorf("reserved anew: got %+v", u)
	}
	if err := l.Release(t.Context(), "p1", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Reserve(t.Context(), request("p1", 1)); !errors.Is(err, ledger.ErrClosed) {
		t.Errorf("released after a grant: got %v, want ErrClosed", err)
	}
	verifyClean(t, l)
}

func TestUnknownPriceShrinksToTheTerms(t *testing.T) {
	l, c := fresh(t)
	g := guard(t, l, c, rules())
	req := request("p1", 0)
	req.PriceUnknown, req.MaxPrice, req.HasMaxPrice = true, 3_000_000, true
	mustReserve(t, g, req)
	if u := mustUsage(t, l, c.t); u.Reserved != 3_000_000 {
		t.Errorf("got %s reserved, want the maximum", u.Reserved)
	}
	grant, v, err := g.Grant(t.Context(), req, terms(1_250_000))
	if err != nil || !v.Allowed() || grant.Amount().String() != "1250000" {
		t.Fatalf("got %v, %v, %v", grant.Amount(), v, err)
	}
	if u := mustUsage(t, l, c.t); u.Reserved != 1_250_000 {
		t.Errorf("got %s reserved, want the terms' value", u.Reserved)
	}
}

func TestGrantIsRepeatable(t *testing.T) {
	l, c := fresh(t)
	g := guard(t, l, c, rules())
	req := request("p1", 1_000_000)
	req.Record = &ledger.Move{Purchase: purchase("p1", "reserved")}
	mustReserve(t, g, req)
	req.Record = &ledger.Move{Purchase: purchase("p1", "intended"), From: "reserved"}
	first, v, err := g.Grant(t.Context(), req, terms(1_000_000))
	if err != nil || !v.Allowed() {
		t.Fatal(v, err)
	}
	second, v, err := g.Grant(t.Context(), req, terms(1_000_000))
	if err != nil || !v.Allowed() || second != first {
		t.Errorf("again: got %+v, %q, %v", second, v.Reason, err)
	}
	if h, err := l.History(t.Context(), "p1"); err != nil || len(h) != 2 {
		t.Errorf("got %d entries, %v, want 2", len(h), err)
	}
	if other, v, err := g.Grant(t.Context(), req, terms(900_000)); err != nil || v.Reason != policy.ReasonPriceChanged || other.Valid() {
		t.Errorf("other terms: got %+v, %q, %v", other, v.Reason, err)
	}
	if _, _, err := g.Grant(t.Context(), request("p9", 1), terms(1)); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("nothing reserved: got %v, want ErrNotFound", err)
	}
	if err := l.Release(t.Context(), "p1", nil); err != nil {
		t.Fatal(err)
	}
	if _, _, err := g.Grant(t.Context(), req, terms(1_000_000)); !errors.Is(err, ledger.ErrClosed) {
		t.Errorf("released: got %v, want ErrClosed", err)
	}
}

func TestADeadAuthorisationMayBeGrantedForLonger(t *testing.T) {
	l, c := fresh(t)
	g := guard(t, l, c, rules())
	req := request("p1", 1_000_000)
	req.Rail = policy.RailX402
	mustReserve(t, g, req)
	tm := terms(1_000_000)
	tm.Rail, tm.Deadline = policy.RailX402, c.t.Add(time.Minute)
	if _, v, err := g.Grant(t.Context(), req, tm); err != nil || !v.Allowed() {
		t.Fatal(v, err)
	}
	c.t = c.t.Add(time.Hour)
	tm.Deadline = c.t.Add(time.Minute)
	grant, v, err := g.Grant(t.Context(), req, tm)
	if err != nil || !v.Allowed() || !grant.Deadline().Equal(tm.Deadline) {
		t.Fatalf("got %+v, %q, %v", grant, v.Reason, err)
	}
	if again, err := g.Regrant(t.Context(), "p1"); err != nil || again != grant {
		t.Errorf("regrant: got %+v, %v", again, err)
	}
	if u := mustUsage(t, l, c.t); u.Reserved != 1_000_000 || u.Open != 1 {
		t.Errorf("got %+v, want it reserved once", u)
	}
	verifyClean(t, l)
}

func TestPayeesArePinned(t *testing.T) {
	l, c := fresh(t)
	g := guard(t, l, c, rules())
	grantTo := func(id policy.PurchaseID, payee common.Address) policy.Verdict {
		t.Helper()
		mustReserve(t, g, request(id, 100))
		tm := terms(100)
		tm.Payee = payee
		_, v, err := g.Grant(t.Context(), request(id, 100), tm)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	if v := grantTo("p1", payeeA); !v.Allowed() {
		t.Errorf("first payee: got %q", v.Reason)
	}
	if v := grantTo("p2", payeeB); v.Reason != policy.ReasonPayeeChanged {
		t.Errorf("second payee: got %q", v.Reason)
	}
	if v := grantTo("p3", payeeA); !v.Allowed() {
		t.Errorf("first payee again: got %q", v.Reason)
	}
	if err := l.ForgetPayee(t.Context(), "acme", "operator"); err != nil {
		t.Fatal(err)
	}
	if v := grantTo("p4", payeeB); !v.Allowed() {
		t.Errorf("after forgetting: got %q", v.Reason)
	}
	if err := l.ForgetPayee(t.Context(), "nobody", "operator"); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("forget an unknown provider: got %v", err)
	}
	verifyClean(t, l)
}

func TestFirstPaymentWaitsForApproval(t *testing.T) {
	l, c := fresh(t)
	r := rules()
	r.Payees, r.ApprovalTTL = policy.PayeesApprove, time.Hour
	g := guard(t, l, c, r)
	ctx := t.Context()
	req := request("p1", 100)
	req.Payee, req.HasPayee, req.Approved = payeeA, true, true
	if v, err := g.Reserve(ctx, req); err != nil || !v.NeedsApproval() {
		t.Fatalf("claimed only: got %q, %v", v.Reason, err)
	}
	if err := l.RequestApproval(ctx, ledger.Approval{Purchase: "p1", Hash: "h1", Shown: []byte(`{"price":"0.0001"}`), Expires: c.t.Add(time.Hour)}, nil); err != nil {
		t.Fatal(err)
	}
	if v, err := g.Reserve(ctx, req); err != nil || !v.NeedsApproval() {
		t.Fatalf("asked only: got %q, %v", v.Reason, err)
	}
	if err := l.DecideApproval(ctx, "p1", true, "anna"); err != nil {
		t.Fatal(err)
	}
	mustReserve(t, g, req)
	a, err := l.ApprovalOf(ctx, "p1")
	if err != nil || a.Decision != ledger.DecisionUsed || a.Who != "anna" {
		t.Errorf("got %+v, %v, want it used", a, err)
	}
	if _, v, err := g.Grant(ctx, req, terms(100)); err != nil || !v.Allowed() {
		t.Fatalf("grant: %q, %v", v.Reason, err)
	}
	// The payee is known from now on.
	req2 := request("p2", 100)
	req2.Payee, req2.HasPayee = payeeA, true
	mustReserve(t, g, req2)
	verifyClean(t, l)
}

func TestPauseAndVerifiedReachTheGuard(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	c := &clock{t: t0}
	l := open(t, path, c)
	g := guard(t, l, c, rules())
	if err := l.SetPaused(t.Context(), true, "operator"); err != nil {
		t.Fatal(err)
	}
	if v, err := g.Reserve(t.Context(), request("p1", 1)); err != nil || v.Reason != policy.ReasonPaused {
		t.Errorf("got %q, %v", v.Reason, err)
	}
	again := open(t, path, c)
	if paused, err := again.Paused(t.Context()); err != nil || !paused {
		t.Errorf("after a restart: got paused %t, %v", paused, err)
	}
	if err := l.SetPaused(t.Context(), false, "operator"); err != nil {
		t.Fatal(err)
	}
	l.SetVerified(false)
	if v, err := g.Reserve(t.Context(), request("p1", 1)); err != nil || v.Reason != policy.ReasonLedgerUnverified {
		t.Errorf("got %q, %v", v.Reason, err)
	}
	l.SetVerified(true)
	mustReserve(t, g, request("p1", 1))
	verifyClean(t, l)
}

func TestARefusalStoresNothing(t *testing.T) {
	l, c := fresh(t)
	g := guard(t, l, c, rules())
	req := request("p1", 6_000_000)
	req.Record = &ledger.Move{Purchase: purchase("p1", "reserved")}
	if v, err := g.Reserve(t.Context(), req); err != nil || v.Reason != policy.ReasonPerPurchaseLimit {
		t.Fatalf("got %q, %v", v.Reason, err)
	}
	nothing(t, l, "p1")
}

// nothing checks that a failed step left no trace.
func nothing(t *testing.T, l *ledger.Ledger, id policy.PurchaseID) {
	t.Helper()
	ctx := context.Background()
	if _, err := l.Reservation(ctx, id); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("reservation: got %v, want ErrNotFound", err)
	}
	if _, err := l.Get(ctx, id); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("purchase: got %v, want ErrNotFound", err)
	}
	if seq, _, err := l.Head(ctx); err != nil || seq != 0 {
		t.Errorf("journal: got %d entries, %v", seq, err)
	}
	if u := mustUsage(t, l, t0); u.Reserved != 0 || u.Open != 0 {
		t.Errorf("sums: got %+v", u)
	}
	verifyClean(t, l)
}

func TestAFailedStepStoresNothing(t *testing.T) {
	query := policy.Query{At: t0, Trusted: true}
	allowing := func(*policy.State) policy.Verdict { return allow }
	for _, c := range []struct {
		name string
		do   func(t *testing.T, l *ledger.Ledger, path string) error
	}{
		{"the move is stale", func(_ *testing.T, l *ledger.Ledger, _ string) error {
			req := request("p1", 1)
			req.Record = &ledger.Move{Purchase: purchase("p1", "reserved"), From: "quoted"}
			_, err := l.Reserve(context.Background(), req, query, allowing)
			return err
		}},
		{"the move is of another purchase", func(_ *testing.T, l *ledger.Ledger, _ string) error {
			req := request("p1", 1)
			req.Record = &ledger.Move{Purchase: purchase("p2", "reserved")}
			_, err := l.Reserve(context.Background(), req, query, allowing)
			return err
		}},
		{"the record is no move", func(_ *testing.T, l *ledger.Ledger, _ string) error {
			req := request("p1", 1)
			req.Record = "move"
			_, err := l.Reserve(context.Background(), req, query, allowing)
			return err
		}},
		{"the context ends before the commit", func(_ *testing.T, l *ledger.Ledger, _ string) error {
			ctx, cancel := context.WithCancel(context.Background())
			_, err := l.Reserve(ctx, request("p1", 1), query, func(*policy.State) policy.Verdict {
				cancel()
				return allow
			})
			if !errors.Is(err, context.Canceled) {
				return nil
			}
			return err
		}},
		{"the context had ended", func(_ *testing.T, l *ledger.Ledger, _ string) error {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			return l.Create(ctx, purchase("p1", "planned"))
		}},
		{"the journal cannot be written", func(t *testing.T, l *ledger.Ledger, path string) error {
			edit(t, path, `CREATE TRIGGER fault BEFORE INSERT ON journal BEGIN SELECT RAISE(ABORT, 'disk fault'); END`)
			req := request("p1", 1)
			req.Record = &ledger.Move{Purchase: purchase("p1", "reserved")}
			_, err := l.Reserve(context.Background(), req, query, allowing)
			return err
		}},
		{"the decision panics", func(_ *testing.T, l *ledger.Ledger, _ string) (err error) {
			defer func() {
				if recover() != nil {
					err = errors.New("panic")
				}
			}()
			_, err = l.Reserve(context.Background(), request("p1", 1), query, func(*policy.State) policy.Verdict { panic("decide") })
			return err
		}},
		{"the ledger is closed", func(t *testing.T, _ *ledger.Ledger, path string) error {
			l, err := ledger.Open(context.Background(), ledger.Config{Path: path})
			if err != nil {
				t.Fatal(err)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			_, err = l.Reserve(context.Background(), request("p1", 1), query, allowing)
			if !errors.Is(err, ledger.ErrShut) {
				return nil
			}
			return err
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "ledger.db")
			l := open(t, path, &clock{t: t0})
			if err := c.do(t, l, path); err == nil {
				t.Fatal("got no error")
			}
			nothing(t, l, "p1")
		})
	}
}

// TestNoGrantWithoutACommittedReservation fails the commit of a grant and looks
// at what a restart would find; then it lets the commit through and opens a copy
// of the files as a power cut at that moment would leave them.
func TestNoGrantWithoutACommittedReservation(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "ledger.db")
	c := &clock{t: t0}
	l := open(t, path, c)
	g := guard(t, l, c, rules())
	mustReserve(t, g, request("p1", 1_000_000))

	edit(t, path, `CREATE TRIGGER fault BEFORE INSERT ON journal BEGIN SELECT RAISE(ABORT, 'disk fault'); END`)
	grant, v, err := g.Grant(t.Context(), request("p1", 1_000_000), terms(1_000_000))
	if err == nil || grant.Valid() || v.Allowed() {
		t.Fatalf("failed commit: got %+v, %+v, %v", grant, v, err)
	}
	if r := afterPowerCut(t, path); r.Terms != nil {
		t.Errorf("failed commit left terms %+v", r.Terms)
	}
	if _, err := g.Regrant(t.Context(), "p1"); !errors.Is(err, policy.ErrNotGranted) {
		t.Errorf("regrant: got %v, want ErrNotGranted", err)
	}

	edit(t, path, `DROP TRIGGER fault`)
	grant, v, err = g.Grant(t.Context(), request("p1", 1_000_000), terms(1_000_000))
	if err != nil || !grant.Valid() || !v.Allowed() {
		t.Fatalf("got %+v, %+v, %v", grant, v, err)
	}
	r := afterPowerCut(t, path)
	want := terms(1_000_000)
	if diff := cmp.Diff(&want, r.Terms, cmp.Comparer(func(a, b money.Amount) bool { return a == b })); diff != "" {
		t.Errorf("terms after a power cut differ (-want +got):\n%s", diff)
	}
}

// afterPowerCut opens a copy of the files as they are on disk, while the ledger
// is still open, and returns the reservation found there.
func afterPowerCut(t *testing.T, path string) policy.Reservation {
	t.Helper()
	l := open(t, copied(t, path), &clock{t: t0})
	r, err := l.Reservation(t.Context(), "p1")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// copied returns a copy of a ledger's files as they are on disk now.
func copied(t *testing.T, path string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "ledger.db")
	for _, suffix := range []string{"", "-wal"} {
		data, err := os.ReadFile(path + suffix)
		if err == nil {
			err = os.WriteFile(to+suffix, data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// SPDX-License-Identifier: Apache-2.0

package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
)

const retention = 40 * 24 * time.Hour

// lived makes a purchase end in a fate at the clock's time.
func lived(t *testing.T, l *ledger.Ledger, g *policy.Guard, c *clock, id policy.PurchaseID, fate string) {
	t.Helper()
	ctx := t.Context()
	move := func(from, to string, final bool) *ledger.Move {
		p := purchase(id, to)
		p.Final, p.OrderID = final, "order-"+string(id)
		return &ledger.Move{Purchase: p, From: from, Event: to}
	}
	if err := l.Create(ctx, purchase(id, "planned")); err != nil {
		t.Fatal(err)
	}
	if fate == "no_match" {
		if err := l.Advance(ctx, *move("planned", fate, true)); err != nil {
			t.Fatal(err)
		}
		return
	}
	req := request(id, 1_000_000)
	req.Record = move("planned", "reserved", false)
	mustReserve(t, g, req)
	req.Record = move("reserved", "paying", false)
	if _, v, err := g.Grant(ctx, req, terms(900_000)); err != nil || !v.Allowed() {
		t.Fatalf("grant: %v, %v", v, err)
	}
	a := attempt(fmt.Sprint(c.t.Unix() / 60))
	a.Purchase, a.Hash = id, "0xh-"+string(id)
	seq, err := l.SaveAttempt(ctx, a)
	if err == nil && fate != "open attempt" {
		err = l.UpdateAttempt(ctx, id, seq, ledger.AttemptFinal, "0xblock")
	}
	if err != nil {
		t.Fatal(err)
	}
	switch fate {
	case "settled", "open attempt":
		err = l.Settle(ctx, settlement(id, 900_000, c.t), move("paying", "settled", true))
	case "failed":
		err = l.Release(ctx, id, move("paying", fate, true))
	case "refunded":
		err = errors.Join(l.Settle(ctx, settlement(id, 900_000, c.t), nil), l.Refund(ctx, id, "0xback-"+string(id), move("paying", fate, true)))
	case "disputed":
		err = l.Settle(ctx, settlement(id, 900_000, c.t), move("paying", fate, false))
	case "open":
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := l.AddFee(ctx, chainA, money.FromUint64(7), c.t); err != nil {
		t.Fatal(err)
	}
}

// years fills a ledger with a purchase of each fate every five days, for long
// enough that most are older than the retention.
func years(t *testing.T, l *ledger.Ledger, c *clock) {
	t.Helper()
	r := rules()
	r.Counts = nil
	g := guard(t, l, c, r)
	n := 0
	for range 20 {
		for _, fate := range []string{"settled", "no_match", "failed", "refunded", "settled"} {
			lived(t, l, g, c, policy.PurchaseID(fmt.Sprintf("p%03d-%s", n, fate)), fate)
			n++
			c.t = c.t.Add(3 * time.Hour)
		}
		c.t = c.t.Add(4*24*time.Hour + 7*time.Minute)
	}
}

// sums is everything that limits are checked against.
type sums struct {
	Usage ledger.Usage
	State policy.State
	Fees  string
}

func sumsOf(t *testing.T, l *ledger.Ledger, at time.Time) sums {
	t.Helper()
	ctx := context.Background()
	r := rules()
	r.Windows = append(r.Windows, policy.Window{Over: retention - 24*time.Hour}, policy.Window{Calendar: policy.CalendarMonth}, policy.Window{Calendar: policy.CalendarDay})
	u, err := l.Usage(ctx, r.Windows, at)
	if err != nil {
		t.Fatal(err)
	}
	st, err := l.State(ctx, policy.Query{At: at, Trusted: true, Windows: r.Windows, Counts: []policy.CountLimit{{Over: retention - 24*time.Hour}}, Provider: "acme", Payee: payeeA})
	if err != nil {
		t.Fatal(err)
	}
	fees, err := l.FeesSince(ctx, chainA, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return sums{u, *st, fees.String()}
}

func TestCompact(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	c := &clock{t: t0}
	l := open(t, path, c)
	ctx := t.Context()
	g := guard(t, l, c, rules())
	lived(t, l, g, c, "old-open", "open")
	c.t = c.t.Add(time.Minute)
	lived(t, l, g, c, "old-disputed", "disputed")
	c.t = c.t.Add(time.Minute)
	lived(t, l, g, c, "old-attempt", "open attempt")
	if err := errors.Join(l.SetPaused(ctx, true, "anna"), l.SetPaused(ctx, false, "anna"), l.SetPaused(ctx, true, "anna")); err != nil {
		t.Fatal(err)
	}
	c.t = c.t.Add(20 * 24 * time.Hour)
	if err := l.SetPaused(ctx, false, "anna"); err != nil {
		t.Fatal(err)
	}
	years(t, l, c)
	before, transfers := sumsOf(t, l, c.t), mustTransfers(t, l)
	was := verifyClean(t, l)
	done, err := l.Compact(ctx, ledger.Compaction{Now: c.t, Retention: retention})
	if err != nil {
		t.Fatal(err)
	}
	if done.Receipts == 0 || done.Dropped == 0 || done.Entries < 5*done.Receipts {
		t.Errorf("got %+v", done)
	}
	r := verifyClean(t, l)
	if r.Compacted != done.Receipts || r.Purchases+done.Receipts+done.Dropped != was.Purchases || r.Head == was.Head {
		t.Errorf("got %+v after %+v, compacted %+v", r, was, done)
	}
	if diff := cmp.Diff(was.Settled, r.Settled, cmp.Comparer(func(a, b money.Amount) bool { return a == b })); diff != "" {
		t.Errorf("settled sums differ:\n%s", diff)
	}
	if diff := cmp.Diff(before, sumsOf(t, l, c.t), cmp.Comparer(func(a, b money.Amount) bool { return a == b })); diff != "" {
		t.Errorf("sums differ:\n%s", diff)
	}
	if diff := cmp.Diff(transfers, mustTransfers(t, l), cmp.Comparer(func(a, b money.Amount) bool { return a == b })); diff != "" {
		t.Errorf("transfers differ:\n%s", diff)
	}
	for _, id := range []policy.PurchaseID{"old-open", "old-disputed", "old-attempt"} {
		if _, err := l.Get(ctx, id); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	if again, err := l.Compact(ctx, ledger.Compaction{Now: c.t, Retention: retention}); err != nil || again != (ledger.Compacted{}) {
		t.Errorf("again: got %+v, %v", again, err)
	}
	// What settles on the first second that is kept counts in its minute.
	boundary := c.t.Add(-retention).Truncate(24 * time.Hour)
	if err := l.Settle(ctx, settlement("old-open", 900_000, boundary), &ledger.Move{Purchase: final("old-open", "settled"), From: "paying", Event: "settled"}); err != nil {
		t.Fatal(err)
	}
	verifyClean(t, l)
	// What began a new life is compacted later, onto what was compacted before.
	if err := l.Refund(ctx, "old-disputed", "0xlate", &ledger.Move{Purchase: final("old-disputed", "refunded"), From: "disputed", Event: "refunded"}); err != nil {
		t.Fatal(err)
	}
	verifyClean(t, l)
	c.t = c.t.Add(retention + 48*time.Hour)
	if done, err = l.Compact(ctx, ledger.Compaction{Now: c.t, Retention: retention}); err != nil || done.Receipts == 0 {
		t.Fatalf("later: %+v, %v", done, err)
	}
	if r = verifyClean(t, l); r.Purchases != 1 {
		t.Errorf("%d purchases are left, want the one with an open attempt", r.Purchases)
	}
}

func final(id policy.PurchaseID, state string) *ledger.Purchase {
	p := purchase(id, state)
	p.Final = true
	return p
}

func mustTransfers(t *testing.T, l *ledger.Ledger) []ledger.Settlement {
	t.Helper()
	all, err := l.SettledTransfers(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// What was compacted is not forgotten where forgetting could pay twice.
func TestCompactedIsNotForgotten(t *testing.T) {
	l, c := fresh(t)
	ctx := t.Context()
	r := rules()
	r.Counts = nil
	g := guard(t, l, c, r)
	lived(t, l, g, c, "p1", "settled")
	c.t = c.t.Add(time.Hour)
	lived(t, l, g, c, "p2", "refunded")
	attempts, err := l.Attempts(ctx, "p2")
	if err != nil || len(attempts) == 0 {
		t.Fatalf("got %d attempts, %v", len(attempts), err)
	}
	nonce, err := strconv.ParseUint(attempts[0].Nonce, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	c.t = c.t.Add(retention + 48*time.Hour)
	if done, err := l.Compact(ctx, ledger.Compaction{Now: c.t, Retention: retention}); err != nil || done.Receipts != 2 {
		t.Fatalf("got %+v, %v", done, err)
	}
	if err := l.Create(ctx, purchase("p1", "planned")); !errors.Is(err, ledger.ErrExists) {
		t.Errorf("a compacted purchase was created again: %v", err)
	}
	if taken, err := l.RefundRefTaken(ctx, "0xback-p2"); err != nil || !taken {
		t.Errorf("the refund's transaction is free: %t, %v", taken, err)
	}
	if _, spent, err := l.NextNonce(ctx, chainA, payeeB, nonce); err != nil || !spent {
		t.Errorf("nonce %d of a compacted attempt is not spent: %v", nonce, err)
	}
	a := attempt(fmt.Sprint(nonce))
	a.Purchase = "p9"
	if _, err := l.SaveAttempt(ctx, a); !errors.Is(err, ledger.ErrConflict) {
		t.Errorf("a nonce of a compacted attempt: got %v", err)
	}
	if st, err := l.State(ctx, policy.Query{At: c.t, Provider: "acme", Payee: payeeA}); err != nil || !st.PayeeKnown || st.PayeePinned != payeeA {
		t.Errorf("the payee is forgotten: %+v, %v", st, err)
	}
}

// A window that is longer than what was compacted may see too much, never too little.
func TestALongerWindowAfterwards(t *testing.T) {
	l, c := fresh(t)
	years(t, l, c)
	long := policy.Window{Over: 70*24*time.Hour + 11*time.Hour}
	before := mustUsage(t, l, c.t, long)
	if _, err := l.Compact(t.Context(), ledger.Compaction{Now: c.t, Retention: retention}); err != nil {
		t.Fatal(err)
	}
	after := mustUsage(t, l, c.t, long)
	if after.Spent[0] < before.Spent[0] || after.Spent[0] > before.Spent[0]+4*900_000 {
		t.Errorf("got %s spent, before compaction %s", after.Spent[0], before.Spent[0])
	}
}

// TestCompactIsCut ends a compaction after each of its commits: what is on disk
// then verifies, has the same sums, and the next one goes on.
func TestCompactIsCut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	c := &clock{t: t0}
	cut := func() {}
	l, err := ledger.Open(t.Context(), ledger.Config{Path: path, Now: func() time.Time { return c.t }, Observe: func(time.Duration) { cut() }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	years(t, l, c)
	before, transfers := sumsOf(t, l, c.t), mustTransfers(t, l)
	same := cmp.Comparer(func(a, b money.Amount) bool { return a == b })
	steps := 0
	for range 1000 {
		ctx, cancel := context.WithCancel(t.Context())
		cut = cancel // after the first commit
		_, err := l.Compact(ctx, ledger.Compaction{Now: c.t, Retention: retention})
		cut = func() {}
		cancel()
		if err == nil {
			break
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if steps++; steps%8 == 0 || steps < 4 {
			found := open(t, copied(t, path), c)
			verifyClean(t, found)
			if diff := cmp.Diff(before, sumsOf(t, found, c.t), same); diff != "" {
				t.Fatalf("after %d steps the sums differ:\n%s", steps, diff)
			}
		}
	}
	if steps < 10 {
		t.Errorf("compacted in %d steps, want more", steps)
	}
	r := verifyClean(t, l)
	if diff := cmp.Diff(transfers, mustTransfers(t, l), same); diff != "" || r.Compacted == 0 {
		t.Errorf("%d receipts; transfers differ:\n%s", r.Compacted, diff)
	}
}

func TestVerifyFindsWhatWasChangedInReceipts(t *testing.T) {
	original := filepath.Join(t.TempDir(), "ledger.db")
	ck := &clock{t: t0}
	l := open(t, original, ck)
	years(t, l, ck)
	if _, err := l.Compact(t.Context(), ledger.Compaction{Now: ck.t, Retention: retention}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, statement, want string }{
		{"a receipt's value", `UPDATE receipts SET value = value + 1 WHERE n = 2`, "checkpoint: it states"},
		{"a receipt's payee", `UPDATE receipts SET payee = '0x2222222222222222222222222222222222222222' WHERE n = 2`, "checkpoint: it states"},
		{"a receipt taken out", `DELETE FROM receipts WHERE n = 3`, "checkpoint: it states"},
		{"a receipt's digest", `UPDATE receipts SET digest = '' WHERE n = 1`, "checkpoint: it states"},
		{"the checkpoint", `UPDATE journal SET body = replace(body, '"Receipts":', '"Receipts":1') WHERE kind = 'checkpoint'`, "does not have the hash"},
		{"the place of the checkpoint", `UPDATE control SET checkpoint = checkpoint - 1`, "sums:"},
		{"a gap", `UPDATE gaps SET hash = printf('%064d', 1) WHERE first = (SELECT min(first) FROM gaps)`, "does not have the hash"},
		{"a wider gap", `UPDATE gaps SET last = last - 1 WHERE first = (SELECT min(first) FROM gaps)`, "follows entry"},
		{"an entry taken out beside a gap", `DELETE FROM journal WHERE seq = (SELECT min(last) + 1 FROM gaps)`, "follows entry"},
		{"a day", `UPDATE buckets SET value = value + 5 WHERE width = 86400 AND start = (SELECT min(start) FROM buckets)`, "bucket 86400/"},
		{"a refund taken out", `DELETE FROM refunds WHERE purchase = (SELECT purchase FROM receipts WHERE refund_at > 0 LIMIT 1)`, "refunds: there are"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := copied(t, original)
			l := open(t, path, ck)
			verifyClean(t, l)
			edit(t, path, c.statement)
			wantFinding(t, l, c.want)
		})
	}
}

// SPDX-License-Identifier: Apache-2.0

package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
)

// modelEntry is a reservation as the model remembers it.
type modelEntry struct {
	id     policy.PurchaseID
	value  money.Value
	status policy.ReservationStatus
	bound  bool
	at     time.Time
	stamp  time.Time
	spent  money.Value
	counts bool  // as settled, refunded ones too
	nonce  int64 // of its attempt; 0 before it has one
	gone   bool  // compacted
}

// model recomputes every sum from scratch, entry by entry.
type model struct {
	path    string
	rules   *policy.Rules
	l       *ledger.Ledger
	g       *policy.Guard
	clock   *clock
	floor   time.Time
	entries []*modelEntry
	nonces  int64 // used so far
}

func (m *model) open(t *rapid.T) {
	l, err := ledger.Open(context.Background(), ledger.Config{Path: m.path, Now: func() time.Time { return m.clock.t }})
	if err != nil {
		t.Fatal(err)
	}
	g, err := policy.NewGuard(policy.GuardConfig{Rules: m.rules, Store: l, Clock: m.clock})
	if err != nil {
		t.Fatal(err)
	}
	m.l, m.g = l, g
}

func (m *model) effective() time.Time {
	if m.clock.t.Before(m.floor) {
		return m.floor
	}
	return m.clock.t
}

// spent is settled + reserved in a window that ends at a time: by the minute, as
// the ledger keeps it, or exactly.
func (m *model) spent(start time.Time, byMinute bool) (sum money.Value, count int64) {
	for _, e := range m.entries {
		stamp, from := e.stamp, start
		if byMinute {
			stamp, from = stamp.Truncate(time.Minute), from.Truncate(time.Minute)
		}
		inside := e.counts && !stamp.Before(from)
		if inside {
			count++
		}
		switch {
		case e.status == policy.ReservationOpen:
			sum, count = sum+e.value, count+1
		case e.status == policy.ReservationSettled && inside:
			sum += e.spent
		}
	}
	return sum, count
}

func (m *model) pick(t *rapid.T, keep func(*modelEntry) bool) *modelEntry {
	var some []*modelEntry
	for _, e := range m.entries {
		if keep(e) && !e.gone {
			some = append(some, e)
		}
	}
	if len(some) == 0 {
		t.Skip("none")
	}
	return rapid.SampledFrom(some).Draw(t, "purchase")
}

func isOpen(e *modelEntry) bool    { return e.status == policy.ReservationOpen }
func isSettled(e *modelEntry) bool { return e.status == policy.ReservationSettled }

func (m *model) reserve(t *rapid.T) {
	id := policy.PurchaseID(fmt.Sprintf("p%04d", len(m.entries)))
	value := money.Value(rapid.Int64Range(0, 6_000_000).Draw(t, "value"))
	req := request(id, value)
	if value == 0 {
		req.Rail = policy.RailNotRequired
	}
	req.Record = &ledger.Move{Purchase: purchase(id, "reserved")}
	now := m.effective()
	v, err := m.g.Reserve(context.Background(), req)
	if err != nil {
		t.Fatal(err)
	}
	want := m.wouldAllow(value, now)
	if v.Allowed() != want {
		t.Fatalf("reserve %s at %s: got %q, the model says allowed is %t", value, now, v.Reason, want)
	}
	if !want {
		return
	}
	m.floor = now
	m.entries = append(m.entries, &modelEntry{id: id, value: value, status: policy.ReservationOpen, at: now})
}

func (m *model) wouldAllow(value money.Value, now time.Time) bool {
	if m.clock.untrusted || value > m.rules.PerPurchase {
		return false
	}
	for _, w := range m.rules.Windows {
		if sum, _ := m.spent(w.Start(now), true); value > 0 && sum+value > w.Limit {
			return false
		}
	}
	for _, c := range m.rules.Counts {
		if _, count := m.spent(now.Add(-c.Over), true); count >= c.Limit {
			return false
		}
	}
	sum, _ := m.spent(time.Time{}, false)
	return value == 0 || sum+value <= m.rules.Lifetime
}

func (m *model) grant(t *rapid.T) {
	e := m.pick(t, func(e *modelEntry) bool { return isOpen(e) && !e.bound && e.value > 0 })
	value := money.Value(rapid.Int64Range(1, int64(e.value)+2).Draw(t, "value"))
	now := m.effective()
	grant, v, err := m.g.Grant(context.Background(), request(e.id, value), terms(value))
	if err != nil {
		t.Fatal(err)
	}
	if want := value <= e.value && !m.clock.untrusted; v.Allowed() != want || grant.Valid() != want {
		// A limit cannot be in the way, since it holds the reservation already.
		t.Fatalf("grant %s of %s reserved: got %q", value, e.value, v.Reason)
	}
	if v.Allowed() {
		e.value, e.bound, m.floor = value, true, now
	}
}

func (m *model) settle(t *rapid.T) {
	e := m.pick(t, isOpen)
	chainTime := m.clock.t.Add(time.Duration(rapid.IntRange(-7200, 120).Draw(t, "chain time")) * time.Second)
	if err := m.l.Settle(context.Background(), settlement(e.id, e.value, chainTime), m.end(t, e, "settled")); err != nil {
		t.Fatal(err)
	}
	if e.stamp = chainTime; e.stamp.Before(e.at) {
		e.stamp = e.at
	}
	e.status, e.spent, e.counts = policy.ReservationSettled, e.value, true
}

func (m *model) release(t *rapid.T) {
	e := m.pick(t, isOpen)
	if err := m.l.Release(context.Background(), e.id, m.end(t, e, "failed")); err != nil {
		t.Fatal(err)
	}
	e.status = policy.ReservationReleased
}

// end decides the purchase's attempt, most times, and moves it to a final state.
func (m *model) end(t *rapid.T, e *modelEntry, state string) *ledger.Move {
	if e.nonce > 0 && rapid.IntRange(0, 4).Draw(t, "undecided") > 0 {
		all, err := m.l.Attempts(context.Background(), e.id)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range all {
			if err := m.l.UpdateAttempt(context.Background(), e.id, a.Seq, ledger.AttemptFinal, "0xblock"); err != nil {
				t.Fatal(err)
			}
		}
	}
	return &ledger.Move{Purchase: final(e.id, state), Event: state}
}

// attempt signs under a new nonce, or replaces or cancels what is signed; a nonce
// of another purchase is refused.
func (m *model) attempt(t *rapid.T) {
	e := m.pick(t, func(e *modelEntry) bool { return isOpen(e) && e.bound })
	if e.nonce == 0 {
		m.nonces++
		e.nonce = m.nonces
	}
	a := attempt(fmt.Sprint(e.nonce))
	a.Purchase, a.Hash = e.id, fmt.Sprintf("0xh-%d", rapid.Uint64().Draw(t, "hash"))
	if rapid.IntRange(0, 3).Draw(t, "cancel") == 0 {
		a.Kind = ledger.AttemptCancel
	}
	if _, err := m.l.SaveAttempt(context.Background(), a); err != nil {
		t.Fatal(err)
	}
	other := rapid.Int64Range(1, m.nonces).Draw(t, "nonce of another")
	if other == e.nonce {
		return
	}
	a.Nonce = fmt.Sprint(other)
	if _, err := m.l.SaveAttempt(context.Background(), a); !errors.Is(err, ledger.ErrConflict) {
		t.Fatalf("nonce %d of another purchase: %v", other, err)
	}
}

// compact takes out what is old; sums are compared after each action. It keeps
// what is not final.
func (m *model) compact(t *rapid.T) {
	ctx := context.Background()
	before, err := m.l.SettledTransfers(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.l.Compact(ctx, ledger.Compaction{Now: m.effective(), Retention: retention}); err != nil {
		t.Fatal(err)
	}
	after, err := m.l.SettledTransfers(ctx)
	if err != nil || len(before) != len(after) {
		t.Fatalf("%d transfers before, %d after, %v", len(before), len(after), err)
	}
	for _, e := range m.entries {
		if e.gone {
			continue
		}
		_, err := m.l.Get(ctx, e.id)
		if e.gone = errors.Is(err, ledger.ErrNotFound); e.gone && (isOpen(e) || m.effective().Sub(e.at) < retention) {
			t.Fatalf("%s is %s since %s and was compacted", e.id, e.status, e.at)
		}
	}
}

// reserveAgain opens what was released without a grant, or replaces what is open.
func (m *model) reserveAgain(t *rapid.T) {
	e := m.pick(t, func(e *modelEntry) bool { return !e.bound && (isOpen(e) || e.status == policy.ReservationReleased) })
	value := money.Value(rapid.Int64Range(1, 6_000_000).Draw(t, "value"))
	now, was := m.effective(), e.status
	e.status = policy.ReservationReleased // its own reservation is not in its way
	want := m.wouldAllow(value, now)
	e.status = was
	req := request(e.id, value)
	req.Record = &ledger.Move{Purchase: purchase(e.id, "reserved")}
	v, err := m.g.Reserve(context.Background(), req)
	if err != nil || v.Allowed() != want {
		t.Fatalf("reserve %s again: got %q, %v, the model says allowed is %t", value, v.Reason, err, want)
	}
	if want {
		m.floor, e.value, e.status, e.at = now, value, policy.ReservationOpen, now
	}
}

func (m *model) refund(t *rapid.T) {
	e := m.pick(t, isSettled)
	ref := "0xback-" + string(e.id)
	if err := m.l.Refund(context.Background(), e.id, ref, m.end(t, e, "refunded")); err != nil {
		t.Fatal(err)
	}
	if taken, err := m.l.RefundRefTaken(context.Background(), ref); err != nil || !taken {
		t.Fatalf("refunded by %s: taken %t, %v", ref, taken, err)
	}
	e.status = policy.ReservationRefunded
}

// again repeats what was done to a closed reservation: nothing may change.
func (m *model) again(t *rapid.T) {
	e := m.pick(t, func(e *modelEntry) bool { return !isOpen(e) })
	var err error
	switch e.status {
	case policy.ReservationSettled:
		err = m.l.Settle(context.Background(), settlement(e.id, e.value, m.clock.t), nil)
	case policy.ReservationReleased:
		err = m.l.Release(context.Background(), e.id, nil)
	case policy.ReservationRefunded:
		err = m.l.Refund(context.Background(), e.id, "0xback-"+string(e.id), nil)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (m *model) step(t *rapid.T) {
	m.clock.t = m.clock.t.Add(time.Duration(rapid.IntRange(-3600, 40*3600).Draw(t, "seconds")) * time.Second)
	m.clock.untrusted = rapid.IntRange(0, 9).Draw(t, "trust") == 0
	if m.clock.untrusted && rapid.Bool().Draw(t, "2035") {
		// A wrong year is seen, refused and forgotten: it must not raise the floor.
		right := m.clock.t
		m.clock.t = right.AddDate(9, 0, 0)
		if v, err := m.g.Reserve(context.Background(), request("future", 1)); err != nil || v.Reason != policy.ReasonClockUntrusted {
			t.Fatalf("reserve by an untrusted clock: %q, %v", v.Reason, err)
		}
		m.clock.t, m.clock.untrusted = right, false
	}
}

func (m *model) longStep(t *rapid.T) {
	m.clock.t = m.clock.t.Add(time.Duration(rapid.IntRange(5, 60).Draw(t, "days")) * 24 * time.Hour)
}

func (m *model) restart(t *rapid.T) {
	if err := m.l.Close(); err != nil {
		t.Fatal(err)
	}
	m.open(t)
}

// check compares the ledger with the model and the model with the limits.
func (m *model) check(t *rapid.T) {
	u, err := m.l.Usage(context.Background(), m.rules.Windows, m.clock.t)
	if err != nil {
		t.Fatal(err)
	}
	now := m.effective()
	for i, w := range m.rules.Windows {
		want, _ := m.spent(w.Start(now), true)
		if u.Spent[i] != want {
			t.Fatalf("window %s: the ledger says %s, the model %s", w, u.Spent[i], want)
		}
		m.checkLimit(t, w, now)
	}
	m.checkNonces(t)
	if lifetime, _ := m.spent(time.Time{}, false); u.Lifetime != lifetime || lifetime > m.rules.Lifetime {
		t.Fatalf("lifetime: the ledger says %s, the model %s", u.Lifetime, lifetime)
	}
}

// checkNonces: no nonce is given twice, what was compacted included.
func (m *model) checkNonces(t *rapid.T) {
	free := uint64(m.nonces) + 1 //nolint:gosec // a count
	if next, spent, err := m.l.NextNonce(context.Background(), chainA, payeeB, free); err != nil || spent || next != free {
		t.Fatalf("next nonce from %d: got %d, spent %t, %v", free, next, spent, err)
	}
	if next, spent, err := m.l.NextNonce(context.Background(), chainA, payeeB, 1); err != nil || !spent && next != free {
		t.Fatalf("next nonce from 1: got %d, spent %t, %v, want %d", next, spent, err, free)
	}
}

// checkLimit looks at the exact sum of the window at its end now, at the end that
// each settled entry would give it, and at the time of each open reservation. What
// is open counts from when it was reserved: settling never stamps it earlier.
func (m *model) checkLimit(t *rapid.T, w policy.Window, now time.Time) {
	ends := []time.Time{now}
	for _, e := range m.entries {
		switch {
		case isSettled(e):
			ends = append(ends, e.stamp)
		case isOpen(e):
			ends = append(ends, e.at)
		}
	}
	for _, end := range ends {
		sum := money.Value(0)
		for _, e := range m.entries {
			if (isOpen(e) && !e.at.After(end)) || (isSettled(e) && e.stamp.After(w.Start(end)) && !e.stamp.After(end)) {
				sum += e.value
			}
		}
		if sum > w.Limit {
			t.Fatalf("window %s that ends %s holds %s, above its limit %s", w, end, sum, w.Limit)
		}
	}
}

func propertyRules() *policy.Rules {
	return &policy.Rules{
		Currency: "USD", PerPurchase: 5_000_000, Lifetime: 100_000_000,
		Windows: []policy.Window{
			{Over: 90 * time.Minute, Limit: 9_000_000}, {Over: 24 * time.Hour, Limit: 20_000_000}, {Over: 240 * time.Hour, Limit: 60_000_000},
			{Calendar: policy.CalendarDay, Limit: 18_000_000}, {Calendar: policy.CalendarMonth, Limit: 80_000_000},
		},
		Counts: []policy.CountLimit{{Over: 3 * time.Hour, Limit: 6}},
	}
}

// TestNoOverspend: settled + reserved stays within every limit, in every window,
// whatever the order of events, and the sums are those of a model that knows no
// buckets' arithmetic; verify agrees at the end.
func TestNoOverspend(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		run, err := os.MkdirTemp(dir, "run")
		if err != nil {
			t.Fatal(err)
		}
		m := &model{path: filepath.Join(run, "ledger.db"), rules: propertyRules(), clock: &clock{t: t0}}
		m.open(t)
		defer func() {
			if err := m.l.Close(); err != nil {
				t.Fatal(err)
			}
			if err := os.RemoveAll(run); err != nil {
				t.Fatal(err)
			}
		}()
		t.Repeat(map[string]func(*rapid.T){
			"":        m.check,
			"reserve": m.reserve, "reserve too": m.reserve, "grant": m.grant, "settle": m.settle, "release": m.release,
			"refund": m.refund, "reserve again": m.reserveAgain, "again": m.again, "step": m.step, "restart": m.restart,
			"attempt": m.attempt, "compact": m.compact, "long step": m.longStep,
		})
		r, err := m.l.Verify(context.Background())
		if err != nil || len(r.Findings) > 0 {
			t.Fatalf("verify: %v, %v", r.Findings, err)
		}
	})
}

// TestNoOverspendTogether lets many buyers meet at the same limit.
func TestNoOverspendTogether(t *testing.T) {
	l, c := fresh(t)
	r := rules()
	r.Counts = nil
	g := guard(t, l, c, r)
	var wg sync.WaitGroup
	var mu sync.Mutex
	allowed := money.Value(0)
	for worker := range 8 {
		wg.Go(func() {
			for i := range 12 {
				id := policy.PurchaseID(fmt.Sprintf("p%d-%d", worker, i))
				v, err := g.Reserve(context.Background(), request(id, 700_000))
				if err != nil {
					t.Error(err)
					return
				}
				if !v.Allowed() {
					continue
				}
				grant, v, err := g.Grant(context.Background(), request(id, 700_000), terms(700_000))
				if err != nil || !v.Allowed() || !grant.Valid() {
					t.Errorf("grant: %v, %v", v, err)
				}
				switch i % 3 {
				case 0:
					err = l.Settle(context.Background(), settlement(id, 700_000, c.t), nil)
				case 1:
					err = l.Release(context.Background(), id, nil)
				}
				if err != nil {
					t.Error(err)
				}
				if i%3 != 1 {
					mu.Lock()
					allowed += 700_000
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	u, err := l.Usage(context.Background(), r.Windows, c.t)
	if err != nil || u.Spent[0] != allowed || allowed > r.Windows[0].Limit || allowed+700_000 <= r.Windows[0].Limit {
		t.Errorf("got %s spent, %s allowed, limit %s (%v)", u.Spent[0], allowed, r.Windows[0].Limit, err)
	}
	verifyClean(t, l)
}

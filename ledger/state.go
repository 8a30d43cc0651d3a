// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
)

// The widths of buckets in seconds.
const (
	minute = 60
	hour   = 3600
	day    = 86400
)

// control is the one row of sums and switches.
type control struct {
	paused       bool
	floor        int64
	settled      money.Value
	settledCount int64
	reserved     money.Value
	openCount    int64
	// compacted is the start of the oldest day whose minutes and hours are kept,
	// in seconds; checkpoint the number of the newest entry of that kind.
	compacted, checkpoint int64
}

func readControl(q querier) (c control, err error) {
	err = q.row(`SELECT paused, floor, settled, settled_count, reserved, open_count, compacted, checkpoint FROM control WHERE id = 1`, nil,
		&c.paused, &c.floor, &c.settled, &c.settledCount, &c.reserved, &c.openCount, &c.compacted, &c.checkpoint)
	return c, err
}

// effective is the time that a decision is taken at: never before the floor.
func (c *control) effective(at time.Time) time.Time {
	if at.UnixMicro() < c.floor {
		return fromMicros(c.floor)
	}
	return at.UTC()
}

// tally is what the buckets say about a span.
type tally struct {
	value money.Value
	count int64
}

// sumSince adds up the buckets whose end lies after start: minutes up to the
// next full hour, hours up to the next full day, whole days from there on. So a
// span costs at most 60 + 24 rows and one for each day. Of the time before
// compacted only days are kept, and the whole day counts. There is no upper end: a
// chain time ahead of ours counts too.
func sumSince(q querier, start time.Time, compacted int64) (t tally, err error) {
	m := floorTo(start.Unix(), minute)
	h := ceilTo(m, hour)
	d := ceilTo(h, day)
	if m < compacted {
		d = floorTo(m, day)
		m, h = d, d
	}
	err = q.row(`SELECT COALESCE(SUM(value), 0), COALESCE(SUM(count), 0) FROM (
		SELECT value, count FROM buckets WHERE width = 60 AND start >= ? AND start < ?
		UNION ALL SELECT value, count FROM buckets WHERE width = 3600 AND start >= ? AND start < ?
		UNION ALL SELECT value, count FROM buckets WHERE width = 86400 AND start >= ?)`,
		[]any{m, h, h, d, d}, &t.value, &t.count)
	return t, err
}

func floorTo(n, width int64) int64 {
	r := n % width
	if r < 0 {
		r += width
	}
	return n - r
}

func ceilTo(n, width int64) int64 {
	f := floorTo(n, width)
	if f == n {
		return n
	}
	return f + width
}

// sums remembers the tallies of one decision, since windows often begin together.
type sums struct {
	q         querier
	compacted int64
	known     map[int64]tally
}

func (s *sums) since(start time.Time) (tally, error) {
	key := floorTo(start.Unix(), minute)
	if t, ok := s.known[key]; ok {
		return t, nil
	}
	t, err := sumSince(s.q, start, s.compacted)
	if err == nil {
		s.known[key] = t
	}
	return t, err
}

// computeState reads everything that a decision needs. The purchase's own open
// reservation is taken out of the sums.
func computeState(q querier, query policy.Query, verified bool) (*policy.State, error) {
	c, err := readControl(q)
	if err != nil {
		return nil, err
	}
	st := &policy.State{At: c.effective(query.At), Paused: c.paused, LedgerVerified: verified}
	if query.Purchase != "" {
		if err := ownState(q, query.Purchase, st); err != nil {
			return nil, err
		}
	}
	reserved, open := c.reserved, c.openCount
	if st.Own != nil && st.Own.Status == policy.ReservationOpen {
		reserved, open = reserved-st.Own.Value, open-1
	}
	if err := windowState(q, query, st, tally{reserved, open}, c.compacted); err != nil {
		return nil, err
	}
	if st.Lifetime, err = c.settled.Add(reserved); err != nil {
		return nil, err
	}
	return st, payeeState(q, query, st)
}

func ownState(q querier, id policy.PurchaseID, st *policy.State) error {
	own, err := reservationOf(q, id)
	switch {
	case err == nil:
		st.Own = &own
	case !errors.Is(err, ErrNotFound):
		return err
	}
	err = q.row(`SELECT count(*) > 0 FROM approvals WHERE purchase = ? AND decision IN ('approved', 'used')`,
		[]any{string(id)}, &st.Approved)
	return err
}

func windowState(q querier, query policy.Query, st *policy.State, reserved tally, compacted int64) error {
	s := sums{q: q, compacted: compacted, known: make(map[int64]tally, len(query.Windows)+len(query.Counts)+1)}
	st.Spent = make([]money.Value, len(query.Windows))
	for i, w := range query.Windows {
		t, err := s.since(w.Start(st.At))
		if err == nil {
			st.Spent[i], err = t.value.Add(reserved.value)
		}
		if err != nil {
			return fmt.Errorf("window %s: %w", w, err)
		}
	}
	st.Counts = make([]int64, len(query.Counts))
	for i, c := range query.Counts {
		t, err := s.since(st.At.Add(-c.Over))
		if err != nil {
			return fmt.Errorf("count over %s: %w", c, err)
		}
		st.Counts[i] = t.count + reserved.count
	}
	today, err := s.since(policy.Window{Calendar: policy.CalendarDay}.Start(st.At))
	if err == nil {
		st.ServerDay, err = today.value.Add(reserved.value)
	}
	return err
}

func payeeState(q querier, query policy.Query, st *policy.State) error {
	var pinned string
	err := q.row(`SELECT COALESCE((SELECT payee FROM payees WHERE provider = ? ORDER BY seq LIMIT 1), ''),
		EXISTS (SELECT 1 FROM payees WHERE provider = ? AND payee = ?)`,
		[]any{query.Provider, query.Provider, query.Payee.Hex()}, &pinned, &st.PayeeKnown)
	if pinned != "" {
		st.HasPin, st.PayeePinned = true, common.HexToAddress(pinned)
	}
	return err
}

// State implements [policy.Store]: the sums as they stand, with nothing reserved.
func (l *Ledger) State(ctx context.Context, query policy.Query) (st *policy.State, err error) {
	err = l.read(ctx, "state", func(q querier) error {
		st, err = computeState(q, query, l.verified.Load())
		return err
	})
	return st, err
}

// Usage returns how much of the windows is taken at a time, or at the time of the
// last reservation if that is later.
func (l *Ledger) Usage(ctx context.Context, windows []policy.Window, at time.Time) (u Usage, err error) {
	err = l.read(ctx, "usage", func(q querier) error {
		c, err := readControl(q)
		if err != nil {
			return err
		}
		st, err := computeState(q, policy.Query{At: at, Windows: windows}, true)
		if err != nil {
			return err
		}
		u = Usage{Spent: st.Spent, Lifetime: st.Lifetime, Reserved: c.reserved, Open: c.openCount}
		return nil
	})
	return u, err
}

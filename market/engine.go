// SPDX-License-Identifier: Apache-2.0

package market

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"go.uber.org/zap"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/policy"
)

// Waits of the engine. Every one is jittered, lest a fleet acts at once.
const (
	firstRetry  = 250 * time.Millisecond
	lastRetry   = 30 * time.Second
	personPoll  = time.Minute
	disputePoll = 10 * time.Minute
	// chainTurn is how long one step waits for a chain before others get its slot.
	chainTurn = time.Minute
)

// Run takes up every purchase that is not final, works on those that are
// planned later, and returns when ctx ends: nil, for stopping is not failing.
// Steps that are under way get the grace period to finish; what is not finished
// is taken up by the next Run.
func (m *Market) Run(ctx context.Context) error {
	work, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	// Running is set before the ledger is read: a purchase that is stored in
	// between is started by either side, and by one only.
	m.mu.Lock()
	m.running, m.work = ctx, work
	m.mu.Unlock()
	open, err := m.ledger.OpenPurchases(ctx)
	if err != nil {
		m.stopStarting()
		m.workers.Wait()
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("read open purchases: %w", err)
	}
	m.mu.Lock()
	ours := m.planned
	m.planned = nil
	m.mu.Unlock()
	for _, record := range open {
		p, err := load(record)
		if err != nil {
			m.log.Error("stored purchase cannot be read", zap.String("purchase", string(record.ID)), zap.Error(err))
			continue
		}
		p.loaded = !ours[p.ID]
		m.start(p)
	}
	m.log.Info("purchases resumed", zap.Int("open", len(open)))
	<-ctx.Done()
	m.stopStarting()
	grace := time.AfterFunc(m.grace, stopWork)
	defer grace.Stop()
	m.workers.Wait()
	return nil
}

func (m *Market) stopStarting() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.running = nil
}

// String names the part for the supervisor.
func (m *Market) String() string { return "market" }

// start gives a purchase its worker. If the engine is not running, the purchase
// stands on disk and the next Run takes it up.
func (m *Market) start(p *purchase) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.running == nil || m.running.Err() != nil || m.open[p.ID] != nil {
		return
	}
	m.open[p.ID] = p
	running, work := m.running, m.work
	m.metrics.entered(State(p.State))
	m.workers.Go(func() {
		defer m.leave(p)
		m.drive(running, work, p)
	})
}

func (m *Market) leave(p *purchase) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.open, p.ID)
	m.metrics.left(State(p.State))
	m.broadcast()
}

// broadcast wakes everybody who waits for a purchase; m.mu is held.
func (m *Market) broadcast() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// drive works on one purchase until it is final or the engine stops.
func (m *Market) drive(running, work context.Context, p *purchase) {
	wait := firstRetry
	for running.Err() == nil {
		look := m.once(running, work, p)
		switch {
		case look.over:
			return
		case look.progress:
			wait = firstRetry
			continue
		case look.pause == 0:
			look.pause, wait = wait, min(2*wait, lastRetry)
		}
		m.sleep(running, p, look)
	}
}

// look is what one step came to.
type look struct {
	progress bool
	// pause is how long to wait at the least before the next look; zero leaves
	// that to the back-off.
	pause time.Duration
	// left is the time to the deadline; zero where none counts or it has passed.
	left time.Duration
	over bool
}

// sleep waits about as long as a look says, or until somebody wakes the purchase.
func (m *Market) sleep(ctx context.Context, p *purchase, l look) {
	d := l.pause + m.jitter(l.pause/4)
	if l.left > 0 && l.left < d {
		d = l.left
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.wake:
	case <-ctx.Done():
	}
}

// once makes one step, alone with the purchase: people decide about it too.
func (m *Market) once(running, work context.Context, p *purchase) (l look) {
	p.mu.Lock()
	defer p.mu.Unlock()
	late := !time.Now().Before(p.Deadline) // once it has passed, it hurries nothing on
	if p.state().Kind() != Final {
		l.progress, l.pause = m.act(running, work, p)
	}
	if !late {
		l.left = m.untilDeadline(p)
	}
	l.over = p.state().Kind() == Final
	return l
}

// act does what the purchase's state asks for. It says whether the purchase
// moved on and, if not, how long to wait.
func (m *Market) act(running, work context.Context, p *purchase) (progress bool, pause time.Duration) {
	row, known := m.rows[p.state()]
	if !known {
		m.log.Error("purchase is in a state that this version does not know", zap.String("purchase", string(p.ID)), zap.String("state", p.State))
		return false, personPoll
	}
	if m.cancellable(p, row) {
		if !time.Now().Before(p.Deadline) {
			return m.conclude(running, work, p, row, step{event: EventDeadline, reason: policy.ReasonDeadlinePassed}, p.doc)
		}
		if paused, err := m.ledger.Paused(running); err != nil || paused {
			return m.stay(running, p, row, waitFor(policy.ReasonPaused, err))
		}
	}
	act := row.act
	if p.resumed && row.recover != nil {
		act = row.recover
	}
	if act == nil {
		if p.lockExpired(row) {
			return m.take(work, p, row, step{event: EventExpired, reason: policy.ReasonLockExpired}), 0
		}
		return false, personPoll
	}
	before := p.doc
	s, err := m.do(running, work, p, row, act)
	if err != nil && running.Err() == nil && p.lockExpired(row) {
		p.doc = before
		s, err = step{event: EventExpired, reason: policy.ReasonLockExpired, detail: err.Error()}, nil
	}
	if err != nil {
		return m.stay(running, p, row, err)
	}
	return m.conclude(running, work, p, row, s, before)
}

// conclude makes a step, once it is sure that it may, or takes the document back to
// what it was before: what is not stored did not happen.
func (m *Market) conclude(running, work context.Context, p *purchase, row Row, s step, before document) (progress bool, pause time.Duration) {
	s, err := m.unlessPaid(running, work, p, row, s)
	if err != nil {
		p.doc = before
		return m.stay(running, p, row, err)
	}
	if !m.take(work, p, row, s) {
		p.doc = before
		return false, 0
	}
	return true, 0
}

// do runs an action in a slot of its own, for no longer than its turn.
func (m *Market) do(running, work context.Context, p *purchase, row Row, act action) (step, error) {
	release, err := m.slot(running)
	if err != nil {
		return step{}, err
	}
	defer release()
	ctx, done := m.bounded(running, work, row)
	defer done()
	s, err := act(m, withPurchase(ctx, p.ID), p)
	if err != nil && ctx.Err() != nil && running.Err() == nil {
		err = &waitError{reason: policy.ReasonHeld, pause: time.Second, err: err} // its turn is over, not its wait
	}
	return s, err
}

// stay leaves the purchase where it is and says for how long. An answer that
// was lost makes the next step ask first what happened.
func (m *Market) stay(running context.Context, p *purchase, row Row, err error) (progress bool, pause time.Duration) {
	if running.Err() != nil {
		return false, 0
	}
	p.resumed = true
	m.mu.Lock()
	p.trouble = err
	m.mu.Unlock()
	var w *waitError
	if errors.As(err, &w) {
		pause = w.pause
	}
	m.log.Warn("purchase waits", zap.String("purchase", string(p.ID)), zap.String("state", p.State),
		zap.String("reason", string(reasonOf(err))), zap.Error(err))
	if row.State.Kind() == Waiting && pause == 0 {
		pause = personPoll
	}
	return false, pause
}

// take stores the move that a step makes and then makes it. If it cannot be
// stored it is not made.
func (m *Market) take(ctx context.Context, p *purchase, row Row, s step) (progress bool) {
	mv := s.committed
	if mv == nil {
		var err error
		if mv, err = p.move(row, s); err == nil {
			err = m.commit(ctx, mv)
		}
		if err != nil {
			p.resumed = true
			m.log.Error("purchase cannot be stored", zap.String("purchase", string(p.ID)), zap.String("state", p.State), zap.Error(err))
			return false
		}
	}
	m.mu.Lock()
	from := p.state()
	p.adopt(mv)
	m.metrics.moved(from, p)
	m.broadcast()
	m.mu.Unlock()
	m.log.Info("purchase moved", zap.String("purchase", string(p.ID)), zap.String("need", p.Need), zap.String("from", string(from)),
		zap.String("event", mv.Event), zap.String("to", p.State), zap.String("reason", string(p.Reason)), zap.String("detail", mv.Detail))
	return true
}

// commit stores a move. One that ends a purchase without value having moved, or
// sends it back to where nothing is reserved, gives the reservation back in the
// same commit. Moves that settle carry their own commit.
func (m *Market) commit(ctx context.Context, mv *ledger.Move) error {
	if givesBack(Event(mv.Event)) {
		return m.ledger.Release(ctx, mv.Purchase.ID, mv)
	}
	return m.ledger.Advance(ctx, *mv)
}

// givesBack says whether an event gives the reservation back.
func givesBack(e Event) bool {
	switch e {
	case EventDeadline, EventCancel, EventDenied, EventRefused, EventUnpaid, EventRequote:
		return true
	default:
		return false
	}
}

// slot bounds how many purchases act at the same time.
func (m *Market) slot(ctx context.Context) (release func(), err error) {
	select {
	case m.slots <- struct{}{}:
		return func() { <-m.slots }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// bounded returns the context of one step: calls to the Market outlive the stop
// of the engine for the grace period, since a lost answer costs a recovery.
// Moving value does not wait for that: its bytes are on disk. It takes turns, lest
// a chain that stands still keeps every slot.
func (m *Market) bounded(running, work context.Context, row Row) (context.Context, context.CancelFunc) {
	if row.State == Paying || row.State == Confirmed || row.State == Disputed || row.State == Reclaiming {
		return context.WithTimeout(running, chainTurn)
	}
	return work, func() {}
}

// cancellable says whether the deadline counts: nothing was paid, and nobody is
// asked.
func (m *Market) cancellable(p *purchase, row Row) bool {
	free := row.State == Executing && p.doc.Terms.free()
	return (row.Unpaid || free) && row.State.Kind() == Active && !p.Deadline.IsZero()
}

func (m *Market) untilDeadline(p *purchase) time.Duration {
	if !m.cancellable(p, m.rows[p.state()]) {
		return 0
	}
	return max(time.Until(p.Deadline), time.Millisecond)
}

// anyUpTo is the default of Config.Jitter.
func anyUpTo(most time.Duration) time.Duration {
	return rand.N(most + 1) //nolint:gosec // jitter is no secret
}

type purchaseKey struct{}

func withPurchase(ctx context.Context, id policy.PurchaseID) context.Context {
	return context.WithValue(ctx, purchaseKey{}, id)
}

// PurchaseOf returns the purchase on whose behalf a call to the Market, the chain
// or the ledger is made, as its context says; empty if it is made for none.
func PurchaseOf(ctx context.Context) policy.PurchaseID {
	id, _ := ctx.Value(purchaseKey{}).(policy.PurchaseID)
	return id
}

// waitError says that a purchase cannot go on now, and why; nothing about it is
// decided.
type waitError struct {
	reason policy.Reason
	pause  time.Duration
	err    error
}

func (w *waitError) Error() string {
	if w.err == nil {
		return string(w.reason)
	}
	return string(w.reason) + ": " + w.err.Error()
}

func (w *waitError) Unwrap() error { return w.err }

func waitFor(reason policy.Reason, err error) error { return &waitError{reason: reason, err: err} }

func reasonOf(err error) policy.Reason {
	var w *waitError
	if errors.As(err, &w) {
		return w.reason
	}
	return policy.ReasonMarketUnavailable
}

// index makes the table quick to read.
func index() map[State]Row {
	rows := make(map[State]Row)
	for _, row := range Table() {
		rows[row.State] = row
	}
	return rows
}

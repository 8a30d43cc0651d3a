// SPDX-License-Identifier: Apache-2.0

package market_test

import (
	"context"
	"errors"
	"net/http"
	"sync"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
)

var (
	errKilled   = errors.New("killed")
	errDiskFull = errors.New("disk full")
)

// life is what one life of the buyer sees of the disk and the network. Once it
// is over nothing it does has an effect: no write, no request, no answer.
type life struct {
	*ledger.Ledger
	wire  http.RoundTripper
	end   func()
	over  chan struct{}
	once  sync.Once
	crash func(after bool, state string) bool

	refuse func(state string) bool
}

func (l *life) kill() {
	l.once.Do(func() { close(l.over); l.end() })
}

func (l *life) dead() bool {
	select {
	case <-l.over:
		return true
	default:
		return false
	}
}

// commit makes one write unless the crash comes before it, and hides its
// success if the crash comes after it.
func (l *life) commit(state string, write func() error) error {
	if l.dead() {
		return errKilled
	}
	if l.crash != nil && l.crash(false, state) {
		l.kill()
		return errKilled
	}
	if l.refuse != nil && l.refuse(state) {
		return errDiskFull
	}
	if err := write(); err != nil {
		return err
	}
	if l.crash != nil && l.crash(true, state) {
		l.kill()
		return errKilled
	}
	return nil
}

func (l *life) RoundTrip(r *http.Request) (*http.Response, error) {
	if l.dead() {
		return nil, errKilled
	}
	reply, err := l.wire.RoundTrip(r)
	if err == nil && l.dead() {
		_ = reply.Body.Close()
		return nil, errKilled
	}
	return reply, err
}

func stateOf(m *ledger.Move) string {
	if m == nil {
		return ""
	}
	return m.Purchase.State
}

func (l *life) Create(ctx context.Context, p *ledger.Purchase) error {
	return l.commit(p.State, func() error { return l.Ledger.Create(ctx, p) })
}

func (l *life) Advance(ctx context.Context, m ledger.Move) error {
	return l.commit(stateOf(&m), func() error { return l.Ledger.Advance(ctx, m) })
}

func (l *life) Release(ctx context.Context, id policy.PurchaseID, m *ledger.Move) error {
	return l.commit(stateOf(m), func() error { return l.Ledger.Release(ctx, id, m) })
}

func (l *life) Settle(ctx context.Context, s ledger.Settlement, m *ledger.Move) error {
	return l.commit(stateOf(m), func() error { return l.Ledger.Settle(ctx, s, m) })
}

func (l *life) SaveAttempt(ctx context.Context, a ledger.Attempt) (seq int, err error) {
	err = l.commit("attempt", func() error { seq, err = l.Ledger.SaveAttempt(ctx, a); return err })
	return seq, err
}

func (l *life) UpdateAttempt(ctx context.Context, id policy.PurchaseID, seq int, status ledger.AttemptStatus, ref string) error {
	return l.commit("attempt "+string(status), func() error { return l.Ledger.UpdateAttempt(ctx, id, seq, status, ref) })
}

func (l *life) Reserve(ctx context.Context, req policy.Request, q policy.Query, decide func(*policy.State) policy.Verdict) (v policy.Verdict, err error) {
	m, _ := req.Record.(*ledger.Move)
	err = l.commit(stateOf(m), func() error { v, err = l.Ledger.Reserve(ctx, req, q, decide); return err })
	return v, err
}

func (l *life) Bind(ctx context.Context, id policy.PurchaseID, t policy.Terms, value money.Value, q policy.Query, decide func(*policy.State) policy.Verdict, record any) (v policy.Verdict, err error) {
	m, _ := record.(*ledger.Move)
	err = l.commit(stateOf(m), func() error { v, err = l.Ledger.Bind(ctx, id, t, value, q, decide, record); return err })
	return v, err
}

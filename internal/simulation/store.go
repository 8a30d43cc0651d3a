// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/market"
	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
)

var (
	errDead     = errors.New("simulation: the process is dead")
	errDiskFull = errors.New("simulation: no space left on device")
)

// store is the ledger as one life of the buyer has it. Each commit is a step: the
// buyer may die before it or behind it, and the disk may refuse it. What was
// committed, the model is told.
type store struct {
	*ledger.Ledger
	life *life
}

// commit makes one write. It takes its time only for a purchase's own worker, who
// holds no lock that others wait for.
func (s *store) commit(ctx context.Context, id policy.PurchaseID, what string, slow bool, write func() error) error {
	l, who := s.life, string(id)
	if slow && speaker(ctx) != people {
		l.enter(who)
		defer l.leave(who)
		r := l.world.dice.roll(fmt.Sprintf("commit/%d/%s", l.number, who))
		if err := l.nap(context.WithoutCancel(ctx), span(r, 10*time.Microsecond, 5*time.Millisecond)); err != nil {
			return err
		}
	}
	if err := l.step(who, "commit "+what); err != nil {
		return err
	}
	if l.refused(who) {
		l.world.trace.add(who, "refused %s", what)
		return errDiskFull
	}
	if err := write(); err != nil {
		return err
	}
	l.world.trace.add(who, "committed %s", what)
	if r := l.world.dice.roll(fmt.Sprintf("copy/%d/%s", l.number, who)); chance(r, l.world.weather().copies) {
		l.world.copyLedger(r)
	}
	return l.step(who, "committed "+what)
}

func eventOf(mv *ledger.Move) string {
	if mv == nil {
		return "no move"
	}
	return mv.From + " " + mv.Event + " " + mv.Purchase.State
}

// Create implements [market.Ledger].
func (s *store) Create(ctx context.Context, p *ledger.Purchase) error {
	return s.commit(ctx, p.ID, "create", true, func() error {
		err := s.Ledger.Create(ctx, p)
		if err == nil {
			s.life.world.model.created(p)
		}
		return err
	})
}

// Advance implements [market.Ledger].
func (s *store) Advance(ctx context.Context, mv ledger.Move) error {
	return s.commit(ctx, mv.Purchase.ID, eventOf(&mv), true, func() error {
		err := s.Ledger.Advance(ctx, mv)
		if err == nil {
			s.life.world.model.moved(&mv)
		}
		return err
	})
}

// Release implements [market.Ledger].
func (s *store) Release(ctx context.Context, id policy.PurchaseID, mv *ledger.Move) error {
	return s.commit(ctx, id, "release: "+eventOf(mv), true, func() error {
		err := s.Ledger.Release(ctx, id, mv)
		if err == nil {
			s.life.world.model.released(id, mv)
		}
		return err
	})
}

// Settle implements [market.Ledger].
func (s *store) Settle(ctx context.Context, t ledger.Settlement, mv *ledger.Move) error {
	return s.commit(ctx, t.Purchase, "settle: "+eventOf(mv), true, func() error {
		err := s.Ledger.Settle(ctx, t, mv)
		if err == nil {
			s.life.world.model.settled(t, mv)
		}
		return err
	})
}

// Refund implements [market.Ledger].
func (s *store) Refund(ctx context.Context, id policy.PurchaseID, ref string, mv *ledger.Move) error {
	return s.commit(ctx, id, "refund: "+eventOf(mv), true, func() error {
		err := s.Ledger.Refund(ctx, id, ref, mv)
		if err == nil {
			s.life.world.model.refunded(id, ref, mv)
		}
		return err
	})
}

// RequestApproval implements [market.Ledger].
func (s *store) RequestApproval(ctx context.Context, a ledger.Approval, mv *ledger.Move) error {
	return s.commit(ctx, a.Purchase, "ask: "+eventOf(mv), true, func() error {
		err := s.Ledger.RequestApproval(ctx, a, mv)
		if err == nil && mv != nil {
			s.life.world.model.moved(mv)
		}
		return err
	})
}

// DecideApproval implements [market.Ledger].
func (s *store) DecideApproval(ctx context.Context, id policy.PurchaseID, approve bool, who string) error {
	return s.commit(ctx, id, "decide", false, func() error { return s.Ledger.DecideApproval(ctx, id, approve, who) })
}

// SaveAttempt implements [evm.Ledger]. Its callers hold a lane.
func (s *store) SaveAttempt(ctx context.Context, a ledger.Attempt) (seq int, err error) {
	err = s.commit(ctx, a.Purchase, "attempt "+a.Kind+" "+a.Nonce, false, func() error {
		seq, err = s.Ledger.SaveAttempt(ctx, a)
		return err
	})
	return seq, err
}

// UpdateAttempt implements [evm.Ledger].
func (s *store) UpdateAttempt(ctx context.Context, id policy.PurchaseID, seq int, status ledger.AttemptStatus, ref string) error {
	return s.commit(ctx, id, "attempt is "+string(status), false, func() error { return s.Ledger.UpdateAttempt(ctx, id, seq, status, ref) })
}

// AddFee implements [evm.Ledger].
func (s *store) AddFee(ctx context.Context, chain money.ChainID, wei money.Amount, at time.Time) error {
	return s.commit(ctx, market.PurchaseOf(ctx), "fee", false, func() error { return s.Ledger.AddFee(ctx, chain, wei, at) })
}

// Reserve implements [policy.Store].
func (s *store) Reserve(ctx context.Context, req policy.Request, q policy.Query, decide func(*policy.State) policy.Verdict) (v policy.Verdict, err error) {
	mv, _ := req.Record.(*ledger.Move)
	err = s.commit(ctx, req.Purchase, "reserve: "+eventOf(mv), true, func() error {
		v, err = s.Ledger.Reserve(ctx, req, q, decide)
		if err == nil && v.Allowed() {
			s.life.world.model.reserved(&req, q.At, mv)
		}
		return err
	})
	return v, err
}

// Bind implements [policy.Store].
func (s *store) Bind(ctx context.Context, id policy.PurchaseID, t policy.Terms, value money.Value, q policy.Query, decide func(*policy.State) policy.Verdict, record any) (v policy.Verdict, err error) {
	mv, _ := record.(*ledger.Move)
	err = s.commit(ctx, id, "bind: "+eventOf(mv), true, func() error {
		v, err = s.Ledger.Bind(ctx, id, t, value, q, decide, record)
		if err == nil && v.Allowed() {
			s.life.world.model.bound(id, &t, value, q.At, mv)
		}
		return err
	})
	return v, err
}

// SPDX-License-Identifier: Apache-2.0

package evm

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/wallet"
)

// cancelGas is what a transfer of no coin without data costs.
const cancelGas = 21_000

// Cancel signs, stores and sends a transaction to ourselves under the nonce of the
// purchase's payment that is under way. It is for the owner to ask for; nothing
// here does it by itself. It returns once the bytes are stored and were sent once,
// which proves nothing: whichever of the two a block holds first counts. Only
// when [Sender.Send] fails with [ErrCancelled], or [Sender.Look] says
// [StandingCancelled], does a final block hold the cancellation, and is the
// purchase unpaid for good. Called again it changes nothing.
//
// It fails with [ErrNothingToCancel] where no payment is under way or a block
// holds it already, and with [ErrFeeCeiling], [ErrGasBudget] or [ErrGasBalance]
// where the cancellation cannot outbid what it cancels.
func (s *Sender) Cancel(ctx context.Context, id policy.PurchaseID) error {
	for {
		if release, ok := s.purchases.try(string(id)); ok {
			defer release()
			s.wishes.take(id)
			return s.cancelStored(ctx, id)
		}
		// Whoever carries the payment does it at its next look.
		w := s.wishes.make(id)
		select {
		case <-w.done:
			return w.err
		case <-time.After(s.chain.cfg.Poll):
		case <-ctx.Done():
			s.wishes.drop(id, w)
			return ctx.Err()
		}
	}
}

func (s *Sender) cancelStored(ctx context.Context, id policy.PurchaseID) error {
	attempts, err := s.ledger.Attempts(ctx, id)
	if err != nil {
		return fmt.Errorf("read attempts: %w", err)
	}
	flights, err := s.flights(id, attempts)
	if err != nil {
		return err
	}
	for _, f := range flights {
		if Pays(f.kind) && f.decidedBy() == nil && !f.dead() {
			return s.cancelFlight(ctx, f)
		}
	}
	return fmt.Errorf("%w: purchase %s", ErrNothingToCancel, id)
}

func (s *Sender) cancelFlight(ctx context.Context, f *flight) error {
	old := f.newest()
	switch {
	case old.Kind == AttemptCancel:
		return nil
	case f.mined() != nil:
		return fmt.Errorf("%w: a block holds %s", ErrNothingToCancel, f.mined().Hash)
	case !Pays(f.kind):
		return fmt.Errorf("%w: %s is no payment", ErrNothingToCancel, f.kind)
	}
	head, err := s.chain.Head(ctx)
	if err != nil {
		return err
	}
	tip, err := s.chain.tip(ctx)
	if err != nil {
		return err
	}
	next, decision := outbid(bid{tip: old.TipCap, fee: old.FeeCap}, head.BaseFee, tip, s.chain.cfg.Gas.MaxFeePerGas)
	if decision == bidCeiling {
		return fmt.Errorf("%w: a cancellation of %s would have to offer more than %s wei", ErrFeeCeiling, old.Hash, s.chain.cfg.Gas.MaxFeePerGas)
	}
	if err := s.lane.acquire(ctx); err != nil {
		return err
	}
	defer s.lane.release()
	gas := wallet.Gas{ChainID: s.chain.id, Nonce: f.nonce, Gas: cancelGas, TipCap: next.tip, FeeCap: next.fee}
	if err := s.affordable(ctx, gas); err != nil {
		return err
	}
	signed, err := s.wallet.SignCancel(gas)
	if err != nil {
		return err
	}
	p, err := s.save(ctx, old.Purchase, AttemptCancel, gas, signed)
	if err != nil {
		return err
	}
	f.signed = append(f.signed, p)
	s.chain.observe(OutcomeCancelling)
	if err := s.send(ctx, p, OutcomeSent); decided(err) {
		return err
	}
	// An endpoint's refusal changes nothing: the bytes are stored and sent again.
	return nil
}

// wishes are cancellations that were asked for while their purchase is being
// carried out.
type wishes struct {
	mu  sync.Mutex
	all map[policy.PurchaseID]*wish
}

type wish struct {
	done chan struct{}
	err  error
}

// make returns the wish to cancel a purchase; several that ask share one.
func (w *wishes) make(id policy.PurchaseID) *wish {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all[id] == nil {
		w.all[id] = &wish{done: make(chan struct{})}
	}
	return w.all[id]
}

func newWishes() wishes { return wishes{all: map[policy.PurchaseID]*wish{}} }

// take returns the wish for a purchase, if there is one, to be granted once.
func (w *wishes) take(id policy.PurchaseID) *wish {
	w.mu.Lock()
	defer w.mu.Unlock()
	one := w.all[id]
	delete(w.all, id)
	return one
}

func (w *wishes) drop(id policy.PurchaseID, one *wish) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all[id] == one {
		delete(w.all, id)
	}
}

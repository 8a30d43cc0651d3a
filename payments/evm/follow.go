// SPDX-License-Identifier: Apache-2.0

package evm

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/agentd-project/agentd/ledger"
)

const (
	// firstPoll is the first interval between two looks; it doubles up to Config.Poll.
	firstPoll = 10 * time.Millisecond
	// maxPoll is what the interval grows to while no endpoint answers.
	maxPoll = 5 * time.Second
)

// follow sends stored bytes until a final block holds them or shows what took
// their nonce. It returns an error only where the call is decided, the ledger
// cannot be written, or ctx ends.
//
// Each answer of the endpoint leaves more than one possible world. "Already
// known" and "nonce too low" may be about our own bytes, whose answer was lost.
// A missing receipt may be a pool that forgot, a node that lags or a reorg.
// A refusal (fee, funds) does not undo an earlier acceptance elsewhere. So the
// same bytes are sent again and nothing is signed under another nonce, until a
// final block decides.
func (s *Sender) follow(ctx context.Context, f *flight, o order) (Receipt, error) {
	if err := s.tidy(ctx, f); err != nil {
		return Receipt{}, err
	}
	pause, sent := firstPoll, time.Time{}
	if f.newest().Status == ledger.AttemptPrepared {
		if err := s.send(ctx, f.newest(), OutcomeSent); decided(err) || (err != nil && ctx.Err() != nil) {
			return Receipt{}, err
		}
		sent = time.Now()
	}
	for {
		r, done, last := s.look(ctx, f)
		w := s.waits.begin(f, s.now())
		if done || decided(last) {
			s.conclusion(w, last)
			return r, last
		}
		if wish := s.wishes.take(f.newest().Purchase); wish != nil {
			wish.err = s.cancelFlight(ctx, f)
			close(wish.done)
			if decided(wish.err) {
				return Receipt{}, wish.err
			}
		} else if unseen(last) && f.mined() == nil && time.Since(sent) >= s.chain.cfg.Resend {
			if last = s.press(ctx, f, o, w); decided(last) {
				s.conclusion(w, last)
				return Receipt{}, last
			}
			sent = time.Now()
		}
		s.noteTrouble(f, w, last)
		limit := s.chain.cfg.Poll
		if Classify(last).reaction().next {
			limit = max(limit, maxPoll)
		}
		if err := sleep(ctx, pause); err != nil {
			return Receipt{}, stopped(f.newest(), err, last)
		}
		pause = min(2*pause, limit)
	}
}

// unseen says whether a look found that no block holds the bytes, as far as can be
// told.
func unseen(err error) bool {
	return err == nil || (Classify(err) == ActionAbsent && !errors.Is(err, ErrDisagree))
}

// press sends bytes again that are not mined and looks at why they are not.
func (s *Sender) press(ctx context.Context, f *flight, o order, w *wait) error {
	refused := s.resend(ctx, f)
	if decided(refused) || Classify(refused).reaction().next {
		return refused
	}
	reason, err := s.assess(ctx, f, o, w)
	if err != nil {
		return err
	}
	if Classify(refused) == ActionFund && reason != "" {
		reason = StuckGasBalance
	}
	s.waits.note(w, reason)
	return refused
}

// noteTrouble records what keeps a look at the chain from an answer.
func (s *Sender) noteTrouble(f *flight, w *wait, last error) {
	switch {
	case errors.Is(last, ErrDisagree):
		s.waits.note(w, StuckDisagree)
	case last != nil && w.Reason == "" && time.Since(w.from) >= s.chain.cfg.Replace:
		s.waits.note(w, StuckUnavailable)
	case last == nil && f.mined() != nil:
		s.waits.note(w, "")
	}
}

// conclusion ends a wait that the chain has decided, unless a person must look.
func (s *Sender) conclusion(w *wait, err error) {
	if errors.Is(err, ErrNoEffect) {
		s.waits.note(w, StuckNoEffect)
		return
	}
	s.waits.end(w.Purchase)
}

// stopped says what was known when a wait ended.
func stopped(p *pending, err, last error) error {
	if last == nil {
		return fmt.Errorf("%s %s is under way: %w", p.Kind, p.Hash, err)
	}
	return fmt.Errorf("%s %s is under way: %w; last: %w", p.Kind, p.Hash, err, last)
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// decidedError is an error that ends the wait for a call: the chain has decided.
type decidedError struct{ error }

// Unwrap returns the cause.
func (e *decidedError) Unwrap() error { return e.error }

// storeError is a failure of the ledger: what is not recorded is not acted on.
type storeError struct{ error }

// Unwrap returns the cause.
func (e *storeError) Unwrap() error { return e.error }

func decided(err error) bool {
	var (
		d *decidedError
		f *storeError
	)
	return errors.As(err, &d) || errors.As(err, &f)
}

// SPDX-License-Identifier: Apache-2.0

package market

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
)

// The branch points of what callers ask.
var (
	// ErrUnknownNeed says that no need of this name is configured.
	ErrUnknownNeed = errors.New("no such need")
	// ErrNotWaiting says that the purchase does not wait for this decision.
	ErrNotWaiting = errors.New("the purchase does not wait for this")
	// ErrBusy says that too many purchases are open.
	ErrBusy = errors.New("too many purchases are open")
	// ErrPaused says that the owner paused spending.
	ErrPaused = errors.New("spending is paused")
	// ErrInput says that an input is not a JSON object.
	ErrInput = errors.New("the input is not a JSON object")
)

// Order is what a caller wants bought now.
type Order struct {
	Need string
	// Input replaces the need's own input, if set; a JSON object.
	Input json.RawMessage
	// MaxPrice lowers the need's own maximum; it cannot raise it.
	MaxPrice    money.Value
	HasMaxPrice bool
	// Scheduled marks a purchase that the schedule asked for.
	Scheduled bool
}

// Buy plans a purchase and returns its id as soon as it is on disk; the engine
// does the rest. It fails with [ErrUnknownNeed], [ErrPaused], [ErrBusy] or
// [ErrInput] before anything is stored.
func (m *Market) Buy(ctx context.Context, o Order) (policy.PurchaseID, error) {
	need, known := m.needs[o.Need]
	if !known {
		return "", fmt.Errorf("%w: %q", ErrUnknownNeed, o.Need)
	}
	if paused, err := m.ledger.Paused(ctx); err != nil || paused {
		m.metrics.refused(policy.ReasonPaused)
		return "", errors.Join(ErrPaused, err)
	}
	m.mu.Lock()
	full := len(m.open) >= m.maxOpen
	m.mu.Unlock()
	if full {
		return "", ErrBusy
	}
	if !isNull(o.Input) {
		if jsonType(o.Input) != "object" || !json.Valid(o.Input) {
			return "", ErrInput
		}
		need.Input = o.Input
	}
	if o.HasMaxPrice && (!need.HasMaxPrice || o.MaxPrice < need.MaxPrice) {
		need.MaxPrice, need.HasMaxPrice = o.MaxPrice, true
	}
	id, err := m.newID()
	if err != nil {
		return "", fmt.Errorf("purchase id: %w", err)
	}
	now := time.Now().UTC()
	p := &purchase{doc: document{Need: need}, wake: make(chan struct{}, 1)}
	p.Purchase = ledger.Purchase{ID: id, Need: need.Name, State: string(Planned), Created: now, Deadline: now.Add(need.Deadline)}
	if p.Doc, err = json.Marshal(&p.doc); err != nil {
		return "", fmt.Errorf("purchase %s: %w", p.ID, err)
	}
	m.mu.Lock()
	if m.planned != nil {
		m.planned[id] = true
	}
	m.mu.Unlock()
	if err := m.ledger.Create(ctx, &p.Purchase); err != nil {
		return "", fmt.Errorf("store purchase: %w", err)
	}
	stored := p.ID // from here on the worker may replace the record
	m.start(p)
	return stored, nil
}

// uniqueID is the default of Config.NewID.
func uniqueID() (policy.PurchaseID, error) {
	id, err := uuid.NewV7()
	return policy.PurchaseID(id.String()), err
}

// Wait returns the purchase as soon as it is final or waits for somebody, or
// when ctx ends, as it then is.
func (m *Market) Wait(ctx context.Context, id policy.PurchaseID) (*ledger.Purchase, error) {
	for {
		m.mu.Lock()
		changed, p := m.changed, m.open[id]
		moving := p != nil && p.state().Kind() == Active
		m.mu.Unlock()
		if !moving {
			record, err := m.ledger.Get(context.WithoutCancel(ctx), id)
			if err != nil || State(record.State).Kind() != Active {
				return record, err
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return m.ledger.Get(context.WithoutCancel(ctx), id)
		}
	}
}

// Explain searches for a need and says of every quote what the guard says, in
// the order in which they would be taken. Nothing is stored or spent.
func (m *Market) Explain(ctx context.Context, name string) ([]Explained, error) {
	need, known := m.needs[name]
	if !known {
		return nil, fmt.Errorf("%w: %q", ErrUnknownNeed, name)
	}
	found, err := m.find(ctx, need)
	if err != nil {
		return nil, err
	}
	p := &purchase{doc: document{Need: need}}
	p.Need = name
	candidates, err := m.judge(ctx, p, found)
	if err != nil {
		return nil, err
	}
	best, _ := choose(candidates, need.Select)
	return explain(candidates, best), nil
}

// Approve lets a purchase that waits for approval go on; by names who decided.
func (m *Market) Approve(ctx context.Context, id policy.PurchaseID, by string) error {
	return m.decide(ctx, id, true, by)
}

// Deny ends a purchase that waits for approval, or gives up one that needs an
// operator and has not been paid.
func (m *Market) Deny(ctx context.Context, id policy.PurchaseID, by string) error {
	record, err := m.ledger.Get(ctx, id)
	if err != nil {
		return err
	}
	if State(record.State) == AwaitingApproval {
		return m.decide(ctx, id, false, by)
	}
	return m.resolve(ctx, id, func(p *purchase) (step, error) {
		if p.state() != NeedsOperator || p.doc.Committed {
			return step{}, ErrNotWaiting
		}
		return step{event: EventCancel, reason: policy.ReasonCancelled, detail: by}, nil
	})
}

func (m *Market) decide(ctx context.Context, id policy.PurchaseID, approve bool, by string) error {
	record, err := m.ledger.Get(ctx, id)
	if err != nil {
		return err
	}
	if State(record.State) != AwaitingApproval {
		return ErrNotWaiting
	}
	if err := m.ledger.DecideApproval(ctx, id, approve, by); err != nil {
		return err
	}
	m.mu.Lock()
	p := m.open[id]
	m.mu.Unlock()
	if p != nil {
		p.poke()
	}
	return nil
}

// poke makes the purchase's worker look again now.
func (p *purchase) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Confirm takes a person's word that a purchase which was handed off or needs
// an operator was delivered: it is confirmed without a check of the result.
func (m *Market) Confirm(ctx context.Context, id policy.PurchaseID, by string) error {
	return m.resolve(ctx, id, func(p *purchase) (step, error) {
		if p.OrderID == "" || (p.state() == NeedsOperator && !p.paid()) {
			return step{}, fmt.Errorf("%w: nothing was ordered and paid", ErrNotWaiting)
		}
		p.doc.Word = by
		return step{event: EventStillHeld, detail: by}, nil
	})
}

// Dispute takes a person's word that a purchase which was handed off or needs
// an operator was not delivered.
func (m *Market) Dispute(ctx context.Context, id policy.PurchaseID, why, by string) error {
	return m.resolve(ctx, id, func(p *purchase) (step, error) {
		if p.OrderID == "" || (p.state() == NeedsOperator && !p.paid()) {
			return step{}, fmt.Errorf("%w: nothing was ordered and paid", ErrNotWaiting)
		}
		p.doc.ResultErr = why
		return step{event: EventStillWrong, reason: policy.ReasonResultRejected, detail: by}, nil
	})
}

// Reference records how a person paid on a rail that agentd cannot pay; it is
// handed to the Market as the proof.
func (m *Market) Reference(ctx context.Context, id policy.PurchaseID, reference, by string) error {
	return m.resolve(ctx, id, func(p *purchase) (step, error) {
		if p.state() != NeedsOperator || p.doc.Committed || !m.rails.Human(p.doc.Terms.Rail) || reference == "" {
			return step{}, fmt.Errorf("%w: only a purchase on a rail that a person pays takes a reference", ErrNotWaiting)
		}
		p.doc.Reference, p.doc.Committed = reference, true
		return step{event: EventReference, detail: by}, nil
	})
}

// paid says whether the value of the purchase has moved or nothing is due.
func (p *purchase) paid() bool { return p.doc.Terms.free() || p.doc.Committed }

// resolve makes the move that a person decides, in a state that waits for one.
func (m *Market) resolve(ctx context.Context, id policy.PurchaseID, decide func(*purchase) (step, error)) error {
	m.mu.Lock()
	p := m.open[id]
	m.mu.Unlock()
	if p == nil {
		if _, err := m.ledger.Get(ctx, id); err != nil {
			return err
		}
		return ErrNotWaiting
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.state(); s != HandedOff && s != NeedsOperator {
		return ErrNotWaiting
	}
	before := p.doc
	s, err := decide(p)
	if err != nil {
		return err
	}
	// A caller that goes away leaves no doubt about whether the decision stands.
	if !m.take(context.WithoutCancel(ctx), p, m.rows[p.state()], s) {
		p.doc = before
		return errors.New("the decision could not be stored: see the log")
	}
	p.poke()
	return nil
}

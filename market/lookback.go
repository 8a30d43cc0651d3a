// SPDX-License-Identifier: Apache-2.0

package market

import (
	"context"
	"errors"
	"time"

	"github.com/agentd-project/agentd/orchestration"
	"github.com/agentd-project/agentd/payments/evm"
	"github.com/agentd-project/agentd/policy"
)

// unlessPaid makes sure of a step that gives a purchase's budget back. A purchase
// that was read from disk may have been paid by a life of which an older ledger,
// put back since, knows nothing: the Market and the chain are asked first.
func (m *Market) unlessPaid(running, work context.Context, p *purchase, row Row, s step) (step, error) {
	ordered := p.OrderID != "" || !p.doc.OrderSent.IsZero()
	mayBePaid := p.loaded && ordered && !p.doc.Terms.free() && (row.Unpaid || row.State == Paying)
	if s.committed != nil || !givesBack(s.event) || !mayBePaid {
		return s, nil
	}
	found, err := m.do(running, work, p, row, (*Market).lookBack)
	if err != nil {
		return step{}, err
	}
	if _, leads := row.Edges[found.event]; leads && found.event != EventOrderAgain {
		return found, nil
	}
	return s, nil // there is no order, or nobody paid it
}

// lookBack asks whether a purchase that never paid was paid all the same; an empty
// step says that it was not.
func (m *Market) lookBack(ctx context.Context, p *purchase) (step, error) {
	if p.OrderID == "" {
		return m.findOrder(ctx, p)
	}
	if s, err := m.paidElsewhere(ctx, p); err != nil || s.event != "" {
		return s, err
	}
	order, err := m.readOrder(ctx, p)
	switch {
	case codeOf(err) == orchestration.CodeNotFound: // what the Market does not know it took no proof for
	case err != nil:
		return step{}, err
	default:
		if s, paid := m.paidBefore(p, order); paid {
			return s, nil
		}
	}
	if m.rails.Human(p.doc.Terms.Rail) {
		return step{}, nil
	}
	err = m.rails.Forgotten(ctx, p.ID, p.doc.Terms.exact(time.Time{}))
	switch {
	case errors.Is(err, evm.ErrForgotten):
		return step{event: EventHold, reason: policy.ReasonHeld, detail: err.Error()}, nil
	case err != nil:
		return step{}, waitFor(policy.ReasonHeld, err)
	}
	return step{}, nil
}

// paidBefore holds a purchase whose order the Market took further than an unpaid
// one can get: somebody paid, perhaps we did before an older ledger was put back.
func (m *Market) paidBefore(p *purchase, order *orchestration.Order) (step, bool) {
	if p.doc.Terms.free() || !proofTaken(order.Status) {
		return step{}, false
	}
	p.OrderID = order.ID
	return step{event: EventHold, reason: policy.ReasonHeld, detail: "the order is " + string(order.Status)}, true
}

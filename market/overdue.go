// SPDX-License-Identifier: Apache-2.0

package market

import (
	"context"
	"time"

	"github.com/agentd-project/agentd/orchestration"
	"github.com/agentd-project/agentd/policy"
)

// overdue ends an unpaid purchase at its deadline. One that was read from disk may
// have been paid by a life of which an older ledger, put back since, knows nothing:
// its order is looked at before its budget is given back.
func (m *Market) overdue(running, work context.Context, p *purchase, row Row) (progress bool, pause time.Duration) {
	end := step{event: EventDeadline, reason: policy.ReasonDeadlinePassed}
	if !p.loaded || p.doc.Terms.free() || (p.OrderID == "" && p.doc.OrderSent.IsZero()) {
		return m.take(work, p, row, end), 0
	}
	before := p.doc
	s, err := m.do(running, work, p, row, (*Market).lookBack)
	if err != nil {
		return m.stay(running, p, row, err)
	}
	if _, leads := row.Edges[s.event]; !leads || s.event == EventOrderAgain {
		s = end // there is no order, or it is not what was quoted, or nobody paid
	}
	return m.takeOrForget(work, p, row, s, before)
}

// lookBack asks the Market whether the order of a purchase that is out of time was
// paid; an empty step says that it was not.
func (m *Market) lookBack(ctx context.Context, p *purchase) (step, error) {
	if p.OrderID == "" {
		return m.findOrder(ctx, p)
	}
	return m.paidElsewhere(ctx, p)
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

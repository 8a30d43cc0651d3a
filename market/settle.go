// SPDX-License-Identifier: Apache-2.0

package market

import (
	"context"
	"errors"
	"time"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/orchestration"
	"github.com/agentd-project/agentd/pairing"
	"github.com/agentd-project/agentd/payments"
	"github.com/agentd-project/agentd/policy"
)

// chainPoll is how often the chain is asked about an authorisation that the
// seller has not used yet.
const chainPoll = 2 * time.Second

// settle releases what the Market holds and turns the reservation into spend,
// as the chain shows it.
func (m *Market) settle(ctx context.Context, p *purchase) (step, error) {
	var shown *orchestration.ReleaseRequest
	if p.doc.Terms.Lock {
		c, err := m.releaseLock(ctx, p)
		if err != nil {
			return step{}, err
		}
		if c.State == payments.CustodyReturned { // the payee did not want it
			return m.takeBack(ctx, p, c)
		}
		shown = &orchestration.ReleaseRequest{TransactionHash: c.Ref}
	}
	if err := m.release(ctx, p, shown); err != nil {
		return step{}, err
	}
	return m.account(ctx, p, step{event: EventSettled, reason: p.Reason}, step{event: EventSettled, reason: policy.ReasonAuthorizationUnused})
}

// release tells the Market to pay out (POST …/payment/release) whenever the
// payment waits for that. Without the platform key the payment cannot be read:
// then the confirmation's own answer is all that is known.
func (m *Market) release(ctx context.Context, p *purchase, shown *orchestration.ReleaseRequest) error {
	if p.doc.Terms.free() {
		return nil
	}
	if p.doc.PaymentStatus == "" || p.resumed {
		payment, err := m.api.GetPayment(ctx, p.OrderID)
		switch {
		case err == nil && payment != nil:
			p.doc.PaymentStatus = string(payment.Status)
		case err != nil && orchestration.Classify(err) != orchestration.ActionFixConfiguration:
			return wait(err)
		}
	}
	if p.doc.PaymentStatus != string(orchestration.PaymentReleasePending) {
		return nil
	}
	payment, err := call(ctx, m, func(s pairing.Session) (*orchestration.Payment, error) {
		return m.api.ReleasePayment(ctx, s.Token, p.OrderID, shown)
	})
	if err != nil {
		return wait(err)
	}
	p.doc.PaymentStatus = string(payment.Status)
	return nil
}

// account asks the chain what became of the value and stores it with the move
// that follows: spent if it was transferred, unspent if it is proven that it
// never will be. Anything else stays reserved and is asked again.
func (m *Market) account(ctx context.Context, p *purchase, spent, unspent step) (step, error) {
	t := p.doc.Terms
	settlement := ledger.Settlement{Purchase: p.ID, Rail: t.Rail, Chain: t.Chain, Token: t.Token, Payee: t.receiver(), Amount: t.Amount, At: time.Now().UTC()}
	switch rail, pays := m.rails.Rail(t.Rail); {
	case t.free():
		settlement = ledger.Settlement{Purchase: p.ID, Rail: t.Rail, At: settlement.At}
	case p.doc.Reference != "":
		settlement.Ref, settlement.Value = p.doc.Reference, t.Price
		if !t.Priced { // nobody named a price: what was reserved counts as spent
			settlement.Value = p.doc.Need.MaxPrice
		}
	case !pays:
		return step{}, waitFor(policy.ReasonRailUnsupported, errors.New("the rail is no longer configured"))
	default:
		outcome, err := rail.Check(ctx, p.ID)
		if err != nil {
			return step{}, waitFor(policy.ReasonMarketUnavailable, err)
		}
		switch outcome.Status {
		case payments.Paid:
			value, err := money.ValueOf(t.Amount, t.Decimals)
			if err != nil {
				return step{}, err
			}
			settlement.Ref, settlement.At, settlement.Value = outcome.Ref, outcome.At, value
		case payments.NotPaid:
			return m.commitRelease(ctx, p, unspent)
		default:
			return step{}, &waitError{reason: policy.ReasonHeld, pause: chainPoll, err: errors.New("the chain has not settled the payment yet")}
		}
	}
	before := p.doc
	p.doc.Accounted, p.doc.SpentRef, p.doc.SpentAt = true, settlement.Ref, settlement.At
	p.doc.Terms.Price = max(settlement.Value, 0)
	mv, err := p.move(m.rows[p.state()], spent)
	if err != nil {
		return step{}, err
	}
	if err := m.ledger.Settle(ctx, settlement, mv); err != nil {
		p.doc = before
		return step{}, err
	}
	m.metrics.spent(m.guard.Rules().Currency, t.Rail, settlement.Value)
	spent.committed = mv
	return spent, nil
}

// commitRelease stores a move with the end of a reservation of which nothing
// was spent.
func (m *Market) commitRelease(ctx context.Context, p *purchase, s step) (step, error) {
	before := p.doc
	p.doc.Accounted, p.doc.Terms.Price = true, 0
	mv, err := p.move(m.rows[p.state()], s)
	if err != nil {
		return step{}, err
	}
	if err := m.ledger.Release(ctx, p.ID, mv); err != nil {
		p.doc = before
		return step{}, err
	}
	s.committed = mv
	return s, nil
}

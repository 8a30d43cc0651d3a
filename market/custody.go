// SPDX-License-Identifier: Apache-2.0

package market

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/agentd-project/agentd/orchestration"
	"github.com/agentd-project/agentd/pairing"
	"github.com/agentd-project/agentd/payments"
	"github.com/agentd-project/agentd/policy"
)

// custodian returns the rail that knows where the purchase's value is.
func (m *Market) custodian(p *purchase) (payments.Custodian, error) {
	rail, _ := m.rails.Rail(p.doc.Terms.Rail)
	custodian, ok := rail.(payments.Custodian)
	if !ok {
		return nil, waitFor(policy.ReasonRailUnsupported, fmt.Errorf("rail %s cannot say where its value is", p.doc.Terms.Rail))
	}
	return custodian, nil
}

// custody asks the chain where value that was paid is now.
func (m *Market) custody(ctx context.Context, p *purchase) (payments.Custody, error) {
	custodian, err := m.custodian(p)
	if err != nil {
		return payments.Custody{}, err
	}
	taken := func(ref string) (bool, error) { return m.ledger.RefundRefTaken(ctx, ref) }
	c, err := custodian.Custody(ctx, p.ID, taken)
	if err != nil {
		return payments.Custody{}, waitFor(policy.ReasonHeld, err)
	}
	return c, nil
}

// endLock has the escrow contract end the lock, one way or the other, and returns
// where the value is then. What was signed for that before is seen through first,
// whatever the chain shows by now.
func (m *Market) endLock(ctx context.Context, p *purchase, end func(payments.Custodian, policy.Grant) (payments.Custody, error)) (payments.Custody, error) {
	custodian, err := m.custodian(p)
	if err != nil {
		return payments.Custody{}, err
	}
	grant, err := m.guard.Regrant(ctx, p.ID)
	if err != nil {
		return payments.Custody{}, err
	}
	c, err := end(custodian, grant)
	if err == nil && c.State != payments.CustodyReleased && c.State != payments.CustodyReturned {
		err = errors.New("the escrow does not show how the lock ended")
	}
	if err != nil {
		return c, waitFor(policy.ReasonHeld, err)
	}
	return c, nil
}

// releaseLock has the contract pay the payee of a confirmed purchase, who may have
// given the value back instead.
func (m *Market) releaseLock(ctx context.Context, p *purchase) (payments.Custody, error) {
	return m.endLock(ctx, p, func(custodian payments.Custodian, g policy.Grant) (payments.Custody, error) {
		return custodian.Release(ctx, g)
	})
}

// takeBack enters a payment that came back: first that it was paid, then its
// return.
func (m *Market) takeBack(ctx context.Context, p *purchase, c payments.Custody) (step, error) {
	if !p.doc.Accounted {
		return m.account(ctx, p, step{event: EventAccounted, reason: p.Reason}, step{event: EventSettled, reason: policy.ReasonAuthorizationUnused})
	}
	return m.returned(ctx, p, c, step{event: EventRefunded, reason: policy.ReasonRefunded, detail: c.Ref})
}

// returned stores, with the move that follows, that the chain shows the value
// back on our account: only that gives the budget back.
func (m *Market) returned(ctx context.Context, p *purchase, c payments.Custody, s step) (step, error) {
	before := p.doc
	p.doc.ReturnRef, p.doc.Terms.Price = c.Ref, 0
	mv, err := p.move(m.rows[p.state()], s)
	if err == nil {
		err = m.ledger.Refund(ctx, p.ID, c.Ref, mv)
	}
	if err != nil {
		p.doc = before
		return step{}, err
	}
	s.committed = mv
	return s, nil
}

// followDispute first brings the ledger in line with the chain and then waits
// for the value to come back, or for the Market to close the dispute.
//
// The Market's word moves no budget and no lock: "refunded" counts once the
// chain shows the value, and a lock whose dispute it calls released stays until
// its time has passed, or until an operator confirms.
func (m *Market) followDispute(ctx context.Context, p *purchase) (step, error) {
	if !p.doc.Accounted {
		return m.account(ctx, p, step{event: EventAccounted, reason: p.Reason}, step{event: EventUnpaid, reason: policy.ReasonAuthorizationUnused})
	}
	c := payments.Custody{State: payments.CustodyPaid}
	onChain := p.doc.Reference == ""
	if onChain {
		var err error
		if c, err = m.custody(ctx, p); err != nil {
			return step{}, err
		}
	}
	switch {
	case c.State == payments.CustodyReturned:
		return m.takeBack(ctx, p, c)
	case c.State == payments.CustodyReleased:
		return step{event: EventSettled, reason: policy.ReasonDisputed, detail: c.Ref}, nil
	case p.lockExpired(m.rows[p.state()]):
		return step{event: EventExpired, reason: policy.ReasonLockExpired}, nil
	}
	payment, err := m.api.GetPayment(ctx, p.OrderID)
	if err != nil {
		return step{}, wait(err)
	}
	if payment == nil {
		return step{}, m.disputeOpen(p, policy.ReasonDisputed)
	}
	p.doc.PaymentStatus = string(payment.Status)
	switch {
	case payment.Status == orchestration.PaymentReleased && c.State == payments.CustodyPaid:
		return step{event: EventSettled, reason: policy.ReasonDisputed}, nil
	case payment.Status == orchestration.PaymentRefunded && onChain:
		return step{}, m.disputeOpen(p, policy.ReasonRefundAwaited)
	case payment.Status == orchestration.PaymentRefunded:
		return step{event: EventRefunded, reason: policy.ReasonRefunded}, nil
	default:
		return step{}, m.disputeOpen(p, policy.ReasonDisputed)
	}
}

// disputeOpen waits, but no longer than a lock does.
func (m *Market) disputeOpen(p *purchase, reason policy.Reason) error {
	pause := disputePoll
	if left := time.Until(p.doc.Terms.RefundFrom); p.doc.Terms.Lock && left > 0 {
		pause = min(pause, left)
	}
	return &waitError{reason: reason, pause: pause}
}

// reclaim takes the value of a lock back whose time has passed.
//
// Possible worlds: the contract still holds the value: refund it. It paid the
// payee, by a release of ours that was mined late: the purchase is settled. It
// paid us, by the payee or by our own refund before a crash: the budget comes
// back. Whichever it is, the ledger has the payment first and its return second.
func (m *Market) reclaim(ctx context.Context, p *purchase) (step, error) {
	if !p.doc.Accounted {
		return m.account(ctx, p, step{event: EventAccounted, reason: p.Reason}, step{event: EventUnpaid, reason: policy.ReasonLockExpired})
	}
	if p.doc.ReturnRef != "" {
		return m.tellRefund(ctx, p)
	}
	c, err := m.endLock(ctx, p, func(custodian payments.Custodian, g policy.Grant) (payments.Custody, error) {
		return custodian.Reclaim(ctx, g)
	})
	switch {
	case err != nil:
		return step{}, err
	case c.State == payments.CustodyReturned:
		return m.returned(ctx, p, c, step{event: EventAccounted, reason: policy.ReasonLockExpired, detail: c.Ref})
	default:
		return step{event: EventSettled, reason: p.Reason, detail: c.Ref}, nil
	}
}

// tellRefund tells the Market that the value came back (POST …/payment/refund).
// A Market that refuses to know it changes nothing.
func (m *Market) tellRefund(ctx context.Context, p *purchase) (step, error) {
	_, err := call(ctx, m, func(s pairing.Session) (*orchestration.Payment, error) {
		return m.api.RefundPayment(ctx, s.Token, p.OrderID, &orchestration.RefundRequest{TransactionHash: p.doc.ReturnRef, Reason: string(p.Reason)})
	})
	switch action := orchestration.Classify(err); {
	case err == nil, (action == orchestration.ActionAsk || action == orchestration.ActionOurFault) && !orchestration.Ambiguous(err):
		return step{event: EventRefunded, reason: policy.ReasonRefunded, detail: p.doc.ReturnRef}, nil
	default:
		return step{}, wait(err)
	}
}

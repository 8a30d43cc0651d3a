// SPDX-License-Identifier: Apache-2.0

package market

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/agentd-project/agentd/orchestration"
	"github.com/agentd-project/agentd/pairing"
	"github.com/agentd-project/agentd/payments"
	"github.com/agentd-project/agentd/policy"
)

// beforeExecuting puts on disk that the next thing is to execute.
func (m *Market) beforeExecuting(context.Context, *purchase) (step, error) {
	return step{event: EventExecute}, nil
}

// execute runs the order (POST /market/orders/{id}/execute), with the stored
// authorisation on the x402 rail.
func (m *Market) execute(ctx context.Context, p *purchase) (step, error) {
	reply, err := m.sendExecute(ctx, p)
	if err != nil {
		return m.notExecuted(ctx, p, err)
	}
	return m.executed(p, reply)
}

// sendExecute sends the same bytes every time: the order's input and, on the
// x402 rail, the header that was handed over as proof.
func (m *Market) sendExecute(ctx context.Context, p *purchase) (*orchestration.ExecuteReply, error) {
	r := orchestration.ExecuteRequest{Input: p.doc.Need.Input}
	if p.doc.Terms.x402() {
		evidence, err := m.evidence(ctx, p)
		if err != nil {
			return nil, err
		}
		r.PaymentSignature = orchestration.Secret(evidence.PaymentSignature)
	}
	reply, err := call(ctx, m, func(s pairing.Session) (*orchestration.ExecuteReply, error) {
		return m.api.ExecuteOrder(ctx, s.Token, p.OrderID, r)
	})
	if err == nil && reply.Order.ID != p.OrderID {
		return nil, waitFor(policy.ReasonServiceMismatch, fmt.Errorf("execute of order %s answered for order %.80q", p.OrderID, reply.Order.ID))
	}
	return reply, err
}

// executed reads the outcome: what counts is its status, not the HTTP status.
func (m *Market) executed(p *purchase, reply *orchestration.ExecuteReply) (step, error) {
	e := reply.Execution
	switch {
	case e.Outcome == nil && e.Handoff != nil:
		return handedOff(p, e.Handoff)
	case e.Outcome == nil:
		return step{}, waitFor(policy.ReasonMarketUnavailable, errors.New("the execution has neither outcome nor handoff"))
	}
	switch e.Outcome.Status {
	case orchestration.OutcomeCompleted:
		if limit := p.doc.Need.Accept.limit(); int64(len(e.Outcome.Result)) > limit {
			p.doc.ResultErr = fmt.Sprintf("the result has %d bytes, more than %d", len(e.Outcome.Result), limit)
			return m.unusable(p, policy.ReasonResultRejected)
		}
		p.doc.Result = e.Outcome.Result
		return step{event: EventDelivered, detail: e.Outcome.ID}, nil
	case orchestration.OutcomeFailed:
		p.doc.ResultErr = clip(e.Outcome.ErrorMessage, maxDetail)
		return m.ranFailed(p)
	default: // external, or a status of a newer Market: somebody has to look
		return handedOff(p, &orchestration.Handoff{Label: string(e.Outcome.Status), URL: e.Outcome.ExternalRef})
	}
}

func handedOff(p *purchase, h *orchestration.Handoff) (step, error) {
	kept := orchestration.Handoff{Label: clip(h.Label, maxDetail), URL: clip(h.URL, maxDetail)}
	for _, note := range h.Notes[:min(len(h.Notes), maxNotes)] {
		kept.Notes = append(kept.Notes, clip(note, maxDetail))
	}
	text, err := json.Marshal(&kept)
	if err != nil {
		return step{}, err
	}
	p.doc.Handoff = text
	return step{event: EventHandedOff, reason: policy.ReasonHandedOff, detail: h.Label}, nil
}

// ranFailed decides about a run that failed. Where nothing was paid that is
// all; otherwise the value is disputed or held, as the owner said.
func (m *Market) ranFailed(p *purchase) (step, error) {
	switch {
	case p.doc.Terms.free():
		return step{event: EventUnpaid, reason: policy.ReasonExecutionFailed, detail: p.doc.ResultErr}, nil
	case p.doc.Need.Hold:
		return step{event: EventHold, reason: policy.ReasonExecutionFailed, detail: p.doc.ResultErr}, nil
	default:
		return step{event: EventRanFailed, reason: policy.ReasonExecutionFailed, detail: p.doc.ResultErr}, nil
	}
}

// unusable decides about a result that the need does not accept.
func (m *Market) unusable(p *purchase, reason policy.Reason) (step, error) {
	if p.doc.Need.Hold {
		return step{event: EventHold, reason: reason, detail: p.doc.ResultErr}, nil
	}
	if p.state() == Executing {
		return step{event: EventRanFailed, reason: reason, detail: p.doc.ResultErr}, nil
	}
	return step{event: EventUnusable, reason: reason, detail: p.doc.ResultErr}, nil
}

// notExecuted decides about a failed execute call. Whatever it was, nothing is
// paid again.
func (m *Market) notExecuted(ctx context.Context, p *purchase, err error) (step, error) {
	if ctx.Err() != nil || orchestration.Ambiguous(err) {
		return step{}, wait(err)
	}
	if _, refused := refusal(err); refused && p.doc.Terms.x402() {
		return m.askChain(ctx, p, err) // it died before, and is not to be signed again
	}
	switch code := codeOf(err); code {
	case orchestration.CodePaymentRequired:
		// The Market does not see the payment: hand the same evidence over again.
		if cause := m.proveAgain(ctx, p, err); !p.doc.Terms.x402() {
			return step{}, cause
		}
		return m.askChain(ctx, p, err)
	case orchestration.CodeExecutionUnsupported, orchestration.CodeValidationError:
		if p.doc.Terms.free() {
			return step{event: EventUnpaid, reason: policy.ReasonExecutionFailed, detail: err.Error()}, nil
		}
		if p.doc.Terms.x402() {
			return m.askChain(ctx, p, err)
		}
		return step{event: EventHold, reason: policy.ReasonMarketRefused, detail: err.Error()}, nil
	default:
		return step{}, wait(err)
	}
}

// findExecution reads the order after a lost answer or a crash (GET
// /market/orders/{id}). A delivered order is executed once more with the same
// bytes: the Market answers with what is stored, and nothing runs again.
func (m *Market) findExecution(ctx context.Context, p *purchase) (step, error) {
	order, err := m.readOrder(ctx, p)
	if err != nil {
		return step{}, err
	}
	switch order.Status {
	case orchestration.OrderExecuting:
		return step{}, waitFor(policy.ReasonMarketUnavailable, errors.New("the order is executing"))
	case orchestration.OrderHandoff:
		if order.Handoff == nil {
			order.Handoff = &orchestration.Handoff{}
		}
		return handedOff(p, order.Handoff)
	case orchestration.OrderConfirmed:
		// Not by us: we have seen no result. What was paid is accounted for all the same.
		if p.keepsLock() {
			return step{}, waitFor(policy.ReasonResultMissing, errConfirmed)
		}
		p.doc.PaymentStatus = ""
		return step{event: EventConfirmed, reason: policy.ReasonResultMissing}, nil
	case orchestration.OrderDisputed:
		return step{event: EventDisputed, reason: policy.ReasonDisputed}, nil
	case orchestration.OrderFailed:
		p.doc.ResultErr = clip(order.ErrorMessage, maxDetail)
		return m.ranFailed(p)
	case orchestration.OrderCancelled:
		if p.doc.Terms.free() {
			return step{event: EventUnpaid, reason: policy.ReasonOrderClosed}, nil
		}
		return step{event: EventHold, reason: policy.ReasonOrderClosed}, nil
	case orchestration.OrderDelivered:
		return m.execute(ctx, p)
	default:
		if s, dead := m.died(ctx, p); dead {
			return s, nil
		}
		return m.execute(ctx, p)
	}
}

// died says whether the chain proves that the authorisation of a purchase was
// never used and never can be: an order that did not run by then has no payment.
func (m *Market) died(ctx context.Context, p *purchase) (step, bool) {
	rail, known := m.rails.Rail(p.doc.Terms.Rail)
	if !known || !p.doc.Terms.x402() {
		return step{}, false
	}
	outcome, err := rail.Check(ctx, p.ID)
	if err != nil || outcome.Status != payments.NotPaid {
		return step{}, false
	}
	return m.unused(p, ""), true
}

// readOrder reads the purchase's order with the pairing's own token.
func (m *Market) readOrder(ctx context.Context, p *purchase) (*orchestration.Order, error) {
	order, err := call(ctx, m, func(s pairing.Session) (*orchestration.Order, error) {
		return m.api.GetOrder(ctx, s.Token, p.OrderID)
	})
	if err != nil {
		return nil, wait(err)
	}
	if order.ID != p.OrderID {
		return nil, waitFor(policy.ReasonServiceMismatch, fmt.Errorf("order %s was asked for, %.80q answered", p.OrderID, order.ID))
	}
	return order, nil
}

// accept checks the result, delivers it and confirms (POST
// /market/orders/{id}/confirm), in this order: what is confirmed can no longer
// be disputed.
func (m *Market) accept(ctx context.Context, p *purchase) (step, error) {
	if p.doc.Word == "" {
		if s, err := m.checkResult(ctx, p); err != nil || s.event != "" {
			return s, err
		}
		if err := p.doc.Need.Deliver.write(p.doc.Result); err != nil {
			return step{}, waitFor(policy.ReasonDeliveryFailed, err)
		}
	}
	reply, err := call(ctx, m, func(s pairing.Session) (*orchestration.ConfirmReply, error) {
		return m.api.ConfirmOrder(ctx, s.Token, p.OrderID)
	})
	if err == nil && reply.Order.ID != p.OrderID {
		return step{}, waitFor(policy.ReasonServiceMismatch, fmt.Errorf("confirmation of order %s answered for order %.80q", p.OrderID, reply.Order.ID))
	}
	if err != nil {
		return step{}, wait(err)
	}
	p.doc.PaymentStatus = "" // what was said before the confirmation is over
	if reply.Payment != nil {
		p.doc.PaymentStatus = string(reply.Payment.Status)
	}
	return step{event: EventConfirmed}, nil
}

// checkResult compares the result with what the need accepts. A delivered order
// without a result is executed once more; what is then still missing is held
// for a person and never confirmed.
func (m *Market) checkResult(ctx context.Context, p *purchase) (step, error) {
	if isNull(p.doc.Result) && !p.doc.Refetched {
		reply, err := m.sendExecute(ctx, p)
		if _, refused := refusal(err); refused { // its authorisation is dead: nobody can be asked again
			return step{event: EventHold, reason: policy.ReasonResultMissing, detail: err.Error()}, nil
		}
		if err != nil {
			return step{}, wait(err)
		}
		p.doc.Refetched = true
		if reply.Execution.Outcome != nil {
			p.doc.Result = reply.Execution.Outcome.Result
		}
	}
	err := p.doc.Need.Accept.check(p.doc.Result)
	switch {
	case err == nil:
		return step{}, nil
	case errors.Is(err, errNoResult):
		return step{event: EventHold, reason: policy.ReasonResultMissing}, nil
	default:
		p.doc.ResultErr = clip(err.Error(), maxDetail)
		return m.unusable(p, policy.ReasonResultRejected)
	}
}

// errConfirmed says that the Market calls an order confirmed which we did not
// confirm.
var errConfirmed = errors.New("the order reads confirmed, but not by us")

// keepsLock says whether an escrow contract holds the value and no operator has
// said that it was delivered: then the Market's word releases nothing, and what is
// locked is taken back in its time.
func (p *purchase) keepsLock() bool { return p.doc.Terms.Lock && p.doc.Word == "" }

// findConfirmation reads the order first: a confirmation may have arrived.
func (m *Market) findConfirmation(ctx context.Context, p *purchase) (step, error) {
	order, err := m.readOrder(ctx, p)
	if err != nil {
		return step{}, err
	}
	switch order.Status {
	case orchestration.OrderConfirmed:
		// The file is written again, since the crash may have come before it. That
		// the Market calls the order confirmed does not make a result acceptable.
		p.doc.PaymentStatus = ""
		if err := p.doc.Need.Accept.check(p.doc.Result); err != nil {
			p.doc.ResultErr = clip(err.Error(), maxDetail)
			if p.keepsLock() {
				return m.unusable(p, policy.ReasonResultRejected)
			}
		} else if p.doc.Word == "" {
			if err := p.doc.Need.Deliver.write(p.doc.Result); err != nil {
				return step{}, waitFor(policy.ReasonDeliveryFailed, err)
			}
		}
		return step{event: EventConfirmed}, nil
	case orchestration.OrderDisputed:
		return step{event: EventDisputed, reason: policy.ReasonDisputed}, nil
	default:
		return m.accept(ctx, p)
	}
}

// dispute opens a dispute with the result as evidence (POST
// /market/orders/{id}/dispute). Where nothing was paid the purchase is over
// with it.
func (m *Market) dispute(ctx context.Context, p *purchase) (step, error) {
	evidence, err := json.Marshal(map[string]any{"reason": p.Reason, "error": p.doc.ResultErr, "result": p.doc.Result})
	if err != nil {
		return step{}, err
	}
	_, err = call(ctx, m, func(s pairing.Session) (*orchestration.DisputeReply, error) {
		return m.api.DisputeOrder(ctx, s.Token, p.OrderID, orchestration.DisputeRequest{Reason: string(p.Reason), Evidence: evidence})
	})
	switch action := orchestration.Classify(err); {
	case err == nil:
		return disputed(p)
	case (action == orchestration.ActionAsk || action == orchestration.ActionOurFault) && !orchestration.Ambiguous(err):
		return step{event: EventHold, reason: policy.ReasonMarketRefused, detail: err.Error()}, nil
	default:
		return step{}, wait(err)
	}
}

func disputed(p *purchase) (step, error) {
	if p.doc.Terms.free() {
		return step{event: EventUnpaid, reason: p.Reason, detail: "disputed"}, nil
	}
	return step{event: EventDisputed, reason: p.Reason}, nil
}

// findDispute reads the order first: a dispute may have arrived.
func (m *Market) findDispute(ctx context.Context, p *purchase) (step, error) {
	order, err := m.readOrder(ctx, p)
	if err != nil {
		return step{}, err
	}
	switch order.Status {
	case orchestration.OrderDisputed:
		return disputed(p)
	case orchestration.OrderConfirmed:
		if p.keepsLock() {
			return step{}, waitFor(p.Reason, errConfirmed)
		}
		p.doc.PaymentStatus = ""
		return step{event: EventConfirmed}, nil
	default:
		return m.dispute(ctx, p)
	}
}

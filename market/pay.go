// SPDX-License-Identifier: Apache-2.0

package market

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/agentd-project/agentd/orchestration"
	"github.com/agentd-project/agentd/pairing"
	"github.com/agentd-project/agentd/payments"
	"github.com/agentd-project/agentd/payments/evm"
	"github.com/agentd-project/agentd/policy"
)

// beforePaying is the last look: can the rail pay, and has nobody paid yet? A
// payment that is held although this purchase never paid is for a person to see.
func (m *Market) beforePaying(ctx context.Context, p *purchase) (step, error) {
	if s, err := m.checkFunds(ctx, p.doc.Terms); err != nil || s.event != "" {
		return s, err
	}
	if s, err := m.paidElsewhere(ctx, p); err != nil || s.event != "" {
		return s, err
	}
	p.doc.Committed = true
	return step{event: EventPay}, nil
}

// paidElsewhere holds a purchase whose payment has value although this one never
// paid (GET …/payment); an empty step says that it has none.
func (m *Market) paidElsewhere(ctx context.Context, p *purchase) (step, error) {
	payment, err := m.api.GetPayment(ctx, p.OrderID)
	switch {
	case orchestration.Classify(err) == orchestration.ActionFixConfiguration: // no platform key: our own records decide
	case err != nil:
		return step{}, wait(err)
	case payment != nil && !p.mayPay(payment.Status):
		return step{event: EventHold, reason: policy.ReasonHeld, detail: "the payment reads " + string(payment.Status)}, nil
	}
	return step{}, nil
}

// mayPay says whether a payment of this status waits for value. One that is held
// does if what it is held for is our own authorisation, which died unused.
func (p *purchase) mayPay(status orchestration.PaymentStatus) bool {
	return status == orchestration.PaymentIntentCreated || (p.doc.Renewals > 0 && status == orchestration.PaymentHeld)
}

// pay moves the value. The rail presents again what it has on disk for this
// purchase, so coming here twice pays once. On the x402 rail the signed header
// is handed over as proof at once.
func (m *Market) pay(ctx context.Context, p *purchase) (step, error) {
	evidence, err := m.evidence(ctx, p)
	if err != nil {
		if reason, refused := refusal(err); refused {
			return step{event: EventUnpaid, reason: reason, detail: err.Error()}, nil
		}
		if errors.Is(err, evm.ErrForgotten) { // perhaps we paid, before an older ledger was put back
			return step{event: EventHold, reason: policy.ReasonHeld, detail: err.Error()}, nil
		}
		return step{}, err
	}
	if !p.doc.Terms.x402() {
		p.doc.TxHash = evidence.TxHash
		return step{event: EventPaid, detail: evidence.TxHash}, nil
	}
	if err := m.submitHeader(ctx, p, evidence); err != nil {
		return m.notProven(ctx, p, err)
	}
	return step{event: EventProven, detail: evidence.PaymentReference}, nil
}

// evidence has the rail pay, or show what it paid before.
func (m *Market) evidence(ctx context.Context, p *purchase) (payments.Evidence, error) {
	rail, known := m.rails.Rail(p.doc.Terms.Rail)
	if !known {
		return payments.Evidence{}, waitFor(policy.ReasonRailUnsupported, errors.New("the rail is no longer configured"))
	}
	grant, err := m.guard.Regrant(ctx, p.ID)
	if err != nil {
		return payments.Evidence{}, err
	}
	job := payments.Job{Purchase: p.ID}
	if p.doc.Terms.x402() {
		if job.Challenge, err = payments.ParseChallenge(p.doc.Challenge); err != nil {
			return payments.Evidence{}, err
		}
	}
	return rail.Pay(ctx, grant, job)
}

func (m *Market) submitHeader(ctx context.Context, p *purchase, e payments.Evidence) error {
	metadata, err := json.Marshal(map[string]string{"headerName": "PAYMENT-SIGNATURE", "network": e.Network, "asset": e.Asset,
		"amount": e.Amount.String(), "serviceId": p.doc.Terms.Service})
	if err != nil {
		return err
	}
	payment, err := call(ctx, m, func(s pairing.Session) (*orchestration.Payment, error) {
		return m.api.SubmitX402Proof(ctx, s.Token, p.OrderID, orchestration.X402ProofRequest{
			PaymentSignature: orchestration.Secret(e.PaymentSignature), PaymentReference: e.PaymentReference, Metadata: metadata})
	})
	if err == nil {
		p.doc.PaymentStatus = string(payment.Status)
	}
	return err
}

// prove hands the transfer's hash over (POST …/payment-proof): verified by the
// Market on the chain, or recorded where it has none, after our own check. On the
// escrow rails it hands over the lock.
func (m *Market) prove(ctx context.Context, p *purchase) (step, error) {
	mode, err := m.handProof(ctx, p)
	if err != nil {
		return m.notProven(ctx, p, err)
	}
	return step{event: EventProven, detail: string(mode)}, nil
}

func (m *Market) handProof(ctx context.Context, p *purchase) (mode orchestration.VerificationMode, err error) {
	if policy.IsEscrow(p.doc.Terms.Rail) {
		return "", m.handLock(ctx, p)
	}
	if mode = m.proof; p.doc.Reference != "" {
		mode = orchestration.VerifyRecorded
	}
	err = m.submitProof(ctx, p, mode)
	if orchestration.Classify(err) == orchestration.ActionRecordProof {
		mode = orchestration.VerifyRecorded
		err = m.submitProof(ctx, p, mode)
	}
	return mode, err
}

func (m *Market) submitProof(ctx context.Context, p *purchase, mode orchestration.VerificationMode) error {
	r := m.transferProof(p)
	if p.doc.Reference != "" {
		r = m.referenceProof(p)
	}
	r.VerificationMode = mode
	payment, err := call(ctx, m, func(s pairing.Session) (*orchestration.Payment, error) {
		return m.api.SubmitPaymentProof(ctx, s.Token, p.OrderID, r)
	})
	if err == nil {
		p.doc.PaymentStatus = string(payment.Status)
	}
	return err
}

func (m *Market) transferProof(p *purchase) orchestration.PaymentProofRequest {
	t := p.doc.Terms
	return orchestration.PaymentProofRequest{
		Chain: string(t.Chain), Token: t.Symbol, PayerAddress: m.payer.Hex(), PayeeAddress: t.Payee.Hex(),
		Amount: t.Amount.Format(t.Decimals), TransactionHash: p.doc.TxHash,
		TokenAddress: t.Token.Hex(), TokenDecimals: new(int(t.Decimals)), RawAmount: t.Amount.String(),
	}
}

// peaqChain stands where a payment made elsewhere has no chain: the API wants one.
const peaqChain = "eip155:3338"

// referenceProof records what a person paid elsewhere. The API takes a hash
// only: a reference that is none is sent as its own hash, with the text beside it.
func (m *Market) referenceProof(p *purchase) orchestration.PaymentProofRequest {
	due, reference := p.doc.Due, p.doc.Reference
	r := orchestration.PaymentProofRequest{
		Chain: orDefault(due.Chain, peaqChain), Token: due.Token, TokenAddress: due.TokenAddress, PayerAddress: m.payer.Hex(),
		PayeeAddress: orDefault(orDefault(due.PayeeAddress, due.WalletAddress), m.payer.Hex()),
		Amount:       p.doc.Terms.Price.String(), TransactionHash: reference,
	}
	if raw, err := hexutil.Decode(reference); err != nil || len(raw) != common.HashLength {
		r.TransactionHash = crypto.Keccak256Hash([]byte(reference)).Hex()
	}
	if text, err := json.Marshal(map[string]string{"reference": reference}); err == nil {
		r.Metadata = text
	}
	return r
}

// notProven decides about a proof that the Market did not take. The value has
// moved or may move: nothing is ever paid again because of it.
func (m *Market) notProven(ctx context.Context, p *purchase, err error) (step, error) {
	if ctx.Err() != nil || orchestration.Ambiguous(err) {
		if s, dead := m.died(ctx, p); dead {
			return s, nil
		}
		return step{}, wait(err)
	}
	switch orchestration.Classify(err) {
	case orchestration.ActionAsk, orchestration.ActionOurFault:
		if p.doc.Terms.x402() {
			return m.askChain(ctx, p, err)
		}
		order, readErr := m.readOrder(ctx, p)
		if readErr != nil {
			return step{}, readErr
		}
		if proofTaken(order.Status) {
			return step{event: EventProven, detail: "order is " + string(order.Status)}, nil
		}
		return step{event: EventHold, reason: policy.ReasonMarketRefused, detail: err.Error()}, nil
	default:
		return step{}, wait(err)
	}
}

// askChain decides about an authorisation that the Market does not take: what
// counts is whether it was used, may still be, or is dead.
func (m *Market) askChain(ctx context.Context, p *purchase, cause error) (step, error) {
	rail, known := m.rails.Rail(p.doc.Terms.Rail)
	if !known {
		return step{}, waitFor(policy.ReasonRailUnsupported, cause)
	}
	outcome, err := rail.Check(ctx, p.ID)
	switch {
	case err != nil:
		return step{}, waitFor(policy.ReasonHeld, errors.Join(cause, err))
	case outcome.Status == payments.NotPaid:
		return m.unused(p, cause.Error()), nil
	case outcome.Status == payments.Paid && p.state() == Paying:
		return step{event: EventProven, detail: outcome.Ref}, nil
	default:
		return step{}, waitFor(policy.ReasonHeld, cause)
	}
}

// maxRenewals bounds how often one purchase signs an authorisation again.
const maxRenewals = 2

// unused decides about an authorisation that is proven dead: nobody used it and
// nobody can. While there is time the same purchase signs again, under the same
// nonce; otherwise it has failed.
func (m *Market) unused(p *purchase, detail string) step {
	if p.doc.Renewals < maxRenewals && time.Now().Before(p.Deadline) {
		p.doc.Renewals++
		p.doc.Committed = false
		return step{event: EventRenew, reason: policy.ReasonAuthorizationUnused, detail: detail}
	}
	return step{event: EventUnpaid, reason: policy.ReasonAuthorizationUnused, detail: detail}
}

// proofTaken says whether an order in this status has its payment.
func proofTaken(s orchestration.OrderStatus) bool {
	switch s {
	case orchestration.OrderReady, orchestration.OrderExecuting, orchestration.OrderDelivered, orchestration.OrderHandoff,
		orchestration.OrderFailed, orchestration.OrderConfirmed, orchestration.OrderDisputed:
		return true
	default:
		return false
	}
}

// findProof reads the order first: a proof may have arrived.
func (m *Market) findProof(ctx context.Context, p *purchase) (step, error) {
	order, err := m.readOrder(ctx, p)
	if err != nil {
		return step{}, err
	}
	if proofTaken(order.Status) {
		return step{event: EventProven, detail: "order is " + string(order.Status)}, nil
	}
	return m.prove(ctx, p)
}

// proveAgain hands over the same evidence once more when the Market says that
// it has none, and waits.
func (m *Market) proveAgain(ctx context.Context, p *purchase, cause error) error {
	if p.doc.Terms.free() {
		return wait(cause)
	}
	var err error
	if p.doc.Terms.x402() {
		var evidence payments.Evidence
		if evidence, err = m.evidence(ctx, p); err == nil {
			err = m.submitHeader(ctx, p, evidence)
		}
	} else {
		_, err = m.handProof(ctx, p)
	}
	return waitFor(policy.ReasonHeld, errors.Join(cause, err))
}

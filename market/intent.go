// SPDX-License-Identifier: Apache-2.0

package market

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/orchestration"
	"github.com/agentd-project/agentd/pairing"
	"github.com/agentd-project/agentd/payments"
	"github.com/agentd-project/agentd/policy"
)

// intend asks for the payment intent (POST …/payment-intent, idempotent),
// compares its terms with the quote's, and has the guard grant exactly them.
func (m *Market) intend(ctx context.Context, p *purchase) (step, error) {
	if p.doc.Terms.free() {
		return step{event: EventFree}, nil
	}
	payment, err := call(ctx, m, func(s pairing.Session) (*orchestration.Payment, error) {
		return m.api.CreatePaymentIntent(ctx, s.Token, p.OrderID, m.intentRequest(p))
	})
	if err != nil {
		return m.unpaid(err)
	}
	p.doc.PaymentStatus = string(payment.Status)
	if m.rails.Human(p.doc.Terms.Rail) {
		return step{event: EventHold, reason: policy.ReasonReferenceRequired, detail: payment.Rail.ExternalURL}, nil
	}
	exact, deadline, reason, detail := m.compareIntent(p, payment)
	if reason == policy.ReasonHeld {
		// Somebody paid, perhaps we did before an older ledger was restored: the
		// budget stays taken until a person has looked.
		return step{event: EventHold, reason: reason, detail: detail}, nil
	}
	if reason != policy.Allowed {
		return step{event: EventRefused, reason: reason, detail: detail}, nil
	}
	if exact.x402() {
		p.doc.Challenge = payment.Rail.Metadata
	}
	if p.doc.Approved != nil && !p.doc.Approved.covers(exact) {
		return step{event: EventDenied, reason: policy.ReasonApprovalChanged, detail: "not what was approved"}, nil
	}
	request := m.request(p, exact) // what was reserved is compared inside the guard
	if m.guard.Rules().Payees == policy.PayeesApprove {
		// Whoever agreed to a payment without seeing its payee did not agree to the payee.
		request.Approved = p.doc.Approved != nil && p.doc.Approved.Payee == exact.Payee
	}
	p.doc.Terms = exact
	s := step{event: EventIntended, detail: exact.Amount.String() + " " + exact.Symbol}
	mv, err := p.move(m.rows[Ordered], s)
	if err != nil {
		return step{}, err
	}
	request.Record = mv
	if deadline.IsZero() {
		deadline = p.Deadline // nothing is signed for the first time after it
	}
	_, verdict, err := m.guard.Grant(ctx, request, exact.exact(deadline))
	if err != nil {
		return step{}, err
	}
	if !verdict.Allowed() {
		return m.denied(ctx, p, verdict.Reason, "")
	}
	s.committed = mv
	return s, nil
}

// intentRequest builds the rail from the order's recommendation, as the
// published client does; amounts are the Market's to say and ours to compare.
func (m *Market) intentRequest(p *purchase) orchestration.PaymentIntentRequest {
	due := p.doc.Due
	rail := &orchestration.RailRequest{
		Type: orchestration.RailType(p.doc.Terms.Rail), Chain: due.Chain, Token: due.Token, TokenAddress: due.TokenAddress,
		TokenMint: due.TokenMint, PayeeAddress: due.PayeeAddress, WalletAddress: due.WalletAddress, PayerAddress: due.PayerAddress,
	}
	if rail.PayerAddress == "" && p.doc.Terms.hasToken() {
		rail.PayerAddress = m.payer.Hex()
	}
	return orchestration.PaymentIntentRequest{Rail: rail}
}

// compareIntent completes the terms from the intent. Everything that the quote
// or the order set must stand unchanged; the amount is checked three ways:
// quote, intent or challenge, and, inside the guard, the reservation.
func (m *Market) compareIntent(p *purchase, payment *orchestration.Payment) (exact terms, deadline time.Time, reason policy.Reason, detail string) {
	quoted := p.doc.Terms
	fail := func(reason policy.Reason, detail string) (terms, time.Time, policy.Reason, string) {
		return quoted, time.Time{}, reason, detail
	}
	if !p.mayPay(payment.Status) {
		return fail(policy.ReasonHeld, "the payment reads "+string(payment.Status)+" before anything was paid")
	}
	if payment.OrderID != p.OrderID {
		return fail(policy.ReasonServiceMismatch, "the payment is of order "+payment.OrderID)
	}
	if !policy.SameRail(quoted.Rail, string(payment.Rail.Type)) {
		return fail(policy.ReasonRailMismatch, string(payment.Rail.Type))
	}
	exact = quoted
	recommendation := orchestration.PaymentTerms{Chain: payment.Rail.Chain, Token: payment.Rail.Token,
		TokenAddress: payment.Rail.TokenAddress, PayeeAddress: payment.Rail.PayeeAddress}
	if reason, detail = m.readPayment(&exact, recommendation); reason != policy.Allowed {
		return fail(reason, detail)
	}
	if exact.x402() {
		if deadline, reason, detail = m.readChallenge(&exact, payment); reason != policy.Allowed {
			return fail(reason, detail)
		}
	} else if reason, detail = readAmount(&exact, payment); reason != policy.Allowed {
		return fail(reason, detail)
	}
	if policy.IsEscrow(exact.Rail) {
		if reason, detail = m.setEscrow(&exact, p.OrderID, payment.Rail.EscrowAddress); reason != policy.Allowed {
			return fail(reason, detail)
		}
	}
	if reason = quoted.changed(exact); reason != policy.Allowed {
		return fail(reason, "the intent says otherwise than the quote")
	}
	if reason, detail = m.comparePrice(quoted, &exact, payment); reason != policy.Allowed {
		return fail(reason, detail)
	}
	return exact, deadline, policy.Allowed, ""
}

// railMetadata is the part of an intent's metadata that says what to transfer.
type railMetadata struct {
	RawAmount     json.RawMessage `json:"rawAmount"`
	TokenDecimals *int            `json:"tokenDecimals"`
	Decimals      *int            `json:"decimals"`
}

// readAmount reads how much a transfer must move: rawAmount, or the amount in
// units; if both are there they must agree.
func readAmount(t *terms, payment *orchestration.Payment) (policy.Reason, string) {
	if !t.hasToken() {
		return policy.ReasonTokenUnknown, "the intent names no token"
	}
	if !t.hasPayee() {
		return policy.ReasonPayeeMismatch, "the intent names no payee"
	}
	var meta railMetadata
	if !isNull(payment.Rail.Metadata) {
		if err := json.Unmarshal(payment.Rail.Metadata, &meta); err != nil {
			return policy.ReasonPriceInvalid, "the intent's metadata cannot be read"
		}
	}
	for _, d := range []*int{meta.TokenDecimals, meta.Decimals} {
		if d != nil && *d != int(t.Decimals) {
			return policy.ReasonDecimalsMismatch, fmt.Sprintf("%d, the token has %d", *d, t.Decimals)
		}
	}
	var found []money.Amount
	if !isNull(meta.RawAmount) {
		text := string(meta.RawAmount)
		if text[0] == '"' {
			if err := json.Unmarshal(meta.RawAmount, &text); err != nil {
				return policy.ReasonPriceInvalid, "rawAmount cannot be read"
			}
		}
		raw, err := money.ParseBase(text)
		if err != nil {
			return policy.ReasonPriceInvalid, "rawAmount: " + err.Error()
		}
		found = append(found, raw)
	}
	if payment.Amount != "" {
		units, err := money.Parse(payment.Amount.String(), t.Decimals)
		if err != nil {
			return policy.ReasonPriceInvalid, "amount: " + err.Error()
		}
		found = append(found, units)
	}
	if len(found) == 0 {
		return policy.ReasonPriceUnknown, "the intent names no amount"
	}
	if found[0] != found[len(found)-1] {
		return policy.ReasonPriceChanged, "rawAmount and amount disagree"
	}
	t.Amount = found[0]
	return policy.Allowed, ""
}

// readChallenge takes the terms from the one x402 entry that will be signed.
func (m *Market) readChallenge(t *terms, payment *orchestration.Payment) (time.Time, policy.Reason, string) {
	challenge, err := payments.ParseChallenge(payment.Rail.Metadata)
	if err != nil {
		return time.Time{}, policy.ReasonChallengeInvalid, err.Error()
	}
	entry, reason := challenge.Choose(m.asShown(payment, m.payable(*t)))
	if reason != policy.Allowed {
		return time.Time{}, reason, "no entry of the challenge can be paid"
	}
	token, _ := m.token(entry.Network, entry.Asset.Hex(), "")
	t.Chain, t.Token, t.Symbol, t.Decimals = entry.Network, entry.Asset, token.Symbol, token.Decimals
	t.Payee, t.Amount = entry.PayTo, entry.Amount
	return time.Now().Add(entry.MaxTimeout).UTC(), policy.Allowed, ""
}

// payable says of an entry of a challenge whether these terms may pay it. The
// entry that is checked here is the one that is signed.
func (m *Market) payable(t terms) func(payments.Entry) policy.Reason {
	return func(e payments.Entry) policy.Reason {
		token, known := m.token(e.Network, e.Asset.Hex(), "")
		switch {
		case !m.configured(e.Network):
			return policy.ReasonChainUnknown
		case !known:
			return policy.ReasonTokenUnknown
		case t.Chain != "" && t.Chain != e.Network:
			return policy.ReasonChainMismatch
		case t.hasToken() && t.Token != e.Asset:
			return policy.ReasonTokenMismatch
		case t.hasPayee() && t.Payee != e.PayTo:
			return policy.ReasonPayeeMismatch
		case e.PayTo == common.Address{}:
			return policy.ReasonPayeeMismatch
		case e.Name != token.DomainName || e.Version != token.DomainVersion:
			return policy.ReasonDomainMismatch
		case t.Priced && !costs(e.Amount, token.Decimals, t.Price):
			return policy.ReasonPriceChanged
		default:
			return policy.Allowed
		}
	}
}

// asShown admits of the entries that may be paid those of the amount that the
// intent shows, if it shows one.
func (m *Market) asShown(payment *orchestration.Payment, payable func(payments.Entry) policy.Reason) func(payments.Entry) policy.Reason {
	return func(e payments.Entry) policy.Reason {
		reason := payable(e)
		if reason != policy.Allowed || payment.Amount == "" {
			return reason
		}
		token, _ := m.token(e.Network, e.Asset.Hex(), "")
		shown, err := money.Parse(payment.Amount.String(), token.Decimals)
		switch {
		case err != nil:
			return policy.ReasonPriceInvalid
		case shown != e.Amount:
			return policy.ReasonPriceChanged
		}
		return policy.Allowed
	}
}

// costs says whether an amount of a token is worth a price, to the last digit.
func costs(amount money.Amount, decimals uint8, price money.Value) bool {
	value, err := money.ValueOf(amount, decimals)
	return err == nil && value == price
}

func (m *Market) configured(chain money.ChainID) bool {
	id, ok := m.chain(string(chain))
	return ok && id == chain
}

// comparePrice holds the exact amount against the quoted price, or against the
// need's maximum where the quote named none.
func (m *Market) comparePrice(quoted terms, exact *terms, payment *orchestration.Payment) (policy.Reason, string) {
	value, err := money.ValueOf(exact.Amount, exact.Decimals)
	if err != nil {
		return policy.ReasonPriceInvalid, err.Error()
	}
	if !m.counts(orDefault(payment.Currency, exact.Symbol), exact) {
		return policy.ReasonCurrencyMismatch, orDefault(payment.Currency, exact.Symbol)
	}
	if quoted.Priced && value != quoted.Price {
		return policy.ReasonPriceChanged, "quoted " + quoted.Price.String() + ", asked " + value.String()
	}
	exact.Price, exact.Priced = value, true
	return policy.Allowed, ""
}

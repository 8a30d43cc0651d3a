// SPDX-License-Identifier: Apache-2.0

package market

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/orchestration"
	"github.com/agentd-project/agentd/policy"
)

// quoteMargin is how long before its end a quote counts as too old: the order
// has to arrive in time.
const quoteMargin = 10 * time.Second

// judge reads every quote of a search and asks the guard about each, on the
// rail that would be used.
func (m *Market) judge(ctx context.Context, p *purchase, found *orchestration.SearchResult) ([]candidate, error) {
	quotes := found.Quotes[:min(len(found.Quotes), maxQuotes)]
	candidates := make([]candidate, 0, len(quotes))
	for _, q := range quotes {
		c, err := m.judgeQuote(ctx, p, found.NormalizedTask, q)
		if err != nil {
			return nil, err
		}
		candidates = append(candidates, c)
	}
	return candidates, nil
}

// judgeQuote tries the quote's rails, the default first and those that a person
// must pay last, and keeps the first that is allowed.
func (m *Market) judgeQuote(ctx context.Context, p *purchase, task orchestration.NormalizedTask, q orchestration.Quote) (candidate, error) {
	rails := []orchestration.RailType{q.Payment.DefaultRail}
	for _, r := range q.Payment.SupportedRails[:min(len(q.Payment.SupportedRails), maxShown)] {
		if !slices.Contains(rails, r) {
			rails = append(rails, r)
		}
	}
	slices.SortStableFunc(rails, func(a, b orchestration.RailType) int {
		return boolToInt(m.rails.Human(string(a))) - boolToInt(m.rails.Human(string(b)))
	})
	var first *candidate
	for _, rail := range rails {
		c := m.read(p, task, q, string(rail))
		if c.reason == policy.Allowed {
			if err := m.ask(ctx, p, &c); err != nil {
				return candidate{}, err
			}
		}
		if c.reason == policy.Allowed {
			return c, nil
		}
		if first == nil || (c.reason == policy.ReasonApprovalRequired && first.reason != policy.ReasonApprovalRequired) {
			first = &c
		}
	}
	return *first, nil
}

func boolToInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// ask puts a candidate that could be read before the guard.
func (m *Market) ask(ctx context.Context, p *purchase, c *candidate) error {
	verdict, err := m.guard.Decide(ctx, m.request(p, c.terms))
	if err != nil {
		return fmt.Errorf("decide about quote %s: %w", c.quote, err)
	}
	c.reason = verdict.Reason
	if c.reason == policy.Allowed && p.doc.Approved != nil && !p.doc.Approved.covers(c.terms) {
		c.reason, c.detail = policy.ReasonApprovalChanged, "not what was approved"
	}
	return nil
}

// request is what the guard is asked about terms of a purchase.
func (m *Market) request(p *purchase, t terms) policy.Request {
	return policy.Request{
		Purchase: p.ID, Need: p.Need, Service: t.Service, Skill: t.Skill, Provider: t.Provider,
		ServiceType: t.ServiceType, Operation: t.Operation, Rail: t.Rail, Native: t.Native,
		Chain: t.Chain, Token: t.Token, Symbol: t.Symbol, HasToken: t.hasToken(), Payee: t.Payee, HasPayee: t.hasPayee(),
		Currency: m.guard.Rules().Currency, Value: t.Price, PriceUnknown: !t.Priced,
		MaxPrice: p.doc.Need.MaxPrice, HasMaxPrice: p.doc.Need.HasMaxPrice, Approved: p.doc.Approved != nil,
	}
}

// read turns a quote into terms; a reason other than allowed says what about it
// cannot be taken.
func (m *Market) read(p *purchase, task orchestration.NormalizedTask, q orchestration.Quote, rail string) candidate {
	c := candidate{quote: q.ID, reason: policy.Allowed, terms: terms{
		Service: q.ServiceID, Skill: q.SkillKey, Provider: q.ProviderKey, ServiceType: string(task.ServiceType),
		Operation: q.Operation, Native: q.ExecutionMode == orchestration.ExecutionNative, Rail: rail,
		Currency: q.Pricing.Currency, PriceText: q.Pricing.Amount.String(),
	}}
	c.score, _ = money.ParseValueUp(q.Score.String()) // an unreadable score is the lowest
	refuse := func(reason policy.Reason, detail string) candidate {
		c.reason, c.detail = reason, detail
		return c
	}
	need := p.doc.Need
	switch {
	case overlong(q.ID, q.ServiceID, q.SkillKey, q.ProviderKey, q.Operation, string(task.ServiceType), rail, q.Pricing.Currency, c.terms.PriceText):
		return refuse(policy.ReasonServiceNotAllowed, "a name in the quote is too long")
	case need.Search.Operation != "" && q.Operation != need.Search.Operation:
		return refuse(policy.ReasonOperationNotAllowed, "another operation than the need's")
	case need.Search.Skill != "" && q.SkillKey != need.Search.Skill:
		return refuse(policy.ReasonSkillNotAllowed, "another skill than the need's")
	case !c.terms.Native && (need.Search.NativeOnly || !need.Search.AllowExternalHandoff):
		return refuse(policy.ReasonHandedOff, "the need does not allow a handoff")
	}
	expires, err := q.ExpiresAt.Time()
	if err != nil || !time.Now().Add(quoteMargin).Before(expires) {
		return refuse(policy.ReasonQuoteExpired, string(q.ExpiresAt))
	}
	c.expires = expires
	if rail == policy.RailNotRequired && q.Payment.Required {
		return refuse(policy.ReasonRailMismatch, "payment is required on the rail not-required")
	}
	if reason, detail := m.readPayment(&c.terms, q.Payment); reason != policy.Allowed {
		return refuse(reason, detail)
	}
	if reason, detail := m.readPrice(&c.terms, q.Pricing); reason != policy.Allowed {
		return refuse(reason, detail)
	}
	if c.terms.Priced && need.HasMaxPrice && c.terms.Price > need.MaxPrice {
		return refuse(policy.ReasonMaxPrice, c.terms.Price.String()+" is above "+need.MaxPrice.String())
	}
	return c
}

// readPayment takes over what a recommendation says of chain, token and payee.
// What it leaves out stays unset until the intent.
func (m *Market) readPayment(t *terms, payment orchestration.PaymentTerms) (policy.Reason, string) {
	if t.free() {
		return policy.Allowed, ""
	}
	if m.rails.Human(t.Rail) {
		if !m.guard.Rules().Allow.Rails.Has(t.Rail) {
			return policy.ReasonRailUnsupported, "a person pays on this rail: the policy must name it"
		}
		return policy.Allowed, ""
	}
	if _, known := m.rails.Rail(t.Rail); !known {
		return policy.ReasonRailUnsupported, t.Rail
	}
	if payment.Chain != "" {
		chain, known := m.chain(payment.Chain)
		if !known {
			return policy.ReasonChainUnknown, payment.Chain
		}
		t.Chain = chain
		if policy.IsEscrow(t.Rail) && !slices.ContainsFunc(m.escrows, func(e Escrow) bool { return e.Chain == chain }) {
			return policy.ReasonEscrowUnknown, "no escrow is listed for " + string(chain)
		}
		if payment.TokenAddress != "" || payment.Token != "" {
			token, known := m.token(chain, payment.TokenAddress, payment.Token)
			if !known {
				return policy.ReasonTokenUnknown, payment.Token + " " + payment.TokenAddress
			}
			t.Token, t.Symbol, t.Decimals = token.Address, token.Symbol, token.Decimals
		}
	}
	if payment.PayeeAddress != "" {
		if !common.IsHexAddress(payment.PayeeAddress) {
			return policy.ReasonPayeeMismatch, "the payee is no address"
		}
		t.Payee = common.HexToAddress(payment.PayeeAddress)
	}
	return policy.Allowed, ""
}

// readPrice reads the quote's price from its decimal text. A price in another
// currency than the policy's is refused; a token counts at the value that its
// configuration says.
func (m *Market) readPrice(t *terms, pricing orchestration.Pricing) (policy.Reason, string) {
	if pricing.Amount == "" || pricing.Mode == orchestration.PricingQuoteRequired {
		t.PriceText = ""
		t.Priced = t.free() // nothing is due on the free rail
		return policy.Allowed, ""
	}
	decimals := uint8(money.ValueDecimals)
	if t.hasToken() {
		decimals = t.Decimals
	}
	amount, err := money.Parse(pricing.Amount.String(), decimals)
	if err != nil {
		return policy.ReasonPriceInvalid, err.Error()
	}
	value, err := money.ValueOf(amount, decimals)
	if err != nil {
		return policy.ReasonPriceInvalid, err.Error()
	}
	t.Price, t.Priced = value, true
	if t.hasToken() {
		t.Amount = amount
	}
	if value == 0 {
		return policy.Allowed, ""
	}
	if !m.counts(pricing.Currency, t) {
		return policy.ReasonCurrencyMismatch, pricing.Currency
	}
	return policy.Allowed, ""
}

// counts says whether a price in a currency counts in the policy's: it is that
// currency, or the name of a token that the owner values in it.
func (m *Market) counts(currency string, t *terms) bool {
	own := m.guard.Rules().Currency
	if t.hasToken() {
		token, _ := m.token(t.Chain, t.Token.Hex(), "")
		return token.Currency == own && (strings.EqualFold(currency, own) || strings.EqualFold(currency, token.Symbol))
	}
	if strings.EqualFold(currency, own) {
		return true
	}
	return slices.ContainsFunc(m.tokens, func(token Token) bool {
		return token.Currency == own && strings.EqualFold(currency, token.Symbol)
	})
}

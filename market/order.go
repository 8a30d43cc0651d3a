// SPDX-License-Identifier: Apache-2.0

package market

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/orchestration"
	"github.com/agentd-project/agentd/pairing"
	"github.com/agentd-project/agentd/policy"
)

const (
	// maxListed bounds how many orders are looked through for a lost one.
	maxListed = 2000
	// maxDuplicates bounds how many orders that were left behind are recorded.
	maxDuplicates = 50
)

// createOrder creates the order (POST /market/orders). The call is not
// idempotent: an answer that is lost is looked for in the list by findOrder,
// and the order is never simply made again.
func (m *Market) createOrder(ctx context.Context, p *purchase) (step, error) {
	t, need := p.doc.Terms, p.doc.Need
	if !time.Now().Before(p.doc.QuoteExpiry) {
		return step{event: EventRequote, reason: policy.ReasonQuoteExpired}, nil
	}
	credentials, err := m.needs[p.Need].credentials()
	if err != nil {
		return step{}, err
	}
	p.doc.OrderSent = time.Now().UTC() // the patience counts from the last request, not from the reservation
	order, err := call(ctx, m, func(s pairing.Session) (*orchestration.Order, error) {
		r := orchestration.CreateOrderRequest{
			MachineID: s.MachineID, AgentPairingID: s.PairingID, ServiceID: t.Service, SearchID: p.SearchID, QuoteID: p.QuoteID,
			Operation: t.Operation, Input: need.Input, ProviderCredentials: credentials,
		}
		if t.PriceText != "" {
			r.Budget = &orchestration.OrderBudget{Amount: json.Number(t.PriceText), Currency: t.Currency}
		}
		return m.api.CreateOrder(ctx, s.Token, r)
	})
	if err == nil {
		return m.ordered(p, order)
	}
	if !orchestration.Ambiguous(err) {
		p.doc.OrderSent = time.Time{} // proven: no order was made
	}
	return m.unpaid(err)
}

// findOrder looks for the order that a lost answer or a crash left behind. Its
// search belongs to this purchase alone, so search and quote identify it.
//
// Possible worlds: the order is there: go on with it. It is not there, and the
// request was sent less than the patience ago: it may still appear, look again.
// It is not there after that: it was never made, make it. Two are there: an
// answer came very late; the older is ours, the other is recorded and never paid.
func (m *Market) findOrder(ctx context.Context, p *purchase) (step, error) {
	if p.doc.OrderSent.IsZero() {
		return m.orderAgain(p)
	}
	wait, cancel := context.WithTimeout(ctx, tokenWait)
	s, err := m.sessions.Token(wait)
	cancel()
	if err != nil {
		return step{}, noSession(ctx, err)
	}
	var mine listedOrders
	seen := 0
	for order, err := range m.api.Orders(ctx, s.MachineID, orchestration.ListOptions{}) {
		if err != nil {
			return m.listUnreadable(err)
		}
		if order.SearchID == p.SearchID && order.QuoteID == p.QuoteID {
			mine.add(order)
		}
		if seen++; seen >= maxListed {
			break
		}
	}
	if mine.oldest == nil {
		if left := time.Until(p.doc.OrderSent.Add(m.patience)); left > 0 {
			err := fmt.Errorf("no order of search %s yet", p.SearchID)
			return step{}, &waitError{reason: policy.ReasonOrderAmbiguous, pause: min(left, 2*time.Second), err: err}
		}
		return m.orderAgain(p)
	}
	p.doc.leftBehind(mine.others...)
	if s, paid := m.paidBefore(p, mine.oldest); paid {
		return s, nil
	}
	return m.ordered(p, mine.oldest)
}

// listedOrders are the orders of one search and quote: the oldest, and the names
// of the others. No more is kept, since a list may be long and its records large.
type listedOrders struct {
	oldest *orchestration.Order
	others []string
}

func (l *listedOrders) add(order orchestration.Order) {
	switch o := l.oldest; {
	case o == nil:
		l.oldest = &order
		return
	case order.CreatedAt < o.CreatedAt || (order.CreatedAt == o.CreatedAt && order.ID < o.ID):
		l.oldest, order = &order, *o
	}
	if len(l.others) < maxDuplicates {
		l.others = append(l.others, order.ID)
	}
}

// leftBehind records orders that are never paid.
func (d *document) leftBehind(orders ...string) {
	for _, id := range orders {
		if len(d.Duplicates) < maxDuplicates {
			d.Duplicates = append(d.Duplicates, clip(id, maxName))
		}
	}
}

// orderAgain notes durably that an order is about to be sent once more.
func (m *Market) orderAgain(p *purchase) (step, error) {
	p.doc.OrderSent = time.Now().UTC()
	return step{event: EventOrderAgain}, nil
}

// listUnreadable decides when the order list cannot be read: without the
// platform key only a person can look.
func (m *Market) listUnreadable(err error) (step, error) {
	if orchestration.Classify(err) == orchestration.ActionFixConfiguration {
		return step{event: EventHold, reason: policy.ReasonOrderAmbiguous, detail: "the order list needs a platform key: " + err.Error()}, nil
	}
	return step{}, wait(err)
}

// ordered compares the order with what was quoted; a set term never changes.
func (m *Market) ordered(p *purchase, order *orchestration.Order) (step, error) {
	t := p.doc.Terms
	refuse := func(reason policy.Reason, detail string) (step, error) {
		return step{event: EventRefused, reason: reason, detail: detail}, nil
	}
	if len(order.ID) > maxName {
		return refuse(policy.ReasonServiceMismatch, "the order's name is too long")
	}
	p.OrderID, p.doc.Due = order.ID, due(order.Payment)
	switch {
	case order.ServiceID != t.Service || order.Operation != t.Operation || order.ProviderKey != t.Provider || order.SkillKey != t.Skill:
		return refuse(policy.ReasonServiceMismatch, "the order is for another service, skill or operation")
	case (order.ExecutionMode == orchestration.ExecutionNative) != t.Native:
		return refuse(policy.ReasonServiceMismatch, "the order runs elsewhere than the quote said")
	case orDefault(order.SearchID, p.SearchID) != p.SearchID || orDefault(order.QuoteID, p.QuoteID) != p.QuoteID:
		return refuse(policy.ReasonServiceMismatch, "the order belongs to another search or quote")
	case order.Payment.Required && t.free():
		return refuse(policy.ReasonRailMismatch, "the order wants a payment, the quote did not")
	case !offers(order.Payment, t.Rail):
		return refuse(policy.ReasonRailMismatch, "the order does not offer the rail "+t.Rail)
	}
	again := t
	if reason, detail := m.readPayment(&again, order.Payment); reason != policy.Allowed {
		return refuse(reason, detail)
	}
	if reason := t.changed(again); reason != policy.Allowed {
		return refuse(reason, "the order says otherwise than the quote")
	}
	p.doc.Terms = again
	return step{event: EventOrdered, detail: order.ID}, nil
}

// due keeps of an order's payment what the intent is asked with.
func due(payment orchestration.PaymentTerms) orchestration.PaymentTerms {
	kept := orchestration.PaymentTerms{Chain: payment.Chain, Token: payment.Token, TokenAddress: payment.TokenAddress, TokenMint: payment.TokenMint,
		PayeeAddress: payment.PayeeAddress, WalletAddress: payment.WalletAddress, PayerAddress: payment.PayerAddress}
	for _, name := range []*string{&kept.Chain, &kept.Token, &kept.TokenAddress, &kept.TokenMint, &kept.PayeeAddress, &kept.WalletAddress, &kept.PayerAddress} {
		if len(*name) > maxName {
			*name = ""
		}
	}
	return kept
}

func offers(payment orchestration.PaymentTerms, rail string) bool {
	if policy.SameRail(string(payment.DefaultRail), rail) {
		return true
	}
	for _, r := range payment.SupportedRails {
		if policy.SameRail(string(r), rail) {
			return true
		}
	}
	return false
}

// changed names the first set term that a later answer changed.
func (t terms) changed(later terms) policy.Reason {
	switch {
	case !policy.SameRail(t.Rail, later.Rail):
		return policy.ReasonRailMismatch
	case t.Chain != "" && t.Chain != later.Chain:
		return policy.ReasonChainMismatch
	case t.hasToken() && t.Token != later.Token:
		return policy.ReasonTokenMismatch
	case t.hasToken() && t.Decimals != later.Decimals:
		return policy.ReasonDecimalsMismatch
	case t.hasPayee() && t.Payee != later.Payee:
		return policy.ReasonPayeeMismatch
	case t.Escrow != common.Address{} && t.Escrow != later.Escrow:
		return policy.ReasonEscrowUnknown
	default:
		return policy.Allowed
	}
}

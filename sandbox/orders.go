// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/agentd-project/agentd/money"
)

// order is one purchase as the Market keeps it.
type order struct {
	id, machineID, pairingID, searchID, quoteID string
	service                                     *Service // as it was when the order was made
	operation, status, failure                  string
	input                                       json.RawMessage
	budget                                      *orderBudget
	terms                                       recommendation
	price, basis                                money.Value // basis is what counts against the limits
	created, updated                            time.Time
	payment                                     *payment
	run                                         *runRecord
	outcome                                     *outcomeRecord
}

type orderBudget struct {
	Amount   *decimal `json:"amount"`
	Currency *string  `json:"currency"`
}

type orderRecord struct {
	ID                string          `json:"id"`
	MachineID         string          `json:"machineId"`
	AgentPairingID    string          `json:"agentPairingId"`
	ServiceID         string          `json:"serviceId"`
	SkillKey          string          `json:"skillKey"`
	ProviderKey       string          `json:"providerKey"`
	ServiceType       string          `json:"serviceType"`
	Operation         string          `json:"operation"`
	ExecutionMode     string          `json:"executionMode"`
	IntegrationStatus string          `json:"integrationStatus"`
	Status            string          `json:"status"`
	Input             json.RawMessage `json:"input"`
	Payment           recommendation  `json:"payment"`
	SearchID          *string         `json:"searchId"`
	QuoteID           *string         `json:"quoteId"`
	Budget            *orderBudget    `json:"budget"`
	Handoff           *handoff        `json:"handoff"`
	ErrorMessage      *string         `json:"errorMessage"`
	CreatedAt         string          `json:"createdAt"`
	UpdatedAt         string          `json:"updatedAt"`
}

func orNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func (o *order) record() orderRecord {
	s := o.service
	return orderRecord{ID: o.id, MachineID: o.machineID, AgentPairingID: o.pairingID, ServiceID: s.ID, SkillKey: s.SkillKey,
		ProviderKey: s.ProviderKey, ServiceType: s.ServiceType, Operation: o.operation, ExecutionMode: s.executionMode(),
		IntegrationStatus: s.integrationStatus(), Status: o.status, Input: o.input, Payment: o.terms, SearchID: orNull(o.searchID),
		QuoteID: orNull(o.quoteID), Budget: o.budget, Handoff: s.handoff(), ErrorMessage: orNull(o.failure),
		CreatedAt: stamp(o.created), UpdatedAt: stamp(o.updated)}
}

func (o *order) closed() bool {
	return slices.Contains([]string{"confirmed", "disputed", "cancelled"}, o.status)
}

// enter moves an order to a state.
func (m *Market) enter(o *order, status, actor string) {
	o.status, o.updated = status, m.now()
	m.record(actor, "order."+status, "order", o.id, o.machineID, map[string]any{"status": status})
}

type orderBody struct {
	MachineID      string          `json:"machineId"`
	AgentPairingID string          `json:"agentPairingId"`
	ServiceID      string          `json:"serviceId"`
	SearchID       string          `json:"searchId"`
	QuoteID        string          `json:"quoteId"`
	Operation      string          `json:"operation"`
	Input          json.RawMessage `json:"input"`
	Budget         *budgetBody     `json:"budget"`
}

func (m *Market) createOrder(c *call) (answer, error) {
	var body orderBody
	if err := c.decode(&body); err != nil {
		return answer{}, err
	}
	if err := blank([2]string{"machineId", body.MachineID}, [2]string{"serviceId", body.ServiceID}); err != nil {
		return answer{}, err
	}
	if err := c.names(body.MachineID, body.AgentPairingID, true); err != nil {
		return answer{}, err
	}
	record, err := m.activeMachine(c.pairing.machineID)
	if err != nil {
		return answer{}, err
	}
	service, known := m.services.get(body.ServiceID)
	if !known {
		return answer{}, notFound("service", body.ServiceID)
	}
	o, err := m.draftOrder(body, service, c.pairing)
	if err != nil {
		return answer{}, err
	}
	if err := m.allow(o, c.pairing, record); err != nil {
		return answer{}, err
	}
	o.id = m.ids.next("ord")
	m.orders.put(o.id, o)
	m.journal.state("order.asked", o.id, map[string]any{"input": o.input, "payee": service.Payee.Hex(), "price": o.price.String()})
	m.record("agent", "order.created", "order", o.id, o.machineID, map[string]any{"serviceId": service.ID, "quoteId": o.quoteID,
		"price": o.price.String(), "currency": service.Currency})
	return created(o.record())
}

// draftOrder reads an order with the terms of its quote, or of the service where it names none.
func (m *Market) draftOrder(body orderBody, s *Service, p *pairing) (*order, error) {
	frozen := *s
	o := &order{machineID: p.machineID, pairingID: p.id, searchID: body.SearchID, quoteID: body.QuoteID, service: &frozen,
		operation: body.Operation, status: "created", input: json.RawMessage("{}"), terms: m.recommend(s, p), price: s.Price,
		created: m.now(), updated: m.now()}
	input, err := objectOr(body.Input, o.input)
	if err != nil {
		return nil, err
	}
	o.input, o.basis = input, s.Price
	if body.Budget != nil {
		o.budget = &orderBudget{Amount: body.Budget.Amount, Currency: body.Budget.Currency}
		if body.Budget.Amount != nil {
			o.basis = money.Value(*body.Budget.Amount)
		}
	}
	if body.QuoteID != "" {
		q, err := m.liveQuote(body, p)
		if err != nil {
			return nil, err
		}
		setText(&o.operation, q.operation)
		setText(&o.searchID, q.searchID)
		o.price, o.basis, frozen.Currency = q.price, q.price, q.currency
	} else if body.SearchID != "" {
		if found, known := m.searches.get(body.SearchID); !known || found.AgentPairingID != p.id {
			return nil, notFound("search", body.SearchID)
		}
	}
	setText(&o.operation, s.Operation)
	if o.operation != s.Operation {
		return nil, invalid("the service has no operation %q", clip(o.operation, 40))
	}
	return o, nil
}

func (m *Market) liveQuote(body orderBody, p *pairing) (*quote, error) {
	q, known := m.quotes[body.QuoteID]
	if !known || q.pairingID != p.id {
		return nil, notFound("quote", body.QuoteID)
	}
	if q.serviceID != body.ServiceID || body.SearchID != "" && q.searchID != body.SearchID {
		return nil, invalid("the quote is for another service or search")
	}
	if !m.now().Before(q.expires) {
		return nil, refuse(codeQuoteExpired, "the quote was good until %s", stamp(q.expires))
	}
	return q, nil
}

// objectOr returns text if it is a JSON object, untouched, or other if there is none.
func objectOr(text, other json.RawMessage) (json.RawMessage, error) {
	if len(text) == 0 || string(text) == "null" {
		return other, nil
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return nil, invalid("input must be an object")
	}
	return text, nil
}

// allow holds an order against the delegation, its limits and the account policies.
func (m *Market) allow(o *order, p *pairing, record *machine) error {
	if !m.permitted(p, record, o.service) {
		return refuse(codePolicyDenied, "the policy does not allow service %s", o.service.ID)
	}
	for _, rule := range m.policiesOf(record) {
		if err := rule.checkCap(o.basis, o.service.Currency); err != nil {
			return err
		}
	}
	return m.checkSpend(p, o.basis, o.service.Currency)
}

func (m *Market) listOrders(c *call) (answer, error) {
	machineID := c.query.Get("machineId")
	if machineID == "" {
		return answer{}, invalid("the query needs machineId")
	}
	record, err := m.activeMachine(machineID)
	if err != nil {
		return answer{}, err
	}
	var own []*order
	for _, o := range m.orders.newest() {
		if o.machineID == record.ID {
			own = append(own, o)
		}
	}
	cut, err := page(c.query, own, func(o *order) string { return o.id })
	reply := list[orderRecord]{Items: []orderRecord{}, NextCursor: cut.NextCursor}
	for _, o := range cut.Items {
		reply.Items = append(reply.Items, o.record())
	}
	return answer{http.StatusOK, reply}, err
}

// orderOf returns the order of a path; a pairing sees those of its machine alone.
func (m *Market) orderOf(c *call) (*order, error) {
	o, known := m.orders.get(c.path("orderId"))
	if !known || c.pairing != nil && o.machineID != c.pairing.machineID {
		return nil, notFound("order", c.path("orderId"))
	}
	return o, nil
}

// openOrder is orderOf for a write that a closed order refuses.
func (m *Market) openOrder(c *call) (*order, error) {
	o, err := m.orderOf(c)
	if err != nil {
		return nil, err
	}
	if o.closed() {
		return nil, refuse(codeOrderClosed, "the order is %s", o.status)
	}
	return o, nil
}

func (m *Market) getOrder(c *call) (answer, error) {
	o, err := m.orderOf(c)
	if err != nil {
		return answer{}, err
	}
	return okItem(o.record())
}

// closing is the reply of confirm and dispute.
type closing struct {
	Order   orderRecord    `json:"order"`
	Payment *paymentRecord `json:"payment"`
	Dispute *disputeRecord `json:"dispute,omitempty"`
}

type disputeRecord struct {
	ID        string          `json:"id"`
	OrderID   string          `json:"orderId"`
	MachineID string          `json:"machineId"`
	Status    string          `json:"status"`
	Reason    string          `json:"reason"`
	Evidence  json.RawMessage `json:"evidence"`
	CreatedAt string          `json:"createdAt"`
	UpdatedAt string          `json:"updatedAt"`
}

func (m *Market) confirmOrder(c *call) (answer, error) {
	o, err := m.openOrder(c)
	if err != nil {
		return answer{}, err
	}
	if o.status != "delivered" && o.status != "handoff" {
		return answer{}, refuse(codeNotDelivered, "the order is %s", o.status)
	}
	m.enter(o, "confirmed", "agent")
	if o.payment != nil && o.payment.status == "held" {
		m.move(o, "release_pending")
	}
	return ok(closing{Order: o.record(), Payment: o.payment.recordOrNil()})
}

func (m *Market) disputeOrder(c *call) (answer, error) {
	o, err := m.openOrder(c)
	if err != nil {
		return answer{}, err
	}
	var body struct {
		Reason   string          `json:"reason"`
		Evidence json.RawMessage `json:"evidence"`
	}
	if err := c.decode(&body); err != nil {
		return answer{}, err
	}
	if err := blank([2]string{"reason", body.Reason}); err != nil {
		return answer{}, err
	}
	evidence, err := objectOr(body.Evidence, json.RawMessage("{}"))
	if err != nil {
		return answer{}, err
	}
	if o.status == "created" || o.status == "payment_pending" {
		return answer{}, conflict("an order that is %s cannot be disputed", o.status)
	}
	m.enter(o, "disputed", "agent")
	if o.payment != nil && (o.payment.status == "held" || o.payment.status == "intent_created") {
		m.move(o, "frozen")
	}
	now := stamp(m.now())
	dispute := &disputeRecord{ID: m.ids.next("disp"), OrderID: o.id, MachineID: o.machineID, Status: "open", Reason: body.Reason,
		Evidence: evidence, CreatedAt: now, UpdatedAt: now}
	m.record("agent", "dispute.opened", "dispute", dispute.ID, o.machineID, map[string]any{"orderId": o.id})
	return ok(closing{Order: o.record(), Payment: o.payment.recordOrNil(), Dispute: dispute})
}

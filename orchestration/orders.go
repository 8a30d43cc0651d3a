// SPDX-License-Identifier: Apache-2.0

package orchestration

import (
	"context"
	"encoding/json"
	"iter"
	"net/url"
)

// Order is an order record. It has no amount: that is on the quote and on the
// payment.
type Order struct {
	ID                string            `json:"id" need:"text"`
	MachineID         string            `json:"machineId" need:"present"`
	AgentPairingID    string            `json:"agentPairingId" need:"present"`
	ServiceID         string            `json:"serviceId" need:"present"`
	SkillKey          string            `json:"skillKey" need:"present"`
	ProviderKey       string            `json:"providerKey" need:"present"`
	ServiceType       ServiceType       `json:"serviceType" need:"present"`
	Operation         string            `json:"operation" need:"present"`
	ExecutionMode     ExecutionMode     `json:"executionMode" need:"present"`
	IntegrationStatus IntegrationStatus `json:"integrationStatus" need:"present"`
	Status            OrderStatus       `json:"status" need:"text"`
	Payment           PaymentTerms      `json:"payment" need:"value"`
	CreatedAt         Timestamp         `json:"createdAt" need:"present"`
	UpdatedAt         Timestamp         `json:"updatedAt" need:"present"`
	Input             json.RawMessage   `json:"input" alt:"inputPayload"`
	SearchID          string            `json:"searchId"`
	QuoteID           string            `json:"quoteId"`
	ErrorMessage      string            `json:"errorMessage"`
	Budget            *OrderBudget      `json:"budget"`
	Handoff           *Handoff          `json:"handoff"`
	Raw               json.RawMessage   `json:"-"`
}

// OrderBudget is the buyer's limit for one order, in whole units of Currency.
// Max is sent but is not on the record.
type OrderBudget struct {
	Amount   json.Number `json:"amount,omitzero"`
	Max      json.Number `json:"max,omitzero"`
	Currency string      `json:"currency,omitzero"`
}

// CreateOrderRequest orders a service. Machine, pairing and service are required.
type CreateOrderRequest struct {
	MachineID           string               `json:"machineId"`
	AgentPairingID      string               `json:"agentPairingId"`
	ServiceID           string               `json:"serviceId"`
	SearchID            string               `json:"searchId,omitzero"`
	QuoteID             string               `json:"quoteId,omitzero"`
	Operation           string               `json:"operation,omitzero"`
	Input               json.RawMessage      `json:"input,omitzero"` // an object, sent as it is
	Budget              *OrderBudget         `json:"budget,omitzero"`
	ProviderCredentials *ProviderCredentials `json:"-"` // sent as providerCredentials
}

// Dispute is the record of a disputed order.
type Dispute struct {
	ID        string          `json:"id" need:"text"`
	OrderID   string          `json:"orderId" need:"present"`
	MachineID string          `json:"machineId" need:"present"`
	Status    DisputeStatus   `json:"status" need:"present"`
	Reason    string          `json:"reason" need:"present"`
	Evidence  json.RawMessage `json:"evidence"`
	CreatedAt Timestamp       `json:"createdAt" need:"present"`
	UpdatedAt Timestamp       `json:"updatedAt" need:"present"`
	Raw       json.RawMessage `json:"-"`
}

// ConfirmReply is the order after its confirmation. Payment is nil if there is
// none.
type ConfirmReply struct {
	Order   Order    `json:"order" need:"value"`
	Payment *Payment `json:"payment"`
}

// DisputeReply is the order after a dispute was opened. Payment is nil if there
// is none.
type DisputeReply struct {
	Order   Order    `json:"order" need:"value"`
	Payment *Payment `json:"payment"`
	Dispute Dispute  `json:"dispute" need:"value"`
}

// DisputeRequest says why an order is disputed. The reason is required.
type DisputeRequest struct {
	Reason   string          `json:"reason"`
	Evidence json.RawMessage `json:"evidence,omitzero"` // an object
}

// ListOrders returns one page of a machine's orders (GET /market/orders).
func (c *Client) ListOrders(ctx context.Context, machineID string, o ListOptions) (*Page[Order], error) {
	if err := notBlank("machineId", machineID); err != nil {
		return nil, err
	}
	query := url.Values{"machineId": {machineID}}
	return pageQuery[Order](ctx, c, request{op: opListOrders, path: joinPath("market", "orders"), query: query}, o)
}

// Orders yields the machine's orders of all pages, from the one that o names.
func (c *Client) Orders(ctx context.Context, machineID string, o ListOptions) iter.Seq2[Order, error] {
	return walk(opListOrders, o, func(o ListOptions) (*Page[Order], error) { return c.ListOrders(ctx, machineID, o) })
}

// CreateOrder creates an order (POST /market/orders). It is not idempotent and
// never repeated by the client: after an [Ambiguous] error look for the quote's id
// among [Client.Orders].
func (c *Client) CreateOrder(ctx context.Context, token Secret, r CreateOrderRequest) (*Order, error) {
	if err := notBlank("machineId", r.MachineID, "agentPairingId", r.AgentPairingID, "serviceId", r.ServiceID); err != nil {
		return nil, err
	}
	if err := jsonObject("input", r.Input); err != nil {
		return nil, err
	}
	credentials, secrets := r.ProviderCredentials.reveal()
	body := struct {
		CreateOrderRequest
		Credentials revealed `json:"providerCredentials,omitzero"`
	}{r, credentials}
	return item[Order](ctx, c, request{op: opCreateOrder, path: joinPath("market", "orders"), token: token, body: body, secrets: secrets})
}

// GetOrder returns an order (GET /market/orders/{orderId}). The token may be
// empty where a platform key is configured.
func (c *Client) GetOrder(ctx context.Context, token Secret, orderID string) (*Order, error) {
	if err := notBlank("orderId", orderID); err != nil {
		return nil, err
	}
	return item[Order](ctx, c, request{op: opGetOrder, path: joinPath("market", "orders", orderID), token: token})
}

// ConfirmOrder accepts what was delivered (POST /market/orders/{orderId}/confirm).
func (c *Client) ConfirmOrder(ctx context.Context, token Secret, orderID string) (*ConfirmReply, error) {
	if err := notBlank("orderId", orderID); err != nil {
		return nil, err
	}
	var reply ConfirmReply
	q := request{op: opConfirmOrder, path: joinPath("market", "orders", orderID, "confirm"), token: token, body: struct{}{}}
	if err := c.call(ctx, q, &reply); err != nil {
		return nil, err
	}
	return &reply, nil
}

// DisputeOrder opens a dispute (POST /market/orders/{orderId}/dispute).
func (c *Client) DisputeOrder(ctx context.Context, token Secret, orderID string, r DisputeRequest) (*DisputeReply, error) {
	if err := notBlank("orderId", orderID, "reason", r.Reason); err != nil {
		return nil, err
	}
	if err := jsonObject("evidence", r.Evidence); err != nil {
		return nil, err
	}
	var reply DisputeReply
	q := request{op: opDisputeOrder, path: joinPath("market", "orders", orderID, "dispute"), token: token, body: r}
	if err := c.call(ctx, q, &reply); err != nil {
		return nil, err
	}
	return &reply, nil
}

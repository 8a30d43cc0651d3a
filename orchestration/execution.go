// SPDX-License-Identifier: Apache-2.0

package orchestration

import (
	"context"
	"encoding/json"
	"net/http"
)

// ExecuteRequest runs an order. Input repeats the order's input and may be left
// out. PaymentSignature is the x402 header value of the proof, byte for byte.
type ExecuteRequest struct {
	Input            json.RawMessage `json:"input,omitzero"` // an object
	PaymentSignature Secret          `json:"-"`              // sent as payment.paymentSignature
}

// ExecuteReply is the order after its execution, and what the execution did.
type ExecuteReply struct {
	Order     Order     `json:"order" need:"value"`
	Execution Execution `json:"execution" need:"value"`
}

// Execution is either native, with StatusCode 200, Run and Outcome, or a handoff,
// with StatusCode 202 and Handoff. Both are complete: 202 is nothing to wait for.
// A native execution succeeded only if Outcome.Status is [OutcomeCompleted].
type Execution struct {
	StatusCode int             `json:"statusCode" need:"value"`
	Run        *Run            `json:"run"`
	Outcome    *Outcome        `json:"outcome"`
	Handoff    *Handoff        `json:"handoff"`
	Raw        json.RawMessage `json:"-"`
}

// Run is one run of a service.
type Run struct {
	ID            string          `json:"id" need:"present"`
	Status        OutcomeStatus   `json:"status" need:"present"`
	ExecutionMode ExecutionMode   `json:"executionMode"`
	SkillKey      string          `json:"skillKey"`
	ServiceID     string          `json:"serviceId"`
	OutcomeID     string          `json:"outcomeId"`
	Raw           json.RawMessage `json:"-"`
}

// Outcome is the result of a run. Result is the provider's data, untouched.
type Outcome struct {
	ID            string          `json:"id" need:"present"`
	Status        OutcomeStatus   `json:"status" need:"present"`
	SkillKey      string          `json:"skillKey" need:"present"`
	ServiceID     string          `json:"serviceId" need:"present"`
	ExecutionMode ExecutionMode   `json:"executionMode" need:"present"`
	Result        json.RawMessage `json:"result"`
	ErrorMessage  string          `json:"errorMessage"`
	ExternalRef   string          `json:"externalRef"`
	Raw           json.RawMessage `json:"-"`
}

func (e *Execution) fault() *shapeFault {
	switch {
	case e.StatusCode != http.StatusOK && e.StatusCode != http.StatusAccepted:
		return &shapeFault{member: "statusCode", problem: "is neither 200 nor 202"}
	case e.StatusCode == http.StatusAccepted && e.Handoff == nil:
		return &shapeFault{member: "handoff", problem: missing}
	case e.StatusCode == http.StatusOK && e.Run == nil:
		return &shapeFault{member: "run", problem: missing}
	case e.StatusCode == http.StatusOK && e.Outcome == nil:
		return &shapeFault{member: "outcome", problem: missing}
	}
	return nil
}

// paymentSignature is the x402 header value as it is sent.
type paymentSignature struct {
	Value string `json:"paymentSignature"`
}

// ExecuteOrder runs an order (POST /market/orders/{orderId}/execute). It is never
// repeated by the client: after an [Ambiguous] error read the order.
func (c *Client) ExecuteOrder(ctx context.Context, token Secret, orderID string, r ExecuteRequest) (*ExecuteReply, error) {
	if err := notBlank("orderId", orderID); err != nil {
		return nil, err
	}
	if err := jsonObject("input", r.Input); err != nil {
		return nil, err
	}
	body := struct {
		ExecuteRequest
		Payment *paymentSignature `json:"payment,omitzero"`
	}{ExecuteRequest: r}
	if r.PaymentSignature != "" {
		body.Payment = &paymentSignature{r.PaymentSignature.Reveal()}
	}
	var reply ExecuteReply
	q := request{
		op: opExecuteOrder, path: joinPath("market", "orders", orderID, "execute"), token: token,
		body: body, secrets: []Secret{r.PaymentSignature},
	}
	if err := c.call(ctx, q, &reply); err != nil {
		return nil, err
	}
	return &reply, nil
}

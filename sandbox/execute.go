// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"
)

type runRecord struct {
	ID            string `json:"id"`
	Status        string `json:"status"`
	ExecutionMode string `json:"executionMode"`
	SkillKey      string `json:"skillKey"`
	ServiceID     string `json:"serviceId"`
	OutcomeID     string `json:"outcomeId"`
}

type outcomeRecord struct {
	ID            string          `json:"id"`
	Status        string          `json:"status"`
	SkillKey      string          `json:"skillKey"`
	ServiceID     string          `json:"serviceId"`
	ExecutionMode string          `json:"executionMode"`
	Result        json.RawMessage `json:"result"`
	ErrorMessage  *string         `json:"errorMessage"`
}

type execution struct {
	StatusCode int               `json:"statusCode"`
	Task       map[string]string `json:"task,omitempty"`
	Route      map[string]string `json:"route,omitempty"`
	Run        *runRecord        `json:"run,omitempty"`
	Outcome    *outcomeRecord    `json:"outcome,omitempty"`
	Handoff    *handoff          `json:"handoff,omitempty"`
}

type executeReply struct {
	Order     orderRecord `json:"order"`
	Execution execution   `json:"execution"`
}

// executed is the answer of an order whose provider was asked, now or before.
func (o *order) executed() (answer, error) {
	if o.service.handsOff() {
		return answer{http.StatusAccepted, executeReply{o.record(), execution{StatusCode: http.StatusAccepted, Handoff: o.service.handoff()}}}, nil
	}
	return ok(executeReply{o.record(), execution{StatusCode: http.StatusOK, Run: o.run, Outcome: o.outcome}})
}

func (m *Market) executeOrder(c *call) (answer, error) {
	o, err := m.openOrder(c)
	if err != nil {
		return answer{}, err
	}
	var body struct {
		Input   json.RawMessage `json:"input"`
		Payment *executePayment `json:"payment"`
	}
	if err := c.decode(&body); err != nil {
		return answer{}, err
	}
	switch o.status {
	case "delivered", "handoff":
		return o.executed()
	case "executing":
		return answer{}, conflict("the order is executing")
	}
	if err := o.mayExecute(body.Payment); err != nil {
		return answer{}, err
	}
	input, err := objectOr(body.Input, o.input)
	if err != nil {
		return answer{}, err
	}
	m.enter(o, "executing", "agent")
	if o.service.handsOff() {
		m.enter(o, "handoff", "market")
		return o.executed()
	}
	service := m.current(o.service)
	var done work
	m.outside(func() { done = m.work(c.ctx, service, input, o) })
	return m.deliverOrder(o, service, done)
}

// mayExecute checks that what is due is held, for x402 by the very header of the proof.
func (o *order) mayExecute(given *executePayment) error {
	if !o.terms.Required {
		return nil
	}
	if o.payment == nil || o.payment.status != "held" {
		return refuse(codePaymentRequired, "the payment is not held")
	}
	if o.payment.rail.Type == "x402" && (given == nil || given.PaymentSignature != o.payment.paid.header) {
		return refuse(codePaymentRequired, "payment.paymentSignature is not the one of the proof")
	}
	return nil
}

// current is the service with its knobs as they stand now.
func (m *Market) current(s *Service) Service {
	if live, known := m.services.get(s.ID); known {
		return *live
	}
	return *s
}

// work is what a provider made of a call.
type work struct {
	unreachable bool
	result      json.RawMessage
	failure     string
}

var errSettleDown = errors.New("the facilitator is down")

// work lets the provider work, without the market's lock. Like the providers behind the real one, it charges before it looks at
// the input.
func (m *Market) work(ctx context.Context, s Service, input json.RawMessage, o *order) work {
	m.pause(time.Duration(s.LatencyMS) * time.Millisecond)
	if s.Unreachable {
		return work{unreachable: true}
	}
	var done work
	if o != nil && s.Settle == SettleAtExecute {
		if err := m.settle(ctx, o); err != nil {
			done.failure = "the payment could not be settled: " + err.Error()
			return done
		}
	}
	done.result, done.failure = s.provide(input, m.now())
	return done
}

// deliverOrder writes down what came of an execution.
func (m *Market) deliverOrder(o *order, s Service, done work) (answer, error) {
	if done.unreachable {
		if o.status == "executing" {
			m.enter(o, "ready", "market")
		}
		return answer{}, refuse(codeUnreachable, "the provider cannot be reached")
	}
	o.run, o.outcome = m.outcomeOf(&s, done)
	o.failure = done.failure
	if o.status == "executing" { // it may have been disputed meanwhile
		if done.failure != "" {
			m.enter(o, "failed", "market")
		} else {
			m.enter(o, "delivered", "market")
		}
	}
	if s.Settle == SettleLater && done.failure == "" {
		m.settleLater(o, time.Duration(s.SettleDelayMS)*time.Millisecond)
	}
	return o.executed()
}

func (m *Market) outcomeOf(s *Service, done work) (*runRecord, *outcomeRecord) {
	outcome := &outcomeRecord{ID: m.ids.next("out"), Status: "completed", SkillKey: s.SkillKey, ServiceID: s.ID,
		ExecutionMode: s.executionMode(), Result: done.result, ErrorMessage: orNull(done.failure)}
	if done.failure != "" {
		outcome.Status = "failed"
	}
	return &runRecord{ID: m.ids.next("run"), Status: outcome.Status, ExecutionMode: s.executionMode(), SkillKey: s.SkillKey,
		ServiceID: s.ID, OutcomeID: outcome.ID}, outcome
}

// executeService is the direct read: one free, native operation without an order.
func (m *Market) executeService(c *call) (answer, error) {
	var body struct {
		MachineID      string          `json:"machineId"`
		AgentPairingID string          `json:"agentPairingId"`
		Operation      string          `json:"operation"`
		Input          json.RawMessage `json:"input"`
		Budget         *budgetBody     `json:"budget"`
	}
	if err := c.decode(&body); err != nil {
		return answer{}, err
	}
	if err := blank([2]string{"machineId", body.MachineID}, [2]string{"operation", body.Operation}); err != nil {
		return answer{}, err
	}
	if err := c.names(body.MachineID, body.AgentPairingID, true); err != nil {
		return answer{}, err
	}
	record, err := m.activeMachine(c.pairing.machineID)
	if err != nil {
		return answer{}, err
	}
	s, known := m.services.get(c.path("serviceId"))
	switch {
	case !known:
		return answer{}, notFound("service", c.path("serviceId"))
	case !m.permitted(c.pairing, record, s):
		return answer{}, refuse(codePolicyDenied, "the policy does not allow service %s", s.ID)
	case !s.free() || s.handsOff() || body.Operation != s.Operation:
		return answer{}, refuse(codeUnsupported, "the service offers no direct read of %q", clip(body.Operation, 40))
	}
	input, err := objectOr(body.Input, json.RawMessage("{}"))
	if err != nil {
		return answer{}, err
	}
	frozen := *s
	var done work
	m.outside(func() { done = m.work(c.ctx, frozen, input, nil) })
	if done.unreachable {
		return answer{}, refuse(codeUnreachable, "the provider cannot be reached")
	}
	run, outcome := m.outcomeOf(&frozen, done)
	m.record("agent", "service.executed", "service", frozen.ID, record.ID, map[string]any{"outcome": outcome.Status})
	return ok(map[string]any{"service": frozen.record(), "execution": execution{StatusCode: http.StatusOK,
		Task: map[string]string{"id": m.ids.next("task")}, Route: map[string]string{"id": m.ids.next("route")}, Run: run, Outcome: outcome}})
}

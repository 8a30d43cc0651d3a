// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"encoding/json"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// step is a write to an order in a flow.
type step struct {
	do    func(*world) (int, map[string]any)
	code  string // "" is accepted
	order string // status of the order afterwards
	paid  string // status of the payment afterwards
}

func write(tail string, body map[string]any) func(*world) (int, map[string]any) {
	return func(w *world) (int, map[string]any) { w.Helper(); return w.pairing(w.orderPath(tail), body) }
}

var (
	execute = func(w *world) (int, map[string]any) { return w.execute() }
	intend  = write("/payment-intent", map[string]any{})
	confirm = write("/confirm", map[string]any{})
	dispute = write("/dispute", map[string]any{"reason": "r"})
	release = write("/payment/release", nil)
	refund  = write("/payment/refund", nil)
	hold    = func(w *world) (int, map[string]any) {
		payment := w.must(w.platform("GET", w.orderPath("/payment"), nil))
		return w.pairing(w.orderPath("/payment-proof"), w.proof(payment, "recorded", madeUpHash))
	}
	fail = func(w *world) (int, map[string]any) {
		w.knob(w.service, func(s *Service) { s.Failure = "broken" })
		status, reply := w.execute()
		w.knob(w.service, func(s *Service) { s.Failure = "" })
		return status, reply
	}
)

func TestOrderFlows(t *testing.T) {
	conflict := codeValidation
	tests := []struct {
		name, operation string
		steps           []step
	}{
		{"free without intent", "latest-price", []step{
			{confirm, codeNotDelivered, "created", ""}, {execute, "", "delivered", ""}, {release, codeNotFound, "delivered", ""},
			{confirm, "", "confirmed", ""}, {dispute, codeOrderClosed, "confirmed", ""}, {intend, codeOrderClosed, "confirmed", ""}}},
		{"free with intent", "latest-price", []step{
			{intend, "", "ready", "not_required"}, {execute, "", "delivered", "not_required"}, {confirm, "", "confirmed", "not_required"},
			{release, conflict, "confirmed", "not_required"}}},
		{"paid", "put", []step{
			{dispute, conflict, "created", ""}, {execute, codePaymentRequired, "created", ""}, {refund, codeNotFound, "created", ""},
			{intend, "", "payment_pending", "intent_created"}, {intend, "", "payment_pending", "intent_created"},
			{execute, codePaymentRequired, "payment_pending", "intent_created"}, {release, conflict, "payment_pending", "intent_created"},
			{hold, "", "ready", "held"}, {hold, "", "ready", "held"}, {release, conflict, "ready", "held"},
			{execute, "", "delivered", "held"}, {execute, "", "delivered", "held"}, {confirm, "", "confirmed", "release_pending"},
			{confirm, codeOrderClosed, "confirmed", "release_pending"}, {release, "", "confirmed", "released"},
			{release, conflict, "confirmed", "released"}, {refund, conflict, "confirmed", "released"}}},
		{"failed and run again", "put", []step{
			{intend, "", "payment_pending", "intent_created"}, {hold, "", "ready", "held"}, {fail, "", "failed", "held"},
			{confirm, codeNotDelivered, "failed", "held"}, {execute, "", "delivered", "held"}}},
		{"failed and refunded", "put", []step{
			{intend, "", "payment_pending", "intent_created"}, {hold, "", "ready", "held"}, {fail, "", "failed", "held"},
			{refund, "", "failed", "refunded"}, {execute, codePaymentRequired, "failed", "refunded"}}},
		{"disputed and refunded", "put", []step{
			{intend, "", "payment_pending", "intent_created"}, {hold, "", "ready", "held"}, {execute, "", "delivered", "held"},
			{dispute, "", "disputed", "frozen"}, {confirm, codeOrderClosed, "disputed", "frozen"}, {execute, codeOrderClosed, "disputed", "frozen"},
			{hold, codeOrderClosed, "disputed", "frozen"}, {refund, "", "disputed", "refunded"}}},
		{"handoff", "verify", []step{
			{execute, "", "handoff", ""}, {execute, "", "handoff", ""}, {confirm, "", "confirmed", ""}}},
		{"x402 wants its own form of proof", "fix", []step{
			{intend, "", "payment_pending", "intent_created"}, {hold, codeValidation, "payment_pending", "intent_created"}}},
		{"vault takes no proof", "subscribe", []step{
			{intend, "", "payment_pending", "intent_created"}, {hold, codeValidation, "payment_pending", "intent_created"}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := ready(t)
			w.order(test.operation)
			for i, s := range test.steps {
				status, reply := s.do(w)
				if got := codeOf(reply); got != s.code {
					t.Fatalf("step %d: got %d %q, want %q", i, status, got, s.code)
				}
				if got := text(w.must(w.platform("GET", w.orderPath(""), nil)), "status"); got != s.order {
					t.Fatalf("step %d: order is %q, want %q", i, got, s.order)
				}
				_, stored := w.platform("GET", w.orderPath("/payment"), nil)
				if got := text(stored, "item.status"); got != s.paid {
					t.Fatalf("step %d: payment is %q, want %q", i, got, s.paid)
				}
			}
		})
	}
}

func TestEscrow(t *testing.T) {
	w := ready(t)
	w.order("open-door")
	payment := w.intend()
	if got := text(payment, "rail.escrowAddress"); got != w.chain.Escrow().Hex() {
		t.Fatalf("escrowAddress is %q", got)
	}
	lock := func(hash, chain, escrow string) (int, map[string]any) {
		return w.pairing(w.orderPath("/payment/escrow-lock"), map[string]any{"transactionHash": hash, "chain": chain, "escrowAddress": escrow})
	}
	escrow := w.chain.Escrow().Hex()
	for name, bad := range map[string][3]string{
		"hash": {"0x1", w.chain.CAIP2(), escrow}, "chain": {madeUpHash, "eip155:1", escrow}, "escrow": {madeUpHash, w.chain.CAIP2(), w.chain.Token().Hex()},
		"blank": {"", w.chain.CAIP2(), escrow}, "no address": {madeUpHash, w.chain.CAIP2(), "x"},
	} {
		if status, reply := lock(bad[0], bad[1], bad[2]); codeOf(reply) != codeValidation {
			t.Errorf("%s: got %d %v", name, status, reply)
		}
	}
	first := w.must(lock(madeUpHash, w.chain.CAIP2(), escrow))
	again := w.must(lock(madeUpHash, w.chain.CAIP2(), escrow))
	if text(first, "status") != "held" || text(again, "id") != text(first, "id") {
		t.Errorf("got %v, then %v", first, again)
	}
	w.order("open-door")
	w.intend()
	status, reply := lock(madeUpHash, w.chain.CAIP2(), escrow)
	w.wants(codeValidation, status, reply)
}

func TestTransferProof(t *testing.T) {
	w := ready(t)
	w.order("put")
	payment := w.intend()
	payee := text(payment, "rail.payeeAddress")
	hash := w.transfer(payee, 20_000, 100_000)
	submit := func(edit func(map[string]any)) (int, map[string]any) {
		body := w.proof(payment, "rpc", hash)
		edit(body)
		return w.pairing(w.orderPath("/payment-proof"), body)
	}
	for _, test := range []struct {
		name string
		edit func(map[string]any)
		want string
	}{
		{"another amount", func(b map[string]any) { b["rawAmount"] = "20001" }, codeTransferNotFound},
		{"amount without raw units", func(b map[string]any) { delete(b, "rawAmount"); b["amount"] = "0.03" }, codeTransferNotFound},
		{"amount that is none", func(b map[string]any) { delete(b, "rawAmount"); b["amount"] = "x" }, codeValidation},
		{"another payer", func(b map[string]any) { b["payerAddress"] = payee }, codeTransferNotFound},
		{"another payee", func(b map[string]any) { b["payeeAddress"] = b["payerAddress"] }, codeValidation},
		{"another token", func(b map[string]any) { b["tokenAddress"] = payee }, codeValidation},
		{"another chain", func(b map[string]any) { b["chain"] = "base" }, codeValidation},
		{"no address", func(b map[string]any) { b["payerAddress"] = "x" }, codeValidation},
		{"unknown mode", func(b map[string]any) { b["verificationMode"] = "x" }, codeValidation},
		{"no hash", func(b map[string]any) { delete(b, "transactionHash") }, codeValidation},
		{"bad hash", func(b map[string]any) { b["transactionHash"] = "0x1" }, codeValidation},
		{"good, without raw units", func(b map[string]any) { delete(b, "rawAmount"); b["amount"] = "0.02" }, ""},
		{"the same again", func(map[string]any) {}, ""},
		{"another on a held payment", func(b map[string]any) { b["transactionHash"] = madeUpHash }, codeValidation},
	} {
		if status, reply := submit(test.edit); codeOf(reply) != test.want {
			t.Errorf("%s: got %d %v, want %q", test.name, status, reply, test.want)
		}
	}
	stored := w.must(w.platform("GET", w.orderPath("/payment"), nil))
	if text(stored, "rail.type") != "wdk-usdt-transfer" || text(stored, "proof.verificationMode") != "rpc" {
		t.Errorf("got %v, want a verified wdk-usdt-transfer", stored)
	}
	w.order("put")
	payment = w.intend()
	status, reply := submit(func(map[string]any) {})
	w.wants(codeValidation, status, reply) // one hash pays one order
	short := w.transfer(payee, 5, 100_000)
	status, reply = submit(func(b map[string]any) { b["transactionHash"], b["rawAmount"] = short, "5" })
	w.wants(codeValidation, status, reply) // a true proof of too little
}

func TestIntent(t *testing.T) {
	for name, test := range map[string]struct {
		rail map[string]any
		want string
	}{
		"default":          {nil, ""},
		"other supported":  {map[string]any{"type": "wdk-usdt-transfer"}, ""},
		"unsupported":      {map[string]any{"type": "x402"}, codeValidation},
		"free":             {map[string]any{"type": "not-required"}, codeValidation},
		"bad address":      {map[string]any{"payeeAddress": "0x12"}, codeValidation},
		"another payee":    {map[string]any{"payeeAddress": "0x0000000000000000000000000000000000000009"}, ""},
		"own payer":        {map[string]any{"payerAddress": "0x0000000000000000000000000000000000000009"}, ""},
		"wrong kind":       {map[string]any{"type": 1}, codeValidation},
		"unknown metadata": {map[string]any{"metadata": map[string]any{"note": "x", "rawAmount": "1"}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := ready(t)
			w.order("put")
			status, reply := w.pairing(w.orderPath("/payment-intent"), map[string]any{"rail": test.rail})
			if got := codeOf(reply); got != test.want {
				t.Fatalf("got %d %q, want %q", status, got, test.want)
			}
			if test.want != "" {
				return
			}
			item := w.must(status, reply)
			s, _ := w.m.services.get(w.service)
			if text(item, "rail.payeeAddress") != s.Payee.Hex() || text(item, "rail.metadata.rawAmount") != "20000" || text(item, "amount") != "0.02" {
				t.Errorf("got %v, want the terms of the service", item)
			}
		})
	}
}

func TestHiddenPriceIsOnTheIntent(t *testing.T) {
	w := ready(t)
	w.knob("svc_storage-object-put", func(s *Service) { s.HidePrice = true })
	q := w.search("put")
	if got := text(q, "pricing.mode"); got != "quote-required" || text(q, "pricing.amount") != "" {
		t.Errorf("got pricing %v", q["pricing"])
	}
	w.order("put")
	if got := text(w.intend(), "amount"); got != "0.02" {
		t.Errorf("amount is %s", got)
	}
}

func TestOrderKeepsTheQuotesPrice(t *testing.T) {
	w := ready(t)
	w.search("put")
	w.knob(w.service, func(s *Service) { s.Price = 90_000 })
	w.orderID = text(w.must(w.pairing("/market/orders", w.orderBody())), "id")
	if got := text(w.intend(), "amount"); got != "0.02" {
		t.Errorf("amount is %s, want the quoted one", got)
	}
}

func TestOrderBody(t *testing.T) {
	set := func(name string, value any) func(map[string]any) {
		return func(b map[string]any) { b[name] = value }
	}
	for name, test := range map[string]struct {
		edit func(map[string]any)
		want string
	}{
		"unknown service":          {set("serviceId", "svc_x"), codeNotFound},
		"unknown quote":            {set("quoteId", "quote_x"), codeNotFound},
		"unknown search":           {func(b map[string]any) { b["searchId"] = "x"; delete(b, "quoteId") }, codeNotFound},
		"quote of another":         {set("serviceId", "svc_data-location-fix"), codeValidation},
		"quote, other search":      {set("searchId", "srch_x"), codeValidation},
		"unknown operation":        {set("operation", "x"), codeValidation},
		"other machine":            {set("machineId", "mach_x"), codeAgentAuthInvalid},
		"other pairing":            {set("agentPairingId", "pair_x"), codePairingRequired},
		"input is no object":       {set("input", []int{1}), codeValidation},
		"blank service":            {set("serviceId", " "), codeValidation},
		"null is absent":           {set("input", nil), ""},
		"without quote":            {func(b map[string]any) { delete(b, "quoteId"); delete(b, "searchId") }, ""},
		"with budget":              {set("budget", map[string]any{"amount": 1, "max": 2, "currency": "USD"}), ""},
		"unknown members":          {set("whatever", 1), ""},
		"budget of the wrong kind": {set("budget", 1), codeValidation},
	} {
		t.Run(name, func(t *testing.T) {
			w := ready(t)
			w.search("put")
			body := w.orderBody()
			test.edit(body)
			if status, reply := w.pairing("/market/orders", body); codeOf(reply) != test.want {
				t.Errorf("got %d %v, want %q", status, reply, test.want)
			}
		})
	}
}

func TestInputIsKeptVerbatim(t *testing.T) {
	w := ready(t)
	w.search("latest-price")
	body := w.orderBody()
	body["input"] = json.RawMessage(`{"snake_key":1.10,"camelKey":{"inner_key":[1,2]},"UPPER":"x","n":null}`)
	w.orderID = text(w.must(w.pairing("/market/orders", body)), "id")
	stored := w.must(w.platform("GET", w.orderPath(""), nil))
	if got := fmt.Sprint(stored["input"]); got != "map[UPPER:x camelKey:map[inner_key:[1 2]] n:<nil> snake_key:1.10]" {
		t.Errorf("got input %s", got)
	}
}

func TestExecuteWhileExecuting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := ready(t)
		w.knob("svc_oracle-price-feed-latest-price", func(s *Service) { s.LatencyMS = 5000 })
		w.order("latest-price")
		done := make(chan string)
		go func() {
			_, reply := w.execute()
			done <- text(reply, "order.status")
		}()
		synctest.Wait()
		status, reply := w.execute()
		if codeOf(reply) != codeValidation || status != 409 {
			t.Errorf("got %d %v, want a conflict", status, reply)
		}
		began := time.Now()
		w.must(w.pairing(w.orderPath("/dispute"), map[string]any{"reason": "too slow"}))
		if got := <-done; got != "disputed" || time.Since(began) != 5*time.Second {
			t.Errorf("order is %s after %s, want it to stay disputed", got, time.Since(began))
		}
	})
}

func TestUnreachableProviderLeavesTheOrderReady(t *testing.T) {
	w := ready(t)
	w.holdX402()
	w.knob(w.service, func(s *Service) { s.Unreachable = true })
	status, reply := w.execute()
	w.wants(codeUnreachable, status, reply)
	if n := len(w.transfers()); n != 0 {
		t.Errorf("%d transfers", n)
	}
	w.knob(w.service, func(s *Service) { s.Unreachable = false })
	if got := text(w.must(w.execute()), "order.status"); got != "delivered" {
		t.Errorf("order is %s", got)
	}
}

func TestFacilitatorDown(t *testing.T) {
	w := ready(t)
	w.holdX402()
	w.m.SetConditions(Conditions{SettleDown: true})
	if got := text(w.must(w.execute()), "execution.outcome.status"); got != "failed" {
		t.Errorf("outcome is %s", got)
	}
	stored := w.must(w.platform("GET", w.orderPath("/payment"), nil))
	if text(stored, "status") != "held" || text(stored, "proof.metadata.paymentSettlement.status") != "failed" {
		t.Errorf("got %v, want a held payment with a failed settlement", stored)
	}
	w.m.SetConditions(Conditions{})
	w.must(w.execute())
	if n := len(w.transfers()); n != 1 {
		t.Errorf("%d transfers", n)
	}
}

func TestDirectRead(t *testing.T) {
	w := ready(t)
	read := func(service string, edit func(map[string]any)) (int, map[string]any) {
		body := map[string]any{"machineId": w.machineID, "agentPairingId": w.pairingID, "operation": "latest-price", "input": map[string]any{"pair": "A/B"}}
		if edit != nil {
			edit(body)
		}
		return w.pairing("/market/services/"+service+"/execute", body)
	}
	const price = "svc_oracle-price-feed-latest-price"
	reply := w.must(read(price, nil))
	if text(reply, "execution.outcome.status") != "completed" || text(reply, "execution.outcome.result.pair") != "A/B" {
		t.Errorf("got %v", reply)
	}
	reply = w.must(read(price, func(b map[string]any) { delete(b, "input") }))
	if text(reply, "execution.outcome.status") != "failed" || text(reply, "execution.statusCode") != "200" {
		t.Errorf("got %v, want a failed read in a 200", reply)
	}
	for name, test := range map[string]struct {
		service string
		edit    func(map[string]any)
		want    string
	}{
		"unknown":         {"svc_x", nil, codeNotFound},
		"handoff":         {"svc_identity-proof-of-person-verify", func(b map[string]any) { b["operation"] = "verify" }, codeUnsupported},
		"other operation": {price, func(b map[string]any) { b["operation"] = "x" }, codeUnsupported},
		"blank operation": {price, func(b map[string]any) { b["operation"] = "" }, codeValidation},
		"no pairing":      {price, func(b map[string]any) { delete(b, "agentPairingId") }, codePairingRequired},
	} {
		if status, reply := read(test.service, test.edit); codeOf(reply) != test.want {
			t.Errorf("%s: got %d %v, want %q", name, status, reply, test.want)
		}
	}
}

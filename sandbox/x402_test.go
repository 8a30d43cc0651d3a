// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agentd-project/agentd/sandbox/chain"
)

func TestX402SettlesOnceAtExecute(t *testing.T) {
	w := ready(t)
	payment := w.holdX402()
	if got := text(payment, "status"); got != "held" {
		t.Fatalf("payment is %s after the proof, want held", got)
	}
	if n := len(w.transfers()); n != 0 {
		t.Fatalf("%d transfers before execute", n)
	}
	first := w.must(w.execute())
	moved := w.transfers()
	if len(moved) != 1 || moved[0].Value.Int64() != 10_000 {
		t.Fatalf("got transfers %v, want one of 10000", moved)
	}
	if got := text(first, "execution.outcome.status"); got != "completed" {
		t.Errorf("outcome is %s", got)
	}
	again := w.must(w.execute())
	if text(again, "execution.run.id") != text(first, "execution.run.id") {
		t.Error("a second execute ran again")
	}
	if n := len(w.transfers()); n != 1 {
		t.Errorf("%d transfers after a second execute", n)
	}
	stored := w.must(w.platform("GET", w.orderPath("/payment"), nil))
	if got := text(stored, "proof.metadata.paymentSettlement.status"); got != "settled" {
		t.Errorf("settlement is %q", got)
	}
	if got := text(stored, "proof.transactionHash"); got != moved[0].Tx.Hex() {
		t.Errorf("transaction is %s, want %s", got, moved[0].Tx.Hex())
	}
}

func TestX402Proof(t *testing.T) {
	with := func(edit func(*x402Entry, map[string]string)) func(*world, map[string]any) string {
		return func(w *world, payment map[string]any) string { return w.authorize(payment, edit) }
	}
	field := func(name, value string) func(*world, map[string]any) string {
		return with(func(_ *x402Entry, a map[string]string) { a[name] = value })
	}
	tests := []struct {
		name   string
		header func(*world, map[string]any) string
		want   string
	}{
		{"good", with(nil), ""},
		{"more than is due", field("value", "10001"), ""},
		{"less than is due", field("value", "9999"), codeValidation},
		{"other payee", field("to", "0x0000000000000000000000000000000000000009"), codeValidation},
		{"expired", field("validBefore", fmt.Sprint(time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC).Unix())), codeValidation},
		{"not yet valid", field("validAfter", "9999999999"), codeValidation},
		{"signed by another", field("from", "0x0000000000000000000000000000000000000009"), codeValidation},
		{"short nonce", field("nonce", "0x01"), codeValidation},
		{"number out of range", field("value", strings.Repeat("9", 80)), codeValidation},
		{"other asset", with(func(e *x402Entry, _ map[string]string) { e.Asset = "0x0000000000000000000000000000000000000009" }), codeValidation},
		{"other network", with(func(e *x402Entry, _ map[string]string) { e.Network = "eip155:1" }), codeValidation},
		{"other scheme", with(func(e *x402Entry, _ map[string]string) { e.Scheme = "upto" }), codeValidation},
		{"other amount accepted", with(func(e *x402Entry, _ map[string]string) { e.Amount = "1" }), codeValidation},
		{"no base64", func(*world, map[string]any) string { return "%" }, codeValidation},
		{"no JSON", func(*world, map[string]any) string { return base64.StdEncoding.EncodeToString([]byte("x")) }, codeValidation},
		{"empty document", func(*world, map[string]any) string { return base64.StdEncoding.EncodeToString([]byte("{}")) }, codeValidation},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := ready(t)
			w.order("fix")
			header := test.header(w, w.intend())
			status, reply := w.pairing(w.orderPath("/payment-proof"), map[string]any{"payment": map[string]any{"paymentSignature": header}})
			if got := codeOf(reply); got != test.want {
				t.Errorf("got %d %q (%v), want %q", status, got, reply, test.want)
			}
		})
	}
}

func (w *world) proveAgain(header string) (int, map[string]any) {
	w.Helper()
	return w.pairing(w.orderPath("/payment-proof"), map[string]any{"payment": map[string]any{"paymentSignature": header}})
}

func TestX402AuthorisationServesOneOrder(t *testing.T) {
	w := ready(t)
	w.holdX402()
	header := w.payHeader
	w.must(w.proveAgain(header)) // the same proof on the same order
	first := w.orderID
	w.order("fix")
	w.intend()
	status, reply := w.proveAgain(header)
	w.wants(codeValidation, status, reply)

	w.orderID = first
	payment := w.must(w.platform("GET", w.orderPath("/payment"), nil))
	status, reply = w.proveAgain(w.authorize(payment, nil))
	w.wants(codeValidation, status, reply)
}

func TestX402DeadAuthorisationIsSignedAgain(t *testing.T) {
	w := ready(t)
	payment := w.holdX402()
	w.clock.pass(301 * time.Second)
	reply := w.must(w.execute())
	if got := text(reply, "execution.outcome.status"); got != "failed" || text(reply, "order.status") != "failed" {
		t.Fatalf("outcome is %s, order %s", got, text(reply, "order.status"))
	}
	w.nonce-- // under the same nonce
	w.must(w.proveAgain(w.authorize(payment, nil)))
	if got := text(w.must(w.execute()), "order.status"); got != "delivered" {
		t.Errorf("order is %s", got)
	}
	if n := len(w.transfers()); n != 1 {
		t.Errorf("%d transfers", n)
	}
}

func TestX402ChargesForARejectedInput(t *testing.T) {
	w := ready(t)
	w.holdX402()
	reply := w.must(w.pairing(w.orderPath("/execute"), map[string]any{"input": map[string]any{},
		"payment": map[string]any{"paymentSignature": w.payHeader}}))
	if got := text(reply, "execution.outcome.status"); got != "failed" {
		t.Errorf("outcome is %s", got)
	}
	if n := len(w.transfers()); n != 1 {
		t.Errorf("%d transfers, want the provider to have charged", n)
	}
	w.must(w.execute()) // with the order's own input, and paid already
	if n := len(w.transfers()); n != 1 {
		t.Errorf("%d transfers after the second run", n)
	}
}

func TestX402SellerSettlesLateOrNever(t *testing.T) {
	for settle, want := range map[string]int{SettleLater: 1, SettleNever: 0} {
		t.Run(settle, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := ready(t)
				w.knob("svc_data-location-fix", func(s *Service) { s.Settle, s.SettleDelayMS = settle, 60_000 })
				w.holdX402()
				if got := text(w.must(w.execute()), "order.status"); got != "delivered" {
					t.Fatalf("order is %s", got)
				}
				if n := len(w.transfers()); n != 0 {
					t.Fatalf("%d transfers at once", n)
				}
				time.Sleep(61 * time.Second) // the bubble's time
				synctest.Wait()
				if n := len(w.transfers()); n != want {
					t.Errorf("%d transfers in the end, want %d", n, want)
				}
			})
		})
	}
}

func TestX402OnTheSimulatedChain(t *testing.T) {
	funded, err := Accounts()
	if err != nil {
		t.Fatal(err)
	}
	evm, err := chain.NewSimulated(chain.Config{Accounts: funded})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := evm.Close(); err != nil {
			t.Error(err)
		}
	})
	w := ready(t, func(o *Options) { o.Chain, o.Now = evm, nil })
	w.chain, w.clock.now = evm, time.Now()
	w.holdX402()
	w.must(w.execute())
	if moved := w.transfers(); len(moved) != 1 || moved[0].Value.Int64() != 10_000 {
		t.Errorf("got transfers %v", moved)
	}
}

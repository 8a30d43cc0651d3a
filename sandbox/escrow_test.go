// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/agentd-project/agentd/sandbox/chain"
	"github.com/agentd-project/agentd/sandbox/contracts"
)

// contract calls the escrow contract, or approves it, as the agent.
func (w *world) contract(method string, args ...any) string {
	w.Helper()
	artifact, err := contracts.Escrow()
	to := w.chain.Escrow()
	if method == "approve" {
		artifact, err = contracts.TestToken()
		to = w.chain.Token()
	}
	if err != nil {
		w.Fatal(err)
	}
	input, err := artifact.ABI.Pack(method, args...)
	if err != nil {
		w.Fatal(err)
	}
	key, err := crypto.ToECDSA(common.FromHex(DefaultAgentKey))
	if err != nil {
		w.Fatal(err)
	}
	client, err := chain.Dial(w.chain.Handler())
	if err != nil {
		w.Fatal(err)
	}
	defer client.Close()
	hash, err := w.m.sendAs(context.Background(), client, key, to, nil, input)
	if err != nil {
		w.Fatal(err)
	}
	return hash.Hex()
}

// lockFor locks an amount for a payee under an order's id.
func (w *world) lockFor(orderID, payee string, value int64) string {
	w.Helper()
	amount := big.NewInt(value)
	w.contract("approve", w.chain.Escrow(), amount)
	return w.contract("lock", crypto.Keccak256Hash([]byte(orderID)), w.chain.Token(), common.HexToAddress(payee), amount,
		big.NewInt(w.clock.now.Add(time.Hour).Unix()))
}

func (w *world) payment() string {
	w.Helper()
	_, stored := w.platform("GET", w.orderPath("/payment"), nil)
	return text(stored, "item.status")
}

func strict(o *Options) { o.Strict = true }

// In strict mode only what the chain shows counts as a lock.
func TestStrictEscrowLock(t *testing.T) {
	const stranger = "0x0000000000000000000000000000000000000009"
	tests := []struct {
		name string
		make func(w *world, payee string) string
		code string
	}{
		{"lock of the order", func(w *world, payee string) string { return w.lockFor(w.orderID, payee, 100_000) }, ""},
		{"plain transfer to the escrow", func(w *world, _ string) string { return w.transfer(w.chain.Escrow().Hex(), 100_000, 100_000) }, ""},
		{"made-up hash", func(*world, string) string { return madeUpHash }, codeNotMined},
		{"failed transaction", func(w *world, payee string) string { return w.transfer(payee, 2_000_000_000_000_000, 100_000) }, codeTxFailed},
		{"transfer to the payee", func(w *world, payee string) string { return w.transfer(payee, 100_000, 100_000) }, codeTransferNotFound},
		{"short transfer", func(w *world, _ string) string { return w.transfer(w.chain.Escrow().Hex(), 99_999, 100_000) }, codeTransferNotFound},
		{"lock of another order", func(w *world, payee string) string { return w.lockFor("ord_other", payee, 100_000) }, codeValidation},
		{"lock for another payee", func(w *world, _ string) string { return w.lockFor(w.orderID, stranger, 100_000) }, codeValidation},
		{"lock of another amount", func(w *world, payee string) string { return w.lockFor(w.orderID, payee, 100_001) }, codeTransferNotFound},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := ready(t, strict)
			w.order("open-door")
			payment := w.intend()
			hash := test.make(w, text(payment, "rail.payeeAddress"))
			status, reply := w.pairing(w.orderPath("/payment/escrow-lock"), map[string]any{"transactionHash": hash,
				"chain": w.chain.CAIP2(), "escrowAddress": text(payment, "rail.escrowAddress")})
			if codeOf(reply) != test.code {
				t.Fatalf("got %d %v, want %q", status, reply, test.code)
			}
			if want := map[bool]string{true: "held", false: "intent_created"}[test.code == ""]; w.payment() != want {
				t.Errorf("payment is %s, want %s", w.payment(), want)
			}
		})
	}
}

// lockedOrder is a strict world whose order is locked in the contract and delivered.
func lockedOrder(t *testing.T) *world {
	t.Helper()
	w := ready(t, strict)
	w.order("open-door")
	payment := w.intend()
	hash := w.lockFor(w.orderID, text(payment, "rail.payeeAddress"), 100_000)
	w.must(w.pairing(w.orderPath("/payment/escrow-lock"), map[string]any{"transactionHash": hash, "chain": w.chain.CAIP2(),
		"escrowAddress": text(payment, "rail.escrowAddress")}))
	w.must(w.pairing(w.orderPath("/execute"), map[string]any{}))
	return w
}

// What the contract holds is released or refunded only by a transaction that shows it.
func TestStrictEscrowEnd(t *testing.T) {
	id := func(w *world) common.Hash { return crypto.Keccak256Hash([]byte(w.orderID)) }
	t.Run("release", func(t *testing.T) {
		w := lockedOrder(t)
		w.must(w.pairing(w.orderPath("/confirm"), map[string]any{}))
		release := func(body any) (int, map[string]any) { return w.pairing(w.orderPath("/payment/release"), body) }
		status, reply := release(map[string]any{})
		w.wants(codeValidation, status, reply)
		status, reply = release(map[string]any{"transactionHash": madeUpHash})
		w.wants(codeNotMined, status, reply)
		status, reply = release(map[string]any{"transactionHash": w.transfer(w.chain.Escrow().Hex(), 1, 100_000)})
		w.wants(codeTransferNotFound, status, reply)
		if got := text(w.must(release(map[string]any{"transactionHash": w.contract("release", id(w))})), "status"); got != "released" {
			t.Errorf("payment is %s", got)
		}
	})
	t.Run("refund after the deadline", func(t *testing.T) {
		w := lockedOrder(t)
		w.must(w.pairing(w.orderPath("/dispute"), map[string]any{"reason": "broken"}))
		refund := func(body any) (int, map[string]any) { return w.pairing(w.orderPath("/payment/refund"), body) }
		status, reply := refund(map[string]any{"reason": "give it back"})
		w.wants(codeValidation, status, reply)
		w.clock.pass(time.Hour)
		w.rotate()
		hash := w.contract("refund", id(w))
		if got := text(w.must(refund(map[string]any{"transactionHash": hash})), "status"); got != "refunded" {
			t.Errorf("payment is %s", got)
		}
	})
}

func TestResolve(t *testing.T) {
	agent, _ := AddressOf(DefaultAgentKey)
	tests := []struct {
		name      string
		operation string
		escrow    string
		said      string
		status    string
		from      func(w *world) common.Address
		value     int64
	}{
		{"refunded by the payee", "put", "", `{"status": "refunded", "move": "payee"}`, "refunded",
			func(w *world) common.Address { return w.m.orders.byID[w.orderID].service.Payee }, 20_000},
		{"less than paid", "put", "", `{"status": "refunded", "move": "payee", "amount": "19999"}`, "refunded",
			func(w *world) common.Address { return w.m.orders.byID[w.orderID].service.Payee }, 19_999},
		{"refunded in words alone", "put", "", `{"status": "refunded"}`, "refunded", nil, 0},
		{"released", "put", "", `{"status": "released"}`, "released", nil, 0},
		{"refunded in silence", "put", "", `{"move": "payee"}`, "frozen",
			func(w *world) common.Address { return w.m.orders.byID[w.orderID].service.Payee }, 20_000},
		{"refunded by the keeper", "open-door", EscrowKeeper, `{"status": "refunded", "move": "keeper"}`, "refunded",
			func(w *world) common.Address { return w.m.keeper() }, 100_000},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := ready(t)
			if err := w.m.UpdateService("svc_device-control-open-door", func(s *Service) { s.Escrow = test.escrow }); err != nil {
				t.Fatal(err)
			}
			w.order(test.operation)
			payment := w.intend()
			if test.escrow == EscrowKeeper {
				keeper := w.m.keeper().Hex()
				if text(payment, "rail.escrowAddress") != keeper || w.m.Info().EscrowKeeper != keeper {
					t.Fatalf("intent %v, want escrow %s", payment, keeper)
				}
				w.must(w.pairing(w.orderPath("/payment/escrow-lock"), map[string]any{"transactionHash": w.transfer(keeper, 100_000, 100_000),
					"chain": w.chain.CAIP2(), "escrowAddress": keeper}))
			} else {
				hash := w.transfer(text(payment, "rail.payeeAddress"), 20_000, 100_000)
				w.must(w.pairing(w.orderPath("/payment-proof"), w.proof(payment, "rpc", hash)))
			}
			w.must(w.pairing(w.orderPath("/execute"), map[string]any{}))
			w.must(w.pairing(w.orderPath("/dispute"), map[string]any{"reason": "broken"}))
			resolveAs(t, w, w.orderID, test.said, http.StatusOK)
			if got := w.payment(); got != test.status {
				t.Errorf("payment is %s, want %s", got, test.status)
			}
			back := returned(t, w, agent)
			if test.value == 0 {
				if len(back) != 0 {
					t.Errorf("moved back: %+v", back)
				}
				return
			}
			if len(back) != 1 || back[0].From != test.from(w) || back[0].Value.Int64() != test.value {
				t.Errorf("moved back: %+v", back)
			}
		})
	}
	for name, said := range map[string]string{"unknown status": `{"status": "lost"}`, "unknown move": `{"move": "magic"}`,
		"unknown member": `{"state": "released"}`, "amount": `{"move": "payee", "amount": "1.5"}`} {
		t.Run(name, func(t *testing.T) {
			w := ready(t)
			w.order("put")
			w.intend()
			resolveAs(t, w, w.orderID, said, http.StatusBadRequest)
			if got := w.payment(); got != "intent_created" {
				t.Errorf("payment is %s", got)
			}
		})
	}
	t.Run("unknown order", func(t *testing.T) {
		resolveAs(t, ready(t), "ord_none", `{"status": "released"}`, http.StatusBadRequest)
	})
}

// The payee can end a lock in the payer's favour at any time, without having gas of its own.
func TestResolveByContract(t *testing.T) {
	w := lockedOrder(t)
	w.must(w.pairing(w.orderPath("/dispute"), map[string]any{"reason": "broken"}))
	resolveAs(t, w, w.orderID, `{"status": "refunded", "move": "contract"}`, http.StatusOK)
	agent, _ := AddressOf(DefaultAgentKey)
	if back := returned(t, w, agent); len(back) != 1 || back[0].From != w.chain.Escrow() || back[0].Value.Int64() != 100_000 {
		t.Errorf("moved back: %+v", back)
	}
	if got := w.payment(); got != "refunded" {
		t.Errorf("payment is %s", got)
	}
}

func resolveAs(t *testing.T, w *world, orderID, said string, want int) {
	t.Helper()
	rec := httptest.NewRecorder()
	w.m.Control().ServeHTTP(rec, httptest.NewRequest("POST", "http://control.test/orders/"+orderID+"/resolve", strings.NewReader(said)))
	if rec.Code != want {
		t.Fatalf("got %d %s, want %d", rec.Code, rec.Body, want)
	}
}

func returned(t *testing.T, w *world, to common.Address) []chain.Transfer {
	t.Helper()
	all, err := w.chain.Transfers(context.Background(), 0)
	if err != nil {
		t.Fatal(err)
	}
	var back []chain.Transfer
	for _, moved := range all {
		if moved.To == to {
			back = append(back, moved)
		}
	}
	return back
}

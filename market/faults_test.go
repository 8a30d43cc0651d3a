// SPDX-License-Identifier: Apache-2.0

package market_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/agentd-project/agentd/market"
	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/sandbox"
)

// payingRails are the needs that agentd pays by itself.
var payingRails = []string{"not-required", "wallet", "wdk-usdt-transfer", "x402", "escrow", "onchain-escrow"}

// mutations are the operations of a purchase that change something at the
// Market, by the rails that make them.
var mutations = map[string][]string{
	"pairing-challenge": payingRails,
	"pairing-create":    payingRails,
	"search":            payingRails,
	"order-create":      payingRails,
	"payment-intent":    payingRails[1:],
	"payment-proof":     payingRails[1:4],
	"escrow-lock":       payingRails[4:],
	"order-execute":     payingRails,
	"order-confirm":     payingRails,
	"payment-release":   payingRails[1:],
}

// faults are the ways in which an answer goes wrong; each hits the first call.
func faults() map[string]sandbox.Fault {
	return map[string]sandbox.Fault{
		"refused":                   {Kind: sandbox.FaultRefuse},
		"dropped before processing": {Kind: sandbox.FaultDropBefore},
		"dropped after processing":  {Kind: sandbox.FaultDropAfter},
		"late":                      {Kind: sandbox.FaultDelay, DelayMS: 90_000},
		"processed late":            {Kind: sandbox.FaultDelayBefore, DelayMS: 62_000},
		"500":                       {Kind: sandbox.FaultStatus, Status: 500},
		"502 after processing":      {Kind: sandbox.FaultStatusAfter, Status: 502},
		"rate limited":              {Kind: sandbox.FaultRateLimit, RetryAfter: 3},
		"truncated":                 {Kind: sandbox.FaultTruncate},
		"not JSON":                  {Kind: sandbox.FaultNotJSON},
		"empty":                     {Kind: sandbox.FaultEmpty},
		"huge":                      {Kind: sandbox.FaultHuge},
	}
}

// Every mutating operation answers badly once, on every rail: the same purchase
// ends settled with exactly one transfer.
func TestOneFaultCostsNothing(t *testing.T) {
	for operation, rails := range mutations {
		for _, rail := range rails {
			for name, fault := range faults() {
				t.Run(operation+"/"+rail+"/"+name, func(t *testing.T) {
					bubble(t, func(t *testing.T, r *rig) {
						fault.Operation, fault.Nth = operation, 1
						_, err := r.seller.Inject(fault)
						r.must(err)
						r.start()
						p := r.buy(rail)
						want := 1
						if rail == "not-required" {
							want = 0
						}
						if p.State != string(market.Settled) {
							t.Errorf("state: got %s (%s), want settled", p.State, p.Reason)
						}
						if got := len(r.transfers()); got != want {
							t.Errorf("transfers: got %d, want %d", got, want)
						}
						r.sound()
					})
				})
			}
		}
	}
}

// An operation that never works again leaves the purchase in a named state, and
// at most one transfer.
func TestLastingFaultEndsNamed(t *testing.T) {
	for operation, rails := range mutations {
		for _, rail := range rails {
			t.Run(operation+"/"+rail, func(t *testing.T) {
				bubble(t, func(t *testing.T, r *rig) {
					_, err := r.seller.Inject(sandbox.Fault{Operation: operation, Kind: sandbox.FaultStatus, Status: 503})
					r.must(err)
					r.start()
					p := r.buy(rail)
					paid := map[string]bool{"payment-proof": true, "escrow-lock": true, "order-execute": true, "order-confirm": true, "payment-release": true}
					switch s := market.State(p.State); {
					case rail == "x402" && (operation == "payment-proof" || operation == "order-execute"): // the authorisation dies unused
						if s != market.Failed || p.Reason != policy.ReasonAuthorizationUnused {
							t.Errorf("state: got %s (%s), want failed (authorization_unused)", s, p.Reason)
						}
					case rail == "escrow" && (operation == "escrow-lock" || operation == "order-execute"): // the lock is taken back
						if s != market.Refunded {
							t.Errorf("state: got %s (%s), want refunded", s, p.Reason)
						}
					case rail != "not-required" && paid[operation]:
						if s.Kind() == market.Final {
							t.Errorf("state: got %s, want it to go on trying: it may be paid", s)
						}
					case operation == "order-confirm": // free, delivered: it waits for the confirmation
						if s != market.Delivered {
							t.Errorf("state: got %s (%s), want delivered", s, p.Reason)
						}
					default:
						if s != market.Cancelled {
							t.Errorf("state: got %s (%s), want cancelled at its deadline", s, p.Reason)
						}
						if got := len(r.transfers()); got != 0 {
							t.Errorf("transfers: got %d, want 0", got)
						}
					}
					if got := len(r.transfers()); got > 1 {
						t.Errorf("transfers: got %d, want one at most", got)
					}
					// The Market works again: what was paid goes on by itself.
					r.seller.ClearFaults(0)
					if p = r.final(p.ID); market.State(p.State).Kind() != market.Final {
						t.Errorf("after the fault: got %s (%s), want a final state", p.State, p.Reason)
					}
					r.sound()
				})
			})
		}
	}
}

// A dispute that is answered badly once arrives all the same, and once: the
// value that moved stays spent, and nothing is confirmed.
func TestOneFaultDuringDispute(t *testing.T) {
	for _, rail := range payingRails {
		for name, fault := range faults() {
			t.Run(rail+"/"+name, func(t *testing.T) {
				bubble(t, func(t *testing.T, r *rig) {
					for i := range r.needs {
						r.needs[i].Accept = market.Acceptance{Schema: json.RawMessage(`{"type":"object","required":["nothing like it"]}`)}
					}
					fault.Operation, fault.Nth = "order-dispute", 1
					_, err := r.seller.Inject(fault)
					r.must(err)
					r.start()
					p := r.buy(rail)
					state, transfers := market.Disputed, 1
					if rail == "not-required" {
						state, transfers = market.Failed, 0
					}
					if p.State != string(state) || p.Reason != policy.ReasonResultRejected {
						t.Errorf("got %s (%s), want %s (result_rejected)", p.State, p.Reason, state)
					}
					<-time.After(time.Minute) // the ledger follows the chain
					if got := len(r.transfers()); got != transfers {
						t.Errorf("transfers: got %d, want %d", got, transfers)
					}
					if got := r.seller.Calls("order-confirm"); got != 0 {
						t.Errorf("confirmations: got %d, want 0", got)
					}
					r.sound()
				})
			})
		}
	}
}

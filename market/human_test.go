// SPDX-License-Identifier: Apache-2.0

package market_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/agentd-project/agentd/market"
	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/sandbox"
)

func TestApproval(t *testing.T) {
	tests := []struct {
		name   string
		rules  func(*policy.Rules)
		decide func(r *rig, id policy.PurchaseID)
		state  market.State
		reason policy.Reason
	}{
		{"approved", above, func(r *rig, id policy.PurchaseID) { r.must(r.market.Approve(r.t.Context(), id, "eve")) }, market.Settled, ""},
		{"approved after days: the deadline stood still", above, func(r *rig, id policy.PurchaseID) {
			<-time.After(20 * time.Hour)
			r.must(r.market.Approve(r.t.Context(), id, "eve"))
		}, market.Settled, ""},
		{"denied", above, func(r *rig, id policy.PurchaseID) { r.must(r.market.Deny(r.t.Context(), id, "eve")) }, market.Denied, policy.ReasonApprovalDenied},
		{"nobody answers", above, func(*rig, policy.PurchaseID) { <-time.After(25 * time.Hour) }, market.Denied, policy.ReasonApprovalExpired},
		{"approved, then dearer", above, func(r *rig, id policy.PurchaseID) {
			r.price("storage.object", 30_000)
			r.must(r.market.Approve(r.t.Context(), id, "eve"))
		}, market.Denied, policy.ReasonApprovalChanged},
		{"approved, then cheaper", above, func(r *rig, id policy.PurchaseID) {
			r.price("storage.object", 15_000)
			r.must(r.market.Approve(r.t.Context(), id, "eve"))
		}, market.Settled, ""},
		{"first payment to a payee", func(rules *policy.Rules) { rules.Payees = policy.PayeesApprove },
			func(r *rig, id policy.PurchaseID) { r.must(r.market.Approve(r.t.Context(), id, "eve")) }, market.Settled, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				tt.rules(&r.rules)
				r.start()
				p := r.buy("wallet")
				if p.State != string(market.AwaitingApproval) || len(r.transfers()) != 0 {
					t.Fatalf("before: got %s (%s) and %d transfers, want awaiting_approval and none", p.State, p.Reason, len(r.transfers()))
				}
				tt.decide(r, p.ID)
				if p = r.final(p.ID); p.State != string(tt.state) || p.Reason != tt.reason {
					t.Errorf("got %s (%s), want %s (%s)", p.State, p.Reason, tt.state, tt.reason)
				}
				r.sound()
			})
		})
	}
}

func above(rules *policy.Rules) { rules.ApprovalAbove, rules.HasApproval = 10_000, true }

// price changes what a service costs.
func (r *rig) price(serviceType string, price money.Value) {
	r.t.Helper()
	for _, s := range r.seller.Services() {
		if s.ServiceType == serviceType {
			r.must(r.seller.UpdateService(s.ID, func(s *sandbox.Service) { s.Price = price }))
		}
	}
}

// An approved payee is known: the next payment to it needs nobody.
func TestApprovedPayeeIsKnown(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.rules.Payees = policy.PayeesApprove
		r.start()
		p := r.buy("x402")
		r.must(r.market.Approve(t.Context(), p.ID, "eve"))
		if p = r.final(p.ID); p.State != string(market.Settled) {
			t.Fatalf("first: got %s (%s), want settled", p.State, p.Reason)
		}
		if p = r.buy("x402"); p.State != string(market.Settled) {
			t.Errorf("second: got %s (%s), want settled without a question", p.State, p.Reason)
		}
		r.sound()
	})
}

func TestPause(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		_, err := r.seller.Inject(sandbox.Fault{Operation: "payment-intent", Kind: sandbox.FaultStatus, Status: 503, Nth: 1, Times: 3})
		r.must(err)
		r.start()
		id, err := r.market.Buy(t.Context(), market.Order{Need: "wallet"})
		r.must(err)
		for r.seller.Calls("payment-intent") == 0 {
			<-time.After(time.Millisecond)
		}
		r.must(r.ledger.SetPaused(t.Context(), true, "eve"))
		if _, err := r.market.Buy(t.Context(), market.Order{Need: "wallet"}); !errors.Is(err, market.ErrPaused) {
			t.Errorf("buy while paused: got %v, want ErrPaused", err)
		}
		<-time.After(5 * time.Minute)
		if got := len(r.transfers()); got != 0 {
			t.Errorf("transfers while paused: got %d, want 0", got)
		}
		r.must(r.ledger.SetPaused(t.Context(), false, "eve"))
		if p := r.final(id); p.State != string(market.Settled) {
			t.Errorf("after resume: got %s (%s), want settled", p.State, p.Reason)
		}
		r.sound()
	})
}

func TestObserveModeNeverPays(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.rules.Observe = true
		r.start()
		p := r.buy("wallet")
		if p.State != string(market.Denied) || p.Reason != policy.ReasonObserveMode {
			t.Errorf("got %s (%s), want denied (observe_mode)", p.State, p.Reason)
		}
		if got := r.seller.Calls("order-create"); got != 0 {
			t.Errorf("orders: got %d, want 0", got)
		}
	})
}

func TestResolve(t *testing.T) {
	tests := []struct {
		name, need string
		waits      market.State
		resolve    func(r *rig, id policy.PurchaseID) error
		state      market.State
	}{
		{"a handoff that was delivered", "handoff", market.HandedOff,
			func(r *rig, id policy.PurchaseID) error { return r.market.Confirm(r.t.Context(), id, "eve") }, market.Settled},
		{"a handoff that was not", "handoff", market.HandedOff,
			func(r *rig, id policy.PurchaseID) error {
				return r.market.Dispute(r.t.Context(), id, "nothing came", "eve")
			}, market.Failed},
		{"a payment made elsewhere", "offchain-record", market.NeedsOperator,
			func(r *rig, id policy.PurchaseID) error {
				return r.market.Reference(r.t.Context(), id, "invoice 7", "eve")
			}, market.Settled},
		{"a payment nobody wants to make", "offchain-record", market.NeedsOperator,
			func(r *rig, id policy.PurchaseID) error { return r.market.Deny(r.t.Context(), id, "eve") }, market.Cancelled},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.start()
				p := r.buy(tt.need)
				if p.State != string(tt.waits) {
					t.Fatalf("before: got %s (%s), want %s", p.State, p.Reason, tt.waits)
				}
				r.stop()
				r.start() // a decision is as good after a restart
				<-time.After(time.Second)
				r.must(tt.resolve(r, p.ID))
				if p = r.final(p.ID); p.State != string(tt.state) {
					t.Errorf("got %s (%s), want %s", p.State, p.Reason, tt.state)
				}
				if got := len(r.transfers()); got != 0 {
					t.Errorf("transfers: got %d, want 0", got)
				}
				if err := tt.resolve(r, p.ID); !errors.Is(err, market.ErrNotWaiting) {
					t.Errorf("a second decision: got %v, want ErrNotWaiting", err)
				}
			})
		})
	}
}

func TestBuyRefusesBeforeItStores(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start()
		tests := []struct {
			name  string
			order market.Order
			want  error
		}{
			{"an unknown need", market.Order{Need: "gold"}, market.ErrUnknownNeed},
			{"an input that is no object", market.Order{Need: "wallet", Input: json.RawMessage(`[1]`)}, market.ErrInput},
			{"an input that is no JSON", market.Order{Need: "wallet", Input: json.RawMessage(`{"a":`)}, market.ErrInput},
		}
		for _, tt := range tests {
			if _, err := r.market.Buy(t.Context(), tt.order); !errors.Is(err, tt.want) {
				t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
			}
		}
		open, err := r.ledger.OpenPurchases(t.Context())
		r.must(err)
		if len(open) != 0 {
			t.Errorf("stored: got %d purchases, want 0", len(open))
		}
	})
}

// An input that the operation does not take is refused before anything is paid.
func TestInputIsCheckedBeforePaying(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start()
		id, err := r.market.Buy(t.Context(), market.Order{Need: "x402", Input: json.RawMessage(`{"reciever":"base-1"}`)})
		r.must(err)
		if p := r.wait(id); p.State != string(market.Denied) || p.Reason != policy.ReasonInputInvalid {
			t.Errorf("got %s (%s), want denied (input_invalid)", p.State, p.Reason)
		}
	})
}

func TestExplainSpendsNothing(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.rules.Deny.Providers = policy.NewSet("sandbox-put")
		r.rules.Allow.Rails = policy.NewSet("wallet", "x402")
		r.start()
		for need, want := range map[string]policy.Reason{"wallet": policy.ReasonProviderDenied, "x402": policy.Allowed, "escrow": policy.ReasonRailNotAllowed} {
			offers, err := r.market.Explain(t.Context(), need)
			r.must(err)
			if len(offers) == 0 || offers[0].Reason != want {
				t.Errorf("%s: got %+v, want reason %s first", need, offers, want)
			}
		}
		if got := r.seller.Calls("order-create"); got != 0 {
			t.Errorf("orders: got %d, want 0", got)
		}
	})
}

// An answer that comes after the order was found in the list leaves a second
// order: it is recorded and never paid.
func TestLateDuplicateIsNeverPaid(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		// The first create is processed only long after the patience is over.
		_, err := r.seller.Inject(sandbox.Fault{Operation: "order-create", Nth: 1, Kind: sandbox.FaultDelayBefore, DelayMS: 150_000})
		r.must(err)
		r.start()
		p := r.buy("wallet")
		if p.State != string(market.Settled) {
			t.Fatalf("state: got %s (%s), want settled", p.State, p.Reason)
		}
		<-time.After(5 * time.Minute)
		stats, err := r.seller.Stats(t.Context())
		r.must(err)
		if got := len(r.transfers()); got != 1 {
			t.Errorf("transfers: got %d, want 1 (%+v)", got, stats)
		}
		r.sound()
	})
}

// SPDX-License-Identifier: Apache-2.0

package market_test

import (
	"context"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/market"
	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/sandbox"
)

// balance returns an account's balance of the token.
func (r *rig) balance(account common.Address) money.Amount {
	r.t.Helper()
	n, err := r.node.TokenBalance(context.Background(), r.chain.Token(), account)
	r.must(err)
	return n
}

// spent returns what counts against the policy's limits.
func (r *rig) spent() money.Value {
	r.t.Helper()
	u, err := r.ledger.Usage(context.Background(), []policy.Window{{Over: 24 * time.Hour}}, time.Now())
	r.must(err)
	return u.Lifetime
}

// clean checks that no allowance is left to the escrow contract and that it
// holds nothing of ours.
func (r *rig) clean() {
	r.t.Helper()
	left, err := r.node.Allowance(context.Background(), r.chain.Token(), r.agent.Address(), r.chain.Escrow())
	r.must(err)
	if !left.IsZero() {
		r.t.Errorf("allowance: got %s left to the escrow, want none", left)
	}
	if held := r.balance(r.chain.Escrow()); !held.IsZero() {
		r.t.Errorf("escrow: it still holds %s", held)
	}
}

func (r *rig) wants(p *ledger.Purchase, state market.State, reason policy.Reason) {
	r.t.Helper()
	if p.State != string(state) || p.Reason != reason {
		r.t.Errorf("purchase: got %s (%s), want %s (%s)", p.State, p.Reason, state, reason)
	}
}

func (r *rig) resolve(p *ledger.Purchase, said sandbox.Resolution) {
	r.t.Helper()
	_, err := r.seller.Resolve(context.Background(), p.OrderID, said)
	r.must(err)
}

const doorPrice = 100_000

func TestEscrowIsReleasedAfterTheConfirmation(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start()
		before := r.balance(r.agent.Address())
		r.wants(r.buy("escrow"), market.Settled, "")
		r.clean()
		if paid, _ := before.Sub(r.balance(r.agent.Address())); paid != money.FromUint64(doorPrice) {
			t.Errorf("paid: got %s, want %d", paid, doorPrice)
		}
		if got := r.spent(); got != doorPrice {
			t.Errorf("spent: got %s, want the price", got)
		}
		r.sound()
	})
}

// A result that is not accepted, or none at all: what is locked comes back by
// itself when the lock's time has passed, and with it the budget.
func TestLockIsTakenBack(t *testing.T) {
	for _, tt := range []struct {
		name    string
		prepare func(r *rig)
		during  func(r *rig, p *ledger.Purchase)
	}{
		{"after a dispute", func(r *rig) { r.impossible() }, nil},
		{"after a dispute that the Market calls released", func(r *rig) { r.impossible() },
			func(r *rig, p *ledger.Purchase) { r.resolve(p, sandbox.Resolution{Status: "released"}) }},
		{"after a dispute that the Market calls refunded", func(r *rig) { r.impossible() },
			func(r *rig, p *ledger.Purchase) { r.resolve(p, sandbox.Resolution{Status: "refunded"}) }},
		{"never executed", func(r *rig) {
			_, err := r.seller.Inject(sandbox.Fault{Operation: "order-execute", Kind: sandbox.FaultStatus, Status: 503})
			r.must(err)
		}, nil},
		{"never taken by the Market", func(r *rig) {
			_, err := r.seller.Inject(sandbox.Fault{Operation: "escrow-lock", Kind: sandbox.FaultDropBefore})
			r.must(err)
		}, nil},
		{"held for a person who does not come", func(r *rig) {
			r.impossible()
			for i := range r.needs {
				r.needs[i].Hold = true
			}
		}, nil},
		{"the Market does not hear of it", func(r *rig) {
			r.impossible()
			_, err := r.seller.Inject(sandbox.Fault{Operation: "payment-refund", Kind: sandbox.FaultStatus, Status: 409, Code: "VALIDATION_ERROR"})
			r.must(err)
		}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				tt.prepare(r)
				r.start()
				before := r.balance(r.agent.Address())
				id, err := r.market.Buy(t.Context(), market.Order{Need: "escrow"})
				r.must(err)
				<-time.After(lockTime / 2)
				p, err := r.ledger.Get(t.Context(), id)
				r.must(err)
				if r.spent() != doorPrice || p.Final {
					t.Errorf("half way: got %s (%s) with %s counted, want it open at the price", p.State, p.Reason, r.spent())
				}
				if tt.during != nil {
					tt.during(r, p)
				}
				r.wants(r.final(id), market.Refunded, policy.ReasonRefunded)
				r.clean()
				if r.balance(r.agent.Address()) != before || r.spent() != 0 {
					t.Errorf("balance and budget: got %s and %s spent, want %s and nothing", r.balance(r.agent.Address()), r.spent(), before)
				}
				r.sound()
			})
		})
	}
}

// The payee gives the lock back before its time: during a dispute, or although
// the purchase was confirmed.
func TestPayeeGivesTheLockBack(t *testing.T) {
	t.Run("during a dispute", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			r.impossible()
			r.start()
			p := r.buy("escrow")
			r.wants(p, market.Disputed, policy.ReasonResultRejected)
			r.resolve(p, sandbox.Resolution{Status: "refunded", Move: sandbox.MoveFromContract})
			<-time.After(lockTime / 2)
			r.wants(r.wait(p.ID), market.Refunded, policy.ReasonRefunded)
			if r.spent() != 0 {
				t.Errorf("spent: got %s, want nothing", r.spent())
			}
			r.clean()
			r.sound()
		})
	})
	t.Run("although it is confirmed", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			r.crash = func(after bool, state string) bool { return after && state == string(market.Confirmed) }
			r.start()
			id, err := r.market.Buy(t.Context(), market.Order{Need: "escrow"})
			r.must(err)
			<-r.life.over
			p, err := r.ledger.Get(context.Background(), id)
			r.must(err)
			r.stop()
			r.resolve(p, sandbox.Resolution{Move: sandbox.MoveFromContract})
			r.crash = nil
			r.start()
			r.wants(r.final(id), market.Refunded, policy.ReasonRefunded)
			r.clean()
			r.sound()
		})
	})
}

// What left our account by a plain transfer counts as spent until a final block
// shows exactly that amount on its way back.
func TestRefundCountsOnceTheChainShowsIt(t *testing.T) {
	for need, move := range map[string]string{"wallet": sandbox.MoveFromPayee, "x402": sandbox.MoveFromPayee, "onchain-escrow": sandbox.MoveFromKeeper} {
		t.Run(need, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.impossible()
				r.start()
				first, second, third := r.buy(need), r.buy(need), r.buy(need)
				r.wants(first, market.Disputed, policy.ReasonResultRejected)
				r.resolve(first, sandbox.Resolution{Status: "refunded"})
				<-time.After(time.Hour)
				if p := r.wait(first.ID); p.Final {
					t.Fatalf("the Market's word: got %s (%s), want it open", p.State, p.Reason)
				}
				if reason, _ := r.market.Trouble(first.ID); reason != policy.ReasonRefundAwaited {
					t.Errorf("waits for: got %q, want %q", reason, policy.ReasonRefundAwaited)
				}
				spent := r.spent()
				r.resolve(first, sandbox.Resolution{Move: move, Amount: "1"}) // not what was paid
				<-time.After(time.Hour)
				if r.spent() != spent {
					t.Errorf("spent: got %s after another amount came, want %s", r.spent(), spent)
				}
				r.resolve(first, sandbox.Resolution{Move: move})
				<-time.After(time.Hour)
				// One transfer came back for three purchases of the same price.
				if got := r.spent(); got != spent/3*2 {
					t.Errorf("spent: got %s after the refund, want %s", got, spent/3*2)
				}
				r.resolve(second, sandbox.Resolution{Status: "refunded", Move: move})
				<-time.After(time.Hour)
				// Which of three equal payments came back cannot be told, and need not be.
				states := map[string]int{}
				for _, p := range []*ledger.Purchase{first, second, third} {
					states[r.wait(p.ID).State]++
				}
				if states[string(market.Refunded)] != 2 || states[string(market.Disputed)] != 1 {
					t.Errorf("states: got %v, want two refunded and one disputed", states)
				}
				if got := r.spent(); got != spent/3 {
					t.Errorf("spent: got %s after both refunds, want %s", got, spent/3)
				}
				r.sound()
			})
		})
	}
}

// The Market closes a dispute in the payee's favour.
func TestReleaseAfterADispute(t *testing.T) {
	for _, need := range []string{"wallet", "x402", "onchain-escrow"} {
		t.Run(need, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.impossible()
				r.start()
				p := r.buy(need)
				r.resolve(p, sandbox.Resolution{Status: "released"})
				<-time.After(time.Hour)
				r.wants(r.wait(p.ID), market.Settled, policy.ReasonDisputed)
				r.sound()
			})
		})
	}
}

// An escrow that the owner did not list gets nothing.
func TestUnlistedEscrow(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.seller.Mutate(func(op string, reply map[string]any) {
			if op == "payment-intent" {
				child(item(reply), "rail")["escrowAddress"] = r.agent.Address().Hex()
			}
		})
		r.start()
		r.wants(r.buy("escrow"), market.Rejected, policy.ReasonEscrowUnknown)
		if got := len(r.transfers()); got != 0 {
			t.Errorf("transfers: got %d, want 0", got)
		}
		r.sound()
	})
}

// An authorisation that dies unused is signed again by the same purchase, under
// the same nonce, while there is time.
func TestAuthorizationIsSignedAgain(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		id, err := r.seller.Inject(sandbox.Fault{Operation: "order-execute", Kind: sandbox.FaultStatus, Status: 503})
		r.must(err)
		for i := range r.needs {
			r.needs[i].Deadline = time.Hour
		}
		r.start()
		bought, err := r.market.Buy(t.Context(), market.Order{Need: "x402"})
		r.must(err)
		signed := func() []ledger.Attempt {
			attempts, err := r.ledger.Attempts(t.Context(), bought)
			r.must(err)
			return attempts
		}
		for range 120 {
			if len(signed()) > 1 {
				break
			}
			<-time.After(30 * time.Second)
		}
		r.seller.ClearFaults(id)
		r.wants(r.final(bought), market.Settled, "")
		attempts := signed()
		if len(attempts) < 2 || attempts[0].Status != ledger.AttemptDead || attempts[0].Nonce != attempts[1].Nonce {
			t.Errorf("attempts: got %+v, want a dead one and another under its nonce", attempts)
		}
		if got := len(r.transfers()); got != 1 {
			t.Errorf("transfers: got %d, want 1", got)
		}
		r.sound()
	})
}

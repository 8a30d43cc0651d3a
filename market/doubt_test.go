// SPDX-License-Identifier: Apache-2.0

package market_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/market"
	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/sandbox"
)

// once says true for the first commit into a state.
func once(state market.State) func(string) bool {
	done := false
	return func(s string) bool {
		if s != string(state) || done {
			return false
		}
		done = true
		return true
	}
}

// impossible makes every need reject every result.
func (r *rig) impossible() {
	for i := range r.needs {
		r.needs[i].Accept = market.Acceptance{Schema: json.RawMessage(`{"type":"object","required":["nothing like it"]}`)}
	}
}

// hidden strips what a reply says of the payee, and with token of the token too.
func hidden(token bool) func(op string, reply map[string]any) {
	strip := func(payment map[string]any) {
		delete(payment, "payeeAddress")
		delete(payment, "walletAddress")
		if token {
			delete(payment, "tokenAddress")
			delete(payment, "token")
			delete(payment, "chain")
		}
	}
	return func(op string, reply map[string]any) {
		switch op {
		case "search":
			quote(func(q map[string]any) { strip(child(q, "payment")) })(reply)
		case "order-create", "order-get":
			strip(child(item(reply), "payment"))
		}
	}
}

// diesOrdered buys, and lets the buyer die once the order is stored.
func (r *rig) diesOrdered(need string) *ledger.Purchase {
	r.t.Helper()
	ordered := once(market.Ordered)
	r.crash = func(after bool, state string) bool { return after && ordered(state) }
	r.start()
	id, err := r.market.Buy(r.t.Context(), market.Order{Need: need})
	r.must(err)
	<-r.life.over
	p, err := r.ledger.Get(r.t.Context(), id)
	r.must(err)
	r.stop()
	r.crash = nil
	return p
}

// A restart does not change how a purchase ends whose order the Market made and
// does not know: it is refused at once, and does not wait for its deadline.
func TestUnknownOrderAfterRestart(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		front := newLiar(r, "wallet", &logSink{})
		front.tell(hostile{edit: on("order-create", member("id", "../../machines"))})
		r.front = front.ServeHTTP
		id := r.diesOrdered("wallet").ID
		r.start()
		r.wants(r.final(id), market.Rejected, policy.ReasonMarketRefused)
		r.sound()
	})
}

// A deadline that has passed hurries nothing on: while the Market cannot say whether
// the order was paid, it is asked no more often than about anything else.
func TestOverdueDoesNotHammer(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.diesOrdered("wallet")
		var asked atomic.Int64
		front := newLiar(r, "wallet", &logSink{})
		front.marks = append(front.marks, p.OrderID)
		front.tell(hostile{serve: func(op string, w http.ResponseWriter, _ *http.Request, honest func() *recorded) {
			if op != "payment-get" {
				send(w, honest())
				return
			}
			asked.Add(1)
			w.WriteHeader(http.StatusServiceUnavailable)
		}})
		r.front = front.ServeHTTP
		<-time.After(time.Until(p.Deadline))
		r.start()
		<-time.After(time.Hour)
		if got := asked.Load(); got < 10 || got > 1000 {
			t.Errorf("payments asked for in an hour: got %d, want 10 to 1000", got)
		}
		front.tell(hostile{})
		r.wants(r.final(p.ID), market.Cancelled, policy.ReasonDeadlinePassed)
		r.sound()
	})
}

// A confirmation whose answer is lost releases the payment as one that is answered.
func TestLostConfirmationStillReleases(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start()
		if p := r.buy("wallet"); p.State != string(market.Settled) {
			t.Fatalf("got %s (%s), want settled", p.State, p.Reason)
		}
		want := r.seller.Calls("payment-release")
		if want == 0 {
			t.Fatal("nothing was released")
		}
		_, err := r.seller.Inject(sandbox.Fault{Operation: "order-confirm", Nth: 1, Kind: sandbox.FaultDropAfter})
		r.must(err)
		if p := r.buy("wallet"); p.State != string(market.Settled) {
			t.Fatalf("got %s (%s), want settled", p.State, p.Reason)
		}
		if got := r.seller.Calls("payment-release") - want; got != want {
			t.Errorf("releases after a lost confirmation: got %d, want %d", got, want)
		}
	})
}

// That the Market calls an order confirmed does not deliver what the need rejects.
func TestMarketCannotConfirmForUs(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.impossible()
		file := filepath.Join(r.dir, "result.json")
		for i := range r.needs {
			r.needs[i].Deliver.File = file
		}
		r.crash = func(after bool, state string) bool { return after && state == string(market.Delivered) }
		r.start()
		id, err := r.market.Buy(t.Context(), market.Order{Need: "wallet"})
		r.must(err)
		<-r.life.over
		r.stop()
		r.crash = nil
		r.seller.Mutate(func(op string, reply map[string]any) {
			if op == "order-get" {
				item(reply)["status"] = "confirmed"
			}
		})
		r.start()
		p := r.final(id)
		if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("a result that the need rejects was delivered; purchase is %s", p.State)
		}
		r.sound()
	})
}

// A settlement that could not be stored is stored later, in a dispute too.
func TestDisputeIsAccountedAfterAFailedWrite(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.impossible()
		seen := 0
		r.refuse = func(state string) bool {
			if state == string(market.Disputed) {
				seen++
			}
			return seen == 2 && state == string(market.Disputed) // the move that accounts
		}
		r.start()
		r.buy("wallet")
		<-time.After(time.Hour)
		r.sound()
	})
}

// A decision that could not be stored was not taken: the other one is still open.
func TestDecisionThatIsNotStoredIsNotTaken(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.refuse = once(market.Paid)
		r.start()
		p := r.buy("offchain-record")
		if err := r.market.Reference(t.Context(), p.ID, "invoice 7", "eve"); err == nil {
			t.Fatal("Reference: got no error, want one")
		}
		r.must(r.market.Deny(t.Context(), p.ID, "eve"))
		if p = r.final(p.ID); p.State != string(market.Cancelled) {
			t.Errorf("got %s (%s), want cancelled", p.State, p.Reason)
		}
	})
}

// What was never paid is not disputed: it would wait for a payment for ever.
func TestUnpaidIsNotDisputed(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start()
		p := r.buy("offchain-record")
		if err := r.market.Dispute(t.Context(), p.ID, "changed my mind", "eve"); !errors.Is(err, market.ErrNotWaiting) {
			t.Errorf("got %v, want ErrNotWaiting", err)
		}
	})
}

// An authorisation that was recorded as dead before a crash ends its purchase
// after it.
func TestDeadAuthorisationEndsThePurchaseAfterACrash(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		_, err := r.seller.Inject(sandbox.Fault{Operation: "order-execute", Kind: sandbox.FaultStatus, Status: 402, Code: "PAYMENT_REQUIRED"})
		r.must(err)
		r.crash = func(after bool, state string) bool { return after && state == "attempt dead" }
		r.start()
		id, err := r.market.Buy(t.Context(), market.Order{Need: "x402"})
		r.must(err)
		select {
		case <-r.life.over:
		case <-time.After(2 * time.Hour):
			t.Fatal("the authorisation never died")
		}
		r.stop()
		r.crash = nil
		r.start()
		if p := r.final(id); p.State != string(market.Failed) || p.Reason != policy.ReasonAuthorizationUnused {
			t.Errorf("got %s (%s), want failed (authorization_unused)", p.State, p.Reason)
		}
		r.sound()
	})
}

// A dispute that the Market refuses is for a person, not repeated for ever.
func TestRefusedDisputeWaitsForAPerson(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.impossible()
		_, err := r.seller.Inject(sandbox.Fault{Operation: "order-dispute", Kind: sandbox.FaultStatus, Status: 400, Code: "VALIDATION_ERROR"})
		r.must(err)
		r.start()
		if p := r.buy("wallet"); p.State != string(market.NeedsOperator) {
			t.Errorf("got %s (%s), want needs_operator", p.State, p.Reason)
		}
	})
}

// The names that the Market makes up are no metric labels.
func TestMetricLabelsAreClosed(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		registry := prometheus.NewRegistry()
		r.registry = registry
		r.seller.Mutate(func(op string, reply map[string]any) {
			if op == "search" {
				quote(func(q map[string]any) {
					child(q, "payment")["defaultRail"], child(q, "payment")["supportedRails"] = "pigeon", []any{"pigeon"}
				})(reply)
			}
		})
		r.start()
		r.buy("wallet")
		families, err := registry.Gather()
		r.must(err)
		for _, f := range families {
			for _, metric := range f.GetMetric() {
				for _, label := range metric.GetLabel() {
					if label.GetValue() == "pigeon" {
						t.Errorf("%s: label %s has the Market's word", f.GetName(), label.GetName())
					}
				}
			}
		}
	})
}

// A token that counts in another currency than the policy's is refused, also if
// it is named only by an intent that names no currency.
func TestTokenOfAnotherCurrencyIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.currency = "EUR"
		hide := hidden(true)
		r.seller.Mutate(func(op string, reply map[string]any) {
			hide(op, reply)
			if op == "payment-intent" {
				delete(item(reply), "currency")
			}
			if op == "search" {
				quote(func(q map[string]any) { child(q, "pricing")["currency"] = "USD" })(reply)
			}
		})
		r.start()
		if p := r.buy("wallet"); p.State != string(market.Rejected) || p.Reason != policy.ReasonCurrencyMismatch {
			t.Errorf("got %s (%s), want rejected (currency_mismatch)", p.State, p.Reason)
		}
		if got := len(r.transfers()); got != 0 {
			t.Errorf("transfers: got %d, want 0", got)
		}
	})
}

// A person who is asked about payees sees the payee before anything goes to it,
// however late the Market names it, and is not asked again about the same one.
func TestApprovalIsOfThePayee(t *testing.T) {
	for _, price := range []bool{false, true} {
		name, questions := "the payee alone", 1
		if price {
			name, questions = "price first, payee then", 2
		}
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.rules.Payees = policy.PayeesApprove
				if price {
					above(&r.rules)
				}
				r.seller.Mutate(hidden(false))
				r.start()
				p := r.buy("wallet")
				asked := 0
				for ; p.State == string(market.AwaitingApproval) && asked < 5; asked++ {
					if got := len(r.transfers()); got != 0 {
						t.Fatalf("transfers while asking: got %d, want 0", got)
					}
					r.must(r.market.Approve(t.Context(), p.ID, "eve"))
					<-time.After(time.Minute)
					p = r.wait(p.ID)
				}
				if p.State != string(market.Settled) || asked != questions {
					t.Errorf("got %s (%s) after %d questions, want settled after %d", p.State, p.Reason, asked, questions)
				}
				r.sound()
			})
		})
	}
}

// What waits for the ledger to be verified waits until its deadline, and does not
// end for another reason.
func TestWaitingIsNotSearching(t *testing.T) {
	for _, lasting := range []bool{false, true} {
		name, state, reason := "for a while", market.Settled, policy.Reason("")
		if lasting {
			name, state, reason = "for ever", market.Cancelled, policy.ReasonDeadlinePassed
		}
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.start()
				r.ledger.SetVerified(false)
				id, err := r.market.Buy(t.Context(), market.Order{Need: "wallet"})
				r.must(err)
				<-time.After(8 * time.Minute)
				r.ledger.SetVerified(!lasting)
				if p := r.final(id); p.State != string(state) || p.Reason != reason {
					t.Errorf("got %s (%s), want %s (%s)", p.State, p.Reason, state, reason)
				}
				r.sound()
			})
		})
	}
}

// SPDX-License-Identifier: Apache-2.0

package market_test

import (
	"encoding/base64"
	"encoding/json"
	"testing"

	"github.com/agentd-project/agentd/market"
	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/sandbox"
)

// lie edits one reply of the Market.
type lie func(reply map[string]any)

const stranger = "0x00000000000000000000000000000000000BADD1"

// quote edits every quote of a search.
func quote(edit func(quote map[string]any)) lie {
	return func(reply map[string]any) {
		for _, q := range item(reply)["quotes"].([]any) {
			edit(q.(map[string]any))
		}
	}
}

func item(reply map[string]any) map[string]any {
	if m, ok := reply["item"].(map[string]any); ok {
		return m
	}
	return map[string]any{"quotes": []any{}}
}

func child(m map[string]any, name string) map[string]any {
	c, ok := m[name].(map[string]any)
	if !ok {
		c = map[string]any{}
		m[name] = c
	}
	return c
}

func price(text string) lie {
	return quote(func(q map[string]any) { child(q, "pricing")["amount"] = json.Number(text) })
}

// payment edits the recommendation on an order.
func payment(name string, value any) lie {
	return func(reply map[string]any) { child(item(reply), "payment")[name] = value }
}

// rail edits the rail of an intent.
func rail(name string, value any) lie {
	return func(reply map[string]any) { child(item(reply), "rail")[name] = value }
}

func metadata(name string, value any) lie {
	return func(reply map[string]any) { child(child(item(reply), "rail"), "metadata")[name] = value }
}

// challenge edits the x402 challenge inside an intent.
func challenge(edit func(c map[string]any)) lie {
	return func(reply map[string]any) {
		request := child(child(child(item(reply), "rail"), "metadata"), "paymentRequest")
		text, err := base64.StdEncoding.DecodeString(request["paymentRequired"].(string))
		if err != nil {
			panic(err)
		}
		var c map[string]any
		if err := json.Unmarshal(text, &c); err != nil {
			panic(err)
		}
		edit(c)
		if text, err = json.Marshal(c); err != nil {
			panic(err)
		}
		request["paymentRequired"] = base64.StdEncoding.EncodeToString(text)
	}
}

// entry edits the first entry of the challenge.
func entry(name string, value any) lie {
	return challenge(func(c map[string]any) { c["accepts"].([]any)[0].(map[string]any)[name] = value })
}

// A Market that lies between quote, order, intent and challenge is refused with
// the reason that names the lie, no value moves, and other needs are served.
func TestLiesMoveNothing(t *testing.T) {
	tests := []struct {
		name      string
		need      string
		operation string
		lie       lie
		state     market.State
		reason    policy.Reason
	}{
		{"a price with too many digits", "wallet", "search", price("0.0200001"), market.Denied, policy.ReasonPriceInvalid},
		{"a price below zero", "wallet", "search", price("-0.02"), market.Denied, policy.ReasonPriceInvalid},
		{"a price above the maximum", "wallet", "search", price("1.000001"), market.Denied, policy.ReasonMaxPrice},
		{"a price on the free rail", "not-required", "search", price("0.01"), market.Denied, policy.ReasonPriceOnFreeRail},
		{"a price in a foreign currency", "wallet", "search", quote(func(q map[string]any) { child(q, "pricing")["currency"] = "EUR" }), market.Denied, policy.ReasonCurrencyMismatch},
		{"an unknown rail", "wallet", "search", quote(func(q map[string]any) {
			child(q, "payment")["defaultRail"], child(q, "payment")["supportedRails"] = "pigeon", []any{"pigeon"}
		}), market.Denied, policy.ReasonRailUnsupported},
		{"a chain that is not configured", "wallet", "search", quote(func(q map[string]any) { child(q, "payment")["chain"] = "solana:mainnet" }), market.Denied, policy.ReasonChainUnknown},
		{"a token that is not configured", "wallet", "search", quote(func(q map[string]any) { child(q, "payment")["tokenAddress"] = stranger }), market.Denied, policy.ReasonTokenUnknown},
		{"a quote that is over", "wallet", "search", quote(func(q map[string]any) { q["expiresAt"] = "1999-01-01T00:00:00Z" }), market.Denied, policy.ReasonQuoteExpired},

		{"an order for another service", "wallet", "order-create", func(r map[string]any) { item(r)["serviceId"] = "svc_other" }, market.Rejected, policy.ReasonServiceMismatch},
		{"an order with another payee", "wallet", "order-create", payment("payeeAddress", stranger), market.Rejected, policy.ReasonPayeeMismatch},
		{"an order with another token", "wallet", "order-create", payment("tokenAddress", stranger), market.Rejected, policy.ReasonTokenUnknown},
		{"an order on another chain", "wallet", "order-create", payment("chain", "eip155:1"), market.Rejected, policy.ReasonChainUnknown},
		{"an order that wants money for what was free", "not-required", "order-create", payment("required", true), market.Rejected, policy.ReasonRailMismatch},

		{"an intent with a higher amount", "wallet", "payment-intent", func(r map[string]any) {
			item(r)["amount"] = json.Number("0.03")
			metadata("rawAmount", "30000")(r)
		}, market.Rejected, policy.ReasonPriceChanged},
		{"an intent whose amounts disagree", "wallet", "payment-intent", metadata("rawAmount", "990000"), market.Rejected, policy.ReasonPriceChanged},
		{"an intent with another payee", "wallet", "payment-intent", rail("payeeAddress", stranger), market.Rejected, policy.ReasonPayeeMismatch},
		{"an intent with another token", "wallet", "payment-intent", rail("tokenAddress", stranger), market.Rejected, policy.ReasonTokenUnknown},
		{"an intent on another chain", "wallet", "payment-intent", rail("chain", "eip155:1"), market.Rejected, policy.ReasonChainUnknown},
		{"an intent on another rail", "wallet", "payment-intent", rail("type", "x402"), market.Rejected, policy.ReasonRailMismatch},
		{"an intent with other decimals", "wallet", "payment-intent", metadata("tokenDecimals", json.Number("18")), market.Rejected, policy.ReasonDecimalsMismatch},
		{"an intent that is held already", "wallet", "payment-intent", func(r map[string]any) { item(r)["status"] = "held" }, market.NeedsOperator, policy.ReasonHeld},

		{"a challenge with another payee", "x402", "payment-intent", entry("payTo", stranger), market.Rejected, policy.ReasonPayeeMismatch},
		{"a challenge for another asset", "x402", "payment-intent", entry("asset", stranger), market.Rejected, policy.ReasonTokenUnknown},
		{"a challenge on another network", "x402", "payment-intent", entry("network", "eip155:8453"), market.Rejected, policy.ReasonChainUnknown},
		{"a challenge for a higher amount", "x402", "payment-intent", entry("amount", "990000"), market.Rejected, policy.ReasonPriceChanged},
		{"a challenge with a huge timeout", "x402", "payment-intent", entry("maxTimeoutSeconds", json.Number("31536000")), market.Denied, policy.ReasonAuthorizationTooLong},
		{"a challenge with a zero timeout", "x402", "payment-intent", entry("maxTimeoutSeconds", json.Number("0")), market.Denied, policy.ReasonAuthorizationTooLong},
		{"a challenge with another domain", "x402", "payment-intent", entry("extra", map[string]any{"name": "USD Coin", "version": "2"}), market.Rejected, policy.ReasonDomainMismatch},
		{"a challenge without a domain", "x402", "payment-intent", entry("extra", map[string]any{}), market.Rejected, policy.ReasonChallengeInvalid},
		{"a challenge of another scheme", "x402", "payment-intent", entry("scheme", "upto"), market.Rejected, policy.ReasonChallengeInvalid},
		{"a challenge that accepts nothing", "x402", "payment-intent", challenge(func(c map[string]any) { c["accepts"] = []any{} }), market.Rejected, policy.ReasonChallengeInvalid},
		{"no challenge", "x402", "payment-intent", rail("metadata", map[string]any{}), market.Rejected, policy.ReasonChallengeInvalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.seller.Mutate(func(op string, reply map[string]any) {
					if op == tt.operation && reply["error"] == nil {
						tt.lie(reply)
					}
				})
				r.start()
				p := r.buy(tt.need)
				if p.State != string(tt.state) || p.Reason != tt.reason {
					t.Errorf("got %s (%s), want %s (%s)", p.State, p.Reason, tt.state, tt.reason)
				}
				if got := len(r.transfers()); got != 0 {
					t.Errorf("transfers: got %d, want 0", got)
				}
				r.seller.Mutate(nil)
				if other := r.buy("not-required"); other.State != string(market.Settled) {
					t.Errorf("another need: got %s (%s), want settled", other.State, other.Reason)
				}
				r.sound()
			})
		})
	}
}

// Among several entries the one that can be paid is checked, shown and signed.
func TestSeveralEntriesPayTheRightOne(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.seller.Mutate(func(op string, reply map[string]any) {
			if op == "payment-intent" {
				challenge(func(c map[string]any) {
					good := c["accepts"].([]any)[0].(map[string]any)
					bad := map[string]any{}
					for k, v := range good {
						bad[k] = v
					}
					bad["network"], bad["amount"], bad["payTo"] = "eip155:1", "1", stranger
					c["accepts"] = []any{bad, good}
				})(reply)
			}
		})
		r.start()
		p := r.buy("x402")
		if p.State != string(market.Settled) {
			t.Fatalf("state: got %s (%s), want settled", p.State, p.Reason)
		}
		if moved := r.transfers(); len(moved) != 1 || moved[0].Value.Int64() != 10_000 {
			t.Errorf("transfers: got %v, want one of 10000", moved)
		}
		r.sound()
	})
}

// A result that the need does not accept is disputed and never confirmed; the
// value that has moved stays spent.
func TestRejectedResultIsDisputed(t *testing.T) {
	for _, hold := range []bool{false, true} {
		name, want := "disputed", market.Disputed
		if hold {
			name, want = "held for a person", market.NeedsOperator
		}
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				for i := range r.needs {
					r.needs[i].Accept = market.Acceptance{Schema: json.RawMessage(`{"type":"object","required":["nothing like it"]}`)}
					r.needs[i].Hold = hold
				}
				r.start()
				p := r.buy("wallet")
				if p.State != string(want) || p.Reason != policy.ReasonResultRejected {
					t.Errorf("got %s (%s), want %s (result_rejected)", p.State, p.Reason, want)
				}
				if got := len(r.transfers()); got != 1 {
					t.Errorf("transfers: got %d, want 1", got)
				}
				if got := r.seller.Calls("order-confirm"); got != 0 {
					t.Errorf("confirmations: got %d, want 0", got)
				}
			})
		})
	}
}

// Answers that are no answers are waited out; the purchase ends at its deadline
// and the daemon goes on.
func TestUnreadableAnswersAreWaitedOut(t *testing.T) {
	for _, body := range []string{`{"item":{"id":"srch_1","price":NaN}}`, `{"item":`, `[]`, `null`} {
		t.Run(body, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				_, err := r.seller.Inject(sandbox.Fault{Operation: "search", Kind: sandbox.FaultBody, Body: body})
				r.must(err)
				r.start()
				p := r.buy("wallet")
				if market.State(p.State).Kind() != market.Final || p.State == string(market.Settled) {
					t.Errorf("got %s (%s), want an end without a purchase", p.State, p.Reason)
				}
				r.seller.ClearFaults(0)
				if other := r.buy("wallet"); other.State != string(market.Settled) {
					t.Errorf("afterwards: got %s (%s), want settled", other.State, other.Reason)
				}
				r.sound()
			})
		})
	}
}

// SPDX-License-Identifier: Apache-2.0

package market_test

import (
	"encoding/json"
	"maps"
	"strings"

	"github.com/agentd-project/agentd/market"
	"github.com/agentd-project/agentd/policy"
)

// refused is the end of a lie before anything was paid.
func refused(what string, tell edit, state market.State, reason policy.Reason) hostile {
	return hostile{lie: what, edit: tell, state: state, reason: reason}
}

// of says which need is bought.
func (h hostile) of(need string) hostile {
	h.need = need
	return h
}

func (h hostile) with(before func(r *rig)) hostile {
	h.before = before
	return h
}

func quoteLies() []hostile {
	denied := func(what string, reason policy.Reason, tell ...lie) hostile {
		return refused(what, on("search", tell...), market.Denied, reason)
	}
	return []hostile{
		denied("a price with more digits than the token has", policy.ReasonPriceInvalid, price("0.0200001")),
		denied("a price below zero", policy.ReasonPriceInvalid, price("-0.02")),
		denied("a price of zero on a rail that moves money", policy.ReasonPriceUnknown, price("0")),
		denied("a price too small for a unit", policy.ReasonPriceInvalid, price("1e-300")),
		denied("a price above what 256 bits hold", policy.ReasonPriceInvalid, price("1e80")),
		denied("a price with an exponent like a bomb", policy.ReasonPriceInvalid, price("1e999999999")),
		denied("a price above the need's maximum", policy.ReasonMaxPrice, price("1.000001")),
		denied("a price on the free rail", policy.ReasonPriceOnFreeRail, price("0.01")).of("not-required"),
		denied("the free rail, and a payment required", policy.ReasonRailMismatch, pays("required", true)).of("not-required"),
		denied("a price in a foreign currency", policy.ReasonCurrencyMismatch,
			quote(func(q map[string]any) { child(q, "pricing")["currency"] = "EUR" })),
		denied("an unknown rail", policy.ReasonRailUnsupported, pays("defaultRail", "pigeon"), pays("supportedRails", []any{"pigeon"})),
		denied("ten thousand unknown rails", policy.ReasonRailUnsupported, pays("defaultRail", "pigeon"), pays("supportedRails", many("pigeon"))),
		denied("a rail that the owner does not allow", policy.ReasonRailNotAllowed, pays("defaultRail", "x402"), pays("supportedRails", []any{"x402"})).
			with(func(r *rig) { r.rules.Allow.Rails = policy.NewSet("wallet", "wdk-usdt-transfer") }),
		denied("a chain that is not configured", policy.ReasonChainUnknown, pays("chain", "solana:mainnet")),
		denied("a token that is not configured", policy.ReasonTokenUnknown, pays("tokenAddress", stranger)),
		denied("a token by a name that is not configured", policy.ReasonTokenUnknown, pays("tokenAddress", ""), pays("token", "SCAM")),
		denied("a payee that is no address", policy.ReasonPayeeMismatch, pays("payeeAddress", "vitalik.eth")),
		denied("a quote that is over", policy.ReasonQuoteExpired, offered("expiresAt", "1999-01-01T00:00:00Z")),
		denied("a quote whose expiry is no time", policy.ReasonQuoteExpired, offered("expiresAt", "soon")),
		denied("another operation than the one searched for", policy.ReasonOperationNotAllowed, offered("operation", "transfer-all")),
		denied("an execution elsewhere, which the need does not allow", policy.ReasonHandedOff, offered("executionMode", "external-handoff")),
		refused("no quotes at all", on("search", member("quotes", []any{})), market.NoMatch, policy.ReasonNoQuotes),
		{lie: "a quote that is good for ever", edit: on("search", offered("expiresAt", "9999-12-31T23:59:59Z")), state: market.Settled, paid: true},
		{lie: "a cheaper quote that cannot be paid before an honest one", edit: on("search", beside(func(q map[string]any) {
			child(q, "pricing")["amount"] = json.Number("0.000001")
			child(q, "payment")["tokenAddress"] = stranger
		})), state: market.Settled, paid: true},
		denied("ten thousand quotes that cannot be paid before an honest one", policy.ReasonTokenUnknown, func(reply map[string]any) {
			honest := item(reply)["quotes"].([]any)
			beside(func(q map[string]any) { child(q, "payment")["tokenAddress"] = stranger })(reply)
			list := make([]any, 10_000, 10_001)
			for i := range list {
				list[i] = item(reply)["quotes"].([]any)[0]
			}
			item(reply)["quotes"] = append(list, honest...)
		}),
		denied("names of fifty thousand letters", policy.ReasonServiceNotAllowed, offered("serviceId", long), offered("providerKey", long),
			offered("skillKey", long), pays("tokenAddress", long)),
		{lie: "a name of a hundred thousand letters", edit: on("search", offered("serviceId", long+long)), state: market.Cancelled,
			reason: policy.ReasonDeadlinePassed, waits: policy.ReasonMarketUnavailable},
		{lie: "quotes that the Market calls expired, one after the other", serve: refusal("order-create", 409, "QUOTE_EXPIRED"),
			state: market.Rejected, reason: policy.ReasonQuoteExpired},
	}
}

// long is a text that has no end worth the name.
var long = strings.Repeat("x", 50_000)

func many(name string) []any {
	list := make([]any, 10_000)
	for i := range list {
		list[i] = name
	}
	return list
}

// beside puts a changed copy of the first quote before it.
func beside(change func(q map[string]any)) lie {
	return func(reply map[string]any) {
		quotes := item(reply)["quotes"].([]any)
		honest := quotes[len(quotes)-1].(map[string]any)
		other := maps.Clone(honest)
		other["payment"], other["pricing"] = maps.Clone(child(honest, "payment")), maps.Clone(child(honest, "pricing"))
		other["id"] = honest["id"].(string) + "_other"
		change(other)
		item(reply)["quotes"] = append([]any{other}, quotes...)
	}
}

// term is one of the terms of a purchase, as a lie about it in any place.
type term struct {
	name   string
	member string
	value  any
	reason policy.Reason
}

// terms of a payment that a Market may change on the way; foreign is a chain with
// a token that the owner configured too, so that nothing but the change is wrong.
var changedTerms = []term{
	{"payee", "payeeAddress", stranger, policy.ReasonPayeeMismatch},
	{"payee, to what is no address", "payeeAddress", "vitalik.eth", policy.ReasonPayeeMismatch},
	{"token, to an unknown one", "tokenAddress", stranger, policy.ReasonTokenUnknown},
	{"token, to another that the owner listed", "tokenAddress", otherToken, policy.ReasonTokenMismatch},
	{"chain, to an unknown one", "chain", "eip155:56", policy.ReasonChainUnknown},
	{"chain, to another that the owner listed", "chain", "eip155:1", policy.ReasonChainMismatch},
}

const otherToken = "0x00000000000000000000000000000000000070C3"

// orderLies are told in both places where an order's terms are read: in the answer
// to its creation and, when that was lost, in the list.
func orderLies() []hostile {
	var table []hostile
	inOrder := func(what string, reason policy.Reason, tell lie) {
		table = append(table,
			refused("an order with another "+what, on("order-create", tell), market.Rejected, reason),
			hostile{lie: "an order found in the list with another " + what, serve: lostThen("order-create", on("orders-list", listed(tell))),
				state: market.Rejected, reason: reason})
	}
	for _, t := range changedTerms {
		inOrder(t.name, t.reason, payment(t.member, t.value))
	}
	inOrder("rail", policy.ReasonRailMismatch, func(reply map[string]any) {
		payment("defaultRail", "x402")(reply)
		payment("supportedRails", []any{"x402"})(reply)
	})
	inOrder("service", policy.ReasonServiceMismatch, member("serviceId", "svc_other"))
	inOrder("operation", policy.ReasonServiceMismatch, member("operation", "delete"))
	inOrder("provider", policy.ReasonServiceMismatch, member("providerKey", "mallory"))
	inOrder("skill", policy.ReasonServiceMismatch, member("skillKey", "mallory.put"))
	inOrder("execution mode", policy.ReasonServiceMismatch, member("executionMode", "external-handoff"))
	for i := range table {
		table[i].before = listForeign
	}
	return append(table,
		refused("an order for what another search found", on("order-create", member("searchId", "srch_other")), market.Rejected, policy.ReasonServiceMismatch),
		refused("an order for another quote", on("order-create", member("quoteId", "quote_other")), market.Rejected, policy.ReasonServiceMismatch),
		refused("an order that wants money for what was free", on("order-create", payment("required", true)), market.Rejected, policy.ReasonRailMismatch).of("not-required"),
		refused("an order whose name is a path", on("order-create", member("id", "../../machines")), market.Rejected, policy.ReasonMarketRefused),
		refused("an order whose name has fifty thousand letters", on("order-create", member("id", long)), market.Rejected, policy.ReasonServiceMismatch),
		hostile{lie: "an order that is made and never answered for", serve: lost("order-create", 1000), state: market.Settled, paid: true},
		hostile{lie: "a list of orders whose pages go in a circle", serve: lostThen("order-create", on("orders-list", circle)),
			state: market.Cancelled, reason: policy.ReasonDeadlinePassed, waits: policy.ReasonMarketUnavailable},
		hostile{lie: "a list of orders that never ends", serve: lostThen("order-create", on("orders-list", endless())),
			state: market.Cancelled, reason: policy.ReasonDeadlinePassed, waits: policy.ReasonMarketUnavailable},
		hostile{lie: "two orders where one was made", serve: lostThen("order-create", on("orders-list", twice)), state: market.Settled, paid: true},
	)
}

// listForeign has the owner list a second token, and one on a second chain.
func listForeign(r *rig) { r.foreign = foreignTokens(r) }

func circle(reply map[string]any) {
	reply["items"], reply["nextCursor"] = []any{}, "again"
}

// SPDX-License-Identifier: Apache-2.0

package market_test

import (
	"encoding/json"
	"maps"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/market"
	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/sandbox"
)

func foreignTokens(r *rig) []market.Token {
	token := money.Asset{Chain: money.ChainID(r.chain.CAIP2()), Address: common.HexToAddress(otherToken), Symbol: "USDT", Decimals: 6, Currency: "USD"}
	far := token
	far.Chain, far.Address, far.Symbol = "eip155:1", r.chain.Token(), "USDC"
	return []market.Token{{Asset: token, DomainName: "USDT", DomainVersion: "1"}, {Asset: far, DomainName: "USDC", DomainVersion: "2"}}
}

// endless gives a fresh cursor with every page.
func endless() lie {
	var page atomic.Int64
	return func(reply map[string]any) {
		reply["items"], reply["nextCursor"] = []any{}, "page"+strconv.FormatInt(page.Add(1), 10)
	}
}

// twice shows every order of a list a second time under another name.
func twice(reply map[string]any) {
	items, _ := reply["items"].([]any)
	for _, record := range items {
		again := maps.Clone(record.(map[string]any))
		again["id"] = again["id"].(string) + "_again"
		again["createdAt"] = "2999-01-01T00:00:00Z"
		reply["items"] = append(reply["items"].([]any), again)
	}
}

func intentLies() []hostile {
	var table []hostile
	rejected := func(what string, reason policy.Reason, tell ...lie) {
		table = append(table, refused("an intent "+what, on("payment-intent", tell...), market.Rejected, reason))
	}
	for _, t := range changedTerms {
		rejected("with another "+t.name, t.reason, rail(t.member, t.value))
		table[len(table)-1].before = listForeign
	}
	rejected("with no payee, where the quote named none", policy.ReasonPayeeMismatch, rail("payeeAddress", ""), rail("walletAddress", ""))
	table[len(table)-1].edit = each(hidden(false), table[len(table)-1].edit)
	rejected("on another rail", policy.ReasonRailMismatch, rail("type", "x402"))
	rejected("on the free rail", policy.ReasonRailMismatch, rail("type", "not-required"))
	rejected("with a higher amount", policy.ReasonPriceChanged, amounts("0.03", "30000"))
	rejected("with a lower amount", policy.ReasonPriceChanged, amounts("0.01", "10000"))
	rejected("whose amounts disagree", policy.ReasonPriceChanged, metadata("rawAmount", "990000"))
	rejected("with an amount in other decimals", policy.ReasonPriceChanged, metadata("rawAmount", "20000000000000000"))
	rejected("with other decimals", policy.ReasonDecimalsMismatch, metadata("tokenDecimals", json.Number("18")))
	rejected("with other decimals by their other name", policy.ReasonDecimalsMismatch, metadata("decimals", json.Number("18")))
	rejected("with decimals that are no number", policy.ReasonPriceInvalid, metadata("tokenDecimals", "six"))
	rejected("in another currency", policy.ReasonCurrencyMismatch, member("currency", "EUR"))
	rejected("without an amount", policy.ReasonPriceUnknown, member("amount", nil), metadata("rawAmount", nil))
	rejected("of an amount below zero", policy.ReasonPriceInvalid, metadata("rawAmount", "-20000"))
	rejected("of a fraction of a unit", policy.ReasonPriceInvalid, metadata("rawAmount", json.Number("20000.5")))
	rejected("of another amount in hexadecimal", policy.ReasonPriceChanged, metadata("rawAmount", "0x4e21"))
	rejected("of an amount in hexadecimal without a digit", policy.ReasonPriceInvalid, metadata("rawAmount", "0x"))
	rejected("of an amount above 256 bits", policy.ReasonPriceInvalid, metadata("rawAmount", "1"+strings.Repeat("0", 80)))
	rejected("of an amount that is an object", policy.ReasonPriceInvalid, metadata("rawAmount", map[string]any{"hex": "0x4e20"}))
	rejected("of an amount with more digits than the token has", policy.ReasonPriceInvalid, member("amount", json.Number("0.0200001")))
	rejected("of another order", policy.ReasonServiceMismatch, member("orderId", "ord_other"))
	for _, status := range []string{"held", "release_pending", "released", "refunded", "frozen", "not_required", "a status of tomorrow"} {
		table = append(table, refused("an intent that reads "+status+" before anything was paid", on("payment-intent", member("status", status)),
			market.NeedsOperator, policy.ReasonHeld))
	}
	return append(table,
		refused("a payment that reads held at the last look", on("payment-get", member("status", "held")), market.NeedsOperator, policy.ReasonHeld),
		hostile{lie: "an intent that names another payer", edit: on("payment-intent", rail("payerAddress", stranger)), state: market.Settled, paid: true},
		hostile{lie: "an intent with another wallet beside the payee", edit: on("payment-intent", rail("walletAddress", stranger)), state: market.Settled, paid: true},
		hostile{lie: "another payee after the intent", edit: each(on("payment-get", rail("payeeAddress", stranger)), on("order-get", payment("payeeAddress", stranger)),
			on("payment-proof", rail("payeeAddress", stranger))), state: market.Settled, paid: true},
	)
}

func x402Lies() []hostile {
	var table []hostile
	rejected := func(what string, reason policy.Reason, tell ...lie) {
		h := refused("a challenge "+what, on("payment-intent", tell...), market.Rejected, reason).of("x402")
		h.before = listForeign
		table = append(table, h)
	}
	paid := func(what string, tell ...lie) {
		table = append(table, hostile{lie: "a challenge " + what, need: "x402", edit: on("payment-intent", tell...), before: listForeign,
			state: market.Settled, paid: true})
	}
	invalid := policy.ReasonChallengeInvalid
	rejected("with another payee", policy.ReasonPayeeMismatch, entry("payTo", stranger))
	rejected("with the zero payee", invalid, entry("payTo", "0x0000000000000000000000000000000000000000"))
	rejected("for an unknown asset", policy.ReasonTokenUnknown, entry("asset", stranger))
	rejected("for another asset that the owner listed", policy.ReasonTokenMismatch, entry("asset", otherToken))
	rejected("on an unknown network", policy.ReasonChainUnknown, entry("network", "eip155:8453"))
	rejected("on another network that the owner listed", policy.ReasonChainMismatch, entry("network", "eip155:1"))
	rejected("on a network that is no EVM chain", invalid, entry("network", "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"))
	rejected("for a higher amount", policy.ReasonPriceChanged, entry("amount", "990000"))
	rejected("for a higher amount, shown so by the intent too", policy.ReasonPriceChanged, entry("amount", "990000"), amounts("0.99", "990000"))
	rejected("for a lower amount", policy.ReasonPriceChanged, entry("amount", "1"))
	rejected("for nothing", invalid, entry("amount", "0"))
	rejected("for a fraction", invalid, entry("amount", "10000.5"))
	rejected("for an amount that is a number", invalid, entry("amount", json.Number("10000")))
	rejected("for an amount with an exponent", invalid, entry("amount", "1e4"))
	rejected("for an amount in hexadecimal", invalid, entry("amount", "0x2710"))
	rejected("for an amount below zero", invalid, entry("amount", "-10000"))
	rejected("for an amount above 256 bits", invalid, entry("amount", "1"+strings.Repeat("0", 80)))
	rejected("for two amounts in two spellings", invalid, entry("maxAmountRequired", "990000"))
	rejected("without an amount", invalid, without("amount"))
	rejected("of another scheme", invalid, entry("scheme", "upto"))
	rejected("to be paid by a permit", invalid, entry("extra", map[string]any{"name": "USDC", "version": "2", "assetTransferMethod": "permit2"}))
	rejected("with another domain name", policy.ReasonDomainMismatch, entry("extra", map[string]any{"name": "USD Coin", "version": "2"}))
	rejected("with another domain version", policy.ReasonDomainMismatch, entry("extra", map[string]any{"name": "USDC", "version": "1"}))
	rejected("without a domain", invalid, entry("extra", map[string]any{}))
	rejected("without an extra", invalid, without("extra"))
	rejected("with an extra that is a text", invalid, entry("extra", "USDC 2"))
	rejected("that accepts nothing", invalid, challenge(func(c map[string]any) { c["accepts"] = []any{} }))
	rejected("that accepts a hundred things", invalid, accepts(make([]map[string]any, 100)...))
	rejected("that is not base64", invalid, metadata("paymentRequest", map[string]any{"paymentRequired": "%%%"}))
	rejected("that is not JSON", invalid, challengeText(func(string) string { return "pay me" }))
	rejected("nested a hundred thousand deep", invalid, challengeText(func(string) string { return strings.Repeat("[", 60_000) }))
	rejected("that is missing", invalid, rail("metadata", map[string]any{}))
	rejected("with a timeout below zero", invalid, entry("maxTimeoutSeconds", json.Number("-1")))
	rejected("with a timeout that is a fraction", invalid, entry("maxTimeoutSeconds", json.Number("300.5")))
	rejected("without a timeout", invalid, without("maxTimeoutSeconds"))
	rejected("whose last of two payees is another", policy.ReasonPayeeMismatch, challengeText(func(text string) string {
		return strings.Replace(text, `"payTo":`, `"payTo":"`+stranger+`","payTo":"`+stranger+`","x":`, 1)
	}))
	for _, timeout := range [][2]string{{"of zero", "0"}, {"of a year", "31536000"}, {"of 64 bits", "18446744073709551615"}} {
		table = append(table, refused("a challenge with a timeout "+timeout[0], on("payment-intent", entry("maxTimeoutSeconds", json.Number(timeout[1]))),
			market.Denied, policy.ReasonAuthorizationTooLong).of("x402"))
	}
	paid("with unknown members", entry("bonus", map[string]any{"payTo": stranger}), challenge(func(c map[string]any) { c["refundTo"] = stranger }))
	paid("that accepts the same twice", accepts(nil, nil))
	paid("that accepts an unknown network first", accepts(map[string]any{"network": "eip155:8453", "amount": "1", "payTo": stranger}, nil))
	paid("that accepts a higher amount first", accepts(map[string]any{"amount": "990000"}, nil))
	unpriced := func(what string, tell ...lie) {
		table = append(table, hostile{lie: "a challenge " + what, need: "x402", state: market.Settled, paid: true,
			edit: each(on("search", unpricedQuote), on("payment-intent", tell...))})
	}
	unpriced("that accepts more than the intent shows first, where the quote named no price", accepts(map[string]any{"amount": "990000"}, nil))
	paid("that accepts another payee first", accepts(map[string]any{"payTo": stranger}, nil))
	paid("that accepts another payee at a lower amount last", accepts(nil, map[string]any{"payTo": stranger, "amount": "1"}))
	paid("whose first of two payees is another", challengeText(func(text string) string {
		return strings.Replace(text, `"payTo":`, `"payTo":"`+stranger+`","payTo":`, 1)
	}))
	return table
}

// unpricedQuote leaves the price to the intent.
func unpricedQuote(reply map[string]any) {
	quote(func(q map[string]any) { q["pricing"] = map[string]any{"mode": "quote-required", "currency": "USD"} })(reply)
}

func payeeLies() []hostile {
	swap := each(on("search", pays("payeeAddress", stranger), pays("walletAddress", stranger)),
		on("order-create", payment("payeeAddress", stranger), payment("walletAddress", stranger)),
		on("payment-intent", rail("payeeAddress", stranger), rail("walletAddress", stranger)))
	payees := func(mode policy.PayeeMode) func(r *rig) {
		return func(r *rig) {
			r.rules.Payees = mode
			r.rules.Allow.Payees = policy.NewSet(r.service("wallet").Payee.Hex(), r.service("wdk-usdt-transfer").Payee.Hex())
		}
	}
	asking := func(r *rig) { r.rules.Payees = policy.PayeesApprove }
	return []hostile{
		refused("a payee that is not on the list", swap, market.Denied, policy.ReasonPayeeNotAllowed).with(payees(policy.PayeesList)),
		refused("a payee that is not on the list, named by the intent only", each(hidden(false), on("payment-intent", rail("payeeAddress", stranger))),
			market.Denied, policy.ReasonPayeeNotAllowed).with(payees(policy.PayeesList)),
		{lie: "a payee that nobody was paid at before, where the first is pinned", before: func(r *rig) {
			r.must(r.seller.UpdateService(r.service("wallet").ID, func(s *sandbox.Service) { s.Payee = common.HexToAddress(stranger) }))
		}, state: market.Settled, paid: true},
		{lie: "another payee than the provider was paid at before", edit: swap, earlier: true, state: market.Denied, reason: policy.ReasonPayeeChanged},
		{lie: "another payee than before, named by the intent only", edit: each(hidden(false), on("payment-intent", rail("payeeAddress", stranger))),
			earlier: true, state: market.Denied, reason: policy.ReasonPayeeChanged},
		{lie: "a payee that a person has to see first", edit: swap, before: asking, beside: "not-required", state: market.AwaitingApproval, reason: policy.ReasonApprovalRequired,
			then: market.AwaitingApproval},
		{lie: "a payee that a person has to see, named by the intent only", edit: each(hidden(false), on("payment-intent", rail("payeeAddress", stranger))),
			before: asking, beside: "not-required", state: market.AwaitingApproval, reason: policy.ReasonApprovalRequired, then: market.AwaitingApproval},
	}
}

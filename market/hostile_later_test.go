// SPDX-License-Identifier: Apache-2.0

package market_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/agentd-project/agentd/market"
	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/sandbox"
)

// laterLies are told once the value has moved: none of them moves more.
func laterLies() []hostile {
	paid := func(what string, h hostile) hostile {
		h.lie, h.paid = what, true
		return h
	}
	settled := func(what string, h hostile) hostile {
		h.state = market.Settled
		return paid(what, h)
	}
	status := func(of string) edit { return on("order-get", member("status", of)) }
	outcome := func(change func(outcome map[string]any)) edit {
		return on("order-execute", func(reply map[string]any) { change(child(child(reply, "execution"), "outcome")) })
	}
	held := func(h hostile) hostile {
		h.reason, h.state, h.then = policy.ReasonHeld, market.Executing, market.Settled
		return h
	}
	return []hostile{
		paid("a second payment is demanded after held", held(hostile{serve: refusal("order-execute", 402, "PAYMENT_REQUIRED")})),
		{lie: "a second payment is demanded after an authorisation that the seller never uses", need: "x402",
			serve: refusal("order-execute", 402, "PAYMENT_REQUIRED"), state: market.Failed, reason: policy.ReasonAuthorizationUnused},
		paid("a second payment is demanded after the authorisation was used", held(hostile{need: "x402", serve: after("order-execute", 402, "PAYMENT_REQUIRED")})),
		settled("the proof is answered with a new payment to somebody else", hostile{edit: on("payment-proof", member("status", "intent_created"),
			amounts("0.99", "990000"), rail("payeeAddress", stranger), member("id", "pay_other"))}),
		settled("the proof is answered with a new challenge", hostile{need: "x402", edit: on("payment-proof", member("status", "intent_created"),
			metadata("paymentRequest", map[string]any{"paymentRequired": "e30="}), amounts("0.99", "990000"))}),
		paid("a proof that is good is called bad", hostile{serve: refusal("payment-proof", 400, "PAYMENT_PROOF_INVALID"),
			state: market.NeedsOperator, reason: policy.ReasonMarketRefused}),
		{lie: "an authorisation that is good is called bad", need: "x402", serve: refusal("payment-proof", 400, "PAYMENT_PROOF_INVALID"),
			state: market.Failed, reason: policy.ReasonAuthorizationUnused},
		paid("the proof is lost for ever", hostile{serve: refusal("payment-proof", 404, "NOT_FOUND"), state: market.NeedsOperator, reason: policy.ReasonMarketRefused}),

		settled("the order runs back to created after the proof", hostile{serve: lostThen("payment-proof", status("created"))}),
		settled("the order runs back to payment_pending after it ran", hostile{serve: lostThen("order-execute", status("payment_pending"))}),
		settled("the order runs back to created after it ran", hostile{need: "x402", serve: lostThen("order-execute", status("created"))}),
		paid("the order runs back to created after it was confirmed", hostile{serve: lostThen("order-confirm", status("created")),
			state: market.Delivered, reason: policy.ReasonMarketUnavailable, then: market.Settled}),
		settled("the order reads a status of tomorrow", hostile{serve: lostThen("order-execute", status("paused"))}),
		paid("the order reads cancelled after it was paid", hostile{serve: lostThen("order-execute", status("cancelled")),
			state: market.NeedsOperator, reason: policy.ReasonOrderClosed}),
		paid("the order reads confirmed before anything was delivered", hostile{serve: lostThen("order-execute", status("confirmed")),
			state: market.Settled, reason: policy.ReasonResultMissing}),
		paid("the order reads failed although it ran", hostile{serve: lostThen("order-execute", status("failed")),
			state: market.Disputed, reason: policy.ReasonExecutionFailed, then: market.Disputed}),
		paid("the order executes for ever", hostile{serve: lostThen("order-execute", status("executing")), state: market.Executing,
			reason: policy.ReasonMarketUnavailable, then: market.Settled}),
		paid("another order is answered for ours", hostile{serve: lostThen("order-execute", on("order-get", member("id", "ord_other"))),
			state: market.Executing, reason: policy.ReasonServiceMismatch, then: market.Settled}),
		paid("another order is executed for ours", hostile{edit: on("order-execute", func(reply map[string]any) { child(reply, "order")["id"] = "ord_other" }),
			state: market.Executing, reason: policy.ReasonServiceMismatch, then: market.Settled}),
		paid("another order is confirmed for ours", hostile{edit: on("order-confirm", func(reply map[string]any) { child(reply, "order")["id"] = "ord_other" }),
			state: market.Settled, waits: policy.ReasonServiceMismatch}),
		settled("the payment reads refunded after the confirmation", hostile{edit: since("order-confirm", each(on("payment-get", member("status", "refunded")),
			on("order-confirm", func(reply map[string]any) { child(reply, "payment")["status"] = "refunded" })))}),
		paid("a disputed payment reads refunded, and the chain shows nothing", hostile{
			before: result(`{}`), state: market.Disputed, reason: policy.ReasonResultRejected, waits: policy.ReasonRefundAwaited, later: time.Hour,
			edit: since("order-dispute", on("payment-get", member("status", "refunded"))), then: market.Disputed}),

		paid("a result that the need rejects", hostile{before: result(`{}`), state: market.Disputed, reason: policy.ReasonResultRejected, then: market.Disputed}),
		paid("a result that the need rejects, and a person is to see", hostile{before: holding, state: market.NeedsOperator, reason: policy.ReasonResultRejected}),
		paid("a result that is null", hostile{edit: outcome(func(o map[string]any) { o["result"] = nil }), state: market.NeedsOperator, reason: policy.ReasonResultMissing}),
		paid("a result above the need's limit", hostile{before: result(`{"blob":"` + strings.Repeat("x", 1_000_001) + `"}`),
			state: market.Disputed, reason: policy.ReasonResultRejected, then: market.Disputed}),
		paid("a result just below the need's limit, nested without end", hostile{before: result(`{"a":` + strings.Repeat("[", 9_000) + strings.Repeat("]", 9_000) + `}`),
			state: market.Settled, wordy: true}),
		paid("a failure told in fifty thousand letters", hostile{edit: outcome(func(o map[string]any) {
			o["status"], o["errorMessage"] = "failed", long
		}), state: market.Disputed, reason: policy.ReasonExecutionFailed, then: market.Disputed}),
		paid("an outcome of a status of tomorrow", hostile{edit: outcome(func(o map[string]any) { o["status"] = "teleported" }), state: market.HandedOff, reason: policy.ReasonHandedOff}),
		paid("a handoff to a page of the Market's choice", hostile{edit: on("order-execute", func(reply map[string]any) {
			reply["execution"] = map[string]any{"statusCode": json.Number("202"), "handoff": map[string]any{"label": "pay here", "url": "http://" + elsewhere + "/pay"}}
		}), state: market.HandedOff, reason: policy.ReasonHandedOff}),
		paid("an execution with neither outcome nor handoff", hostile{edit: on("order-execute", func(reply map[string]any) {
			reply["execution"] = map[string]any{"statusCode": json.Number("200")}
		}), state: market.Executing, reason: policy.ReasonMarketUnavailable, then: market.Settled}),
		paid("a release that is never made", hostile{serve: refusal("payment-release", 503, "INTERNAL_ERROR"), state: market.Confirmed,
			reason: policy.ReasonMarketUnavailable, then: market.Settled}),
	}
}

// after has the Market do what is asked, and answer with an error.
func after(operation string, status int, code string) serve {
	refuse := refusal(operation, status, code)
	return func(op string, w http.ResponseWriter, r *http.Request, honest func() *recorded) {
		if op == operation {
			honest()
		}
		refuse(op, w, r, honest)
	}
}

// holding has a person see what the need rejects.
func holding(r *rig) {
	result(`{}`)(r)
	for i := range r.needs {
		r.needs[i].Hold = true
	}
}

// result makes the seller answer every run of the need with a text.
func result(text string) func(r *rig) {
	return func(r *rig) {
		r.must(r.seller.UpdateService(r.service("wallet").ID, func(s *sandbox.Service) { s.Result, s.Schema = json.RawMessage(text), "" }))
	}
}

// pairingLies are about the text that a pairing or its renewal has us sign, and
// what comes for the signature.
func pairingLies() []hostile {
	var table []hostile
	text := func(what string, change func(text string) string) {
		edit := on("pairing-challenge", func(reply map[string]any) { item(reply)["message"] = change(item(reply)["message"].(string)) })
		table = append(table, unpaired("a challenge whose text "+what, edit))
	}
	constant := func(s string) func(string) string { return func(string) string { return s } }
	text("is 32 bytes in hexadecimal", constant("0x"+strings.Repeat("5a", 32)))
	text("is a transaction in hexadecimal", constant("0x02f86c83014a3480843b9aca00850430e2340082520894"+strings.Repeat("11", 20)+"880de0b6b3a764000080c0"))
	text("is a transaction in bytes", constant("\x02\xc9\x80\x80\x80\x80\x80\x80\x80\x80\xc0"))
	text("is typed data", constant(`{"types":{"EIP712Domain":[]},"primaryType":"TransferWithAuthorization","domain":{},"message":{}}`))
	text("has typed data in it", func(s string) string {
		return s + "\n" + `{"types":{},"primaryType":"Permit","domain":{"name":"USDC"},"message":{}}`
	})
	text("is blank", constant(" "))
	text("has hidden characters", func(s string) string { return s + "\u202e" })
	text("has ten thousand letters", func(s string) string { return s + strings.Repeat("x", 10_000) })
	text("names another machine", func(s string) string { return strings.Replace(s, "Machine: mach_", "Machine: mach_other", 1) })
	text("names a second machine", func(s string) string { return s + "\nand mach_other too" })
	text("names another identity", func(s string) string { return strings.Replace(s, "184467", "1", 1) })
	text("names another address", func(s string) string { return s + "\nWithdraw to: " + stranger })
	text("names another provider", func(s string) string { return strings.Replace(s, "Provider: custom", "Provider: mallory", 1) })
	text("names another role", func(s string) string { return strings.Replace(s, "Role: buyer", "Role: owner", 1) })
	text("names another expiry", func(s string) string { return s + "\nExpires at: never" })
	for _, m := range []struct{ what, member, value string }{
		{"another machine", "machineId", "mach_other"}, {"another identity", "machineIdentityRef", "did:peaq:1"}, {"another address", "agentAddress", stranger},
		{"another provider", "agentProvider", "mallory"}, {"another role", "agentRole", "owner"}, {"another agent", "agentDid", "did:pkh:eip155:1:" + stranger},
		{"an expiry in the past", "expiresAt", "1999-01-01T00:00:00Z"},
	} {
		table = append(table, unpaired("a challenge with "+m.what, on("pairing-challenge", member(m.member, m.value))))
	}
	elsewhere := func(what string, edit edit) {
		h := unpaired(what, edit)
		h.waits = policy.ReasonMarketUnavailable
		table = append(table, h)
	}
	issued := func(tell lie) edit { return each(on("pairing-create", tell), on("pairing-session", tell)) }
	elsewhere("a session of another machine", issued(member("machineId", "mach_other")))
	elsewhere("a session of another address", issued(member("agentAddress", stranger)))
	elsewhere("a token that would end its header", issued(member("pairingToken", "a\r\nX-Api-Key: b")))
	elsewhere("no token", issued(member("pairingToken", "")))
	elsewhere("a list of pairings whose pages go in a circle", on("pairings-list", circle))
	elsewhere("a list of pairings that never ends", on("pairings-list", endless()))
	renewal := unpaired("at a renewal, a challenge whose text is 32 bytes in hexadecimal", on("pairing-challenge", member("message", "0x"+strings.Repeat("5a", 32))))
	renewal.all, renewal.after, renewal.waits = false, 50*time.Minute, ""
	renewal.state, renewal.reason, renewal.paid = market.Settled, "", true
	table = append(table, renewal,
		hostile{lie: "a session that has ended before it begins", edit: on("pairing-create", member("sessionExpiresAt", "1999-01-01T00:00:00Z")), state: market.Settled, paid: true},
		hostile{lie: "a session that is good for ever", edit: on("pairing-create", member("sessionExpiresAt", "9999-12-31T23:59:59Z")), state: market.Settled, paid: true})
	return table
}

// unpaired is what becomes of a purchase while nobody signs what the Market wants.
func unpaired(what string, edit edit) hostile {
	return hostile{lie: what, edit: edit, all: true, state: market.Cancelled, reason: policy.ReasonDeadlinePassed, waits: policy.ReasonChallengeInvalid}
}

// policyLies have the server allow what the owner does not.
func policyLies() []hostile {
	loose := map[string]any{"allowedSkillKeys": []any{}, "deniedSkillKeys": []any{}, "allowedServiceIds": []any{}, "deniedServiceIds": []any{},
		"perTransactionLimit": json.Number("1000000"), "dailySpendLimit": json.Number("1000000"), "currency": "USD"}
	lots := map[string]any{"perTransactionLimit": "lots"}
	looser := each(on("pairing-create", member("delegationPolicy", loose)), on("pairing-session", member("delegationPolicy", loose)),
		on("pairings-list", listed(member("delegationPolicy", loose))))
	lie := func(what string, reason policy.Reason, rules func(r *rig)) hostile {
		return hostile{lie: "a looser policy than the owner's: " + what, edit: looser, before: rules, state: market.Denied, reason: reason, beside: "not-required"}
	}
	return []hostile{
		lie("a purchase", policy.ReasonPerPurchaseLimit, func(r *rig) { r.rules.PerPurchase = 19_999 }),
		lie("a window", policy.ReasonWindowLimit, func(r *rig) { r.rules.Windows = []policy.Window{{Over: 24 * time.Hour, Limit: 19_999}} }),
		lie("a lifetime", policy.ReasonLifetimeLimit, func(r *rig) { r.rules.Lifetime = 19_999 }),
		lie("a skill", policy.ReasonSkillDenied, func(r *rig) { r.rules.Deny.Skills = policy.NewSet(r.service("wallet").SkillKey) }),
		lie("a service", policy.ReasonServiceDenied, func(r *rig) { r.rules.Deny.Services = policy.NewSet(r.service("wallet").ID) }),
		lie("a rail", policy.ReasonRailDenied, func(r *rig) { r.rules.Deny.Rails = policy.NewSet("wallet", "wdk-usdt-transfer") }),
		lie("a payee", policy.ReasonPayeeDenied, func(r *rig) { r.rules.Deny.Payees = policy.NewSet(r.service("wallet").Payee.Hex()) }),
		{lie: "a policy whose limits are no numbers", edit: each(on("pairing-create", member("delegationPolicy", lots)),
			on("pairing-session", member("delegationPolicy", lots)), on("pairings-list", listed(member("delegationPolicy", lots)))),
			all: true, state: market.Cancelled, reason: policy.ReasonDeadlinePassed, waits: policy.ReasonMarketUnavailable},
	}
}

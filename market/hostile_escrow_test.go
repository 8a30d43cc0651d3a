// SPDX-License-Identifier: Apache-2.0

package market_test

import (
	"encoding/json"
	"time"

	"github.com/agentd-project/agentd/market"
	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/sandbox"
)

// escrowLies are told on the rails of which the value goes to an escrow that the
// owner listed, and to no other.
func escrowLies() []hostile {
	var table []hostile
	for _, need := range []string{"escrow", "onchain-escrow"} {
		rejected := func(what string, reason policy.Reason, tell ...lie) {
			table = append(table, refused("an intent "+what+", on the rail "+need, on("payment-intent", tell...), market.Rejected, reason).of(need))
		}
		rejected("with an escrow that is not listed", policy.ReasonEscrowUnknown, rail("escrowAddress", stranger))
		rejected("with an escrow that is no address", policy.ReasonEscrowUnknown, rail("escrowAddress", "escrow.eth"))
		rejected("with the token as its escrow", policy.ReasonEscrowUnknown, func(reply map[string]any) {
			rail("escrowAddress", child(item(reply), "rail")["tokenAddress"])(reply)
		})
		rejected("with the payee as its escrow", policy.ReasonEscrowUnknown, func(reply map[string]any) {
			rail("escrowAddress", child(item(reply), "rail")["payeeAddress"])(reply)
		})
		rejected("with no escrow where two are listed", policy.ReasonEscrowUnknown, rail("escrowAddress", ""))
		rejected("with another payee", policy.ReasonPayeeMismatch, rail("payeeAddress", stranger))
		rejected("with another token", policy.ReasonTokenUnknown, rail("tokenAddress", stranger))
		rejected("with a higher amount", policy.ReasonPriceChanged, amounts("0.99", "990000"))
		rejected("on the rail wallet", policy.ReasonRailMismatch, rail("type", "wallet"))
	}
	return append(table,
		hostile{lie: "a lock that the chain shows is refused", need: "escrow", paid: true, serve: refusal("escrow-lock", 400, "VALIDATION_ERROR"),
			state: market.NeedsOperator, reason: policy.ReasonMarketRefused, then: market.Refunded},
		hostile{lie: "a lock is called released although nothing was delivered", need: "escrow", paid: true, before: rejecting("escrow"),
			edit: since("order-dispute", on("payment-get", member("status", "released"))), state: market.Disputed, reason: policy.ReasonResultRejected, then: market.Refunded},
		hostile{lie: "a lock is called refunded although the contract holds it", need: "escrow", paid: true, before: rejecting("escrow"),
			edit: since("order-dispute", on("payment-get", member("status", "refunded"))), state: market.Disputed, reason: policy.ReasonResultRejected,
			waits: policy.ReasonRefundAwaited, later: 20 * time.Minute, then: market.Refunded},
		hostile{lie: "the keeper is said to have refunded, and the chain shows nothing", need: "onchain-escrow", paid: true, before: rejecting("onchain-escrow"),
			edit: since("order-dispute", on("payment-get", member("status", "refunded"))), state: market.Disputed, reason: policy.ReasonResultRejected,
			waits: policy.ReasonRefundAwaited, later: time.Hour, then: market.Disputed},
		hostile{lie: "an order executes for ever while its value is locked", need: "escrow", paid: true, serve: lostThen("order-execute", on("order-get", member("status", "executing"))),
			state: market.Executing, reason: policy.ReasonMarketUnavailable, then: market.Settled},
	)
}

// rejecting makes the seller of a need answer with what the need rejects.
func rejecting(need string) func(r *rig) {
	return func(r *rig) {
		r.must(r.seller.UpdateService(r.service(need).ID, func(s *sandbox.Service) { s.Result, s.Schema = json.RawMessage(`{}`), "" }))
	}
}

// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"context"
	"math/rand/v2"
	"strings"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/market"
	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/sandbox"
)

// decide has people look at what waits for them.
func (w *world) decide(r *rand.Rand) {
	if w.life.dead() {
		return
	}
	open, err := w.life.ledger.OpenPurchases(context.Background())
	if err != nil {
		w.model.find("the ledger cannot be read: %v", err)
		return
	}
	for _, p := range open {
		switch market.State(p.State) {
		case market.AwaitingApproval, market.HandedOff, market.NeedsOperator:
			if chance(r, 0.4) && !w.life.atWork(p.ID) {
				what, err := w.word(r, &p)
				w.model.sentOn(p.ID)
				w.trace.add(string(p.ID), "a person says %s: %v", what, err)
			}
		}
	}
}

// word is one decision of a person.
func (w *world) word(r *rand.Rand, p *ledger.Purchase) (what string, err error) {
	ctx, m := as(context.Background(), people), w.life.market
	switch market.State(p.State) {
	case market.AwaitingApproval:
		if chance(r, 0.7) {
			return "yes", m.Approve(ctx, p.ID, "operator")
		}
		return "no", m.Deny(ctx, p.ID, "operator")
	case market.HandedOff:
		if chance(r, 0.7) {
			return "delivered", m.Confirm(ctx, p.ID, "operator")
		}
		return "not delivered", m.Dispute(ctx, p.ID, "nothing came", "operator")
	default:
		switch n := among(r, 2, 2, 1, 1); {
		case n == 0 && p.Reason == policy.ReasonHeld:
			return "nothing", nil // whoever sees that it may be paid does not give its budget back
		case n == 0:
			return "no", m.Deny(ctx, p.ID, "operator")
		case n == 1:
			return "paid", m.Reference(ctx, p.ID, "invoice-"+string(p.ID), "operator")
		case n == 2:
			return "delivered", m.Confirm(ctx, p.ID, "operator")
		default:
			return "not delivered", m.Dispute(ctx, p.ID, "nothing came", "operator")
		}
	}
}

// settleDisputes has the Market close the disputes that are open.
func (w *world) settleDisputes(r *rand.Rand) {
	open, err := w.life.ledger.OpenPurchases(context.Background())
	if err != nil {
		w.model.find("the ledger cannot be read: %v", err)
		return
	}
	for _, p := range open {
		if market.State(p.State) != market.Disputed || p.OrderID == "" || !chance(r, 0.5) {
			continue
		}
		resolution := sandbox.Resolution{Status: "released"}
		if chance(r, 0.5) {
			resolution = sandbox.Resolution{Status: "refunded", Move: sandbox.MoveFromPayee}
		}
		_, err := w.seller.Resolve(context.Background(), p.OrderID, resolution)
		w.trace.add(string(p.ID), "the dispute ends %s: %v", strings.TrimSpace(resolution.Status), err)
	}
}

// SPDX-License-Identifier: Apache-2.0

package payments

import (
	"context"

	"github.com/agentd-project/agentd/policy"
)

// free is the rail not-required: nothing is paid, so a price is a contradiction.
type free struct{}

var _ Rail = free{}

// Ready implements [Rail].
func (free) Ready(_ context.Context, t policy.Terms) error {
	if !t.Amount.IsZero() {
		return refuse(policy.ReasonPriceOnFreeRail, "%s base units on rail %s", t.Amount, policy.RailNotRequired)
	}
	return nil
}

// Pay implements [Rail]. A grant is a right to pay, so there is none to use here.
func (free) Pay(_ context.Context, g policy.Grant, _ Job) (Evidence, error) {
	if g.Valid() {
		return Evidence{}, refuse(policy.ReasonPriceOnFreeRail, "%s base units on rail %s", g.Amount(), policy.RailNotRequired)
	}
	return Evidence{Rail: policy.RailNotRequired}, nil
}

// Check implements [Rail].
func (free) Check(context.Context, policy.PurchaseID) (Outcome, error) {
	return outcomeIn(freeWorlds, factNothing), nil
}

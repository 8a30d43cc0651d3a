// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"math/rand/v2"
	"time"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/payments/evm"
	"github.com/agentd-project/agentd/policy"
)

// climate is how hard a world is; it is drawn once.
type climate struct {
	// of the Market and the network to it: the part of calls that go wrong.
	marketFaults float64
	// of the chain's endpoints: the part of calls that go wrong, and how an
	// endpoint lies all the time.
	chainFaults float64
	lag         uint64 // blocks that the second endpoint is behind
	endpoints   int
	// lies lets an endpoint call blocks final that are not there yet.
	lies bool
	// deaths is how many steps a life lasts on average; 0 is for ever.
	deaths int
	// older is the part of deaths after which the buyer finds an older ledger.
	older float64
	// copies is the part of commits behind which the ledger is copied.
	copies float64
	// refusals is the part of commits that the disk refuses.
	refusals float64
	// greed is the part of authorisations that the seller settles by himself,
	// whether or not the Market ever saw them.
	greed float64
	// unrest is the part of the driver's steps that change the world.
	unrest float64
	// crowd is the most purchases that start together.
	crowd int
	// lull is the longest pause between two steps of the driver.
	lull  time.Duration
	drift bool
	final evm.Final
	grace time.Duration
	rules policy.Rules
}

func newClimate(r *rand.Rand) climate {
	c := climate{
		marketFaults: pick(r, 0, 0.01, 0.05, 0.15),
		chainFaults:  pick(r, 0, 0, 0.02, 0.1),
		endpoints:    pick(r, 1, 1, 2),
		lies:         chance(r, 0.1),
		deaths:       pick(r, 0, 150, 500, 2000),
		refusals:     pick(r, 0, 0, 0, 0.01, 0.05),
		greed:        pick(r, 0, 0, 0.2, 0.8),
		unrest:       pick(r, 0.05, 0.2, 0.5),
		crowd:        pick(r, 1, 3, 8),
		lull:         pick(r, time.Hour, 6*time.Hour, 36*time.Hour),
		drift:        chance(r, 0.15),
		final:        pick(r, evm.Final{Confirmations: 1}, evm.Final{Confirmations: 3}, evm.Final{Confirmations: 5}),
		grace:        pick(r, 50*time.Millisecond, 5*time.Second, 20*time.Second),
	}
	if chance(r, 0.2) {
		c.lag = r.Uint64N(4)
	}
	if c.deaths > 0 && chance(r, 0.4) {
		c.older = pick(r, 0.2, 0.7)
	}
	c.rules = newRules(r)
	return c
}

// newRules draws limits that a busy day can reach.
func newRules(r *rand.Rand) policy.Rules {
	day := pick[money.Value](r, 500_000, 2_000_000, 20_000_000)
	rules := policy.Rules{
		Currency: "USD", PerPurchase: 500_000,
		Windows:     []policy.Window{{Over: 24 * time.Hour, Limit: day}, {Over: time.Hour, Limit: day / 2}},
		Payees:      pick(r, policy.PayeesPin, policy.PayeesPin, policy.PayeesApprove),
		ApprovalTTL: 6 * time.Hour, MaxAuthorization: 2 * time.Minute,
		Allow: policy.Lists{Rails: policy.NewSet("not-required", "wallet", "wdk-usdt-transfer", "x402", "offchain-record")},
	}
	if chance(r, 0.3) {
		rules.Counts = []policy.CountLimit{{Over: time.Hour, Limit: 4}}
	}
	if chance(r, 0.2) {
		rules.HasApproval, rules.ApprovalAbove = true, 40_000
	}
	if chance(r, 0.1) {
		rules.Lifetime = 2 * day
	}
	return rules
}

// calm is the climate in which a world ends: nothing goes wrong any more.
func (c climate) calm() climate {
	c.copies, c.marketFaults, c.chainFaults, c.lag, c.lies, c.deaths, c.older, c.refusals, c.greed = 0, 0, 0, 0, false, 0, 0, 0, 0
	c.drift = false
	return c
}

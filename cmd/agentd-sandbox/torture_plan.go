// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/sandbox"
)

const (
	// tortureConfirmations is what the daemon takes for final; a reorganisation is
	// never as deep.
	tortureConfirmations = 3
	// longWindow and shortWindow are the policy's; the long one outlasts the run.
	longWindow  = 24 * time.Hour
	shortWindow = 2 * time.Minute
	// authorizationLife is how long an x402 authorisation lives, in seconds: a dead
	// one must be waited for.
	authorizationLife = 60
)

// tortureRail is what the campaign buys on one rail.
type tortureRail struct {
	name   string // of the need, and of the rail but for the handoff
	weight int    // how often, among all
	moves  bool   // value moves on the chain
}

// tortureRails are the rails of the campaign.
var tortureRails = []tortureRail{
	{name: "not-required", weight: 2},
	{name: "wallet", weight: 4, moves: true},
	{name: "wdk-usdt-transfer", weight: 2, moves: true},
	{name: "x402", weight: 5, moves: true},
	{name: "escrow", weight: 3, moves: true},
	{name: "onchain-escrow", weight: 3, moves: true},
	{name: "handoff", weight: 1},
}

// torturePlan is what is bought, and what the configuration says about it.
type torturePlan struct {
	needs                        []need
	order                        []string // the need of each purchase, by number
	long, short                  money.Value
	Confirmations                int
	Rails, RPC, Listen, LogLevel string
	Long, LongLimit              string
	Short, ShortLimit            string
	EndpointAuth                 string
}

// tortureServices are the sandbox's, with authorisations that die soon, and
// with the number of the purchase in their input.
func tortureServices() []sandbox.Service {
	services := bothEscrows()
	for i := range services {
		services[i].MaxTimeoutSeconds = authorizationLife
		services[i].Inputs = append(services[i].Inputs, sandbox.Field{Key: numberKey, Type: "number"})
	}
	return services
}

// planPurchases draws the purchases. The long window holds a little less than
// all of them, the short one a little less than what is asked for meanwhile, so
// that both limits are met.
func (c *campaign) planPurchases() torturePlan {
	p := torturePlan{
		needs: needsOf(c.local.info, railNames(tortureRails)), Confirmations: tortureConfirmations, RPC: c.local.info.RPCURL, LogLevel: "info",
		Rails: strings.Join(slices.DeleteFunc(railNames(tortureRails), func(n string) bool { return n == "handoff" }), ", "),
		Long:  longWindow.String(), Short: shortWindow.String(),
	}
	var bag []string
	for _, r := range tortureRails {
		for range r.weight {
			bag = append(bag, r.name)
		}
	}
	draw, sum := c.random(1), money.Value(0)
	for range c.Purchases {
		name := bag[draw.IntN(len(bag))]
		p.order = append(p.order, name)
		sum += priceOf(c.local.info, name)
	}
	p.long, p.short = sum*95/100, sum*money.Value(min(60, 12_000/max(c.Kills, 1)))/100
	for _, r := range tortureRails { // the recoveries that come first are not to be refused
		first := money.Value(c.Recoveries) * priceOf(c.local.info, r.name)
		p.long, p.short = p.long+first, p.short+first
	}
	p.LongLimit, p.ShortLimit = p.long.String(), p.short.String()
	return p
}

func railNames(rails []tortureRail) []string {
	names := make([]string, 0, len(rails))
	for _, r := range rails {
		names = append(names, r.name)
	}
	return names
}

// priceOf returns what a purchase of a need costs.
func priceOf(info sandbox.Info, name string) money.Value {
	for _, s := range info.Services {
		if !s.Handoff && s.Rail == name {
			return s.Price
		}
	}
	return 0
}

// numberKey marks the input of each purchase with its number: the Market's
// journal then says which order belongs to which purchase, whatever the ledger says.
const numberKey = "tortureNumber"

// inputOf is the example input of a need with the number of the purchase.
func (p torturePlan) inputOf(name string, number int) (json.RawMessage, error) {
	for _, n := range p.needs {
		if n.Name != name {
			continue
		}
		members := map[string]json.RawMessage{}
		if err := json.Unmarshal([]byte(n.Input), &members); err != nil {
			return nil, err
		}
		members[numberKey] = fmt.Appendf(nil, "%d", number)
		return json.Marshal(members)
	}
	return nil, fmt.Errorf("no need %s", name)
}

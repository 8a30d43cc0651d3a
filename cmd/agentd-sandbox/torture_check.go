// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/admin"
	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/sandbox/chain"
)

// check compares what the Market's journal and the chain show with what may be,
// and with what the daemon says of its purchases.
func (c *campaign) check(ctx context.Context) ([]string, error) {
	e, err := c.gather(ctx)
	if err != nil {
		return nil, err
	}
	findings := slices.Concat(c.asked.findings, c.checkTransfers(e), c.checkWindows(e.transfers))
	more, err := c.checkPurchases(ctx, e)
	if err != nil {
		return nil, err
	}
	findings = append(findings, more...)
	c.log.mu.Lock()
	for _, text := range c.log.panics {
		findings = append(findings, "the daemon crashed: "+text)
	}
	err = c.log.fault
	c.log.mu.Unlock()
	if out, verifyErr := c.daemon.command(ctx, "ledger", "verify"); verifyErr != nil || !bytes.Contains(out, []byte("ledger verify: ok")) {
		findings = append(findings, fmt.Sprintf("agentd ledger verify: %v\n%s", verifyErr, strings.TrimSpace(string(out))))
	}
	return findings, err
}

// checkTransfers holds every transfer out of the agent's account against the
// order that it pays: whom, how much, and once.
func (c *campaign) checkTransfers(e *evidence) (findings []string) {
	find := func(format string, args ...any) { findings = append(findings, fmt.Sprintf(format, args...)) }
	for _, tx := range e.doubly {
		find("transaction %s was handed over for two orders", tx)
	}
	escrows := c.escrows()
	for _, t := range e.transfers {
		o := e.orders[e.claims[t.Tx]]
		if o == nil {
			find("transfer %s of %s to %s pays no order that the Market knows", t.Tx, t.Value, t.To)
			continue
		}
		if t.To != o.payee && !slices.Contains(escrows, t.To) {
			find("transfer %s of order %s went to %s, quoted was %s", t.Tx, o.id, t.To, o.payee)
		}
		due, err := money.AmountOf(o.price, chain.TokenDecimals)
		if err != nil || due.Big().Cmp(t.Value) != 0 {
			find("transfer %s of order %s is of %s, quoted was %s", t.Tx, o.id, t.Value, o.price)
		}
	}
	paid := map[int]int{}
	for _, o := range e.orders {
		if len(o.paid) > 1 {
			find("order %s of purchase %d was paid %d times", o.id, o.number, len(o.paid))
		}
		if o.number < 0 {
			find("order %s belongs to no purchase that was asked for", o.id)
		}
		paid[o.number] += len(o.paid)
	}
	for number, n := range paid {
		if n > 1 {
			find("purchase %d was paid %d times", number, n)
		}
	}
	return findings
}

// escrows are the addresses that may take value in place of the payee.
func (c *campaign) escrows() []common.Address {
	return []common.Address{common.HexToAddress(c.local.info.Escrow), common.HexToAddress(c.local.info.EscrowKeeper)}
}

// checkWindows adds up, for every transfer and window, what left the account in
// the window that ends with it. Two seconds are left for the seconds that block
// times are cut to.
func (c *campaign) checkWindows(transfers []chain.Transfer) (findings []string) {
	for _, w := range []struct {
		over  time.Duration
		limit money.Value
	}{{longWindow, c.plan.long}, {shortWindow, c.plan.short}} {
		most, err := money.AmountOf(w.limit, chain.TokenDecimals)
		if err != nil {
			return []string{err.Error()}
		}
		span := uint64(w.over/time.Second) - 2 //nolint:gosec // positive
		for _, last := range transfers {
			sum := common.Big0
			for _, t := range transfers {
				if t.Time <= last.Time && t.Time+span >= last.Time {
					sum = addBig(sum, t.Value)
				}
			}
			if sum.Cmp(most.Big()) > 0 {
				findings = append(findings, fmt.Sprintf("the window of %s that ends with %s holds %s, the limit is %s", w.over, last.Tx, sum, w.limit))
				break
			}
		}
	}
	return findings
}

// checkPurchases asks for every purchase that was promised: it is there, it is
// final or waits for a person with a reason, and its end agrees with the chain.
func (c *campaign) checkPurchases(ctx context.Context, e *evidence) (findings []string, err error) {
	paid := map[int]int{}
	for _, o := range e.orders {
		paid[o.number] += len(o.paid)
	}
	for number, id := range c.asked.promised() {
		p, err := c.client.Purchase(ctx, id)
		if err != nil {
			findings = append(findings, fmt.Sprintf("purchase %d (%s) was promised and is lost: %v", number, id, err))
			continue
		}
		c.tally.add("ends", endOf(p))
		if text := judge(number, p, railOf(p.Need), paid[number]); text != "" {
			findings = append(findings, text)
		}
	}
	return findings, nil
}

// judge says what is wrong with the end of a purchase, given how many transfers
// the chain shows for it; nothing is the empty text.
func judge(number int, p *admin.Purchase, rail tortureRail, paid int) string {
	want := wantedTransfers(p, rail)
	switch {
	case !p.Final && p.Reason == "":
		return fmt.Sprintf("purchase %d (%s) is %s without a reason", number, p.ID, p.State)
	case !p.Final && !p.HandedOff:
		return fmt.Sprintf("purchase %d (%s) on %s needs a person: %s, %s", number, p.ID, p.Need, p.State, p.Reason)
	case !rail.moves && paid != 0:
		return fmt.Sprintf("purchase %d (%s) on %s moved value", number, p.ID, p.Need)
	case paid != want:
		return fmt.Sprintf("purchase %d (%s) on %s ended %s (%s) and the chain shows %d transfers, want %d", number, p.ID, p.Need, p.State, p.Reason, paid, want)
	default:
		return ""
	}
}

func endOf(p *admin.Purchase) string {
	if p.Reason == "" {
		return p.State
	}
	return p.State + " (" + p.Reason + ")"
}

func railOf(name string) tortureRail {
	for _, r := range tortureRails {
		if r.name == name {
			return r
		}
	}
	return tortureRail{name: name}
}

// wantedTransfers is how many transfers a purchase in its state has.
func wantedTransfers(p *admin.Purchase, rail tortureRail) int {
	if rail.moves && (p.Settled || p.State == "refunded") {
		return 1
	}
	return 0
}

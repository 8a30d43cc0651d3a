// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strconv"
)

type ledgerCmd struct {
	Verify ledgerVerifyCmd `cmd:"" help:"Check the hash chain, and the settled sums against the chains."`
}

type ledgerVerifyCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Run verifies the ledger; it fails if anything disagrees or could not be checked.
func (c *ledgerVerifyCmd) Run(ctx context.Context, con *console, o *options) error {
	report, err := con.client(o).LedgerVerify(ctx)
	if err != nil {
		return err
	}
	verdict := func() error {
		if report.OK {
			return nil
		}
		return fail(exitFailure, "ledger verify: not ok")
	}
	if c.JSON {
		if err := printJSON(con.out, report); err != nil {
			return err
		}
		return verdict()
	}
	if _, err := fmt.Fprintf(con.out, "%s, %s, head %s\n", plural(report.Entries, "ledger row"), plural(report.Purchases, "purchase"), orElse(report.Head, "none")); err != nil {
		return err
	}
	if len(report.Settled) > 0 {
		t := newTable(con.out, "chain", "token", "ledger", "on chain", "not settled yet", "transfers")
		for _, s := range report.Settled {
			t.row(s.Chain, s.Token, s.Ledger, s.OnChain, orElse(s.Open, "-"), strconv.Itoa(s.Transfers))
		}
		if err := t.flush(); err != nil {
			return err
		}
	}
	for _, text := range report.Findings {
		if err := con.say("finding: " + text); err != nil {
			return err
		}
	}
	for _, text := range report.Unchecked {
		if err := con.say("not checked: " + text); err != nil {
			return err
		}
	}
	if report.OK {
		return con.say("ledger verify: ok")
	}
	return verdict()
}

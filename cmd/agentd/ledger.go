// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/agentd-project/agentd/admin"
)

type ledgerCmd struct {
	Verify ledgerVerifyCmd `cmd:"" help:"Check the hash chain, and the settled sums against the chains."`
	Accept ledgerAcceptCmd `cmd:"" help:"Answer for transfers that verify found in no purchase. They count as spent."`
	Export ledgerExportCmd `cmd:"" help:"Write what was spent, as JSON lines, CSV or an hledger journal. Needs no daemon."`
	Backup ledgerBackupCmd `cmd:"" help:"Copy the ledger while the daemon runs. Needs no daemon."`
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
	return con.ledgerReport(report, c.JSON)
}

type ledgerAcceptCmd struct {
	Transactions []string `arg:"" name:"transaction" help:"Hash of a transaction that verify names."`
	JSON         bool     `name:"json" help:"Print JSON."`
}

// Run records the transfers and prints the verification that follows.
func (c *ledgerAcceptCmd) Run(ctx context.Context, con *console, o *options) error {
	report, err := con.client(o).LedgerAccept(ctx, c.Transactions)
	if err != nil {
		return err
	}
	return con.ledgerReport(report, c.JSON)
}

// ledgerReport prints a verification; it is an error if the ledger is not ok.
func (c *console) ledgerReport(report *admin.LedgerReport, asJSON bool) error {
	if asJSON {
		if err := printJSON(c.out, report); err != nil {
			return err
		}
	} else if err := c.ledgerText(report); err != nil {
		return err
	}
	if !report.OK {
		return fail(exitFailure, "ledger verify: not ok")
	}
	return nil
}

func (c *console) ledgerText(report *admin.LedgerReport) error {
	compacted := ""
	if report.Compacted > 0 {
		compacted = plural(report.Compacted, "compacted purchase") + ", "
	}
	if _, err := fmt.Fprintf(c.out, "%s, %s, %shead %s\n", plural(report.Entries, "ledger row"), plural(report.Purchases, "purchase"), compacted, orElse(report.Head, "none")); err != nil {
		return err
	}
	if len(report.Settled) > 0 {
		t := newTable(c.out, "chain", "token", "ledger", "on chain", "not settled yet", "transfers")
		for _, s := range report.Settled {
			t.row(s.Chain, s.Token, s.Ledger, s.OnChain, orElse(s.Open, "-"), strconv.Itoa(s.Transfers))
		}
		if err := t.flush(); err != nil {
			return err
		}
	}
	for _, text := range report.Findings {
		if err := c.say("finding: " + text); err != nil {
			return err
		}
	}
	for _, text := range report.Unchecked {
		if err := c.say("not checked: " + text); err != nil {
			return err
		}
	}
	if report.OK {
		return c.say("ledger verify: ok")
	}
	return nil
}

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/agentd-project/agentd/config"
)

type policyCmd struct {
	Show policyShowCmd `cmd:"" help:"Show the rules in force, the owner's and the Market's, and what is left."`
	Test policyTestCmd `cmd:"" help:"Judge a table of hypothetical purchases by the policy. Needs no daemon."`
}

type policyShowCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Run shows the policy.
func (c *policyShowCmd) Run(ctx context.Context, con *console, o *options) error {
	view, err := con.client(o).Policy(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(con.out, view)
	}
	t := newTable(con.out, "limit", "of", "used", "left")
	b := view.Budget
	t.row("per purchase", b.PerPurchase.String()+" "+b.Currency, "", "")
	for _, w := range b.Windows {
		t.row(w.Name, w.Limit.String()+" "+b.Currency, w.Used.String(), w.Left.String())
	}
	for _, n := range b.Counts {
		t.row(n.Name, plural(int(n.Limit), "purchase"), fmt.Sprint(n.Used), fmt.Sprint(max(n.Limit-n.Used, 0)))
	}
	if err := t.flush(); err != nil {
		return err
	}
	if err := con.showRules("local rules", view.Local); err != nil {
		return err
	}
	if len(view.Remote) == 0 || bytes.Equal(view.Remote, []byte("null")) {
		return con.say("\nthe Market's rules have not been read yet")
	}
	return con.showRules("the Market's rules, read "+clock(view.RemoteRead), view.Remote)
}

func (c *console) showRules(title string, raw json.RawMessage) error {
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, raw, "", "  "); err != nil {
		return fail(exitFailure, "the rules cannot be read: %s", err)
	}
	_, err := fmt.Fprintf(c.out, "\n%s\n%s\n", title, pretty.String())
	return err
}

type policyTestCmd struct {
	File string `arg:"" help:"YAML list of purchases, each with the verdict that is wanted: allowed, or a reason." type:"existingfile"`
	JSON bool   `name:"json" help:"Print JSON."`
}

// Run judges the table; it fails if a verdict is not the wanted one.
func (c *policyTestCmd) Run(con *console, o *options) error {
	cfg, err := config.LoadPolicy(con.configFile(o), con.environ)
	if err != nil {
		return err
	}
	cases, err := readCases(c.File)
	if err != nil {
		return err
	}
	results, err := judge(cfg, cases)
	if err != nil {
		return err
	}
	wrong := 0
	for _, r := range results {
		if !r.OK {
			wrong++
		}
	}
	if c.JSON {
		if err := printJSON(con.out, results); err != nil {
			return err
		}
	} else if err := con.showResults(results); err != nil {
		return err
	}
	if wrong > 0 {
		return fail(exitFailure, "%s of %d not as wanted", plural(wrong, "verdict"), len(results))
	}
	return nil
}

func (c *console) showResults(results []verdictResult) error {
	t := newTable(c.out, "", "name", "got", "want")
	for _, r := range results {
		mark := "ok"
		if !r.OK {
			mark = "FAIL"
		}
		t.row(mark, r.Name, r.Got, r.Want)
	}
	return t.flush()
}

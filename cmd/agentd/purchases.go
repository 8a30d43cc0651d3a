// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/agentd-project/agentd/admin"
)

type purchasesCmd struct {
	ID     string `arg:"" optional:"" help:"Show this purchase with its whole history."`
	Open   bool   `help:"List only what is not final."`
	Need   string `help:"List only purchases of this need." placeholder:"NAME"`
	Limit  int    `help:"List at most so many, 1 to 1000." default:"50"`
	Result bool   `help:"Print the accepted result of the purchase as it was received."`
	JSON   bool   `name:"json" help:"Print JSON."`
}

// Run lists purchases or shows one.
func (c *purchasesCmd) Run(ctx context.Context, con *console, o *options) error {
	client := con.client(o)
	switch {
	case c.Result && c.ID == "":
		return fail(exitUsage, "--result needs the ID of a purchase")
	case c.Result:
		result, err := client.Result(ctx, c.ID)
		if err != nil {
			return err
		}
		return con.say(strings.TrimRight(string(result), "\n"))
	case c.ID != "":
		p, err := client.Purchase(ctx, c.ID)
		if err != nil {
			return err
		}
		return con.showPurchase(p, c.JSON)
	}
	list, err := client.Purchases(ctx, admin.PurchaseQuery{Open: c.Open, Need: c.Need, Limit: c.Limit})
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(con.out, list)
	}
	if len(list) == 0 {
		return con.say("no purchases")
	}
	t := newTable(con.out, "id", "need", "state", "rail", "price", "created", "reason")
	for i := range list {
		p := &list[i]
		t.row(p.ID, p.Need, p.State, p.Rail, priceOf(p), clock(p.Created), p.Reason)
	}
	return t.flush()
}

func priceOf(p *admin.Purchase) string {
	return strings.TrimSpace(p.Price.String() + " " + p.Currency)
}

// showPurchase prints one purchase in full.
func (c *console) showPurchase(p *admin.Purchase, asJSON bool) error {
	if asJSON {
		return printJSON(c.out, p)
	}
	t := newTable(c.out)
	line := func(label, text string) {
		if text != "" {
			t.row(label, text)
		}
	}
	line("purchase", p.ID)
	line("need", p.Need)
	line("state", p.State)
	line("reason", reasonOf(p.Reason, p.ReasonText))
	line("next", p.Next)
	line("rail", p.Rail)
	line("service", p.Service)
	line("provider", p.Provider)
	line("order", p.OrderID)
	line("price", priceOf(p))
	line("amount", strings.TrimSpace(p.Amount+" "+p.Token))
	line("chain", p.Chain)
	line("payee", p.Payee)
	line("reference", p.Reference)
	line("handed off to", p.HandoffURL)
	line("created", clock(p.Created))
	line("updated", clock(p.Updated))
	line("deadline", clock(p.Deadline))
	line("result", p.ResultFile)
	if err := t.flush(); err != nil {
		return err
	}
	if err := writeQuotes(c.out, p.Quotes); err != nil {
		return err
	}
	return writeHistory(c.out, p.History)
}

func reasonOf(code, text string) string {
	if code == "" {
		return ""
	}
	if text == "" {
		return code
	}
	return code + ": " + text
}

func writeHistory(out io.Writer, history []admin.Event) error {
	if len(history) == 0 {
		return nil
	}
	if _, err := fmt.Fprintln(out); err != nil {
		return err
	}
	t := newTable(out, "at", "event", "from", "to", "reason", "detail")
	for _, e := range history {
		event := e.Event
		if event == "" {
			event = e.Kind
		}
		t.row(clock(e.At), event, e.From, e.To, e.Reason, e.Detail)
	}
	return t.flush()
}

func writeQuotes(out io.Writer, quotes []admin.Quote) error {
	if len(quotes) == 0 {
		return nil
	}
	if _, err := fmt.Fprintln(out); err != nil {
		return err
	}
	t := newTable(out, "service", "provider", "rail", "price", "score", "verdict")
	for _, q := range quotes {
		t.row(q.Service, q.Provider, q.Rail, strings.TrimSpace(q.Price+" "+q.Currency), q.Score, reasonOf(q.Reason, q.Text))
	}
	return t.flush()
}

type approveCmd struct {
	ID   string `arg:"" help:"The purchase."`
	JSON bool   `name:"json" help:"Print JSON."`
}

// Run approves a purchase.
func (c *approveCmd) Run(ctx context.Context, con *console, o *options) error {
	p, err := con.client(o).Approve(ctx, c.ID)
	if err != nil {
		return err
	}
	return con.showPurchase(p, c.JSON)
}

type denyCmd struct {
	ID   string `arg:"" help:"The purchase."`
	JSON bool   `name:"json" help:"Print JSON."`
}

// Run denies a purchase.
func (c *denyCmd) Run(ctx context.Context, con *console, o *options) error {
	p, err := con.client(o).Deny(ctx, c.ID)
	if err != nil {
		return err
	}
	return con.showPurchase(p, c.JSON)
}

type resolveCmd struct {
	ID        string `arg:"" help:"The purchase."`
	Cancel    bool   `name:"cancel-transaction" help:"Replace its payment, which no block holds yet, by a transaction to ourselves." xor:"resolution" required:""`
	Confirm   bool   `help:"It was delivered." xor:"resolution" required:""`
	Dispute   string `help:"Open a dispute for this reason." placeholder:"REASON" xor:"resolution" required:""`
	Reference string `help:"Record the reference of a payment that was made by hand." placeholder:"REF" xor:"resolution" required:""`
	JSON      bool   `name:"json" help:"Print JSON."`
}

// Run ends what a person had to look at.
func (c *resolveCmd) Run(ctx context.Context, con *console, o *options) error {
	resolution := admin.Resolution{Action: admin.ActionConfirm}
	switch {
	case c.Cancel:
		resolution = admin.Resolution{Action: admin.ActionCancelTransaction}
	case c.Dispute != "":
		resolution = admin.Resolution{Action: admin.ActionDispute, Text: c.Dispute}
	case c.Reference != "":
		resolution = admin.Resolution{Action: admin.ActionReference, Text: c.Reference}
	}
	p, err := con.client(o).Resolve(ctx, c.ID, resolution)
	if err != nil {
		return err
	}
	return con.showPurchase(p, c.JSON)
}

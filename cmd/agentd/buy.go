// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/alecthomas/kong"

	"github.com/agentd-project/agentd/admin"
	"github.com/agentd-project/agentd/money"
)

// The time limits of commands.
const (
	// healthLimit is below the timeout of the image's HEALTHCHECK.
	healthLimit = 4 * time.Second
	defaultWait = 2 * time.Minute
	// maxInput bounds the input file; the local API takes 1 MiB in all.
	maxInput = 1 << 20
)

// waitFlag is --wait, with a default duration, or --wait=DURATION.
type waitFlag struct {
	limit time.Duration
}

// IsBool lets the flag stand alone.
func (w *waitFlag) IsBool() bool { return true }

// Decode reads the duration, if there is one.
func (w *waitFlag) Decode(ctx *kong.DecodeContext) error {
	w.limit = defaultWait
	token := ctx.Scan.Peek()
	if token.Type != kong.FlagValueToken {
		return nil
	}
	text, _ := ctx.Scan.Pop().Value.(string)
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return fmt.Errorf("%q is not a duration such as 90s", text)
	}
	w.limit = d
	return nil
}

type explainCmd struct {
	Need string `arg:"" help:"The need, as the configuration names it."`
	JSON bool   `name:"json" help:"Print JSON."`
}

// Run prints every quote with its verdict.
func (c *explainCmd) Run(ctx context.Context, con *console, o *options) error {
	e, err := con.client(o).Explain(ctx, c.Need)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(con.out, e)
	}
	t := newTable(con.out, "", "service", "provider", "rail", "price", "score", "expires", "verdict")
	for i, q := range e.Quotes {
		mark := " "
		if i == e.Chosen {
			mark = "*"
		}
		t.row(mark, q.Service, q.Provider, q.Rail, q.Price+" "+q.Currency, q.Score, clock(q.Expires), reasonOf(q.Reason, q.Text))
	}
	if err := t.flush(); err != nil {
		return err
	}
	if e.Chosen >= 0 {
		return nil
	}
	return con.say("nothing would be bought: " + reasonOf(e.Reason, e.Text))
}

type buyCmd struct {
	Need     string   `arg:"" help:"The need, as the configuration names it."`
	Input    string   `help:"JSON file that replaces the need's input; - reads standard input." placeholder:"FILE"`
	MaxPrice string   `help:"Lower the need's highest price to this." placeholder:"PRICE"`
	Wait     waitFlag `help:"Wait until it is settled, for 2m or --wait=DURATION. Exits with 3 refused, 4 nothing matched, 5 waits for a person, 6 not settled in time, 7 handed off."`
	JSON     bool     `name:"json" help:"Print JSON."`
}

// Run buys once.
func (c *buyCmd) Run(ctx context.Context, con *console, o *options) error {
	request := admin.BuyRequest{Need: c.Need}
	if c.MaxPrice != "" {
		price, err := money.ParseValue(c.MaxPrice)
		if err != nil {
			return fail(exitUsage, "--max-price: %s", err)
		}
		request.MaxPrice = &price
	}
	if c.Input != "" {
		input, err := readInput(con.in, c.Input)
		if err != nil {
			return err
		}
		request.Input = input
	}
	client := con.client(o)
	p, err := client.Buy(ctx, request)
	if refused := (*admin.Error)(nil); errors.As(err, &refused) && refused.Code == admin.CodeRefused && c.Wait.limit > 0 {
		return fail(exitRefused, "%s", refused)
	}
	if err != nil {
		return err
	}
	if c.Wait.limit == 0 {
		return con.showBought(p, c.JSON)
	}
	waited, err := client.Wait(ctx, p.ID, c.Wait.limit)
	if err != nil {
		return fmt.Errorf("purchase %s goes on, but cannot be waited for: %w", p.ID, err)
	}
	if err := con.showBought(waited, c.JSON); err != nil {
		return err
	}
	if code := outcome(waited); code != exitOK {
		return &exitError{code: code, text: explainCode(code, waited)}
	}
	return nil
}

// showBought prints the purchase in short.
func (c *console) showBought(p *admin.Purchase, asJSON bool) error {
	if asJSON {
		return printJSON(c.out, p)
	}
	t := newTable(c.out, "id", "need", "state", "rail", "price", "reference")
	t.row(p.ID, p.Need, p.State, p.Rail, priceOf(p), p.Reference)
	return t.flush()
}

func explainCode(code int, p *admin.Purchase) string {
	why := reasonOf(p.Reason, p.ReasonText)
	switch code {
	case exitWaiting:
		why = "purchase " + p.ID + " waits for a person: " + why + "; " + orElse(p.Next, "see agentd purchases "+p.ID)
	case exitUnsettled:
		why = "purchase " + p.ID + " is not settled yet; it goes on, see agentd purchases " + p.ID
	case exitHandedOff:
		why = "purchase " + p.ID + " was handed off to " + orElse(p.HandoffURL, "its provider") + "; end it with agentd resolve " + p.ID
	default:
		why = "purchase " + p.ID + " ended as " + p.State + ": " + why
	}
	return why
}

func orElse(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// readInput reads a JSON object from a file or standard input.
func readInput(in io.Reader, path string) (json.RawMessage, error) {
	if path != "-" {
		f, err := os.Open(path) //nolint:gosec // the path is the caller's
		if err != nil {
			return nil, fail(exitUsage, "--input: %s", err)
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, maxInput+1))
	switch {
	case err != nil:
		return nil, fail(exitUsage, "--input: %s", err)
	case len(data) > maxInput:
		return nil, fail(exitUsage, "--input: larger than 1 MiB")
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(data, &object); err != nil || object == nil {
		return nil, fail(exitUsage, "--input: not a JSON object")
	}
	return data, nil
}

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/agentd-project/agentd/config"
	"github.com/agentd-project/agentd/ledger"
)

// ledgerFile is the file that a command reads, beside the daemon or without one.
// Reading it needs the daemon's user or root: what is in it is the machine's books.
type ledgerFile struct {
	Ledger string `help:"Ledger file, such as a backup. Default: ledger.db in state_dir of the configuration." type:"path" placeholder:"FILE"`
}

// open returns the file and the configuration, which is nil if there is none and
// the file was named.
func (l *ledgerFile) open(ctx context.Context, con *console, o *options) (*ledger.File, *config.Config, error) {
	path, cfg := l.Ledger, (*config.Config)(nil)
	if path == "" || con.configFile(o) != "" {
		var err error
		if cfg, err = config.LoadPolicy(con.configFile(o), con.environ); err != nil {
			return nil, nil, err
		}
		if path == "" {
			path = filepath.Join(cfg.StateDir, "ledger.db")
		}
	}
	f, err := ledger.OpenFile(ctx, path)
	return f, cfg, err
}

type ledgerExportCmd struct {
	ledgerFile
	Format string `help:"${enum}." enum:"jsonl,csv,hledger" default:"jsonl"`
	Since  string `help:"Leave out what was paid before a day (2006-01-02, UTC) or a time (RFC 3339)." placeholder:"TIME"`
	Until  string `help:"Leave out what was paid at or after a day or a time." placeholder:"TIME"`
}

// Run writes one record per settled purchase, the oldest first.
func (c *ledgerExportCmd) Run(ctx context.Context, con *console, o *options) (err error) {
	since, err := timeOf("since", c.Since)
	if err != nil {
		return err
	}
	until, err := timeOf("until", c.Until)
	if err != nil {
		return err
	}
	f, cfg, err := c.open(ctx, con, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	out := bufio.NewWriterSize(con.out, 1<<16)
	var e exporter
	switch names := namesOf(cfg); c.Format {
	case "csv":
		e = newCSVExport(out, names)
	case "hledger":
		e = &hledgerExport{out: out, names: names}
	default:
		e = newJSONExport(out, names)
	}
	if err := f.Receipts(ctx, since, until, e.receipt); err != nil {
		return err
	}
	if err := f.Fees(ctx, since, until, e.fee); err != nil {
		return err
	}
	return errors.Join(e.flush(), out.Flush())
}

// timeOf reads a day or a time; empty is the zero time.
func timeOf(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fail(exitUsage, "--%s: %q is neither a day such as 2026-01-31 nor a time such as 2026-01-31T12:00:00Z", flag, text)
}

type ledgerBackupCmd struct {
	ledgerFile
	File string `arg:"" help:"The copy to make; it must not exist." type:"path"`
	JSON bool   `name:"json" help:"Print JSON."`
}

// Run copies the ledger and says what the copy holds.
func (c *ledgerBackupCmd) Run(ctx context.Context, con *console, o *options) (err error) {
	f, _, err := c.open(ctx, con, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	done, err := f.Backup(ctx, c.File)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(con.out, struct {
			File    string `json:"file"`
			Entries int64  `json:"entries"`
			Head    string `json:"head"`
			Bytes   int64  `json:"bytes"`
		}{c.File, done.Entries, done.Head, done.Bytes})
	}
	return con.say(fmt.Sprintf("ledger copied to %s: last row %d, head %s, %d bytes", c.File, done.Entries, orElse(done.Head, "none"), done.Bytes))
}

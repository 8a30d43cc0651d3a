// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/agentd-project/agentd/money"
)

// parses says whether the parser takes the arguments, or answers them itself
// with help: only then would a command run.
func parses(t *testing.T, args []string) (taken, help bool) {
	t.Helper()
	defer func() {
		if r := recover(); r != nil {
			if _, exit := r.(kongExit); !exit {
				panic(r)
			}
			help = true
		}
	}()
	var cli commands
	parser, err := kong.New(&cli, kong.Name("agentd"), kong.Writers(io.Discard, io.Discard),
		kong.Exit(func(code int) { panic(kongExit(code)) }), kong.Vars{"configFile": defaultConfig})
	if err != nil {
		t.Fatal(err)
	}
	_, err = parser.Parse(args)
	return err == nil, false
}

// FuzzArguments gives the program any command line that it does not take: it says
// so in a few lines and exits with 64. A line that it takes is not run here.
func FuzzArguments(f *testing.F) {
	for _, line := range []string{"", "run --config x", "buy\x00need\x00--wait=forever", "buy\x00--help", "purchases\x00--limit=-1", "ledger\x00verify\x00--pages=x",
		"market\x00orders\x00--limit=\xff", "--\x00--", "policy\x00test", "keys\x00new\x00--light=maybe", "resolve\x00id\x00--confirm\x00--dispute", "status\x00--json=\x1b[2J"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		args := strings.Split(line, "\x00")
		taken, help := parses(t, args)
		if taken || help {
			return
		}
		var out, errs bytes.Buffer
		if code := run(args, strings.NewReader(""), &out, &errs, nil); code != exitUsage {
			t.Fatalf("%q: exit %d, want %d: %s", args, code, exitUsage, errs.String())
		}
		if errs.Len() == 0 || errs.Len() > len(line)*4+4<<10 || out.Len() != 0 {
			t.Fatalf("%q: %d bytes of error, %d of output", args, errs.Len(), out.Len())
		}
	})
}

// FuzzAmounts gives buy any price and wait: what is no price or no duration exits
// with 64 before the daemon is asked; there is none here, which is another exit.
func FuzzAmounts(f *testing.F) {
	for _, seed := range [][2]string{{"0.10", "90s"}, {"-1", "1h"}, {"1e-7", "0"}, {"NaN", "-1s"}, {"1e400", "9999999h"}, {"0x10", "1"}, {" 1", "1d"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, price, wait string) {
		args := []string{"buy", "need", "--socket=/nowhere/agentd.sock", "--max-price=" + price, "--wait=" + wait}
		var out, errs bytes.Buffer
		code := run(args, strings.NewReader(""), &out, &errs, nil)
		_, err := money.ParseValue(price)
		if price != "" && err != nil && code != exitUsage {
			t.Fatalf("price %q: exit %d, want %d", price, code, exitUsage)
		}
		if code == exitOK || errs.Len() == 0 {
			t.Fatalf("%q: exit %d, %q", args, code, errs.String())
		}
	})
}

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
	"time"
)

// A comparison with few purchases runs to its end and counts what it says it
// counts: eight commits of a free purchase, thirteen of one by x402, at the most.
func TestBenchCompare(t *testing.T) {
	bin, err := build(t.Context(), "", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var out, faults bytes.Buffer
	args := []string{"bench", "compare", "--agentd", bin, "--only", "daemon,peers", "--purchases", "4", "--rounds", "1", "--in-flight", "2"}
	if code := command(t.Context(), args, streams{&out, &faults}); code != exitOK {
		t.Fatalf("got exit %d: %s", code, faults.String())
	}
	if !strings.Contains(out.String(), "no comparison with others") {
		t.Errorf("nothing says that there were no others:\n%s", out.String())
	}
	row := regexp.MustCompile(`(?m)^(not-required|x402) +(1|2) .* (\d+)\.\d\d$`)
	found := row.FindAllStringSubmatch(out.String(), -1)
	if len(found) != 4 {
		t.Fatalf("got %d rows, want 4:\n%s", len(found), out.String())
	}
	for _, f := range found {
		if commits := f[3]; commits == "0" || len(commits) > 2 {
			t.Errorf("%s with %s in flight: got %s commits each", f[1], f[2], commits)
		}
	}
}

func TestReadCount(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want int
		ok   bool
	}{
		"among others":  {"# HELP a_count x\na_count_total 3\na_count 17\nb 1\n", 17, true},
		"absent":        {"a_counter 17\n", 0, false},
		"labels":        {"a_count{x=\"1\"} 17\n", 0, false},
		"not a number":  {"a_count x\n", 0, false},
		"empty answer":  {"", 0, false},
		"not a whole":   {"a_count 1.5\n", 0, false},
		"zero is valid": {"a_count 0\n", 0, true},
	} {
		got, err := readCount(strings.NewReader(test.text), "a_count")
		if got != test.want || (err == nil) != test.ok {
			t.Errorf("%s: got %d, %v; want %d, ok %v", name, got, err, test.want, test.ok)
		}
	}
}

func TestReadSyncs(t *testing.T) {
	const head = "% time     seconds  usecs/call     calls    errors syscall\n------ ----------- ----------- --------- --------- ----------------\n"
	for name, test := range map[string]struct {
		text string
		want int
		ok   bool
	}{
		"one call":     {head + "100.00    0.058342         143       407           fdatasync\n------ ----------- ----------- --------- --------- ----------------\n100.00    0.058342         143       407           total\n", 407, true},
		"both":         {head + " 90.00    0.05         143       400           fsync\n 10.00    0.01         143       7         1 fdatasync\n100.00    0.06         143       407         1 total\n", 407, true},
		"another call": {head + "100.00    0.05         143       400           write\n", 0, true},
		"no calls":     {"", 0, true},
		"not a count":  {head + "100.00    0.05         143       x           fsync\n", 0, false},
	} {
		got, err := readSyncs(strings.NewReader(test.text))
		if got != test.want || (err == nil) != test.ok {
			t.Errorf("%s: got %d, %v; want %d, ok %v", name, got, err, test.want, test.ok)
		}
	}
}

// The comparison divides the CPU of each buyer by the daemon's, on the same rail.
func TestTimes(t *testing.T) {
	r := comparison{compareCommand: &compareCommand{}, rows: []row{
		{buyer: "agentd", rail: "x402", inFlight: 1, cost: cost{purchases: 200, cpu: 2 * time.Second}},
		{buyer: "agentd", rail: "x402", inFlight: 32, cost: cost{purchases: 200, cpu: time.Second}},
		{buyer: "agentd", rail: "not-required", inFlight: 1, cost: cost{purchases: 200, cpu: 7 * time.Second}},
		{buyer: "CLI", rail: "x402", inFlight: 1, cost: cost{purchases: 20, cpu: 50 * time.Second}},
	}}
	for name, test := range map[string]struct {
		of       row
		inFlight int
		want     string
	}{
		"itself":          {r.rows[0], 1, "1.0"},
		"CLI":             {r.rows[3], 1, "250.0"},
		"CLI to many":     {r.rows[3], 32, "500.0"},
		"other rail only": {r.rows[2], 32, "-"},
	} {
		if got := r.times(test.of, test.inFlight); got != test.want {
			t.Errorf("%s: got %s, want %s", name, got, test.want)
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
)

// A comparison with few purchases runs to its end and counts what it says it
// counts: eight commits of a free purchase, thirteen of one by x402, at the most.
func TestBenchCompare(t *testing.T) {
	bin, err := build(t.Context(), "", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var out, faults bytes.Buffer
	args := []string{"bench", "compare", "--agentd", bin, "--only", "daemon", "--purchases", "4", "--rounds", "1", "--in-flight", "2"}
	if code := command(t.Context(), args, streams{&out, &faults}); code != exitOK {
		t.Fatalf("got exit %d: %s", code, faults.String())
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

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// report prints what happened, and every finding.
func (c *campaign) report(findings []string) {
	w := tabwriter.NewWriter(c.std.out, 0, 4, 2, ' ', 0)
	row := func(what string, value any, detail string) {
		_, _ = fmt.Fprintf(w, "%s\t%v\t%s\n", what, value, detail)
	}
	group := func(title, name string) {
		kinds, counts, sum := c.tally.kinds(name)
		var parts []string
		for _, k := range kinds {
			parts = append(parts, fmt.Sprintf("%s %d", k, counts[k]))
		}
		row(title, sum, strings.Join(parts, ", "))
	}
	row("WHAT", "NUMBER", "OF IT")
	row("seed", c.Seed, "")
	group("kills", "kills")
	row("fail points that killed", len(c.log.points), c.points())
	group("faults of the Market", "market")
	group("faults of the RPC", "rpc")
	group("chain", "chain")
	group("disk", "disk")
	group("clock turned", "clock")
	group("exits of the daemon", "exits")
	row("purchases asked for", len(c.asked.ids), fmt.Sprintf("and %d requests without an answer", c.asked.lost))
	group("requests refused", "refused to plan")
	group("purchases by final state", "ends")
	row("last fault to the last end", c.drained.Round(100*time.Millisecond), "orders whose answer was lost are looked for over 65 s")
	for _, name := range slices.Sorted(maps.Keys(c.recovered)) {
		all := c.recovered[name]
		slices.Sort(all)
		row("restart to known, "+name, all[len(all)/2].Round(time.Millisecond), fmt.Sprintf("median of %d, worst %s", len(all), all[len(all)-1].Round(time.Millisecond)))
	}
	row("took", time.Since(c.began).Round(time.Second), "")
	row("findings", len(findings), "")
	_ = w.Flush() // what counts is the exit code
	for _, text := range findings {
		_, _ = fmt.Fprintln(c.std.out, "finding:", text)
	}
}

// points names the fail points at which a process died.
func (c *campaign) points() string {
	c.log.mu.Lock()
	defer c.log.mu.Unlock()
	var parts []string
	for name, n := range c.log.points {
		parts = append(parts, fmt.Sprintf("%s %d", name, n))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

func addBig(a, b *big.Int) *big.Int { return new(big.Int).Add(a, b) }

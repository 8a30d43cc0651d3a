// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"text/tabwriter"
	"time"
)

// printDaemon prints what the daemon's purchases cost, one after the other and
// with many in flight.
func (r *comparison) printDaemon(std streams) error {
	w := tabwriter.NewWriter(std.out, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprintf(w, "AGENTD, %d PURCHASES, %d ROUNDS\tIN FLIGHT\tCPU EACH\tLEAST\tMOST\tWALL EACH\tPER SECOND\tCOMMITS EACH\n", r.Purchases, r.Rounds)
	for _, one := range r.rows {
		_, _ = fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\t%.1f\t%.2f\n", one.rail, one.inFlight, millis(one.cost.each()), millis(one.least.each()),
			millis(one.most.each()), millis(one.cost.pace()), one.cost.rate(), one.cost.share(one.cost.commits))
	}
	return w.Flush()
}

// printPeers prints the buyers side by side. The ratios are of CPU, to the
// daemon's purchases one after the other and with many in flight.
func (r *comparison) printPeers(std streams) error {
	if r.Python == "" {
		_, err := fmt.Fprintln(std.out, "\nno comparison with others: name an interpreter with --python and a CLI with --cli")
		return err
	}
	w := tabwriter.NewWriter(std.out, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprintf(w, "\nTHE SAME PURCHASES, ONE MARKET\tBUYER\tIN FLIGHT\tPURCHASES\tCPU EACH\tWALL EACH\tCPU/AGENTD\tCPU/AGENTD, %d IN FLIGHT\n", r.InFlight)
	for _, rail := range r.peerRails() {
		for _, one := range r.rows {
			if one.rail != rail {
				continue
			}
			_, _ = fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%s\t%s\t%s\t%s\n", rail, one.buyer, one.inFlight, one.cost.purchases, millis(one.cost.each()),
				millis(one.cost.pace()), r.times(one, 1), r.times(one, r.InFlight))
		}
	}
	return w.Flush()
}

// times is how many times the daemon's CPU a buyer took for one purchase.
func (r *comparison) times(one row, inFlight int) string {
	for _, ours := range r.rows {
		if ours.buyer == "agentd" && ours.rail == one.rail && ours.inFlight == inFlight && ours.cost.cpu > 0 {
			return fmt.Sprintf("%.1f", float64(one.cost.each())/float64(ours.cost.each()))
		}
	}
	return "-"
}

// printRate prints throughput by the number in flight.
func (r *comparison) printRate(std streams) error {
	w := tabwriter.NewWriter(std.out, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "\nAGENTD\tIN FLIGHT\tPURCHASES\tPER SECOND\tCPU EACH\tCOMMITS EACH")
	for _, one := range r.rows {
		_, _ = fmt.Fprintf(w, "%s\t%d\t%d\t%.1f\t%s\t%.2f\n", one.rail, one.inFlight, one.cost.purchases, one.cost.rate(), millis(one.cost.each()), one.cost.share(one.cost.commits))
	}
	return w.Flush()
}

// printCount prints what a purchase asks of disk, Market and chain.
func (r *comparison) printCount(std streams) error {
	w := tabwriter.NewWriter(std.out, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "\nAGENTD, EACH OF A PURCHASE\tCOMMITS\tFSYNC AND FDATASYNC\tMARKET CALLS\tCHAIN REQUESTS\tCPU")
	for _, one := range r.rows {
		syncs := "no strace"
		if r.strace != "" {
			syncs = fmt.Sprintf("%.2f", one.cost.share(one.cost.syncs))
		}
		_, _ = fmt.Fprintf(w, "%s\t%.2f\t%s\t%.2f\t%.2f\t%s\n", one.rail, one.cost.share(one.cost.commits), syncs, one.cost.share(one.cost.calls),
			one.cost.share(one.cost.rpc), millis(one.cost.each()))
	}
	return w.Flush()
}

// share returns a count per purchase.
func (c cost) share(count int) float64 { return float64(count) / float64(c.purchases) }

// each returns the CPU time of one purchase.
func (c cost) each() time.Duration { return c.cpu / time.Duration(c.purchases) }

// pace returns the wall time by which the purchases followed each other.
func (c cost) pace() time.Duration { return c.wall / time.Duration(c.purchases) }

// rate returns purchases per second.
func (c cost) rate() float64 { return float64(c.purchases) / c.wall.Seconds() }

func millis(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d.Microseconds())/1000) }

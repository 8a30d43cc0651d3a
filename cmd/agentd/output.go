// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// printJSON writes a value as indented JSON.
func printJSON(out io.Writer, v any) error {
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// table writes aligned columns.
type table struct {
	w *tabwriter.Writer
}

func newTable(out io.Writer, heads ...string) *table {
	t := &table{w: tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)}
	if len(heads) > 0 {
		for i := range heads {
			heads[i] = strings.ToUpper(heads[i])
		}
		_, _ = fmt.Fprintln(t.w, strings.Join(heads, "\t")) // a tabwriter reports at Flush
	}
	return t
}

// row writes one line; an empty cell shows as a dash.
func (t *table) row(cells ...string) {
	for i, c := range cells {
		if c == "" {
			cells[i] = "-"
		}
	}
	_, _ = fmt.Fprintln(t.w, strings.Join(cells, "\t")) // a tabwriter reports at Flush
}

func (t *table) flush() error { return t.w.Flush() }

// clock spells a time for a table, in UTC.
func clock(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

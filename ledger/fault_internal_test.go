// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"path/filepath"
	"strings"
	"testing"
)

// A disk that is full is told each time, and once that it takes writes again;
// what failed is not stored, what comes afterwards is.
func TestFaultIsTold(t *testing.T) {
	var told []error
	l, err := Open(t.Context(), Config{Path: filepath.Join(t.TempDir(), "ledger.db"), Fault: func(err error) { told = append(told, err) }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	bound := func(pages string) {
		t.Helper()
		var set int
		if err := l.w.conn.QueryRowContext(t.Context(), "PRAGMA max_page_count = "+pages).Scan(&set); err != nil {
			t.Fatal(err)
		}
	}
	large := strings.Repeat("x", 1<<16)
	if err := l.SetMeta(t.Context(), "before", "1"); err != nil || len(told) != 0 {
		t.Fatalf("on a good disk: got %v, told %v", err, told)
	}
	bound("1") // not below what the file has
	for range 2 {
		if err := l.SetMeta(t.Context(), "during", large); !isStorageFault(err) {
			t.Fatalf("on a full disk: got %v, want a storage fault", err)
		}
	}
	if len(told) != 2 || told[0] == nil || told[1] == nil {
		t.Fatalf("told %v, want two faults", told)
	}
	bound("100000")
	for range 2 {
		if err := l.CheckWrite(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if len(told) != 3 || told[2] != nil {
		t.Errorf("told %v, want one end of the fault", told)
	}
	if _, stored, err := l.Meta(t.Context(), "during"); stored || err != nil {
		t.Errorf("what failed: got stored %t, %v", stored, err)
	}
	if err := l.SetMeta(t.Context(), "after", large); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
)

var booksStart = time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)

// books is a ledger with a purchase of each kind.
type books struct {
	t    *testing.T
	path string
	l    *ledger.Ledger
	g    *policy.Guard
	now  time.Time
}

func (b *books) Now() (time.Time, bool) { return b.now, true }

func newBooks(t *testing.T) *books {
	t.Helper()
	b := &books{t: t, path: filepath.Join(t.TempDir(), "ledger.db"), now: booksStart}
	var err error
	if b.l, err = ledger.Open(t.Context(), ledger.Config{Path: b.path, Now: func() time.Time { return b.now }}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.l.Close(); err != nil {
			t.Error(err)
		}
	})
	rules := &policy.Rules{Currency: "USD", PerPurchase: 5_000_000, Windows: []policy.Window{{Over: 24 * time.Hour, Limit: 20_000_000}}}
	if b.g, err = policy.NewGuard(policy.GuardConfig{Rules: rules, Store: b.l, Clock: b}); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *books) check(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// buy settles one purchase a day after the one before.
func (b *books) buy(id policy.PurchaseID, service, symbol string, value money.Value) {
	b.t.Helper()
	ctx := context.Background()
	b.now = b.now.Add(24 * time.Hour)
	p := &ledger.Purchase{ID: id, Need: "price", State: "reserved", Rail: policy.RailWallet, OrderID: "ord-" + string(id)}
	req := policy.Request{Purchase: id, Need: "price", Service: service, Provider: "acme", Rail: p.Rail, Native: true, Currency: "USD", Value: value, Record: &ledger.Move{Purchase: p}}
	if v, err := b.g.Reserve(ctx, req); err != nil || !v.Allowed() {
		b.t.Fatalf("reserve: %q, %v", v.Reason, err)
	}
	amount, err := money.AmountOf(value, 6)
	b.check(err)
	terms := policy.Terms{Rail: p.Rail, Chain: "eip155:84532", Token: common.Address{1}, Symbol: symbol, Decimals: 6, Payee: common.Address{2}, Amount: amount}
	req.Record = nil
	if _, v, err := b.g.Grant(ctx, req, terms); err != nil || !v.Allowed() {
		b.t.Fatalf("grant: %q, %v", v.Reason, err)
	}
	done := *p
	done.State, done.Final = "settled", true
	b.check(b.l.Settle(ctx, ledger.Settlement{
		Purchase: id, Value: value, Amount: amount, Chain: terms.Chain, Token: terms.Token, Payee: terms.Payee,
		Ref: common.BytesToHash([]byte(id)).Hex(), At: b.now, Rail: p.Rail,
	}, &ledger.Move{Purchase: &done, From: "reserved", Event: "settled"}))
	b.check(b.l.AddFee(ctx, terms.Chain, money.FromUint64(21_000_000_000_000), b.now))
}

// fill makes purchases with names that a hostile Market could choose.
func (b *books) fill() {
	b.t.Helper()
	ctx := context.Background()
	b.buy("p1", "svc_1", "USDC", 20_000)
	b.buy("p2", "=HYPERLINK(\"x\")  ; [2001-01-01]\n2026-01-01 x\n  a:b  1", "U\"S;D", 1_500_000)
	b.buy("p3", "svc_1", "USDC", 30_000)
	b.check(b.l.Refund(ctx, "p3", common.BytesToHash([]byte("back")).Hex()+":4", nil))
	b.now = b.now.Add(24 * time.Hour)
	for _, id := range []policy.PurchaseID{"p4-free", "p5-reference"} {
		req := policy.Request{Purchase: id, Need: "fix", Service: "svc_2", Provider: "acme", Rail: policy.RailNotRequired, Native: true, Currency: "USD"}
		s := ledger.Settlement{Purchase: id, Rail: req.Rail, At: b.now}
		if id == "p5-reference" {
			req.Rail, req.Value = "external", 700_000
			s.Rail, s.Value, s.Ref = req.Rail, 700_000, "invoice 7"
		}
		if v, err := b.g.Reserve(ctx, req); err != nil || !v.Allowed() {
			b.t.Fatalf("reserve %s: %q, %v", id, v.Reason, err)
		}
		b.check(b.l.Settle(ctx, s, nil))
	}
	b.check(b.l.Accept(ctx, ledger.Settlement{
		Purchase: ledger.ForeignID("0x09", 1), Amount: money.FromUint64(5), Value: 5, Chain: "eip155:84532", Token: common.Address{1}, Payee: common.Address{3}, Ref: "0x09", At: b.now,
	}, "anna"))
}

// cli runs a command without a configuration.
func cli(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(args, strings.NewReader(""), &o, &e, nil)
	return code, o.String(), e.String()
}

func (b *books) export(args ...string) string {
	b.t.Helper()
	code, out, errs := cli(b.t, append([]string{"ledger", "export", "--ledger", b.path}, args...)...)
	if code != exitOK {
		b.t.Fatalf("export %v: exit %d, %s", args, code, errs)
	}
	return out
}

func TestExportGolden(t *testing.T) {
	b := newBooks(t)
	b.fill()
	for _, format := range []string{"jsonl", "csv", "hledger"} {
		t.Run(format, func(t *testing.T) {
			got := b.export("--format", format)
			if again := b.export("--format", format); again != got {
				t.Error("exported twice, and it differs")
			}
			golden(t, "export-"+format, got)
		})
	}
}

// What is exported of compacted purchases is what was exported before, but for the
// entries' hashes, of which the digest is left.
func TestExportAfterCompaction(t *testing.T) {
	b := newBooks(t)
	b.fill()
	hashes := regexp.MustCompile(`,"hashes":\[[^]]*\]`)
	formats := []string{"jsonl", "csv", "hledger"}
	before := map[string]string{}
	for _, f := range formats {
		before[f] = hashes.ReplaceAllString(b.export("--format", f), "")
	}
	done, err := b.l.Compact(t.Context(), ledger.Compaction{Now: b.now.Add(41 * 24 * time.Hour), Retention: 40 * 24 * time.Hour})
	if err != nil || done.Receipts < 2 {
		t.Fatalf("compacted %+v, %v", done, err)
	}
	for _, f := range formats {
		got := hashes.ReplaceAllString(b.export("--format", f), "")
		if fees := strings.Count(got, "fee"); f == "jsonl" && fees < 3 {
			t.Errorf("%d fees", fees)
		}
		if cut(got) != cut(before[f]) {
			t.Errorf("%s: got\n%s\nbefore\n%s", f, got, before[f])
		}
	}
}

// cut leaves the fees out, whose minutes compaction joins to days.
func cut(text string) string {
	lines := strings.Split(text, "\n")
	var kept []string
	for _, line := range lines {
		if strings.Contains(line, "transaction fees") {
			break
		}
		if !strings.HasPrefix(line, "fee,") && !strings.HasPrefix(line, `{"kind":"fee"`) {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}

func TestExportSpan(t *testing.T) {
	b := newBooks(t)
	b.fill()
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"all", nil, "p1 p2 p3 foreign-0x09-1 p4-free p5-reference"},
		{"since a day", []string{"--since", "2026-03-03"}, "p2 p3 foreign-0x09-1 p4-free p5-reference"},
		{"until a time", []string{"--until", "2026-03-03T10:00:00Z"}, "p1"},
		{"both", []string{"--since", "2026-03-03T10:00:00Z", "--until", "2026-03-04T10:00:01Z"}, "p2 p3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var ids []string
			for line := range strings.Lines(b.export(c.args...)) {
				var r record
				if err := json.Unmarshal([]byte(line), &r); err != nil {
					t.Fatal(err)
				}
				if r.Kind == "purchase" {
					ids = append(ids, r.Purchase)
				}
			}
			if got := strings.Join(ids, " "); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
	if code, _, _ := cli(t, "ledger", "export", "--ledger", b.path, "--since", "yesterday"); code != exitUsage {
		t.Errorf("a time that is none: exit %d", code)
	}
}

// TestHledgerBalances has every transaction add up to nothing, by our own
// arithmetic and, where it is installed, by hledger's.
func TestHledgerBalances(t *testing.T) {
	b := newBooks(t)
	b.fill()
	journal := b.export("--format", "hledger")
	posting := regexp.MustCompile(`^    \S.*  (-?)([0-9.]+) ("[^"]+")$`)
	left := map[string]int{}
	for i, line := range strings.Split(journal, "\n") {
		if m := posting.FindStringSubmatch(line); m != nil {
			left[m[2]+m[3]] += map[string]int{"": 1, "-": -1}[m[1]]
		}
		if line == "" {
			for amount, n := range left {
				if n != 0 {
					t.Errorf("line %d: %s does not balance", i, amount)
				}
			}
			clear(left)
		}
	}
	tool, err := exec.LookPath("hledger")
	if err != nil {
		t.Skip("hledger is not installed")
	}
	check := exec.CommandContext(t.Context(), tool, "-f", "-", "balance", "--flat", "--no-total", "-O", "csv", "expenses") //nolint:gosec // found in PATH
	check.Stdin = strings.NewReader(journal)
	out, err := check.CombinedOutput()
	if err != nil {
		t.Fatalf("hledger: %v\n%s\n%s", err, out, journal)
	}
	rows, err := csv.NewReader(bytes.NewReader(out)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"expenses:market:svc_1": "0.02 USDC", "expenses:market:svc_2": "0.7 value", "expenses:fees:eip155-84532": `0.000063 "coin of eip155:84532"`}
	for _, row := range rows {
		if amount, ok := want[row[0]]; ok {
			if row[1] != amount {
				t.Errorf("%s: hledger says %s, want %s", row[0], row[1], amount)
			}
			delete(want, row[0])
		}
	}
	if len(want) > 0 {
		t.Errorf("hledger does not know %v\n%s", want, out)
	}
}

func TestBackup(t *testing.T) {
	b := newBooks(t)
	b.fill()
	dir := t.TempDir()
	copied := filepath.Join(dir, "copy.db")
	code, out, errs := cli(t, "ledger", "backup", "--ledger", b.path, copied)
	seq, head, err := b.l.Head(t.Context())
	if err != nil || code != exitOK || !strings.Contains(out, fmt.Sprintf("last row %d, head %s", seq, head)) {
		t.Fatalf("exit %d, %s %s, %v", code, out, errs, err)
	}
	info, err := os.Stat(copied)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	whole := b.export()
	// The daemon goes on; the copy stays what it was, and is a whole ledger.
	b.buy("p9", "svc_1", "USDC", 10_000)
	if code, out, _ := cli(t, "ledger", "export", "--ledger", copied); code != exitOK || out != whole {
		t.Errorf("export of the copy: exit %d, it differs: %t", code, out != whole)
	}
	before, err := os.ReadFile(copied)
	if err != nil {
		t.Fatal(err)
	}
	if code, _, errs := cli(t, "ledger", "backup", "--ledger", b.path, copied); code != exitFailure || !strings.Contains(errs, "exists") {
		t.Errorf("onto a file: exit %d, %s", code, errs)
	}
	if after, err := os.ReadFile(copied); err != nil || !bytes.Equal(before, after) {
		t.Error("a file was replaced")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) > 3 { // the copy, and what SQLite adds to what is read
		t.Errorf("left behind: %v, %v", entries, err)
	}
	l, err := ledger.Open(t.Context(), ledger.Config{Path: copied})
	if err != nil {
		t.Fatal(err)
	}
	r, err := l.Verify(t.Context())
	if err = errors.Join(err, l.Close()); err != nil || len(r.Findings) > 0 || r.Head != head {
		t.Errorf("the restored copy: %+v, %v", r, err)
	}
}

func TestLedgerFileIsRefused(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text.db")
	if err := os.WriteFile(text, bytes.Repeat([]byte("no database "), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, path, want string
		code             int
	}{
		{"no file", filepath.Join(dir, "none.db"), "no such file", exitFailure},
		{"no database", text, "damaged", exitFailure},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, command := range [][]string{{"ledger", "export"}, {"ledger", "backup", filepath.Join(dir, "copy.db")}} {
				code, _, errs := cli(t, append(command, "--ledger", c.path)...)
				if code != c.code || !strings.Contains(errs, c.want) {
					t.Errorf("%v: exit %d, %q; want %d and %q", command, code, errs, c.code, c.want)
				}
			}
		})
	}
	if _, err := os.Stat(filepath.Join(dir, "none.db")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("reading made a ledger")
	}
}

// golden compares with a golden file, or rewrites it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "golden", name+".txt")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

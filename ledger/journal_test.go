// SPDX-License-Identifier: Apache-2.0

package ledger_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/policy"
)

func purchase(id policy.PurchaseID, state string) *ledger.Purchase {
	return &ledger.Purchase{ID: id, Need: "price", State: state, Doc: []byte(`{"quote":{"price":0.1}}`)}
}

func TestAdvance(t *testing.T) {
	l, c := fresh(t)
	ctx := t.Context()
	p := purchase("p1", "planned")
	p.Deadline = t0.Add(5 * time.Minute)
	if err := l.Create(ctx, p); err != nil {
		t.Fatal(err)
	}
	if err := l.Create(ctx, purchase("p1", "planned")); !errors.Is(err, ledger.ErrExists) {
		t.Errorf("create again: got %v, want ErrExists", err)
	}
	c.t = c.t.Add(time.Second)
	p = purchase("p1", "failed")
	p.Final, p.Reason, p.Rail, p.OrderID, p.SearchID, p.QuoteID, p.Value = true, policy.ReasonOrderFailed, "x402", "o1", "s1", "q1", 7
	if err := l.Advance(ctx, ledger.Move{Purchase: p, From: "planned", Event: "refused", Detail: "code 12"}); err != nil {
		t.Fatal(err)
	}
	if err := l.Advance(ctx, ledger.Move{Purchase: p, From: "planned", Event: "refused"}); !errors.Is(err, ledger.ErrStale) {
		t.Errorf("from a state it has left: got %v, want ErrStale", err)
	}
	if err := l.Advance(ctx, ledger.Move{Purchase: purchase("p2", "quoted"), From: "planned"}); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("unknown purchase: got %v, want ErrNotFound", err)
	}
	if err := l.Advance(ctx, ledger.Move{}); err == nil {
		t.Error("a move without a purchase was taken")
	}
	got, err := l.Get(ctx, "p1")
	if err != nil {
		t.Fatal(err)
	}
	want := *p
	want.Created, want.Updated = t0, t0.Add(time.Second)
	if diff := cmp.Diff(&want, got); diff != "" {
		t.Errorf("purchase differs (-want +got):\n%s", diff)
	}
	h, err := l.History(ctx, "p1")
	if err != nil || len(h) != 2 {
		t.Fatalf("history: %d entries, %v", len(h), err)
	}
	if e := h[1]; e.Kind != ledger.KindMove || e.From != "planned" || e.To != "failed" || e.Event != "refused" || e.Detail != "code 12" ||
		e.Reason != policy.ReasonOrderFailed || !e.At.Equal(t0.Add(time.Second)) || len(e.Hash) != 64 {
		t.Errorf("got entry %+v", e)
	}
	if _, err := l.Get(ctx, "p9"); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("get unknown: got %v", err)
	}
	seq, hash, err := l.Head(ctx)
	if err != nil || seq != 2 || hash != h[1].Hash {
		t.Errorf("head: got %d, %s, %v", seq, hash, err)
	}
	verifyClean(t, l)
}

func TestList(t *testing.T) {
	l, c := fresh(t)
	ctx := t.Context()
	for i := range 6 {
		p := purchase(policy.PurchaseID(fmt.Sprintf("p%d", i)), "planned")
		p.Final = i%2 == 1
		if i > 3 {
			p.Need = "disk"
		}
		c.t = c.t.Add(time.Second)
		if err := l.Create(ctx, p); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name string
		o    ledger.ListOptions
		want string
	}{
		{"all", ledger.ListOptions{}, "p5 p4 p3 p2 p1 p0"},
		{"open", ledger.ListOptions{Open: true}, "p4 p2 p0"},
		{"a need", ledger.ListOptions{Need: "price"}, "p3 p2 p1 p0"},
		{"the newest", ledger.ListOptions{Limit: 2}, "p5 p4"},
		{"open of a need", ledger.ListOptions{Open: true, Need: "disk", Limit: 5000}, "p4"},
	} {
		t.Run(c.name, func(t *testing.T) {
			all, err := l.List(ctx, c.o)
			if err != nil {
				t.Fatal(err)
			}
			if got := ids(all); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
	all, err := l.OpenPurchases(ctx)
	if got := ids(all); err != nil || got != "p0 p2 p4" {
		t.Errorf("open: got %s, %v", got, err)
	}
}

func ids(all []ledger.Purchase) string {
	var names []string
	for _, p := range all {
		names = append(names, string(p.ID))
	}
	return strings.Join(names, " ")
}

// edit changes the file behind the ledger's back.
func edit(t *testing.T, path, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	if _, err := db.ExecContext(context.Background(), statement); err != nil {
		t.Fatal(err)
	}
}

// history fills a ledger with one purchase of each fate.
func history(t *testing.T, l *ledger.Ledger, c *clock) {
	t.Helper()
	ctx := context.Background()
	g := guard(t, l, c, rules())
	for i, fate := range []string{"settled", "released", "refunded", "open", "late"} {
		id := policy.PurchaseID("p-" + fate)
		req := request(id, 1_000_000)
		req.Record = &ledger.Move{Purchase: purchase(id, "reserved"), Event: "allowed"}
		if v, err := g.Reserve(ctx, req); err != nil || !v.Allowed() {
			t.Fatalf("reserve: %v, %v", v, err)
		}
		req.Record = nil
		if _, v, err := g.Grant(ctx, req, terms(900_000)); err != nil || !v.Allowed() {
			t.Fatalf("grant: %v, %v", v, err)
		}
		s := settlement(id, 900_000, c.t.Add(time.Duration(i)*time.Hour))
		end := &ledger.Move{Purchase: purchase(id, fate), From: "reserved", Event: "end"}
		var err error
		switch fate {
		case "settled":
			err = l.Settle(ctx, s, end)
		case "released":
			err = l.Release(ctx, id, end)
		case "refunded":
			err = errors.Join(l.Settle(ctx, s, nil), l.Refund(ctx, id, "0xback-"+string(id), end))
		case "late":
			err = errors.Join(l.Release(ctx, id, nil), l.Settle(ctx, s, end))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.SaveAttempt(ctx, ledger.Attempt{Purchase: "p-open", Kind: "transfer", Chain: chainA, Nonce: "7", Hash: "0xaa", Raw: []byte{1}}); err != nil {
		t.Fatal(err)
	}
}

func TestVerify(t *testing.T) {
	l, c := fresh(t)
	history(t, l, c)
	r := verifyClean(t, l)
	if r.Purchases != 5 || r.Entries != 17 || len(r.Head) != 64 {
		t.Errorf("got %+v", r)
	}
	// Settled and late remain; what was refunded came back.
	if got := r.Settled[ledger.Token{Chain: chainA, Address: tokenA}]; got.String() != "1800000" {
		t.Errorf("got %s settled, want 1800000", got)
	}
	transfers, err := l.SettledTransfers(t.Context())
	if err != nil || len(transfers) != 3 {
		t.Errorf("got %d transfers, %v, want 3", len(transfers), err)
	}
}

func TestVerifyFindsWhatWasChanged(t *testing.T) {
	for _, c := range []struct{ name, statement, want string }{
		{"an entry's text", `UPDATE journal SET detail = 'x' WHERE seq = 3`, "entry 3 does not have the hash"},
		{"an entry's body", `UPDATE journal SET body = replace(body, '"0.9"', '"0.8"') WHERE kind = 'bind'`, "does not have the hash"},
		{"an entry taken out", `DELETE FROM journal WHERE seq = 4`, "entry 5 follows entry 3"},
		{"the last entry's hash", `UPDATE journal SET hash = printf('%064d', 1) WHERE seq = 17`, "entry 17 does not have the hash"},
		{"an entry's body that is no JSON", `UPDATE journal SET body = '{' WHERE kind = 'settle'`, "cannot be read"},
		{"a bucket", `UPDATE buckets SET value = value - 1 WHERE width = 60 AND value > 0`, "bucket 60/"},
		{"a bucket taken out", `DELETE FROM buckets WHERE width = 86400`, "missing"},
		{"a bucket added", `INSERT INTO buckets VALUES (60, 60, 5, 1)`, "bucket 60/60: stored 0.000005 in 1"},
		{"the settled sum", `UPDATE control SET settled = settled - 1`, "sums: stored 1.799999"},
		{"the reserved sum", `UPDATE control SET reserved = 0`, "0 reserved in 1"},
		{"the pause", `UPDATE control SET paused = 1`, "paused true"},
		{"a reservation's value", `UPDATE reservations SET value = 1 WHERE status = 'open'`, "reservation p-open"},
		{"a reservation's state", `UPDATE reservations SET status = 'released' WHERE status = 'open'`, "0 are open"},
		{"granted terms", `UPDATE reservations SET terms = replace(terms, '900000', '900001') WHERE purchase = 'p-settled'`, "is not what was granted"},
		{"a settlement", `UPDATE settlements SET amount = '1' WHERE purchase = 'p-settled'`, "its settlement is not what entry"},
		{"a settlement taken out", `DELETE FROM settlements WHERE purchase = 'p-late'`, "its settlement: not in the ledger"},
		{"a purchase's state", `UPDATE purchases SET state = 'settled' WHERE id = 'p-open'`, "purchase p-open: its row"},
		{"a purchase's document", `UPDATE purchases SET doc = '{}' WHERE id = 'p-open'`, "purchase p-open: its row"},
		{"a purchase added", `INSERT INTO purchases SELECT 'p-x', need, state, final, reason, rail, order_id, search_id, quote_id, value, created, updated, deadline, doc FROM purchases LIMIT 1`, "purchase p-x: its row"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "ledger.db")
			ck := &clock{t: t0}
			l := open(t, path, ck)
			history(t, l, ck)
			edit(t, path, c.statement)
			wantFinding(t, l, c.want)
		})
	}
}

func wantFinding(t *testing.T, l *ledger.Ledger, want string) {
	t.Helper()
	r, err := l.Verify(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if all := strings.Join(r.Findings, "\n"); !strings.Contains(all, want) {
		t.Errorf("got findings %q, want one with %q", all, want)
	}
}

func TestOpenKeepsTheFilePrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "state")
	path := filepath.Join(dir, "ledger.db")
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	c := &clock{t: t0}
	l := open(t, path, c)
	if err := l.Create(t.Context(), purchase("p1", "planned")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]os.FileMode{"": 0o700, "ledger.db": 0o600, "ledger.db-wal": 0o600, "ledger.db-shm": 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%q: got mode %o, want %o", name, got, want)
		}
	}
}

func TestOpenTightensALooseFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	open(t, path, &clock{t: t0})
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got mode %o, %v", info.Mode().Perm(), err)
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(t *testing.T, path string)
		want error
	}{
		{"what a newer program wrote", func(t *testing.T, path string) {
			l, err := ledger.Open(t.Context(), ledger.Config{Path: path})
			if err == nil {
				err = l.Close()
			}
			if err != nil {
				t.Fatal(err)
			}
			edit(t, path, `PRAGMA user_version = 99`)
		}, ledger.ErrNewerSchema},
		{"what is no database", func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte(strings.Repeat("not a database ", 1000)), 0o600); err != nil {
				t.Fatal(err)
			}
		}, ledger.ErrCorrupt},
		{"a database with a hole", func(t *testing.T, path string) {
			ck := &clock{t: t0}
			l, err := ledger.Open(t.Context(), ledger.Config{Path: path, Now: func() time.Time { return ck.t }})
			if err != nil {
				t.Fatal(err)
			}
			history(t, l, ck)
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err == nil {
				_, err = f.WriteAt([]byte(strings.Repeat("\xff", 8192)), 3*4096)
			}
			if err = errors.Join(err, f.Close()); err != nil {
				t.Fatal(err)
			}
		}, ledger.ErrCorrupt},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "ledger.db")
			c.make(t, path)
			l, err := ledger.Open(t.Context(), ledger.Config{Path: path})
			if err == nil { // open reads little; the check that spending waits for reads all
				err = errors.Join(l.CheckFile(t.Context()), l.Close())
			}
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
	if _, err := ledger.Open(t.Context(), ledger.Config{}); err == nil {
		t.Error("opened without a path")
	}
}

// An entry whose transaction was not committed is no link of the chain, though
// the next one is written by the same connection.
func TestChainSurvivesAWriteThatIsNotCommitted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	stop := func() {}
	l, err := ledger.Open(t.Context(), ledger.Config{Path: filepath.Join(t.TempDir(), "ledger.db"), Now: func() time.Time {
		stop()
		return t0
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := l.Create(ctx, purchase("p1", "planned")); err != nil {
		t.Fatal(err)
	}
	stop = cancel // the clock is read inside the transaction
	if err := l.Create(ctx, purchase("p2", "planned")); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want context.Canceled", err)
	}
	if err := l.Create(t.Context(), purchase("p3", "planned")); err != nil {
		t.Fatal(err)
	}
	if r := verifyClean(t, l); r.Purchases != 2 || r.Entries != 2 {
		t.Errorf("got %d purchases, %d entries, want 2 and 2", r.Purchases, r.Entries)
	}
}

// A move that changes an indexed column changes its indexes too.
func TestAdvanceMovesBetweenIndexes(t *testing.T) {
	l, _ := fresh(t)
	ctx := t.Context()
	p := purchase("p1", "planned")
	if err := l.Create(ctx, p); err != nil {
		t.Fatal(err)
	}
	next := *p
	next.Need, next.State, next.Final = "other", "denied", true
	if err := l.Advance(ctx, ledger.Move{Purchase: &next, From: "planned", Event: "denied"}); err != nil {
		t.Fatal(err)
	}
	for need, want := range map[string]int{p.Need: 0, "other": 1} {
		if all, err := l.List(ctx, ledger.ListOptions{Need: need}); err != nil || len(all) != want {
			t.Errorf("need %s: got %d purchases, %v, want %d", need, len(all), err, want)
		}
	}
	if open, err := l.OpenPurchases(ctx); err != nil || len(open) != 0 {
		t.Errorf("got %d open purchases, %v", len(open), err)
	}
	verifyClean(t, l)
}

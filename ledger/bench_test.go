// SPDX-License-Identifier: Apache-2.0

package ledger_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/policy"
)

// benchReserve measures decision and durable reservation together, and reports
// the median besides the mean, since the bound is on the median.
func benchReserve(b *testing.B, l *ledger.Ledger, c *clock) {
	b.Helper()
	r := rules()
	r.Lifetime, r.Counts[0].Limit = 0, 1<<40
	for i := range r.Windows {
		r.Windows[i].Limit = 1 << 60
	}
	g := guard(b, l, c, r)
	took := make([]time.Duration, 0, 4096)
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		req := request(policy.PurchaseID(fmt.Sprintf("bench-%09d", i)), 1_000)
		i++
		start := time.Now()
		v, err := g.Reserve(context.Background(), req)
		if err != nil || !v.Allowed() {
			b.Fatalf("%q, %v", v.Reason, err)
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Nanoseconds()), "median-ns")
}

func BenchmarkReserve(b *testing.B) {
	l, c := fresh(b)
	benchReserve(b, l, c)
}

// BenchmarkReserveRows shows that a reservation costs the same however many
// settled rows lie in its windows. AGENTD_BENCH_ROWS sets the larger number:
// 200000 if it is not set, 10000000 for the figure of the documentation.
func BenchmarkReserveRows(b *testing.B) {
	many := benchRows(b, 200_000)
	for _, rows := range []int{10, many} {
		b.Run(strconv.Itoa(rows), func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "ledger.db")
			c := &clock{t: t0}
			l, err := ledger.Open(b.Context(), ledger.Config{Path: path, Now: func() time.Time { return c.t }})
			if err == nil {
				err = errors.Join(l.Create(b.Context(), purchase("p0", "planned")), l.Close())
			}
			if err != nil {
				b.Fatal(err)
			}
			start := time.Now()
			fill(b, path, rows)
			if info, err := os.Stat(path); err == nil {
				b.Logf("%d purchases filled in %s, %d MB", rows, time.Since(start).Round(time.Millisecond), info.Size()>>20)
			}
			benchReserve(b, open(b, path, c), c)
		})
	}
}

// BenchmarkVerify re-derives every sum from the journal; AGENTD_BENCH_ROWS sets
// the number of purchases, three entries each, 100000 if it is not set.
func BenchmarkVerify(b *testing.B) {
	rows := benchRows(b, 100_000)
	path := filepath.Join(b.TempDir(), "ledger.db")
	fillFile(b, path, rows)
	l := open(b, path, &clock{t: t0})
	for b.Loop() {
		r, err := l.Verify(b.Context())
		if err != nil || len(r.Findings) > 0 || r.Purchases != int64(rows) {
			b.Fatalf("%+v, %v", r, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*rows*3), "us/entry")
}

// benchRows returns AGENTD_BENCH_ROWS, or another number if it is not set.
func benchRows(b *testing.B, otherwise int) int {
	b.Helper()
	text := os.Getenv("AGENTD_BENCH_ROWS")
	if text == "" {
		return otherwise
	}
	rows, err := strconv.Atoi(text)
	if err != nil {
		b.Fatal(err)
	}
	return rows
}

// fillFile makes a ledger with settled purchases in the 30 days before t0.
func fillFile(b *testing.B, path string, rows int) {
	b.Helper()
	l, err := ledger.Open(b.Context(), ledger.Config{Path: path})
	if err == nil {
		err = l.Close()
	}
	if err != nil {
		b.Fatal(err)
	}
	start := time.Now()
	ledger.FillSettled(b, path, rows, 30*24*time.Hour, t0)
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("%d purchases filled in %s, %d MB", rows, time.Since(start).Round(time.Millisecond), info.Size()>>20)
}

// fill writes settled purchases spread over the 30 days before t0 as settling
// them one by one would have, but for the journal's hashes: made by SQLite alone, ten
// million take minutes.
func fill(b *testing.B, path string, rows int) {
	b.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)&_pragma=synchronous(OFF)&_pragma=cache_size(-262144)&_pragma=temp_store(MEMORY)")
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			b.Error(err)
		}
	}()
	db.SetMaxOpenConns(1)
	for _, statement := range []string{
		`PRAGMA journal_mode = OFF`, // nobody else looks, and a fill that fails is thrown away
		`CREATE TABLE n AS WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ?1 - 1)
			SELECT i, printf('fill-%012d', i) AS id, ?2 - (i * 2592000 / ?1) AS s FROM n`,
		`INSERT INTO reservations SELECT id, 'price', 'svc_1', 'acme', 'wallet', 'eip155:84532', '', '', 1000, 'settled', s * 1000000, '' FROM n`,
		`INSERT INTO settlements SELECT id, 1000, '1000', 'eip155:84532', '', '', id, s * 1000000, s * 1000000, 'wallet', 0 FROM n`,
		`INSERT INTO journal SELECT i + 10, s * 1000000, id, 'settle', '', '', '', '', '', '', '{}', printf('%064d', i) FROM n`,
		`INSERT INTO buckets SELECT 60, s / 60 * 60, sum(1000), count(*) FROM n GROUP BY s / 60`,
		`INSERT INTO buckets SELECT 3600, s / 3600 * 3600, sum(1000), count(*) FROM n GROUP BY s / 3600`,
		`INSERT INTO buckets SELECT 86400, s / 86400 * 86400, sum(1000), count(*) FROM n GROUP BY s / 86400`,
		`UPDATE control SET settled = ?1 * 1000, settled_count = ?1`,
		`INSERT INTO purchases SELECT id, 'price', 'settled', 1, '', 'wallet', '', '', '', 1000, s * 1000000, s * 1000000, 0, '' FROM n`,
		`DROP TABLE n`,
	} {
		var args []any
		switch statement[0] {
		case 'C':
			args = []any{rows, t0.Unix()}
		case 'U':
			args = []any{rows}
		}
		if _, err := db.ExecContext(b.Context(), statement, args...); err != nil {
			b.Fatalf("%s: %v", statement, err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	path := filepath.Join(b.TempDir(), "ledger.db")
	for b.Loop() {
		l, err := ledger.Open(b.Context(), ledger.Config{Path: path})
		if err != nil {
			b.Fatal(err)
		}
		if err := l.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

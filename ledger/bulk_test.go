// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
)

// bulk writes the rows of many purchases without the daemon's durability: one
// transaction, several rows a statement. The hashes of the journal are computed
// as appendEntry computes them, so that the result verifies.
type bulk struct {
	ctx  context.Context //nolint:containedctx // lives as long as one fill
	conn *sql.Conn
	head string
	seq  int64
	sum  map[bucketKey]tally
	rows map[string][]any // waiting for a full statement, by table
	stmt map[string]*sql.Stmt
}

// bulkRows is how many rows one statement inserts.
const bulkRows = 50

// FillSettled gives a new ledger file a number of settled purchases spread over
// the span before an instant, as settling them one by one would have left it.
func FillSettled(tb testing.TB, path string, count int, span time.Duration, until time.Time) {
	tb.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=synchronous(OFF)&_pragma=cache_size(-262144)&_pragma=temp_store(MEMORY)")
	if err == nil {
		err = fillSettled(tb.Context(), db, count, span, until)
		err = errors.Join(err, db.Close())
	}
	if err != nil {
		tb.Fatalf("fill %s: %v", path, err)
	}
}

func fillSettled(ctx context.Context, db *sql.DB, count int, span time.Duration, until time.Time) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	b := &bulk{ctx: ctx, conn: conn, sum: make(map[bucketKey]tally), rows: make(map[string][]any), stmt: make(map[string]*sql.Stmt)}
	steps := []func() error{
		func() error { return b.exec(`PRAGMA journal_mode=OFF`) },
		func() error { return b.exec(`BEGIN`) },
		func() error {
			for i := range count {
				if err := b.purchase(i, until.Add(-span*time.Duration(count-i)/time.Duration(count))); err != nil {
					return err
				}
			}
			return nil
		},
		func() error { return b.sums(count) },
		func() error { return b.exec(`COMMIT`) },
		func() error { return b.exec(`PRAGMA journal_mode=WAL`) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return errors.Join(err, conn.Close())
		}
	}
	return conn.Close()
}

func (b *bulk) exec(query string, args ...any) error {
	_, err := b.conn.ExecContext(b.ctx, query, args...)
	return err
}

// add inserts a row with its table's next statement.
func (b *bulk) add(table string, values ...any) error {
	b.rows[table] = append(b.rows[table], values...)
	if len(b.rows[table]) < bulkRows*len(values) {
		return nil
	}
	s := b.stmt[table]
	if s == nil {
		row := "(?" + strings.Repeat(", ?", len(values)-1) + ")"
		var err error
		if s, err = b.conn.PrepareContext(b.ctx, "INSERT INTO "+table+" VALUES "+row+strings.Repeat(", "+row, bulkRows-1)); err != nil {
			return err
		}
		b.stmt[table] = s
	}
	_, err := s.ExecContext(b.ctx, b.rows[table]...)
	b.rows[table] = b.rows[table][:0]
	return err
}

// flush inserts what waits for a full statement.
func (b *bulk) flush(table string, columns int) error {
	waiting := b.rows[table]
	row := "(?" + strings.Repeat(", ?", columns-1) + ")"
	for ; len(waiting) > 0; waiting = waiting[columns:] {
		if err := b.exec("INSERT INTO "+table+" VALUES "+row, waiting[:columns]...); err != nil {
			return err
		}
	}
	b.rows[table] = nil
	return nil
}

func (b *bulk) entry(k link, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	b.seq++
	k.Seq, k.Body = b.seq, string(text)
	if b.head, err = k.hash(b.head); err != nil {
		return err
	}
	return b.add("journal", k.Seq, k.At, string(k.Purchase), string(k.Kind), k.From, k.To, k.Event, string(k.Reason), k.Detail, k.Row, k.Body, b.head)
}

// purchase writes the i-th purchase, reserved and settled at an instant.
func (b *bulk) purchase(i int, at time.Time) error {
	at = at.Truncate(time.Microsecond).UTC()
	stamp := micros(at)
	id := policy.PurchaseID(fmt.Sprintf("fill-%012d", i))
	p := Purchase{ID: id, Need: "price", State: "settled", Final: true, Rail: policy.RailWallet, OrderID: "order-" + string(id), Value: 1000, Created: at, Updated: at}
	amount := money.FromUint64(1000)
	const chain, symbol = "eip155:84532", "USDC"
	tm := policy.Terms{Rail: p.Rail, Chain: chain, Symbol: symbol, Decimals: 6, Amount: amount}
	tm.Token[0], tm.Payee[0] = 1, 2
	terms, err := json.Marshal(tm)
	if err != nil {
		return err
	}
	hash, err := rowHash(&p)
	if err != nil {
		return err
	}
	ref := fmt.Sprintf("0x%064x", i+1)
	token, payee := tm.Token.Hex(), tm.Payee.Hex()
	s := seconds(stamp)
	for _, width := range []int64{minute, hour, day} {
		key := bucketKey{width, floorTo(s, width)}
		b.sum[key] = tally{b.sum[key].value + p.Value, b.sum[key].count + 1}
	}
	return errors.Join(
		b.add("purchases", string(id), p.Need, p.State, 1, "", p.Rail, p.OrderID, "", "", int64(p.Value), stamp, stamp, 0, ""),
		b.add("reservations", string(id), p.Need, "svc_1", "acme", p.Rail, chain, token, payee, int64(p.Value), "settled", stamp, string(terms)),
		b.add("settlements", string(id), int64(p.Value), amount.String(), chain, token, payee, ref, stamp, stamp, p.Rail, 0),
		b.entry(link{At: stamp, Purchase: id, Kind: KindReserve}, reserveBody{Value: p.Value, At: stamp, Need: p.Need, Service: "svc_1", Provider: "acme", Rail: p.Rail}),
		b.entry(link{At: stamp, Purchase: id, Kind: KindBind}, bindBody{Value: p.Value, Terms: tm}),
		b.entry(link{At: stamp, Purchase: id, Kind: KindSettle, To: p.State, Event: "settled", Row: hash}, settleBody{
			Value: p.Value, Amount: amount, Chain: chain, Token: tm.Token, Payee: tm.Payee, Ref: ref, At: stamp, Rail: p.Rail,
			Stamp: stamp, Freed: p.Value, Was: policy.ReservationOpen,
		}))
}

func (b *bulk) sums(count int) error {
	for table, columns := range map[string]int{"purchases": 14, "reservations": 12, "settlements": 11, "journal": 12} {
		if err := b.flush(table, columns); err != nil {
			return err
		}
	}
	for key, t := range b.sum {
		if err := b.exec(`INSERT INTO buckets VALUES (?, ?, ?, ?)`, key.width, key.start, int64(t.value), t.count); err != nil {
			return err
		}
	}
	return b.exec(`UPDATE control SET settled = ?, settled_count = ?`, count*1000, count)
}

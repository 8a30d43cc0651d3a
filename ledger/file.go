// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/agentd-project/agentd/money"
)

// ErrOlderSchema says that the file was written by an older program and that no
// newer one has opened it since.
var ErrOlderSchema = errors.New("ledger was written by an older version")

// File is a ledger that is only read, beside a running daemon or without one: its
// rows as of one moment. It is not safe for concurrent use.
type File struct {
	db   *sql.DB
	conn *sql.Conn
}

// OpenFile opens a ledger file for reading. It must be of this program's schema:
// [ErrOlderSchema] or [ErrNewerSchema] otherwise, [ErrCorrupt] if it is none.
func OpenFile(ctx context.Context, path string) (_ *File, err error) {
	file, err := os.Open(path) //nolint:gosec // the path is the operator's; SQLite would tell less about what is wrong
	if err == nil {
		err = file.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("read ledger: %w", err)
	}
	q := url.Values{"mode": {"ro"}, "_pragma": {"busy_timeout(5000)", "cache_size(-4096)"}}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+q.Encode())
	if err != nil {
		return nil, fmt.Errorf("read ledger: %w", err)
	}
	f := &File{db: db}
	var version int
	if f.conn, err = db.Conn(ctx); err == nil {
		err = f.conn.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version)
	}
	switch {
	case err != nil:
		err = damaged(err)
	case version > schemaVersion:
		err = ErrNewerSchema
	case version < schemaVersion:
		err = fmt.Errorf("%w: start its daemon once", ErrOlderSchema)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read ledger %s: %w", path, err), f.Close())
	}
	return f, nil
}

// Close closes the file.
func (f *File) Close() error {
	if f.conn == nil {
		return f.db.Close()
	}
	return errors.Join(f.conn.Close(), f.db.Close())
}

// plainQuerier runs statements on a connection.
type plainQuerier struct {
	ctx  context.Context //nolint:containedctx // lives as long as one read
	conn *sql.Conn
}

func (p plainQuerier) row(query string, args []any, dest ...any) error {
	return p.conn.QueryRowContext(p.ctx, query, args...).Scan(dest...)
}

func (p plainQuerier) rows(query string, args ...any) (*sql.Rows, error) {
	return p.conn.QueryContext(p.ctx, query, args...)
}

// Head returns the number and the hash of the last entry.
func (f *File) Head(ctx context.Context) (seq int64, hash string, err error) {
	return head(plainQuerier{ctx, f.conn})
}

// Receipts calls do with the receipt of every purchase that was settled in a span,
// until not included, ordered by the time of the transfer and by purchase; a zero
// time is no bound.
func (f *File) Receipts(ctx context.Context, since, until time.Time, do func(*Receipt) error) error {
	a := audit{ctx: ctx, q: plainQuerier{ctx, f.conn}}
	end := int64(1<<63 - 1)
	if !until.IsZero() {
		end = micros(until)
	}
	const bounds = ` WHERE at >= ?1 AND at < ?2`
	return a.each(`SELECT `+receiptColumns+`, '' AS terms, '' AS hashes FROM receipts`+bounds+` UNION ALL `+
		strings.Replace(selectLiving, `FROM settlements`, hashesOfLiving+` FROM settlements`, 1)+strings.ReplaceAll(bounds, "at ", "s.at ")+` ORDER BY 17, 1`,
		func(scan func(...any) error) error {
			var hashes string
			r, err := scanReceipt(func(dest ...any) error { return scan(append(dest, &hashes)...) })
			if err != nil {
				return err
			}
			if hashes != "" {
				r.Hashes = strings.Fields(hashes)
				r.Entries, r.Digest = int64(len(r.Hashes)), digestOf(r.Hashes)
			}
			return do(&r)
		}, micros(since), end)
}

// hashesOfLiving is one more column: the hashes of the purchase's entries in order.
const hashesOfLiving = `, (SELECT group_concat(hash, ' ') FROM (SELECT hash FROM journal j WHERE j.purchase = s.purchase ORDER BY seq))`

// Fee is what transactions cost on a chain in one minute, or in one day of those
// that were compacted.
type Fee struct {
	Chain money.ChainID
	Start time.Time
	Wei   money.Amount
}

// Fees calls do with the fees of a span, like Receipts.
func (f *File) Fees(ctx context.Context, since, until time.Time, do func(*Fee) error) error {
	a := audit{ctx: ctx, q: plainQuerier{ctx, f.conn}}
	first, end := int64(0), int64(1<<62)
	if !since.IsZero() {
		first = since.Unix()
	}
	if !until.IsZero() {
		end = until.Unix()
	}
	return a.each(`SELECT chain, start, wei FROM fees WHERE start >= ? AND start < ? ORDER BY start, chain`, func(scan func(...any) error) error {
		var fee Fee
		var start int64
		if err := scan(&fee.Chain, &start, &fee.Wei); err != nil {
			return err
		}
		fee.Start = time.Unix(start, 0).UTC()
		return do(&fee)
	}, first, end)
}

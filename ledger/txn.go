// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"
)

// ErrShut says that the ledger was closed.
var ErrShut = errors.New("ledger is closed")

// writer is the one connection that writes. Its lock is a channel, so that
// waiting for it ends with the caller's context.
type writer struct {
	lock  chan struct{}
	db    *sql.DB
	conn  *sql.Conn
	stmts map[string]*sql.Stmt
	shut  bool
	// queue holds the writes that wait for a commit; mu guards it.
	mu    sync.Mutex
	queue []*request
	// seq and hash are the journal's head while headKnown; only this connection
	// moves it. Whatever is not committed makes them unknown.
	seq       int64
	hash      string
	headKnown bool
}

func newWriter(ctx context.Context, db *sql.DB) (*writer, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	return &writer{lock: make(chan struct{}, 1), db: db, conn: conn, stmts: make(map[string]*sql.Stmt)}, nil
}

func (w *writer) close() error {
	w.lock <- struct{}{}
	defer func() { <-w.lock }()
	if w.shut {
		return nil
	}
	w.shut = true
	var errs []error
	for _, s := range w.stmts {
		errs = append(errs, s.Close())
	}
	return errors.Join(append(errs, w.conn.Close(), w.db.Close())...)
}

// stmt returns the prepared statement for a query; there is one per query text
// of this package, so the cache is bounded.
func (w *writer) stmt(ctx context.Context, query string) (*sql.Stmt, error) {
	if s, ok := w.stmts[query]; ok {
		return s, nil
	}
	s, err := w.conn.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	w.stmts[query] = s
	return s, nil
}

// querier runs statements in the transaction of a writer or of a reader.
type querier interface {
	// row reads one row; sql.ErrNoRows if there is none.
	row(query string, args []any, dest ...any) error
	rows(query string, args ...any) (*sql.Rows, error)
}

// txn is a write transaction. Statements run to their end whatever the caller's
// context does: it is looked at once more before the commit, so that a
// transaction is either whole or absent.
type txn struct {
	w   *writer
	ctx context.Context //nolint:containedctx // lives as long as one transaction
	now time.Time
}

func (t *txn) exec(query string, args ...any) (sql.Result, error) {
	s, err := t.w.stmt(t.ctx, query)
	if err != nil {
		return nil, err
	}
	return s.ExecContext(t.ctx, args...)
}

func (t *txn) row(query string, args []any, dest ...any) error {
	s, err := t.w.stmt(t.ctx, query)
	if err != nil {
		return err
	}
	return s.QueryRowContext(t.ctx, args...).Scan(dest...)
}

func (t *txn) rows(query string, args ...any) (*sql.Rows, error) {
	s, err := t.w.stmt(t.ctx, query)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(t.ctx, args...)
}

// reader looks at the file beside the writer. One connection keeps its
// statements prepared; whoever comes while it is busy takes another and pays
// for the preparation.
type reader struct {
	db   *sql.DB
	kept chan *keptConn // holds the connection while nobody reads with it
}

// keptConn is a connection with its prepared statements, one per query text of
// this package.
type keptConn struct {
	conn  *sql.Conn
	stmts map[string]*sql.Stmt
}

func newReader(ctx context.Context, db *sql.DB) (*reader, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	r := &reader{db: db, kept: make(chan *keptConn, 1)}
	r.kept <- &keptConn{conn: conn, stmts: make(map[string]*sql.Stmt)}
	return r, nil
}

func (r *reader) close() error {
	c, open := <-r.kept
	if !open {
		return nil
	}
	close(r.kept)
	var errs []error
	for _, s := range c.stmts {
		errs = append(errs, s.Close())
	}
	return errors.Join(append(errs, c.conn.Close(), r.db.Close())...)
}

// view runs statements on a reader's connection.
type view struct {
	c   *keptConn
	ctx context.Context //nolint:containedctx // lives as long as one transaction
}

func (v view) stmt(query string) (*sql.Stmt, error) {
	if s, ok := v.c.stmts[query]; ok {
		return s, nil
	}
	s, err := v.c.conn.PrepareContext(v.ctx, query)
	if err == nil {
		v.c.stmts[query] = s
	}
	return s, err
}

func (v view) exec(query string) error {
	s, err := v.stmt(query)
	if err != nil {
		return err
	}
	_, err = s.ExecContext(v.ctx)
	return err
}

func (v view) row(query string, args []any, dest ...any) error {
	s, err := v.stmt(query)
	if err != nil {
		return err
	}
	return s.QueryRowContext(v.ctx, args...).Scan(dest...)
}

func (v view) rows(query string, args ...any) (*sql.Rows, error) {
	s, err := v.stmt(query)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(v.ctx, args...)
}

// read runs do in one read transaction.
func (l *Ledger) read(ctx context.Context, what string, do func(querier) error) error {
	return l.look(ctx, what, func(v view) error {
		if err := v.exec("BEGIN"); err != nil {
			return err
		}
		return errors.Join(do(v), v.exec("ROLLBACK"))
	})
}

// query runs one statement, which is a transaction by itself.
func (l *Ledger) query(ctx context.Context, what string, do func(querier) error) error {
	return l.look(ctx, what, func(v view) error { return do(v) })
}

func (l *Ledger) look(ctx context.Context, what string, do func(view) error) error {
	if err := l.r.read(ctx, do); err != nil {
		return fmt.Errorf("ledger: %s: %w", what, err)
	}
	return nil
}

func (r *reader) read(ctx context.Context, do func(view) error) error {
	select {
	case c, open := <-r.kept:
		if !open {
			return ErrShut
		}
		defer func() { r.kept <- c }()
		return c.read(ctx, do)
	default:
	}
	conn, err := r.db.Conn(ctx)
	if err != nil {
		return err
	}
	c := &keptConn{conn: conn, stmts: make(map[string]*sql.Stmt)}
	err = c.read(ctx, do)
	for _, s := range c.stmts {
		err = errors.Join(err, s.Close())
	}
	return errors.Join(err, conn.Close())
}

// read runs do. Its statements run to their end whatever the caller's context
// does, lest the kept connection is left inside a transaction.
func (c *keptConn) read(ctx context.Context, do func(view) error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return do(view{c: c, ctx: context.WithoutCancel(ctx)})
}

// collect reads every row of a query.
func collect[T any](q querier, scan func(func(...any) error) (T, error), query string, args ...any) ([]T, error) {
	rows, err := q.rows(query, args...)
	if err != nil {
		return nil, err
	}
	var all []T
	for rows.Next() {
		one, err := scan(rows.Scan)
		if err != nil {
			return nil, errors.Join(err, rows.Close())
		}
		all = append(all, one)
	}
	return all, errors.Join(rows.Err(), rows.Close())
}

func notFound(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	return err
}

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

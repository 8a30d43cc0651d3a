// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"modernc.org/sqlite"

	"github.com/agentd-project/agentd/policy"
)

//go:embed migrations/*.sql
var migrations embed.FS

// schemaVersion is the version that the newest migration leaves in user_version.
const schemaVersion = 3

// readers is how many readers may look at the file at once. One stays open; the
// others end with the burst that needed them, since each has a cache of its own.
const readers = 4

// Config is what a ledger is opened with.
type Config struct {
	// Path is the database file. Its directory is created with mode 0700 if it
	// is missing; the file and its companions are kept at mode 0600.
	Path string
	// Now tells the time that entries are stamped with; nil means [time.Now].
	Now func() time.Time
	// Observe is told how long each commit took; nil means nobody is.
	Observe func(commit time.Duration)
	// Fault is told why a write could not be stored when the disk or the file is
	// the cause, each time, and nil once a write was stored again. It must not use
	// the ledger. Nil means nobody is told.
	Fault func(err error)
}

// Ledger is an open ledger. It is safe for concurrent use.
type Ledger struct {
	now      func() time.Time
	observe  func(time.Duration)
	fault    func(error)
	faulty   bool // the last write failed for want of a disk; guarded by the writer's lock
	verified atomic.Bool
	w        *writer
	paused   atomic.Bool // as the file has it: only this process writes it
	r        *reader
}

var _ policy.Store = (*Ledger)(nil)

// Open opens the ledger, and creates it if there is none. A file that is no
// database is [ErrCorrupt], one of a newer program [ErrNewerSchema]. It does not
// read the whole file, so that it is as fast after years: [Ledger.CheckFile] does,
// and nothing should be spent before.
func Open(ctx context.Context, cfg Config) (*Ledger, error) {
	if cfg.Path == "" {
		return nil, errors.New("ledger: no path")
	}
	l := &Ledger{now: cfg.Now, observe: cfg.Observe, fault: cfg.Fault}
	if l.now == nil {
		l.now = time.Now
	}
	if l.observe == nil {
		l.observe = func(time.Duration) {}
	}
	if l.fault == nil {
		l.fault = func(error) {}
	}
	if err := prepareFile(cfg.Path); err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	db, err := openPool(cfg.Path, 1, "journal_mode(WAL)", "synchronous(FULL)", "cache_size(-1024)")
	if err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	if err := checkFile(ctx, db); err != nil {
		return nil, fmt.Errorf("open ledger %s: %w", cfg.Path, errors.Join(err, db.Close()))
	}
	if l.w, err = newWriter(ctx, db); err != nil {
		return nil, fmt.Errorf("open ledger: %w", errors.Join(err, db.Close()))
	}
	pool, err := openPool(cfg.Path, readers, "query_only(1)", "cache_size(-512)")
	if err != nil {
		return nil, fmt.Errorf("open ledger: %w", errors.Join(err, l.w.close()))
	}
	if l.r, err = newReader(ctx, pool); err != nil {
		return nil, fmt.Errorf("open ledger: %w", errors.Join(err, pool.Close(), l.w.close()))
	}
	if err := l.readPaused(ctx); err != nil {
		return nil, fmt.Errorf("open ledger: %w", errors.Join(err, l.Close()))
	}
	l.verified.Store(true)
	return l, nil
}

// prepareFile creates the file before SQLite does, since the log and the shared
// memory that SQLite adds take their mode from it.
func prepareFile(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // the path is the operator's
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Chmod(path+suffix, 0o600); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func openPool(path string, size int, pragmas ...string) (*sql.DB, error) {
	q := url.Values{"_pragma": append([]string{"busy_timeout(5000)", "foreign_keys(1)"}, pragmas...)}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+q.Encode())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(size)
	db.SetMaxIdleConns(1)
	return db, nil
}

// checkFile brings the file's schema up to date.
func checkFile(ctx context.Context, db *sql.DB) error {
	var version int
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return damaged(err)
	}
	switch {
	case version > schemaVersion:
		return fmt.Errorf("%w: schema %d, known up to %d", ErrNewerSchema, version, schemaVersion)
	case version == schemaVersion:
		return nil
	}
	return damaged(migrate(ctx, db, version))
}

// damaged marks the errors by which SQLite says that the file is no database or a
// broken one.
func damaged(err error) error {
	var fault *sqlite.Error
	if errors.As(err, &fault) && (fault.Code()&0xff == sqliteCorrupt || fault.Code()&0xff == sqliteNotADB) {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return err
}

// The primary result codes SQLITE_CORRUPT and SQLITE_NOTADB.
const (
	sqliteCorrupt = 11
	sqliteNotADB  = 26
)

// migrate applies, in the order of their names, the files above the version that
// the file has. Each is one transaction with its version, so a crash leaves the
// one before it.
func migrate(ctx context.Context, db *sql.DB, have int) error {
	files, err := migrations.ReadDir("migrations")
	if err != nil {
		return err
	}
	for i, file := range files {
		version := i + 1
		if version <= have {
			continue
		}
		text, err := migrations.ReadFile("migrations/" + file.Name())
		if err != nil {
			return err
		}
		script := fmt.Sprintf("BEGIN IMMEDIATE;\n%s\nPRAGMA user_version = %d;\nCOMMIT;", text, version)
		if _, err := db.ExecContext(ctx, script); err != nil {
			return fmt.Errorf("migrate schema by %s: %w", file.Name(), err)
		}
	}
	return nil
}

// Close closes the file and waits for a write under way; what was committed is
// durable without it.
func (l *Ledger) Close() error {
	return errors.Join(l.r.close(), l.w.close())
}

// SetVerified says whether the ledger is believed to agree with the chain; while
// it is not, the guard refuses everything. It is true after [Open].
func (l *Ledger) SetVerified(ok bool) { l.verified.Store(ok) }

// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"errors"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// isStorageFault says whether an error is the disk's or the file's: full, broken,
// read-only, gone.
func isStorageFault(err error) bool {
	var fault *sqlite.Error
	if !errors.As(err, &fault) {
		return false
	}
	switch fault.Code() & 0xff { // the primary code
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return true
	default:
		return false
	}
}

// tellFault tells Config.Fault of a batch that the disk did not take, and of the
// first one that it took again. The writer's lock is held.
func (l *Ledger) tellFault(batch []*request, err error, committed bool) {
	for _, r := range batch {
		if isStorageFault(r.err) {
			err = r.err
		}
	}
	switch {
	case isStorageFault(err):
		l.faulty = true
		l.fault(err)
	case committed && l.faulty:
		l.faulty = false
		l.fault(nil)
	}
}

// CheckWrite stores something small, so that a disk that takes writes again is
// noticed although nothing else is written.
func (l *Ledger) CheckWrite(ctx context.Context) error {
	return l.SetMeta(ctx, "write_check", l.now().UTC().Format("2006-01-02T15:04:05Z"))
}

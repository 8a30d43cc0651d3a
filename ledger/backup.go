// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// BackedUp says what a copy holds: compare it with the daemon's log.
type BackedUp struct {
	// Entries is the number of the last entry, Head its hash in hexadecimal.
	Entries int64
	Head    string
	Bytes   int64
}

// Backup copies the ledger as it is at one moment to a new file, without stopping
// the daemon that writes it. The copy has mode 0600 and is durable and checked
// before it appears under its name; a file of that name is never replaced, and is
// [fs.ErrExist].
func (f *File) Backup(ctx context.Context, path string) (done BackedUp, err error) {
	if _, err := os.Lstat(path); err == nil {
		return done, fmt.Errorf("back up ledger to %s: %w", path, fs.ErrExist)
	}
	// SQLite takes an empty file for none, and keeps its mode.
	temp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // 0600
	if err != nil {
		return done, fmt.Errorf("back up ledger: %w", err)
	}
	defer func() {
		if remove := os.Remove(temp.Name()); remove != nil && !errors.Is(remove, fs.ErrNotExist) {
			err = errors.Join(err, remove)
		}
	}()
	if err := temp.Close(); err != nil {
		return done, fmt.Errorf("back up ledger: %w", err)
	}
	if _, err := f.conn.ExecContext(ctx, "VACUUM INTO ?", temp.Name()); err != nil {
		return done, fmt.Errorf("back up ledger: %w", err)
	}
	if done, err = checkCopy(ctx, temp.Name()); err != nil {
		return done, fmt.Errorf("back up ledger: check the copy: %w", err)
	}
	if err := place(temp.Name(), path); err != nil {
		return done, fmt.Errorf("back up ledger: %w", err)
	}
	return done, nil
}

// checkCopy reads the copy whole and makes it durable.
func checkCopy(ctx context.Context, path string) (done BackedUp, err error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0) //nolint:gosec // just made
	if err != nil {
		return done, err
	}
	info, err := file.Stat()
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return done, err
	}
	done.Bytes = info.Size()
	c, err := OpenFile(ctx, path)
	if err != nil {
		return done, err
	}
	var result string
	err = c.conn.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&result)
	if err == nil && result != "ok" {
		err = fmt.Errorf("%w: %s", ErrCorrupt, result)
	}
	if err == nil {
		done.Entries, done.Head, err = c.Head(ctx)
	}
	return done, errors.Join(err, c.Close())
}

// place gives a file its name, durably, unless something has it. A file system
// without links gets a rename, which the check at the start has made as safe as
// it can be there.
func place(temp, path string) error {
	err := os.Link(temp, path)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		if _, exists := os.Lstat(path); exists == nil {
			return fs.ErrExist
		}
		err = os.Rename(temp, path)
	}
	if err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// SPDX-License-Identifier: Apache-2.0

package pairing

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"github.com/google/renameio/v2"

	"github.com/agentd-project/agentd/internal/failpoint"
)

// maxRecordBytes bounds what is read back from the state directory.
const maxRecordBytes = 1 << 20

var recordName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)

// ErrNoRecord says that the store holds no record of that name.
var ErrNoRecord = errors.New("no such record")

// FileStore keeps small secret records, one JSON file each, readable by their
// owner alone. A record is replaced as a whole: written beside the old one,
// synced, renamed over it, and the directory synced, so that a crash leaves
// either the old record or the new one.
type FileStore struct {
	dir string
}

// NewFileStore returns the store in an existing directory.
func NewFileStore(dir string) (*FileStore, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("open token store: %w", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("open token store: %s is not a directory", dir)
	}
	return &FileStore{dir: dir}, nil
}

// Writable proves that a record can be stored now: a token that is shown once
// is not asked for before. It writes, syncs and removes a file of its own.
func (s *FileStore) Writable() error {
	f, err := os.CreateTemp(s.dir, ".writable-*")
	if err != nil {
		return fmt.Errorf("token store is not writable: %w", err)
	}
	_, err = f.Write(make([]byte, 4096))
	err = errors.Join(err, f.Sync(), f.Close(), os.Remove(f.Name()))
	if err != nil {
		return fmt.Errorf("token store is not writable: %w", err)
	}
	return nil
}

// Save stores v as the record of that name, durably, with mode 0600.
func (s *FileStore) Save(name string, v any) error {
	path, err := s.path(name)
	if err != nil {
		return err
	}
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("store record %s: %w", name, err)
	}
	if err := replace(path, append(data, '\n')); err != nil {
		return fmt.Errorf("store record %s: %w", name, err)
	}
	return nil
}

// Load reads the record of that name into v, or returns [ErrNoRecord]. Any
// other error means that a record is there and cannot be read.
func (s *FileStore) Load(name string, v any) error {
	path, err := s.path(name)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s: %w", name, ErrNoRecord)
	case err != nil:
		return fmt.Errorf("read record %s: %w", name, err)
	case info.Size() > maxRecordBytes:
		return fmt.Errorf("read record %s: %d bytes, at most %d", name, info.Size(), maxRecordBytes)
	}
	data, err := os.ReadFile(path) //nolint:gosec // the name is checked and the directory is the owner's
	if err != nil {
		return fmt.Errorf("read record %s: %w", name, err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("read record %s: not the JSON that was written", name)
	}
	return nil
}

// Remove deletes the record of that name; one that is not there is no error.
func (s *FileStore) Remove(name string) error {
	path, err := s.path(name)
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove record %s: %w", name, err)
	}
	return syncDir(s.dir)
}

func (s *FileStore) path(name string) (string, error) {
	if !recordName.MatchString(name) {
		return "", fmt.Errorf("record name %q is not a plain lower-case name", name)
	}
	return filepath.Join(s.dir, name+".json"), nil
}

func replace(path string, data []byte) error {
	dir := filepath.Dir(path)
	f, err := renameio.NewPendingFile(path, renameio.WithTempDir(dir), renameio.WithStaticPermissions(0o600))
	if err != nil {
		return err
	}
	defer func() { _ = f.Cleanup() }() // after the rename there is nothing left to clean
	if _, err := f.Write(data); err != nil {
		return err
	}
	failpoint.Hit(failpoint.BeforeRename)
	if err := f.CloseAtomicallyReplace(); err != nil {
		return err
	}
	failpoint.Hit(failpoint.AfterRename)
	return syncDir(dir)
}

// syncDir makes a rename or a removal survive a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // the owner's state directory
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

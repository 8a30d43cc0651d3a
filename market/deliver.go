// SPDX-License-Identifier: Apache-2.0

package market

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// write puts a result where the need says: whole or not at all, and on disk
// before anything says settled. Earlier results move to FILE.1, FILE.2 and on.
func (d Delivery) write(result json.RawMessage) error {
	if d.File == "" {
		return nil
	}
	if old, err := os.ReadFile(d.File); err == nil && string(old) == string(result) {
		return nil // written before a crash: nothing to rotate
	}
	if err := d.rotate(); err != nil {
		return err
	}
	// 0644: what was bought is for the software on the machine; secrets are not in it.
	if err := renameio.WriteFile(d.File, result, 0o644); err != nil {
		return fmt.Errorf("deliver result: %w", err)
	}
	dir, err := os.Open(filepath.Dir(d.File))
	if err != nil {
		return fmt.Errorf("deliver result: %w", err)
	}
	defer dir.Close() //nolint:errcheck // opened for reading only
	if err := dir.Sync(); err != nil {
		return fmt.Errorf("deliver result: %w", err)
	}
	return nil
}

func (d Delivery) rotate() error {
	for i := d.Keep; i >= 1; i-- {
		from := fmt.Sprintf("%s.%d", d.File, i-1)
		if i == 1 {
			from = d.File
		}
		if _, err := os.Stat(from); err != nil {
			continue
		}
		if i == 1 { // the current file stays readable until its successor is in place
			old, err := os.ReadFile(from) //nolint:gosec // the file is the owner's configuration
			if err != nil {
				return fmt.Errorf("keep earlier result: %w", err)
			}
			if err := renameio.WriteFile(d.File+".1", old, 0o644); err != nil {
				return fmt.Errorf("keep earlier result: %w", err)
			}
			continue
		}
		if err := os.Rename(from, fmt.Sprintf("%s.%d", d.File, i)); err != nil {
			return fmt.Errorf("keep earlier result: %w", err)
		}
	}
	return nil
}

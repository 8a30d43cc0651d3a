// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"
)

// ledgerFiles are the files of a ledger in use.
var ledgerFiles = []string{"ledger.db", "ledger.db-wal", "ledger.db-shm"}

// backup is a copy of the ledger, with what the model knew when it was made.
type backup struct {
	files map[string][]byte
	model *holdings
}

// copyLedger takes a copy. Nobody writes at this instant.
func (w *world) copyLedger(*rand.Rand) {
	b := &backup{files: map[string][]byte{}, model: w.model.copied()}
	for _, name := range ledgerFiles[:2] {
		text, err := os.ReadFile(filepath.Join(w.dir, name)) //nolint:gosec // a folder of our own
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			w.model.find("the ledger cannot be copied: %v", err)
			return
		}
		b.files[name] = text
	}
	w.backup = b
}

// restore puts the copy where the ledger was.
func (w *world) restore() error {
	for _, name := range ledgerFiles {
		if err := os.Remove(filepath.Join(w.dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for name, text := range w.backup.files {
		if err := os.WriteFile(filepath.Join(w.dir, name), text, 0o600); err != nil {
			return err
		}
	}
	w.model.restored(w.backup.model)
	return nil
}

// stop ends a life as SIGTERM does and starts the next.
func (w *world) stop() {
	w.life.cancel()
	w.report.Stops++
	ended := time.Now()
	<-time.After(w.climate.grace + time.Second)
	if err := w.follow(ended, nil); err != nil {
		w.model.find("the buyer does not start again: %v", err)
	}
}

// revive starts the next life after a death.
func (w *world) revive() error {
	w.report.Deaths++
	r := w.dice.roll("revival")
	return w.follow(w.life.died, r)
}

// follow starts the next life a while after the last one ended, sometimes over an
// older copy of the ledger. What a life needs to come to its end is no longer than
// the grace; the next begins at an instant that does not depend on it.
func (w *world) follow(ended time.Time, r *rand.Rand) error {
	if err := w.life.end(); err != nil {
		return fmt.Errorf("close the ledger: %w", err)
	}
	pause := time.Second
	if r != nil {
		pause = span(r, time.Millisecond, 2*time.Minute)
		if w.backup != nil && chance(r, w.weather().older) {
			w.trace.add("driver", "an older ledger")
			w.report.Restores++
			if err := w.restore(); err != nil {
				return err
			}
		}
	}
	<-time.After(time.Until(ended.Add(w.climate.grace + 15*time.Second + pause)))
	w.trace.add("driver", "life %d", w.lives+1)
	return w.wake()
}

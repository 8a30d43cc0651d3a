// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"encoding/hex"
	"fmt"
	"io"
	"time"
)

// counter makes ids that sort by age. The tag differs between processes, so that a client's old records never match new ones.
type counter struct {
	tag string
	n   uint64
}

func (c *counter) next(prefix string) string {
	c.n++
	return fmt.Sprintf("%s_%s%06d", prefix, c.tag, c.n)
}

// nonce returns 32 hex digits that nobody can guess.
func (m *Market) nonce() string {
	b := make([]byte, 16)
	_, _ = io.ReadFull(m.opt.Random, b) // the default cannot fail: the runtime ends the program first
	return hex.EncodeToString(b)
}

// stamp writes a time as the API does.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z07:00") }

// table keeps records by id in the order in which they came.
type table[T any] struct {
	byID  map[string]T
	order []string
}

func (t *table[T]) put(id string, record T) {
	if t.byID == nil {
		t.byID = map[string]T{}
	}
	if _, known := t.byID[id]; !known {
		t.order = append(t.order, id)
	}
	t.byID[id] = record
}

func (t *table[T]) get(id string) (T, bool) {
	record, ok := t.byID[id]
	return record, ok
}

func (t *table[T]) remove(id string) {
	delete(t.byID, id)
	for i, known := range t.order {
		if known == id {
			t.order = append(t.order[:i], t.order[i+1:]...)
			return
		}
	}
}

// all yields the records, oldest first.
func (t *table[T]) all() func(func(string, T) bool) {
	return func(yield func(string, T) bool) {
		for _, id := range t.order {
			if !yield(id, t.byID[id]) {
				return
			}
		}
	}
}

// newest yields the records, newest first.
func (t *table[T]) newest() func(func(string, T) bool) {
	return func(yield func(string, T) bool) {
		for i := len(t.order) - 1; i >= 0; i-- {
			if !yield(t.order[i], t.byID[t.order[i]]) {
				return
			}
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"database/sql"
	"errors"
)

type pauseBody struct {
	Paused bool
	Who    string
}

type payeeBody struct {
	Provider string
	Who      string
}

// SetPaused stops or resumes spending, durably; who is kept in the journal.
func (l *Ledger) SetPaused(ctx context.Context, paused bool, who string) error {
	err := l.write(ctx, "set pause", func(t *txn) error {
		c, err := readControl(t)
		if err != nil {
			return err
		}
		if c.paused == paused {
			return errUnchanged
		}
		if _, err := t.exec(`UPDATE control SET paused = ? WHERE id = 1`, paused); err != nil {
			return err
		}
		return t.appendEntry(link{Kind: KindPause}, pauseBody{Paused: paused, Who: who})
	})
	if err == nil {
		l.paused.Store(paused)
	}
	return err
}

// Paused says whether spending is stopped. It reads no file: every step of a
// purchase asks.
func (l *Ledger) Paused(context.Context) (paused bool, err error) { return l.paused.Load(), nil }

func (l *Ledger) readPaused(ctx context.Context) error {
	return l.query(ctx, "pause", func(q querier) error {
		c, err := readControl(q)
		l.paused.Store(c.paused)
		return err
	})
}

// ForgetPayee forgets the payees that a provider was paid at, so that the next
// one counts as its first; who is kept in the journal.
func (l *Ledger) ForgetPayee(ctx context.Context, provider, who string) error {
	return l.write(ctx, "forget payee", func(t *txn) error {
		res, err := t.exec(`DELETE FROM payees WHERE provider = ?`, provider)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, ErrNotFound)
		}
		return t.appendEntry(link{Kind: KindPayee}, payeeBody{Provider: provider, Who: who})
	})
}

// Meta returns a stored text that is no secret; ok is false if there is none.
func (l *Ledger) Meta(ctx context.Context, key string) (value string, ok bool, err error) {
	err = l.query(ctx, "meta "+key, func(q querier) error {
		err := q.row(`SELECT value FROM meta WHERE key = ?`, []any{key}, &value)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		ok = err == nil
		return err
	})
	return value, ok, err
}

// SetMeta stores a text that is no secret under a key.
func (l *Ledger) SetMeta(ctx context.Context, key, value string) error {
	return l.write(ctx, "set meta "+key, func(t *txn) error {
		_, err := t.exec(`INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value`, key, value)
		return err
	})
}

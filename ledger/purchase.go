// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/agentd-project/agentd/policy"
)

const purchaseColumns = `id, need, state, final, reason, rail, order_id, search_id, quote_id, value, created, updated, deadline, doc`

func scanPurchase(scan func(...any) error) (p Purchase, err error) {
	var created, updated, deadline int64
	var doc string
	err = scan(&p.ID, &p.Need, &p.State, &p.Final, &p.Reason, &p.Rail, &p.OrderID, &p.SearchID, &p.QuoteID,
		&p.Value, &created, &updated, &deadline, &doc)
	p.Created, p.Updated, p.Deadline = fromMicros(created), fromMicros(updated), fromMicros(deadline)
	if doc != "" {
		p.Doc = json.RawMessage(doc)
	}
	return p, err
}

// Create records a new purchase; an id that is known is [ErrExists].
func (l *Ledger) Create(ctx context.Context, p *Purchase) error {
	return l.write(ctx, "create purchase "+string(p.ID), func(t *txn) error {
		if _, err := t.stored(p.ID); err == nil {
			return ErrExists
		} else if !errors.Is(err, ErrNotFound) {
			return err
		}
		return t.move(p.ID, &Move{Purchase: p}, KindCreate, nil)
	})
}

// Advance records a transition: the purchase's row and the journal entry in one
// commit. A purchase that is not known is created if the move has no From.
func (l *Ledger) Advance(ctx context.Context, m Move) error {
	if m.Purchase == nil {
		return errors.New("ledger: advance: move without a purchase")
	}
	return l.write(ctx, "advance purchase "+string(m.Purchase.ID), func(t *txn) error {
		return t.move(m.Purchase.ID, &m, KindMove, nil)
	})
}

// priorRow is a purchase's row as a move finds it; the state is empty if there is none.
type priorRow struct {
	state, need string
	final       bool
	created     int64
}

func (t *txn) stored(id policy.PurchaseID) (b priorRow, err error) {
	err = t.row(`SELECT state, need, final, created FROM purchases WHERE id = ?`, []any{string(id)}, &b.state, &b.need, &b.final, &b.created)
	return b, notFound(err)
}

// move writes the purchase's row, if m is not nil, and the entry.
func (t *txn) move(id policy.PurchaseID, m *Move, kind EntryKind, body any) error {
	if m == nil {
		return t.appendEntry(link{Purchase: id, Kind: kind}, body)
	}
	p := m.Purchase
	if p == nil || p.ID != id || id == "" || p.State == "" {
		return fmt.Errorf("%w: move does not carry purchase %s", ErrConflict, id)
	}
	old, err := t.stored(id)
	switch {
	case errors.Is(err, ErrNotFound) && m.From == "":
	case err != nil:
		return err
	case m.From != "" && m.From != old.state:
		return fmt.Errorf("%w: it is %s, not %s", ErrStale, old.state, m.From)
	}
	if old.state != "" {
		p.Created = fromMicros(old.created)
	} else if known, err := compactedID(t, id); err != nil || known {
		return errors.Join(err, fmt.Errorf("%w: it was compacted", ErrExists))
	}
	if err := t.putPurchase(p, old); err != nil {
		return err
	}
	hash, err := rowHash(p)
	if err != nil {
		return err
	}
	return t.appendEntry(link{
		Purchase: id, Kind: kind, From: old.state, To: p.State, Event: m.Event, Reason: p.Reason, Detail: m.Detail, Row: hash,
	}, body)
}

// again is move for an outcome that is recorded already: a repeated call finds
// its purchase in the new state and writes nothing, unless the move says that it
// starts from there.
func (t *txn) again(id policy.PurchaseID, m *Move) error {
	if m == nil || m.Purchase == nil {
		return errUnchanged
	}
	old, err := t.stored(id)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	if old.state == m.Purchase.State && m.From != old.state {
		return errUnchanged
	}
	return t.move(id, m, KindMove, nil)
}

// putPurchase writes the row. An update names the indexed columns only where one
// of them changes: SQLite rewrites the entries of every index that it names.
func (t *txn) putPurchase(p *Purchase, old priorRow) error {
	if p.Created.IsZero() {
		p.Created = t.now
	}
	p.Updated = t.now
	args := []any{
		p.State, string(p.Reason), p.Rail, p.OrderID, p.SearchID, p.QuoteID, int64(p.Value),
		micros(p.Updated), micros(p.Deadline), string(p.Doc), string(p.ID),
	}
	query := `UPDATE purchases SET state = ?, reason = ?, rail = ?, order_id = ?, search_id = ?, quote_id = ?, value = ?, updated = ?,
		deadline = ?, doc = ? WHERE id = ?`
	switch {
	case old.state == "":
		query = `INSERT INTO purchases (state, reason, rail, order_id, search_id, quote_id, value, updated, deadline, doc, id, need, final, created)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
		args = append(args, p.Need, p.Final, micros(p.Created))
	case old.need != p.Need:
		query = `UPDATE purchases SET state = ?1, reason = ?2, rail = ?3, order_id = ?4, search_id = ?5, quote_id = ?6, value = ?7,
			updated = ?8, deadline = ?9, doc = ?10, need = ?12, final = ?13 WHERE id = ?11`
		args = append(args, p.Need, p.Final)
	case old.final != p.Final:
		query = `UPDATE purchases SET state = ?1, reason = ?2, rail = ?3, order_id = ?4, search_id = ?5, quote_id = ?6, value = ?7,
			updated = ?8, deadline = ?9, doc = ?10, final = ?12 WHERE id = ?11`
		args = append(args, p.Final)
	}
	_, err := t.exec(query, args...)
	return err
}

// Get returns a purchase, or [ErrNotFound].
func (l *Ledger) Get(ctx context.Context, id policy.PurchaseID) (*Purchase, error) {
	var p Purchase
	err := l.query(ctx, fmt.Sprintf("purchase %s", id), func(q querier) (err error) {
		p, err = one(q, scanPurchase, `SELECT `+purchaseColumns+` FROM purchases WHERE id = ?`, string(id))
		return err
	})
	if err != nil {
		return nil, err
	}
	return &p, nil
}

// OpenPurchases returns every purchase that is not final, the oldest first.
func (l *Ledger) OpenPurchases(ctx context.Context) (all []Purchase, err error) {
	err = l.query(ctx, "open purchases", func(q querier) error {
		all, err = collect(q, scanPurchase, `SELECT `+purchaseColumns+` FROM purchases WHERE final = 0 ORDER BY created, id`)
		return err
	})
	return all, err
}

// The bounds of a list.
const (
	defaultListLimit = 100
	maxListLimit     = 1000
)

// List returns purchases, the newest first.
func (l *Ledger) List(ctx context.Context, o ListOptions) (all []Purchase, err error) {
	limit := o.Limit
	if limit <= 0 {
		limit = defaultListLimit
	}
	limit = min(limit, maxListLimit)
	query, args := `SELECT `+purchaseColumns+` FROM purchases WHERE 1`, []any(nil)
	if o.Open {
		query += ` AND final = 0`
	}
	if o.Need != "" {
		query, args = query+` AND need = ?`, append(args, o.Need)
	}
	err = l.query(ctx, "list purchases", func(q querier) error {
		all, err = collect(q, scanPurchase, query+` ORDER BY created DESC, id DESC LIMIT ?`, append(args, limit)...)
		return err
	})
	return all, err
}

// one reads the only row of a query, or returns ErrNotFound.
func one[T any](q querier, scan func(func(...any) error) (T, error), query string, args ...any) (T, error) {
	all, err := collect(q, scan, query, args...)
	if err == nil && len(all) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		var none T
		return none, err
	}
	return all[0], nil
}

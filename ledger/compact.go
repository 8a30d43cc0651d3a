// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/agentd-project/agentd/policy"
)

// The bounds of one transaction of a compaction, so that a reservation waits a
// few milliseconds for it at most.
const (
	compactTime  = 2 * time.Millisecond
	compactCount = 64
)

// Compaction says how a [Ledger.Compact] is done.
type Compaction struct {
	// Now is the time, proven to be right: a wrong year would compact what windows
	// still count.
	Now time.Time
	// Retention is the age below which nothing is compacted. It must be longer than
	// the longest window.
	Retention time.Duration
	// Pause is how long each transaction is followed by nothing, in favour of others.
	Pause time.Duration
}

// Compacted says what a [Ledger.Compact] did.
type Compacted struct {
	// Receipts is the number of purchases of which a receipt was written, Dropped
	// that of purchases without a settlement, Entries that of journal entries
	// taken out.
	Receipts, Dropped, Entries int64
}

// Compact takes what ended before the retention out of the ledger: of settled
// purchases it leaves a receipt, of time before it the sums of days, and of the
// journal a checkpoint with the hash of what was removed, so that [Ledger.Verify]
// still derives every sum. Purchases that are not final, or of which an attempt or a
// reservation is open, are kept however old they are.
//
// It works in small transactions, each of which leaves a whole ledger, and may end
// between any two of them.
func (l *Ledger) Compact(ctx context.Context, c Compaction) (done Compacted, err error) {
	boundary := floorTo(c.Now.Add(-c.Retention).Unix(), day)
	if c.Now.IsZero() || c.Retention <= 0 || boundary <= 0 {
		return done, errors.New("ledger: compact: a time and a retention are needed")
	}
	for _, step := range []func(*txn) error{
		func(t *txn) error { return t.compactDay(boundary) },
		func(t *txn) error { return t.compactFees(boundary) },
		func(t *txn) error { return t.compactEntries(boundary, &done) },
	} {
		for more := true; more; {
			before := done
			if more, err = l.compactStep(ctx, step); err != nil {
				return before, err // this step's part was not committed
			}
			if more && c.Pause > 0 && !waitFor(ctx, c.Pause) {
				return done, fmt.Errorf("ledger: compact: %w", ctx.Err())
			}
		}
	}
	return done, nil
}

// compactStep makes one transaction; more is false when it found nothing to do.
func (l *Ledger) compactStep(ctx context.Context, step func(*txn) error) (more bool, err error) {
	err = l.write(ctx, "compact", func(t *txn) error {
		err := step(t)
		more = err == nil
		return err
	})
	return more && err == nil, err
}

func waitFor(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// compactDay drops the minutes and hours of one day; its own sum stays for ever.
func (t *txn) compactDay(boundary int64) error {
	c, err := readControl(t)
	if err != nil || c.compacted >= boundary {
		return errors.Join(err, errUnchangedIf(err == nil))
	}
	var oldest int64
	if err := t.row(`SELECT COALESCE(min(start), ?) FROM buckets WHERE width = 60`, []any{boundary}, &oldest); err != nil {
		return err
	}
	next := min(floorTo(oldest, day)+day, boundary)
	if _, err := t.exec(`DELETE FROM buckets WHERE width IN (60, 3600) AND start < ?`, next); err != nil {
		return err
	}
	_, err = t.exec(`UPDATE control SET compacted = ? WHERE id = 1`, next)
	return err
}

func errUnchangedIf(on bool) error {
	if on {
		return errUnchanged
	}
	return nil
}

// compactFees adds up the fees of one day on one chain.
func (t *txn) compactFees(boundary int64) error {
	var chain string
	var start int64
	err := t.row(`SELECT chain, start FROM fees WHERE start < ? AND start % 86400 <> 0 ORDER BY start LIMIT 1`, []any{boundary}, &chain, &start)
	if errors.Is(err, sql.ErrNoRows) {
		return errUnchanged
	}
	if err != nil {
		return err
	}
	start = floorTo(start, day)
	fees, err := collect(t, scanFee, `SELECT wei FROM fees WHERE chain = ? AND start >= ? AND start < ?`, chain, start, start+day)
	if err != nil {
		return err
	}
	sum, err := total(fees)
	if err != nil {
		return err
	}
	if _, err := t.exec(`DELETE FROM fees WHERE chain = ? AND start >= ? AND start < ?`, chain, start, start+day); err != nil {
		return err
	}
	_, err = t.exec(`INSERT INTO fees (chain, start, wei) VALUES (?, ?, ?)`, chain, start, sum.String())
	return err
}

// compactEntries compacts some purchases and writes the checkpoint that covers them.
func (t *txn) compactEntries(boundary int64, done *Compacted) error {
	started := time.Now()
	c, err := readControl(t)
	if err = errors.Join(err, t.loadHead()); err != nil {
		return err
	}
	sum, err := t.checkpoint(c.checkpoint)
	if err != nil {
		return err
	}
	before := sum
	ids, err := collect(t, scanID, `SELECT id FROM purchases WHERE final = 1 AND created < ?1 AND updated < ?1
		AND NOT EXISTS (SELECT 1 FROM reservations r WHERE r.purchase = id AND r.status = 'open')
		AND NOT EXISTS (SELECT 1 FROM settlements s WHERE s.purchase = id AND s.stamp >= ?1)
		AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.purchase = id AND a.status IN ('prepared', 'broadcast', 'mined'))
		ORDER BY created, id LIMIT ?2`, boundary*1_000_000, compactCount)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := t.compactPurchase(id, &sum); err != nil {
			return fmt.Errorf("purchase %s: %w", id, err)
		}
		if time.Since(started) > compactTime {
			break
		}
	}
	if err := t.compactSwitches(boundary, &sum); err != nil {
		return err
	}
	if sum.Removed == before.Removed {
		return errUnchanged
	}
	done.Receipts += sum.Receipts - before.Receipts
	done.Dropped += sum.Dropped - before.Dropped
	done.Entries += sum.Removed - before.Removed
	return t.putCheckpoint(c.checkpoint, &sum)
}

func scanID(scan func(...any) error) (id policy.PurchaseID, err error) {
	err = scan(&id)
	return id, err
}

// checkpoint reads what was compacted so far.
func (t *txn) checkpoint(seq int64) (sum checkpointBody, err error) {
	if seq == 0 {
		return sum, nil
	}
	var body string
	if err := t.row(`SELECT body FROM journal WHERE seq = ?`, []any{seq}, &body); err != nil {
		return sum, fmt.Errorf("the checkpoint: %w", notFound(err))
	}
	err = json.Unmarshal([]byte(body), &sum)
	return sum, err
}

// putCheckpoint replaces the checkpoint: the one before is removed like any entry.
func (t *txn) putCheckpoint(old int64, sum *checkpointBody) error {
	if old != 0 {
		var hash string
		if err := t.row(`SELECT hash FROM journal WHERE seq = ?`, []any{old}, &hash); err != nil {
			return err
		}
		if err := t.cut([]cutEntry{{old, hash}}, sum); err != nil {
			return err
		}
	}
	if err := t.appendEntry(link{Kind: KindCheckpoint}, sum); err != nil {
		return err
	}
	_, err := t.exec(`UPDATE control SET checkpoint = ? WHERE id = 1`, t.w.seq)
	return err
}

// compactPurchase leaves a receipt of a purchase, if it was settled, and removes
// its rows.
func (t *txn) compactPurchase(id policy.PurchaseID, sum *checkpointBody) error {
	entries, err := collect(t, scanCut, `SELECT seq, hash FROM journal WHERE purchase = ? ORDER BY seq`, string(id))
	if err != nil {
		return err
	}
	r, err := one(t, scanReceipt, selectLiving+` WHERE s.purchase = ?`, string(id))
	switch {
	case errors.Is(err, ErrNotFound):
		sum.Dropped++
	case err != nil:
		return err
	default:
		hashes := make([]string, len(entries))
		for i := range entries {
			hashes[i] = entries[i].hash
		}
		r.Entries, r.Digest = int64(len(hashes)), digestOf(hashes)
		if err := errors.Join(t.putReceipt(&r), sum.add(&r)); err != nil {
			return err
		}
	}
	_, err = t.exec(`INSERT INTO nonces (chain, signer, highest)
		SELECT chain, signer, max(account_nonce) FROM attempts WHERE purchase = ? AND account_nonce IS NOT NULL GROUP BY chain, signer
		ON CONFLICT (chain, signer) DO UPDATE SET highest = max(highest, excluded.highest)`, string(id))
	if err != nil {
		return err
	}
	for _, remove := range []string{
		`DELETE FROM attempts WHERE purchase = ?`, `DELETE FROM approvals WHERE purchase = ?`, `DELETE FROM settlements WHERE purchase = ?`,
		`DELETE FROM reservations WHERE purchase = ?`, `DELETE FROM purchases WHERE id = ?`,
	} {
		if _, err := t.exec(remove, string(id)); err != nil {
			return err
		}
	}
	return t.cut(entries, sum)
}

// compactSwitches removes the oldest pauses and forgotten payees, in their order,
// and remembers the state that they left.
func (t *txn) compactSwitches(boundary int64, sum *checkpointBody) error {
	links, err := collect(t, func(scan func(...any) error) (k link, err error) {
		k, k.Row, err = scanLink(scan) // its hash; these entries have no row
		return k, err
	}, `SELECT `+entryColumns+` FROM journal WHERE purchase = '' AND kind IN ('pause', 'payee') ORDER BY seq LIMIT ?`, compactCount)
	if err != nil {
		return err
	}
	var entries []cutEntry
	for i := range links {
		k := &links[i]
		if k.At >= boundary*1_000_000 {
			break
		}
		entries = append(entries, cutEntry{k.Seq, k.Row})
		if k.Kind != KindPause {
			continue
		}
		var body pauseBody
		if err := json.Unmarshal([]byte(k.Body), &body); err != nil {
			return err
		}
		sum.Paused = body.Paused
	}
	return t.cut(entries, sum)
}

// cutEntry is an entry to take out of the journal.
type cutEntry struct {
	seq  int64
	hash string
}

func scanCut(scan func(...any) error) (c cutEntry, err error) {
	err = scan(&c.seq, &c.hash)
	return c, err
}

// cut takes entries, in their order, out of the journal and leaves the hash of the
// last of each run for the link that follows.
func (t *txn) cut(entries []cutEntry, sum *checkpointBody) error {
	for i := 0; i < len(entries); {
		n := i + 1
		for n < len(entries) && entries[n].seq == entries[n-1].seq+1 {
			n++
		}
		first, last := entries[i], entries[n-1]
		if _, err := t.exec(`DELETE FROM journal WHERE seq BETWEEN ? AND ?`, first.seq, last.seq); err != nil {
			return err
		}
		if err := t.putGap(first.seq, last); err != nil {
			return err
		}
		sum.Removed += int64(n - i)
		i = n
	}
	return nil
}

// putGap records a removed run, joined with those beside it.
func (t *txn) putGap(first int64, last cutEntry) error {
	err := t.row(`DELETE FROM gaps WHERE last = ? RETURNING first`, []any{first - 1}, &first)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	err = t.row(`DELETE FROM gaps WHERE first = ? RETURNING last, hash`, []any{last.seq + 1}, &last.seq, &last.hash)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	_, err = t.exec(`INSERT INTO gaps (first, last, hash) VALUES (?, ?, ?)`, first, last.seq, last.hash)
	return err
}

// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"errors"
	"fmt"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
)

// maxFindings bounds a report; a file that is wholly damaged says so soon enough.
const maxFindings = 100

// Verify checks the audit chain from its first link to its last, derives
// reservations, buckets and sums again from the receipts of what was compacted and
// from the journal, and compares them, and every purchase's row, with what is
// stored. Findings name what disagrees; an error means that the check itself could
// not be made. It does not look at the chain: [Ledger.SettledTransfers] is for that.
func (l *Ledger) Verify(ctx context.Context) (Report, error) {
	a := audit{
		ctx: ctx, next: 1, open: make(map[policy.PurchaseID]holding), status: make(map[policy.ReservationStatus]int64),
		bucket: make(map[bucketKey]tally), report: Report{Settled: make(map[Token]money.Amount)},
	}
	err := l.read(ctx, "verify", func(q querier) error {
		a.q = q
		var err error
		if a.got, err = readControl(q); err != nil {
			return err
		}
		for _, step := range []func() error{
			a.readReceipts, a.readGaps, a.readJournal, a.checkCheckpoint, a.checkSums, a.checkBuckets, a.checkReservations, a.checkSettlements, a.checkPurchases,
		} {
			if err := step(); err != nil {
				return err
			}
		}
		return nil
	})
	return a.report, err
}

func (a *audit) checkSums() error {
	got, want := a.got, a.want
	want.openCount = int64(len(a.open))
	want.floor, want.compacted = got.floor, got.compacted
	if got != want {
		a.find("sums: stored %s settled in %d, %s reserved in %d, paused %t; the journal says %s in %d, %s in %d, paused %t",
			got.settled, got.settledCount, got.reserved, got.openCount, got.paused,
			want.settled, want.settledCount, want.reserved, want.openCount, want.paused)
	}
	return nil
}

func (a *audit) checkBuckets() error {
	err := a.each(`SELECT width, start, value, count FROM buckets`, func(scan func(...any) error) error {
		var key bucketKey
		var got tally
		if err := scan(&key.width, &key.start, &got.value, &got.count); err != nil {
			return err
		}
		if got != a.bucket[key] {
			a.find("bucket %d/%d: stored %s in %d, the journal says %s in %d",
				key.width, key.start, got.value, got.count, a.bucket[key].value, a.bucket[key].count)
		}
		delete(a.bucket, key)
		return nil
	})
	for key := range a.bucket {
		a.find("bucket %d/%d: missing", key.width, key.start)
	}
	return err
}

func (a *audit) checkReservations() error {
	open, err := collect(a.q, scanReservation, `SELECT `+reservationColumns+` FROM reservations WHERE status = 'open'`)
	if err != nil {
		return err
	}
	for i := range open {
		if held, ok := a.open[open[i].Purchase]; !ok || held.value != open[i].Value {
			a.find("reservation %s: not open at %s in the journal", open[i].Purchase, open[i].Value)
		}
	}
	for _, status := range []policy.ReservationStatus{
		policy.ReservationOpen, policy.ReservationSettled, policy.ReservationReleased, policy.ReservationRefunded,
	} {
		var got int64
		if err := a.q.row(`SELECT count(*) FROM reservations WHERE status = ?`, []any{string(status)}, &got); err != nil {
			return err
		}
		if got != a.status[status] {
			a.find("reservations: %d are %s, the journal says %d", got, status, a.status[status])
		}
	}
	return nil
}

// checkSettlements counts: what the rows say was compared with their entries.
func (a *audit) checkSettlements() error {
	var settlements, refunds int64
	err := a.q.row(`SELECT (SELECT count(*) FROM settlements) + (SELECT count(*) FROM receipts), (SELECT count(*) FROM refunds)`, nil, &settlements, &refunds)
	if err != nil {
		return err
	}
	if settlements != a.want.settledCount {
		a.find("settlements: there are %d, the journal says %d", settlements, a.want.settledCount)
	}
	if refunds != a.refunds {
		a.find("refunds: there are %d, the journal says %d", refunds, a.refunds)
	}
	return nil
}

// checkPurchases compares each row with the hash that its last move left in the journal.
func (a *audit) checkPurchases() error {
	return a.each(`SELECT `+purchaseColumns+`, COALESCE((SELECT row_hash FROM journal
		WHERE purchase = purchases.id AND row_hash <> '' ORDER BY seq DESC LIMIT 1), '') FROM purchases`, func(scan func(...any) error) error {
		var want string
		p, err := scanPurchase(func(dest ...any) error { return scan(append(dest, &want)...) })
		if err != nil {
			return err
		}
		got, err := rowHash(&p)
		if err != nil {
			return err
		}
		if got != want {
			a.find("purchase %s: its row is not what the journal left", p.ID)
		}
		a.report.Purchases++
		return nil
	})
}

// CheckFile has SQLite check the whole file; what is wrong is [ErrCorrupt]. It
// reads every page and ends early with its context. Writes go on meanwhile.
func (l *Ledger) CheckFile(ctx context.Context) error {
	conn, err := l.r.db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("ledger: check file: %w", err)
	}
	var result string
	err = conn.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&result)
	switch {
	case ctx.Err() != nil:
		err = ctx.Err()
	case err != nil:
		err = fmt.Errorf("%w: %w", ErrCorrupt, err)
	case result != "ok":
		err = fmt.Errorf("%w: %s", ErrCorrupt, result)
	}
	if err = errors.Join(err, conn.Close()); err != nil {
		return fmt.Errorf("ledger: check file: %w", err)
	}
	return nil
}

// CheckTail checks the links of the newest entries only, so that it is soon done
// however long the journal is; findings as in [Ledger.Verify].
func (l *Ledger) CheckTail(ctx context.Context, entries int64) (findings []string, err error) {
	err = l.read(ctx, "check tail", func(q querier) error {
		seq, _, err := head(q)
		if err != nil {
			return err
		}
		a := audit{ctx: ctx, q: q, linksOnly: true, next: max(seq-entries, 0) + 1}
		if err := a.readGaps(); err != nil {
			return err
		}
		if err = a.startAt(a.next); err == nil {
			err = a.readJournal()
		}
		findings = a.report.Findings
		return err
	})
	return findings, err
}

// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
)

// maxFindings bounds a report; a file that is wholly damaged says so soon enough.
const maxFindings = 100

// bucketKey names a bucket.
type bucketKey struct{ width, start int64 }

// audit derives the sums from the journal while it is read. It keeps what is
// open and the buckets in memory, not the purchases.
type audit struct {
	q      querier
	report Report
	next   int64
	open   map[policy.PurchaseID]money.Value
	status map[policy.ReservationStatus]int64
	want   control
	bucket map[bucketKey]tally
}

// Verify checks the audit chain from its first link to its last, derives
// reservations, buckets and sums again from the journal and compares them, and
// every purchase's row, with what is stored. Findings name what disagrees; an
// error means that the check itself could not be made. It does not look at the
// chain: [Ledger.SettledTransfers] is for that.
func (l *Ledger) Verify(ctx context.Context) (Report, error) {
	a := audit{
		next: 1, open: make(map[policy.PurchaseID]money.Value), status: make(map[policy.ReservationStatus]int64),
		bucket: make(map[bucketKey]tally), report: Report{Settled: make(map[Token]money.Amount)},
	}
	err := l.read(ctx, "verify", func(q querier) error {
		a.q = q
		for _, step := range []func() error{a.readJournal, a.checkSums, a.checkBuckets, a.checkReservations, a.checkPurchases} {
			if err := step(); err != nil {
				return err
			}
		}
		return nil
	})
	return a.report, err
}

func (a *audit) find(format string, args ...any) {
	if len(a.report.Findings) < maxFindings {
		a.report.Findings = append(a.report.Findings, fmt.Sprintf(format, args...))
	}
}

func (a *audit) readJournal() error {
	rows, err := a.q.rows(`SELECT ` + entryColumns + ` FROM journal ORDER BY seq`)
	if err != nil {
		return err
	}
	for rows.Next() {
		k, stored, err := scanLink(rows.Scan)
		if err == nil {
			err = a.entry(&k, stored)
		}
		if err != nil {
			return errors.Join(err, rows.Close())
		}
	}
	return errors.Join(rows.Err(), rows.Close())
}

// entry checks one link and applies what it says.
func (a *audit) entry(k *link, stored string) error {
	if k.Seq != a.next {
		a.find("journal: entry %d follows entry %d", k.Seq, a.next-1)
	}
	hash, err := k.hash(a.report.Head)
	if err != nil {
		return err
	}
	if hash != stored {
		a.find("journal: entry %d does not have the hash of its content and its predecessor", k.Seq)
	}
	a.next, a.report.Head = k.Seq+1, stored
	a.report.Entries++
	if err := a.apply(k); err != nil {
		a.find("journal: entry %d (%s) cannot be read: %v", k.Seq, k.Kind, err)
	}
	return nil
}

func (a *audit) apply(k *link) error {
	switch k.Kind {
	case KindReserve:
		return applyBody(k, a.reserved)
	case KindBind:
		return applyBody(k, a.bound)
	case KindSettle:
		return applyBody(k, a.settled)
	case KindRelease:
		return applyBody(k, a.released)
	case KindRefund:
		return applyBody(k, a.refunded)
	case KindPause:
		return applyBody(k, func(_ *link, b pauseBody) error {
			a.want.paused = b.Paused
			return nil
		})
	}
	return nil
}

func applyBody[T any](k *link, do func(*link, T) error) error {
	var body T
	if err := json.Unmarshal([]byte(k.Body), &body); err != nil {
		return err
	}
	return do(k, body)
}

func (a *audit) reserved(k *link, b reserveBody) error {
	before, ok := a.open[k.Purchase]
	if ok != (b.Was == policy.ReservationOpen) {
		a.find("journal: entry %d replaces a reservation that is not %q", k.Seq, b.Was)
	}
	a.want.reserved -= before
	if b.Was != "" {
		a.status[b.Was]--
	}
	a.status[policy.ReservationOpen]++
	a.open[k.Purchase] = b.Value
	a.want.reserved += b.Value
	return nil
}

func (a *audit) bound(k *link, b bindBody) error {
	before, ok := a.open[k.Purchase]
	if !ok {
		return errors.New("terms without a reservation")
	}
	if b.Value > before {
		a.find("journal: entry %d binds %s where %s was reserved", k.Seq, b.Value, before)
	}
	a.open[k.Purchase] = b.Value
	a.want.reserved += b.Value - before
	return nil
}

// end closes what was open, or was closed in another way before.
func (a *audit) end(k *link, was, is policy.ReservationStatus, freed money.Value) {
	if before, ok := a.open[k.Purchase]; was == policy.ReservationOpen {
		if !ok || before != freed {
			a.find("journal: entry %d (%s) ends a reservation that is not open at that value", k.Seq, k.Kind)
		}
		delete(a.open, k.Purchase)
		a.want.reserved -= before
	}
	a.status[was]--
	a.status[is]++
}

func (a *audit) settled(k *link, b settleBody) error {
	a.end(k, b.Was, policy.ReservationSettled, b.Freed)
	a.count(b.Stamp, b.Value, 1)
	a.want.settledCount++
	s, err := settlementOf(a.q, k.Purchase)
	if err != nil {
		return fmt.Errorf("its settlement: %w", err)
	}
	if s.Value != b.Value || s.Amount != b.Amount || s.Chain != b.Chain || s.Token != b.Token || s.Payee != b.Payee ||
		s.Ref != b.Ref || s.stamp != b.Stamp || micros(s.At) != b.At {
		a.find("purchase %s: its settlement is not what entry %d says", k.Purchase, k.Seq)
	}
	if err := a.againstTerms(k, &b); err != nil {
		return err
	}
	if b.Chain == "" {
		return nil
	}
	token := Token{Chain: b.Chain, Address: b.Token}
	a.report.Settled[token], err = a.report.Settled[token].Add(b.Amount)
	return err
}

// againstTerms compares what was settled with what was granted.
func (a *audit) againstTerms(k *link, b *settleBody) error {
	r, err := reservationOf(a.q, k.Purchase)
	if err != nil {
		return fmt.Errorf("its reservation: %w", err)
	}
	if t := r.Terms; t != nil && b.Chain != "" && (t.Chain != b.Chain || t.Token != b.Token || t.Receiver() != b.Payee || t.Amount != b.Amount) {
		a.find("purchase %s: what was settled is not what was granted", k.Purchase)
	}
	return nil
}

func (a *audit) released(k *link, b endBody) error {
	a.end(k, b.Was, policy.ReservationReleased, b.Value)
	return nil
}

func (a *audit) refunded(k *link, b endBody) (err error) {
	a.end(k, b.Was, policy.ReservationRefunded, b.Value)
	if b.Was != policy.ReservationSettled {
		return nil
	}
	a.count(b.Stamp, -b.Value, 0)
	if b.Chain == "" {
		return nil
	}
	token := Token{Chain: b.Chain, Address: b.Token}
	a.report.Settled[token], err = a.report.Settled[token].Sub(b.Amount)
	return err
}

func (a *audit) count(stamp int64, value money.Value, count int64) {
	a.want.settled += value
	s := seconds(stamp)
	for _, width := range []int64{minute, hour, day} {
		key := bucketKey{width, floorTo(s, width)}
		t := a.bucket[key]
		a.bucket[key] = tally{t.value + value, t.count + count}
	}
}

func (a *audit) checkSums() error {
	got, err := readControl(a.q)
	if err != nil {
		return err
	}
	want := a.want
	want.openCount, want.floor = int64(len(a.open)), got.floor
	if got != want {
		a.find("sums: stored %s settled in %d, %s reserved in %d, paused %t; the journal says %s in %d, %s in %d, paused %t",
			got.settled, got.settledCount, got.reserved, got.openCount, got.paused,
			want.settled, want.settledCount, want.reserved, want.openCount, want.paused)
	}
	return nil
}

func (a *audit) checkBuckets() error {
	rows, err := a.q.rows(`SELECT width, start, value, count FROM buckets`)
	if err != nil {
		return err
	}
	for rows.Next() {
		var key bucketKey
		var got tally
		if err := rows.Scan(&key.width, &key.start, &got.value, &got.count); err != nil {
			return errors.Join(err, rows.Close())
		}
		if got != a.bucket[key] {
			a.find("bucket %d/%d: stored %s in %d, the journal says %s in %d",
				key.width, key.start, got.value, got.count, a.bucket[key].value, a.bucket[key].count)
		}
		delete(a.bucket, key)
	}
	for key := range a.bucket {
		a.find("bucket %d/%d: missing", key.width, key.start)
	}
	return errors.Join(rows.Err(), rows.Close())
}

func (a *audit) checkReservations() error {
	open, err := collect(a.q, scanReservation, `SELECT `+reservationColumns+` FROM reservations WHERE status = 'open'`)
	if err != nil {
		return err
	}
	for i := range open {
		if value, ok := a.open[open[i].Purchase]; !ok || value != open[i].Value {
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
	var settlements int64
	if err := a.q.row(`SELECT count(*) FROM settlements`, nil, &settlements); err != nil {
		return err
	}
	if settlements != a.want.settledCount {
		a.find("settlements: there are %d, the journal says %d", settlements, a.want.settledCount)
	}
	return nil
}

// checkPurchases compares each row with the hash that its last move left in the journal.
func (a *audit) checkPurchases() error {
	rows, err := a.q.rows(`SELECT ` + purchaseColumns + `, COALESCE((SELECT row_hash FROM journal
		WHERE purchase = purchases.id AND row_hash <> '' ORDER BY seq DESC LIMIT 1), '') FROM purchases`)
	if err != nil {
		return err
	}
	for rows.Next() {
		var want string
		p, err := scanPurchase(func(dest ...any) error { return rows.Scan(append(dest, &want)...) })
		if err != nil {
			return errors.Join(err, rows.Close())
		}
		got, err := rowHash(&p)
		if err != nil {
			return errors.Join(err, rows.Close())
		}
		if got != want {
			a.find("purchase %s: its row is not what the journal left", p.ID)
		}
		a.report.Purchases++
	}
	return errors.Join(rows.Err(), rows.Close())
}

// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
)

// bucketKey names a bucket.
type bucketKey struct{ width, start int64 }

// holding is an open reservation as the journal has it. terms are the bytes that
// the grant left, empty before.
type holding struct {
	value money.Value
	terms string
}

// gap is a run of entries that was taken out.
type gap struct {
	last int64
	hash string
}

// audit derives the sums from the journal while it is read. It keeps what is
// open and the buckets in memory, not the purchases.
type audit struct {
	ctx       context.Context //nolint:containedctx // lives as long as one verification
	q         querier
	report    Report
	linksOnly bool
	next      int64
	prev      string
	gaps      map[int64]gap
	skipped   int64
	open      map[policy.PurchaseID]holding
	status    map[policy.ReservationStatus]int64
	got, want control
	bucket    map[bucketKey]tally
	refunds   int64
	termsText string // the newest that were read, and what they say
	terms     policy.Terms
	compacted checkpointBody // as the receipts say
	stated    checkpointBody // as the newest entry of that kind says
}

func (a *audit) find(format string, args ...any) {
	if len(a.report.Findings) < maxFindings {
		a.report.Findings = append(a.report.Findings, fmt.Sprintf(format, args...))
	}
}

// each runs do on every row of a query, until the context ends.
func (a *audit) each(query string, do func(scan func(...any) error) error, args ...any) error {
	rows, err := a.q.rows(query, args...)
	if err != nil {
		return err
	}
	for n := 0; rows.Next(); n++ {
		if err = do(rows.Scan); err == nil && n%1024 == 0 {
			err = a.ctx.Err()
		}
		if err != nil {
			return errors.Join(err, rows.Close())
		}
	}
	return errors.Join(rows.Err(), rows.Close())
}

func (a *audit) readGaps() error {
	a.gaps = make(map[int64]gap)
	return a.each(`SELECT first, last, hash FROM gaps ORDER BY first`, func(scan func(...any) error) error {
		var first int64
		var g gap
		err := scan(&first, &g.last, &g.hash)
		a.gaps[first] = g
		return err
	})
}

// startAt makes the entry at or after seq the first that is read.
func (a *audit) startAt(seq int64) error {
	err := a.q.row(`SELECT seq, hash FROM (SELECT seq, hash FROM journal WHERE seq < ?1
		UNION ALL SELECT last, hash FROM gaps WHERE last < ?1) ORDER BY seq DESC LIMIT 1`, []any{seq}, &a.next, &a.prev)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		a.next, err = 1, nil
	case err == nil:
		a.next++
	}
	return err
}

// readJournal reads each entry with what a settlement's entry is compared with.
// The rows are joined here: a query for each took most of the time.
func (a *audit) readJournal() error {
	return a.each(`SELECT j.seq, j.at, j.purchase, j.kind, j.from_state, j.to_state, j.event, j.reason, j.detail, j.row_hash, j.body, j.hash,
			COALESCE(s.value || ' ' || s.amount || ' ' || s.chain || ' ' || lower(s.token) || ' ' || lower(s.payee) || ' ' || s.at || ' ' || s.stamp || ' ' || s.ref, ''),
			COALESCE(r.terms, '')
		FROM journal j LEFT JOIN settlements s ON j.kind IN ('settle', 'accept') AND s.purchase = j.purchase
			LEFT JOIN reservations r ON j.kind = 'settle' AND r.purchase = j.purchase
		WHERE j.seq >= ? ORDER BY j.seq`, func(scan func(...any) error) error {
		var k link
		var stored string
		var row joined
		err := scan(&k.Seq, &k.At, &k.Purchase, &k.Kind, &k.From, &k.To, &k.Event, &k.Reason, &k.Detail, &k.Row, &k.Body, &stored, &row.settlement, &row.terms)
		if err != nil {
			return err
		}
		return a.entry(&k, stored, &row)
	}, a.next)
}

// joined is what is stored about the purchase of a settlement's entry.
type joined struct{ settlement, terms string }

// entry checks one link and applies what it says.
func (a *audit) entry(k *link, stored string, row *joined) error {
	if g, ok := a.gaps[a.next]; ok && k.Seq > g.last { // gaps that touch are one
		a.skipped += g.last - a.next + 1
		a.next, a.prev = g.last+1, g.hash
	}
	if k.Seq != a.next {
		a.find("journal: entry %d follows entry %d", k.Seq, a.next-1)
	}
	hash, err := k.hash(a.prev)
	if err != nil {
		return err
	}
	if hash != stored {
		a.find("journal: entry %d does not have the hash of its content and its predecessor", k.Seq)
	}
	a.next, a.prev, a.report.Head = k.Seq+1, stored, stored
	a.report.Entries++
	if a.linksOnly {
		return nil
	}
	if err := a.apply(k, row); err != nil {
		a.find("journal: entry %d (%s) cannot be read: %v", k.Seq, k.Kind, err)
	}
	return nil
}

func (a *audit) apply(k *link, row *joined) error {
	switch k.Kind {
	case KindReserve:
		return applyBody(k, a.reserved)
	case KindBind:
		return applyBody(k, a.bound)
	case KindSettle:
		return applyBody(k, func(k *link, b settleBody) error { return a.settled(k, b, row) })
	case KindAccept:
		return applyBody(k, func(k *link, b settleBody) error { return a.spent(k, &b, row) })
	case KindRelease:
		return applyBody(k, a.released)
	case KindRefund:
		return applyBody(k, a.refunded)
	case KindCheckpoint:
		return applyBody(k, func(k *link, b checkpointBody) error {
			a.stated, a.want.checkpoint = b, k.Seq
			return nil
		})
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
	a.want.reserved -= before.value
	if b.Was != "" {
		a.status[b.Was]--
	}
	a.status[policy.ReservationOpen]++
	a.open[k.Purchase] = holding{value: b.Value}
	a.want.reserved += b.Value
	return nil
}

// boundValue is the part of a [bindBody] that sums need; its terms are compared
// as the bytes that they are.
type boundValue struct{ Value money.Value }

func (a *audit) bound(k *link, b boundValue) error {
	before, ok := a.open[k.Purchase]
	if !ok {
		return errors.New("terms without a reservation")
	}
	if b.Value > before.value {
		a.find("journal: entry %d binds %s where %s was reserved", k.Seq, b.Value, before.value)
	}
	_, terms, _ := strings.Cut(k.Body, `"Terms":`)
	a.open[k.Purchase] = holding{value: b.Value, terms: strings.TrimSuffix(terms, "}")}
	a.want.reserved += b.Value - before.value
	return nil
}

// end closes what was open, or was closed in another way before.
func (a *audit) end(k *link, was, is policy.ReservationStatus, freed money.Value) (before holding) {
	before, ok := a.open[k.Purchase]
	if was == policy.ReservationOpen {
		if !ok || before.value != freed {
			a.find("journal: entry %d (%s) ends a reservation that is not open at that value", k.Seq, k.Kind)
		}
		delete(a.open, k.Purchase)
		a.want.reserved -= before.value
	}
	a.status[was]--
	a.status[is]++
	return before
}

func (a *audit) settled(k *link, b settleBody, row *joined) error {
	before := a.end(k, b.Was, policy.ReservationSettled, b.Freed)
	if err := a.spent(k, &b, row); err != nil {
		return err
	}
	if b.Was == policy.ReservationOpen && row.terms != before.terms {
		a.find("purchase %s: what is stored as granted is not what was granted", k.Purchase)
	}
	return a.againstTerms(k, &b, row.terms)
}

// spent counts a settlement and compares its row with its entry.
func (a *audit) spent(k *link, b *settleBody, row *joined) (err error) {
	a.count(b.Stamp, b.Value, 1)
	a.want.settledCount++
	want := fmt.Sprintf("%d %s %s %s %s %d %d %s", int64(b.Value), b.Amount, b.Chain, lowerHex(b.Token), lowerHex(b.Payee), b.At, b.Stamp, b.Ref)
	switch row.settlement {
	case want:
	case "":
		return fmt.Errorf("its settlement: %w", ErrNotFound)
	default:
		a.find("purchase %s: its settlement is not what entry %d says", k.Purchase, k.Seq)
	}
	if b.Chain == "" {
		return nil
	}
	token := Token{Chain: b.Chain, Address: b.Token}
	a.report.Settled[token], err = a.report.Settled[token].Add(b.Amount)
	return err
}

func lowerHex(address common.Address) string { return "0x" + hex.EncodeToString(address[:]) }

// againstTerms compares what was settled with what was granted.
func (a *audit) againstTerms(k *link, b *settleBody, terms string) error {
	if terms == "" || b.Chain == "" {
		return nil
	}
	t := &a.terms // most purchases repeat the terms of the one before
	if terms != a.termsText {
		a.terms, a.termsText = policy.Terms{}, ""
		if err := json.Unmarshal([]byte(terms), t); err != nil {
			return fmt.Errorf("its terms: %w", err)
		}
		a.termsText = terms
	}
	if t.Chain != b.Chain || t.Token != b.Token || t.Receiver() != b.Payee || t.Amount != b.Amount {
		a.find("purchase %s: what was settled is not what was granted", k.Purchase)
	}
	return nil
}

func (a *audit) released(k *link, b endBody) error {
	a.end(k, b.Was, policy.ReservationReleased, b.Value)
	return nil
}

// refunded takes a settlement back. The number of refunds is compared in the end,
// and each one's reference here.
func (a *audit) refunded(k *link, b endBody) (err error) {
	a.end(k, b.Was, policy.ReservationRefunded, b.Value)
	if b.Was != policy.ReservationSettled {
		return nil
	}
	a.refunds++
	s, err := settlementOf(a.q, k.Purchase)
	if err != nil {
		return fmt.Errorf("its settlement: %w", err)
	}
	if !s.Refunded || s.RefundRef != b.Ref {
		a.find("purchase %s: its refund is not what entry %d says", k.Purchase, k.Seq)
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
		if s < a.got.compacted && width < day {
			continue
		}
		key := bucketKey{width, floorTo(s, width)}
		t := a.bucket[key]
		a.bucket[key] = tally{t.value + value, t.count + count}
	}
}

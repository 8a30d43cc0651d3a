// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
)

// Receipt is what the ledger keeps for ever of a purchase that was settled.
type Receipt struct {
	Purchase policy.PurchaseID
	Need     string
	Service  string
	Provider string
	Rail     string
	OrderID  string
	State    string
	Reason   policy.Reason
	// Symbol and Decimals are the token's, as granted; empty where nothing was.
	Symbol   string
	Decimals uint8
	Chain    money.ChainID
	Token    common.Address
	// Payee is the receiver of the transfer.
	Payee  common.Address
	Amount money.Amount
	Value  money.Value
	Ref    string
	// At is the chain time of the transfer, Created when the purchase began.
	At      time.Time
	Created time.Time
	// RefundRef is the transaction that brought the value back, RefundAt when the
	// ledger learned of it; RefundAt is zero if it did not come back.
	RefundRef string
	RefundAt  time.Time
	// Entries is the number of the purchase's entries in the journal, Digest the
	// hash over their hashes.
	Entries int64
	Digest  string
	// Hashes are those of the entries; nil once the purchase was compacted.
	Hashes []string

	stamp int64
}

// Refunded says whether the value came back.
func (r *Receipt) Refunded() bool { return !r.RefundAt.IsZero() }

// spent is what the receipt counts in the sums.
func (r *Receipt) spent() money.Value {
	if r.Refunded() {
		return 0
	}
	return r.Value
}

// digestOf is the hash over the hashes of a purchase's entries.
func digestOf(hashes []string) string {
	h := sha256.New()
	for _, hash := range hashes {
		h.Write([]byte(hash))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// chained returns the digest of all receipts up to and with this one.
func (r *Receipt) chained(prev string) (string, error) {
	plain := *r
	plain.Hashes = nil
	payload, err := json.Marshal(struct {
		Receipt
		Stamp int64
	}{plain, r.stamp})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(append([]byte(prev), payload...))
	return hex.EncodeToString(sum[:]), nil
}

// checkpointBody is what the newest checkpoint's entry says about all that was
// compacted.
type checkpointBody struct {
	// Receipts is their number, Digest the hash over them.
	Receipts int64
	Digest   string
	// Dropped is the number of purchases that ended without a settlement and left
	// no receipt, Removed the number of entries taken out of the journal.
	Dropped int64
	Removed int64
	// Value is what was spent and did not come back, Paid the same per token.
	Value money.Value
	Paid  map[Token]money.Amount `json:",omitempty"`
	// Paused is what the newest of the removed entries of that kind says.
	Paused bool `json:",omitempty"`
}

// add counts a receipt.
func (b *checkpointBody) add(r *Receipt) (err error) {
	if b.Digest, err = r.chained(b.Digest); err != nil {
		return err
	}
	b.Receipts++
	if b.Value, err = b.Value.Add(r.spent()); err != nil || r.Chain == "" || r.Refunded() {
		return err
	}
	if b.Paid == nil {
		b.Paid = make(map[Token]money.Amount)
	}
	token := Token{Chain: r.Chain, Address: r.Token}
	b.Paid[token], err = b.Paid[token].Add(r.Amount)
	return err
}

// same compares what the receipts say with what the checkpoint states.
func (b *checkpointBody) same(stated *checkpointBody) bool {
	x, errX := json.Marshal(b)
	y, errY := json.Marshal(stated)
	return errors.Join(errX, errY) == nil && string(x) == string(y)
}

const receiptColumns = `purchase, need, service, provider, rail, order_id, state, reason, symbol, decimals, chain, token, payee, amount,
	value, ref, at, stamp, refund_ref, refund_at, created, entries, digest`

const selectReceipts = `SELECT ` + receiptColumns + `, '' AS terms FROM receipts`

// selectLiving reads the same of what was settled and not compacted, with the
// granted terms in the place of symbol and decimals.
const selectLiving = `SELECT s.purchase, COALESCE(p.need, ''), COALESCE(r.service, ''), COALESCE(r.provider, ''), s.rail, COALESCE(p.order_id, ''),
	COALESCE(p.state, ''), COALESCE(p.reason, ''), '', 0, s.chain, s.token, s.payee, s.amount, s.value, s.ref, s.at, s.stamp,
	COALESCE(f.ref, ''), COALESCE(f.at, 0), COALESCE(p.created, s.at), 0, '', COALESCE(r.terms, '')
	FROM settlements s LEFT JOIN purchases p ON p.id = s.purchase LEFT JOIN reservations r ON r.purchase = s.purchase
		LEFT JOIN refunds f ON f.purchase = s.purchase`

func scanReceipt(scan func(...any) error) (r Receipt, err error) {
	var token, payee, terms string
	var at, refundAt, created int64
	err = scan(&r.Purchase, &r.Need, &r.Service, &r.Provider, &r.Rail, &r.OrderID, &r.State, &r.Reason, &r.Symbol, &r.Decimals, &r.Chain,
		&token, &payee, &r.Amount, &r.Value, &r.Ref, &at, &r.stamp, &r.RefundRef, &refundAt, &created, &r.Entries, &r.Digest, &terms)
	r.Token, r.Payee = common.HexToAddress(token), common.HexToAddress(payee)
	r.At, r.RefundAt, r.Created = fromMicros(at), fromMicros(refundAt), fromMicros(created)
	if err != nil || terms == "" {
		return r, err
	}
	var granted struct {
		Symbol   string
		Decimals uint8
	}
	err = json.Unmarshal([]byte(terms), &granted)
	r.Symbol, r.Decimals = granted.Symbol, granted.Decimals
	return r, err
}

func (t *txn) putReceipt(r *Receipt) error {
	_, err := t.exec(`INSERT INTO receipts (`+receiptColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		string(r.Purchase), r.Need, r.Service, r.Provider, r.Rail, r.OrderID, r.State, string(r.Reason), r.Symbol, r.Decimals, string(r.Chain),
		r.Token.Hex(), r.Payee.Hex(), r.Amount.String(), int64(r.Value), r.Ref, micros(r.At), r.stamp, r.RefundRef, micros(r.RefundAt),
		micros(r.Created), r.Entries, r.Digest)
	return err
}

// compactedID says whether a purchase was compacted and left a receipt.
func compactedID(q querier, id policy.PurchaseID) (known bool, err error) {
	err = q.row(`SELECT EXISTS (SELECT 1 FROM receipts WHERE purchase = ?)`, []any{string(id)}, &known)
	return known, err
}

// readReceipts counts what was compacted, before the journal is read.
func (a *audit) readReceipts() error {
	err := a.each(selectReceipts+` ORDER BY n`, func(scan func(...any) error) error {
		r, err := scanReceipt(scan)
		if err != nil {
			return err
		}
		a.count(r.stamp, r.spent(), 1)
		a.want.settledCount++
		if r.Refunded() {
			a.refunds++
		}
		return a.compacted.add(&r)
	})
	for token, amount := range a.compacted.Paid {
		a.report.Settled[token] = amount
	}
	a.report.Compacted = a.compacted.Receipts
	if err != nil || a.got.checkpoint == 0 {
		return err
	}
	// What was removed began before all that is left.
	var body string
	if err := a.q.row(`SELECT COALESCE((SELECT body FROM journal WHERE seq = ?), '')`, []any{a.got.checkpoint}, &body); err != nil {
		return err
	}
	var first checkpointBody
	if json.Unmarshal([]byte(body), &first) == nil { // otherwise the journal's reading finds it
		a.want.paused = first.Paused
	}
	return nil
}

// checkCheckpoint compares the newest checkpoint with the receipts and the gaps.
func (a *audit) checkCheckpoint() error {
	sum := a.compacted
	sum.Removed, sum.Dropped, sum.Paused = a.skipped, a.stated.Dropped, a.stated.Paused
	if !sum.same(&a.stated) {
		a.find("checkpoint: it states %d receipts with %s in all and %d removed entries; there are %d with %s and %d",
			a.stated.Receipts, a.stated.Value, a.stated.Removed, sum.Receipts, sum.Value, sum.Removed)
	}
	return nil
}

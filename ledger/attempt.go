// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
)

// attemptBody is what the journal keeps of an attempt: enough to prove which
// bytes were signed.
type attemptBody struct {
	Seq     int
	Kind    string         `json:",omitempty"`
	Chain   money.ChainID  `json:",omitempty"`
	Signer  common.Address `json:",omitzero"`
	Nonce   string         `json:",omitempty"`
	Hash    string         `json:",omitempty"`
	RawHash string         `json:",omitempty"`
	Status  AttemptStatus
	Ref     string `json:",omitempty"`
}

// SaveAttempt stores signed bytes and returns their number within the purchase.
// It must have returned before a byte of them leaves. Saving the same attempt
// again changes nothing; other bytes under the same number are [ErrConflict]. An
// account nonce belongs to one kind of attempt of one purchase, which may use it
// again to replace itself, and to the cancellation of it; for all else it is
// [ErrConflict].
func (l *Ledger) SaveAttempt(ctx context.Context, a Attempt) (int, error) {
	if a.Purchase == "" || a.Kind == "" || a.Gas > math.MaxInt64 {
		return 0, errors.New("ledger: save attempt: purchase, kind or gas is not valid")
	}
	if a.Status == "" {
		a.Status = AttemptPrepared
	}
	err := l.write(ctx, "save attempt of "+string(a.Purchase), func(t *txn) error {
		if a.Seq == 0 {
			if err := t.row(`SELECT COALESCE(max(seq), 0) + 1 FROM attempts WHERE purchase = ?`, []any{string(a.Purchase)}, &a.Seq); err != nil {
				return err
			}
		} else if before, err := attemptOf(t, a.Purchase, a.Seq); err == nil {
			if before.Kind != a.Kind || before.Hash != a.Hash || !bytes.Equal(before.Raw, a.Raw) {
				return fmt.Errorf("%w: attempt %d has other bytes", ErrConflict, a.Seq)
			}
			return errUnchanged
		} else if !errors.Is(err, ErrNotFound) {
			return err
		}
		return t.putAttempt(&a)
	})
	return a.Seq, err
}

// accountNonce returns an attempt's account nonce; ok is false for the nonce of
// an authorisation.
func accountNonce(a *Attempt) (nonce int64, ok bool) {
	n, err := strconv.ParseInt(a.Nonce, 10, 64)
	return n, err == nil && n >= 0 && len(a.Nonce) < 20
}

// nonceFree fails if an account nonce serves anything that the attempt does not
// replace or cancel: of two purchases at one nonce, one would pay for the other.
// What the purchase itself holds stays its own when a higher nonce was compacted.
func (t *txn) nonceFree(a *Attempt, nonce int64) error {
	var holder string
	err := t.row(`SELECT COALESCE((SELECT purchase || ', ' || kind FROM attempts
		WHERE chain = ?1 AND signer = ?2 AND account_nonce = ?3
			AND (purchase <> ?4 OR (kind <> ?5 AND kind <> ?6 AND ?5 <> ?6)) LIMIT 1),
			(SELECT 'a purchase that was compacted' FROM nonces WHERE chain = ?1 AND signer = ?2 AND highest >= ?3
				AND NOT EXISTS (SELECT 1 FROM attempts WHERE chain = ?1 AND signer = ?2 AND account_nonce = ?3 AND purchase = ?4)), '')`,
		[]any{string(a.Chain), a.Signer.Hex(), nonce, string(a.Purchase), a.Kind, AttemptCancel}, &holder)
	if err == nil && holder != "" {
		err = fmt.Errorf("%w: nonce %d belongs to %s", ErrConflict, nonce, holder)
	}
	return err
}

func (t *txn) putAttempt(a *Attempt) error {
	if a.Created.IsZero() {
		a.Created = t.now
	}
	var nonce any // null for the nonce of an authorisation
	if n, ok := accountNonce(a); ok {
		if err := t.nonceFree(a, n); err != nil {
			return err
		}
		nonce = n
	}
	raw := a.Raw
	if raw == nil {
		raw = []byte{}
	}
	_, err := t.exec(`INSERT INTO attempts (purchase, seq, kind, chain, signer, nonce, account_nonce, hash, raw, fee_cap, tip_cap, gas,
			valid_before, status, ref, created, updated)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		string(a.Purchase), a.Seq, a.Kind, string(a.Chain), a.Signer.Hex(), a.Nonce, nonce, a.Hash, raw,
		a.FeeCap.String(), a.TipCap.String(), int64(a.Gas), //nolint:gosec // bounded by SaveAttempt
		micros(a.ValidBefore), string(a.Status), a.Ref, micros(a.Created), micros(t.now))
	if err != nil {
		return err
	}
	sum := sha256.Sum256(a.Raw)
	return t.appendEntry(link{Purchase: a.Purchase, Kind: KindAttempt}, attemptBody{
		Seq: a.Seq, Kind: a.Kind, Chain: a.Chain, Signer: a.Signer, Nonce: a.Nonce, Hash: a.Hash,
		RawHash: hex.EncodeToString(sum[:]), Status: a.Status, Ref: a.Ref,
	})
}

// UpdateAttempt records what became of an attempt, and from what it is known;
// an empty ref leaves the one before. An unknown attempt is [ErrNotFound].
func (l *Ledger) UpdateAttempt(ctx context.Context, id policy.PurchaseID, seq int, status AttemptStatus, ref string) error {
	return l.write(ctx, "update attempt of "+string(id), func(t *txn) error {
		a, err := attemptOf(t, id, seq)
		if err != nil {
			return err
		}
		if ref == "" {
			ref = a.Ref
		}
		if a.Status == status && a.Ref == ref {
			return errUnchanged
		}
		_, err = t.exec(`UPDATE attempts SET status = ?, ref = ?, updated = ? WHERE purchase = ? AND seq = ?`,
			string(status), ref, micros(t.now), string(id), seq)
		if err != nil {
			return err
		}
		return t.appendEntry(link{Purchase: id, Kind: KindAttempt}, attemptBody{Seq: seq, Status: status, Ref: ref})
	})
}

const attemptColumns = `purchase, seq, kind, chain, signer, nonce, hash, raw, fee_cap, tip_cap, gas, valid_before, status, ref, created, updated`

func scanAttempt(scan func(...any) error) (a Attempt, err error) {
	var signer string
	var gas, validBefore, created, updated int64
	err = scan(&a.Purchase, &a.Seq, &a.Kind, &a.Chain, &signer, &a.Nonce, &a.Hash, &a.Raw, &a.FeeCap, &a.TipCap, &gas,
		&validBefore, &a.Status, &a.Ref, &created, &updated)
	a.Signer, a.Gas = common.HexToAddress(signer), uint64(max(gas, 0))
	a.ValidBefore, a.Created, a.Updated = fromMicros(validBefore), fromMicros(created), fromMicros(updated)
	return a, err
}

func attemptOf(q querier, id policy.PurchaseID, seq int) (Attempt, error) {
	return one(q, scanAttempt, `SELECT `+attemptColumns+` FROM attempts WHERE purchase = ? AND seq = ?`, string(id), seq)
}

// Attempts returns the attempts of a purchase in order.
func (l *Ledger) Attempts(ctx context.Context, id policy.PurchaseID) (all []Attempt, err error) {
	err = l.query(ctx, "attempts of "+string(id), func(q querier) error {
		all, err = collect(q, scanAttempt, `SELECT `+attemptColumns+` FROM attempts WHERE purchase = ? ORDER BY seq`, string(id))
		return err
	})
	return all, err
}

// OpenAttempts returns the attempts of a signer on a chain whose fate is not
// decided, by account nonce, then by age.
func (l *Ledger) OpenAttempts(ctx context.Context, chain money.ChainID, signer common.Address) (all []Attempt, err error) {
	err = l.query(ctx, "open attempts", func(q querier) error {
		// Left to itself the planner walks every attempt by nonce, for the order's sake.
		all, err = collect(q, scanAttempt, `SELECT `+attemptColumns+` FROM attempts INDEXED BY attempts_open
			WHERE chain = ? AND signer = ? AND status IN ('prepared', 'broadcast', 'mined')
			ORDER BY account_nonce, created, purchase, seq`, string(chain), signer.Hex())
		return err
	})
	return all, err
}

// AddFee adds a transaction fee, in base units of the chain's own coin, to the
// minute in which it was paid.
func (l *Ledger) AddFee(ctx context.Context, chain money.ChainID, wei money.Amount, at time.Time) error {
	return l.write(ctx, "add fee", func(t *txn) error {
		start := floorTo(at.Unix(), minute)
		fees, err := collect(t, scanFee, `SELECT wei FROM fees WHERE chain = ? AND start = ?`, string(chain), start)
		if err != nil {
			return err
		}
		sum, err := total(append(fees, wei))
		if err != nil {
			return err
		}
		_, err = t.exec(`INSERT INTO fees (chain, start, wei) VALUES (?, ?, ?) ON CONFLICT (chain, start) DO UPDATE SET wei = excluded.wei`,
			string(chain), start, sum.String())
		return err
	})
}

// FeesSince returns the fees paid on a chain since a time; the whole minute that
// the time falls into counts.
func (l *Ledger) FeesSince(ctx context.Context, chain money.ChainID, since time.Time) (sum money.Amount, err error) {
	err = l.query(ctx, "fees", func(q querier) error {
		fees, err := collect(q, scanFee, `SELECT wei FROM fees WHERE chain = ? AND start >= ?`, string(chain), floorTo(since.Unix(), minute))
		if err != nil {
			return err
		}
		sum, err = total(fees)
		return err
	})
	return sum, err
}

func scanFee(scan func(...any) error) (a money.Amount, err error) {
	err = scan(&a)
	return a, err
}

func total(amounts []money.Amount) (sum money.Amount, err error) {
	for _, a := range amounts {
		if sum, err = sum.Add(a); err != nil {
			return money.Amount{}, err
		}
	}
	return sum, nil
}

// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/money"
)

// NextNonce returns the first account nonce from count on that no saved attempt of
// the signer holds. spent says that count cannot be the number of transactions
// that the chain has of the signer: one at or above it is decided already.
func (l *Ledger) NextNonce(ctx context.Context, chain money.ChainID, signer common.Address, count uint64) (next uint64, spent bool, err error) {
	next = count
	err = l.read(ctx, "next nonce", func(q querier) error {
		args := []any{string(chain), signer.Hex(), int64(count)} //nolint:gosec // SaveAttempt bounds nonces, and a larger count holds none
		err := q.row(`SELECT EXISTS (SELECT 1 FROM attempts WHERE chain = ?1 AND signer = ?2 AND account_nonce >= ?3 AND status IN ('final', 'failed', 'dead'))
			OR EXISTS (SELECT 1 FROM nonces WHERE chain = ?1 AND signer = ?2 AND highest >= ?3)`, args, &spent)
		if err != nil || spent {
			return err
		}
		held, err := collect(q, func(scan func(...any) error) (n int64, err error) { return n, scan(&n) },
			`SELECT DISTINCT account_nonce FROM attempts WHERE chain = ?1 AND signer = ?2 AND account_nonce >= ?3 ORDER BY account_nonce`, args...)
		for _, n := range held {
			if uint64(n) != next { //nolint:gosec // an account nonce is not negative
				break
			}
			next++
		}
		return err
	})
	return next, spent, err
}

// HoldsNonce says whether an attempt of the signer was ever saved under an account
// nonce. One that is held by nothing, and that the chain has a transaction for, was
// used by somebody else, or by a purchase that this copy of the ledger forgot.
func (l *Ledger) HoldsNonce(ctx context.Context, chain money.ChainID, signer common.Address, nonce uint64) (held bool, err error) {
	err = l.query(ctx, "holder of a nonce", func(q querier) error {
		return q.row(`SELECT EXISTS (SELECT 1 FROM attempts WHERE chain = ?1 AND signer = ?2 AND account_nonce = ?3)
			OR EXISTS (SELECT 1 FROM nonces WHERE chain = ?1 AND signer = ?2 AND highest >= ?3)`,
			[]any{string(chain), signer.Hex(), int64(nonce)}, &held) //nolint:gosec // the caller bounds nonces
	})
	return held, err
}

// Accounted says whether a transaction is the reference of a settlement: of a
// purchase, or of a transfer that an operator accepted.
func (l *Ledger) Accounted(ctx context.Context, chain money.ChainID, ref string) (accounted bool, err error) {
	err = l.query(ctx, "settlement by "+ref, func(q querier) error {
		return q.row(`SELECT EXISTS (SELECT 1 FROM settlements WHERE ref = ? AND chain = ?)`, []any{ref, string(chain)}, &accounted)
	})
	return accounted, err
}

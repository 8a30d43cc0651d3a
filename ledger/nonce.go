// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/money"
)

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

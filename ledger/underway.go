// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"errors"
	"fmt"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
)

// UnderWay is what open purchases may have moved: it may be on the chain already
// and is in the ledger as a reservation.
type UnderWay struct{ left map[TransferTo]int }

// TransferTo is a transfer out of our account, as the chain shows it.
type TransferTo struct {
	Chain        money.ChainID
	Token, Payee common.Address
	Amount       money.Amount
	Tx           common.Hash
}

// authorized returns the transfer as it is known of an authorisation, which another sends.
func (t TransferTo) authorized() TransferTo {
	t.Tx = common.Hash{}
	return t
}

// Explains says whether an open purchase may have made a transfer, and uses up what
// explains it.
func (u *UnderWay) Explains(t TransferTo) bool {
	for _, one := range []TransferTo{t, t.authorized()} {
		if u.left[one] > 0 {
			u.left[one]--
			return true
		}
	}
	return false
}

// UnderWay lists what was signed for open purchases, since an attempt is stored
// before it leaves. A purchase for which nothing was signed explains no transfer.
func (l *Ledger) UnderWay(ctx context.Context) (*UnderWay, error) {
	open, err := l.OpenPurchases(ctx)
	if err != nil {
		return nil, fmt.Errorf("read open purchases: %w", err)
	}
	u := &UnderWay{left: map[TransferTo]int{}}
	for _, p := range open {
		r, err := l.Reservation(ctx, p.ID)
		switch {
		case err != nil && !errors.Is(err, ErrNotFound):
			return nil, fmt.Errorf("read the reservation of %s: %w", p.ID, err)
		case err != nil || r.Terms == nil || r.Status != policy.ReservationOpen:
			continue // nothing is granted, so nothing can have moved
		}
		attempts, err := l.Attempts(ctx, p.ID)
		if err != nil {
			return nil, fmt.Errorf("read the attempts of %s: %w", p.ID, err)
		}
		one := TransferTo{Chain: r.Terms.Chain, Token: r.Terms.Token, Payee: r.Terms.Receiver(), Amount: r.Terms.Amount}
		authorized := 0 // or one, however often it was renewed: the nonce is the same
		for _, a := range attempts {
			if !a.ValidBefore.IsZero() {
				authorized = 1
				continue
			}
			one.Tx = common.HexToHash(a.Hash)
			u.left[one] = 1
		}
		u.left[one.authorized()] += authorized
	}
	return u, nil
}

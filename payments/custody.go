// SPDX-License-Identifier: Apache-2.0

package payments

import (
	"context"
	"time"

	"github.com/agentd-project/agentd/policy"
)

// CustodyState says where value that a purchase paid is now.
type CustodyState string

// The states of custody.
const (
	// CustodyPaid means that the value is out of our hands: with the payee, or with
	// an escrow that takes plain transfers. It may come back as a transfer.
	CustodyPaid CustodyState = "paid"
	// CustodyLocked means that an escrow contract holds the value.
	CustodyLocked CustodyState = "locked"
	// CustodyReleased means that the contract has paid the payee.
	CustodyReleased CustodyState = "released"
	// CustodyReturned means that a final block shows exactly the amount back on our
	// account.
	CustodyReturned CustodyState = "returned"
)

// Custody is where value is now, and what shows it.
type Custody struct {
	State CustodyState
	// Ref names the transaction that released or returned the value.
	Ref   string
	At    time.Time
	Block uint64
}

// Custodian is a rail whose value can still come back or has to be released: all
// rails that move value on a chain.
type Custodian interface {
	// Custody asks the chain where value that was paid is now. taken says of a
	// transfer to us whether it is another purchase's refund already.
	Custody(ctx context.Context, id policy.PurchaseID, taken func(ref string) (bool, error)) (Custody, error)
	// Release has an escrow contract pay the payee, waits until that is final, and
	// returns where the value is then: a contract that ended the lock already is asked
	// for nothing, and where no contract holds the value it is paid.
	Release(ctx context.Context, g policy.Grant) (Custody, error)
	// Reclaim takes locked value back, once the chain's time has passed the grant's
	// RefundFrom, and waits until that is final. Where the contract ended the lock
	// otherwise it returns that; before the time, and where nothing is locked, it is
	// an error.
	Reclaim(ctx context.Context, g policy.Grant) (Custody, error)
}

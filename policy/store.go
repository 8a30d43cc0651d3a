// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"context"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/money"
)

// Query says what state a Store computes, and at what time.
type Query struct {
	At time.Time
	// Trusted says that At is proven. Only trusted time raises the Store's floor.
	Trusted bool
	Windows []Window
	Counts  []CountLimit
	// Purchase is left out of the sums; its own reservation is State.Own.
	Purchase PurchaseID
	Provider string
	Payee    common.Address
}

// Store keeps the sums and the reservations. Package ledger implements it.
type Store interface {
	// Reserve computes the state, calls decide once and, if it allows, stores the
	// reservation and the request's Record, all in one transaction that is
	// committed when Reserve returns. A refusal or an error stores nothing. An
	// open reservation of the same purchase without terms is replaced.
	Reserve(ctx context.Context, req Request, q Query, decide func(*State) Verdict) (Verdict, error)
	// Bind is Reserve for the purchase's open reservation: it shrinks it to value,
	// fixes its terms, remembers the payee for the provider and stores record.
	// Binding the same terms again changes nothing and allows.
	Bind(ctx context.Context, id PurchaseID, t Terms, value money.Value, q Query, decide func(*State) Verdict, record any) (Verdict, error)
	// Reservation returns the purchase's reservation, or an error if it has none.
	Reservation(ctx context.Context, id PurchaseID) (Reservation, error)
	// State computes the state without storing anything.
	State(ctx context.Context, q Query) (*State, error)
}

// Clock tells the time and whether it is proven by agreeing with the chain and
// the Market.
type Clock interface {
	Now() (t time.Time, trusted bool)
}

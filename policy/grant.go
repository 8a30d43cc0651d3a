// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/money"
)

// Kind says which kind of signature a grant is for.
type Kind string

// The kinds of grant.
const (
	// KindTransfer admits a transaction that transfers the token.
	KindTransfer Kind = "transfer"
	// KindAuthorization admits an EIP-3009 authorisation.
	KindAuthorization Kind = "authorization"
	// KindLock admits locking the token in an escrow contract, by an approval of
	// exactly the amount and the lock, and its release to the payee or its refund to
	// the payer. It covers no plain transfer.
	KindLock Kind = "lock"
	// KindPayout admits the release or the refund of what is locked already, and
	// nothing that takes value from our account.
	KindPayout Kind = "payout"
)

func kindOf(t *Terms) Kind {
	switch {
	case t.Rail == RailX402:
		return KindAuthorization
	case t.Lock:
		return KindLock
	default:
		return KindTransfer
	}
}

// Grant is the right to move one exact amount of one token to one payee for one
// purchase. Only [Guard] makes one; the zero Grant is no right at all.
type Grant struct {
	kind     Kind
	purchase PurchaseID
	chain    money.ChainID
	token    common.Address
	payee    common.Address
	amount   money.Amount
	deadline time.Time
	escrow   common.Address
	order    common.Hash
	refund   time.Time
}

func newGrant(id PurchaseID, t *Terms) Grant {
	return Grant{
		kind: kindOf(t), purchase: id, chain: t.Chain, token: t.Token,
		payee: t.Payee, amount: t.Amount, deadline: t.Deadline,
		escrow: t.Escrow, order: t.Order, refund: t.RefundFrom,
	}
}

// Valid says whether the grant is a right: false for the zero Grant.
func (g Grant) Valid() bool { return g.kind != "" && g.purchase != "" && !g.amount.IsZero() }

// Kind returns the kind of signature that the grant is for.
func (g Grant) Kind() Kind { return g.kind }

// Purchase returns the purchase that the grant belongs to.
func (g Grant) Purchase() PurchaseID { return g.purchase }

// Chain returns the chain on which value moves.
func (g Grant) Chain() money.ChainID { return g.chain }

// Token returns the token contract.
func (g Grant) Token() common.Address { return g.token }

// Payee returns the address that receives the value.
func (g Grant) Payee() common.Address { return g.payee }

// Amount returns the exact amount in base units of the token.
func (g Grant) Amount() money.Amount { return g.amount }

// Deadline returns the latest validBefore of an authorisation, or the time after
// which a transaction must not be sent for the first time; zero is none.
func (g Grant) Deadline() time.Time { return g.deadline }

// Escrow returns the escrow that receives the value; zero if it goes to the payee.
func (g Grant) Escrow() common.Address { return g.escrow }

// Receiver returns the account that the value goes to: the escrow, or the payee.
func (g Grant) Receiver() common.Address {
	t := Terms{Payee: g.payee, Escrow: g.escrow}
	return t.Receiver()
}

// Order returns the id under which an escrow contract keeps what is locked.
func (g Grant) Order() common.Hash { return g.order }

// RefundFrom returns when the payer may take locked value back, in whole seconds.
func (g Grant) RefundFrom() time.Time { return g.refund }

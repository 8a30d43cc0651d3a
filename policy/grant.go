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
)

func kindOf(rail string) Kind {
	if rail == RailX402 {
		return KindAuthorization
	}
	return KindTransfer
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
}

func newGrant(id PurchaseID, t *Terms) Grant {
	return Grant{
		kind: kindOf(t.Rail), purchase: id, chain: t.Chain, token: t.Token,
		payee: t.Payee, amount: t.Amount, deadline: t.Deadline,
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

// SPDX-License-Identifier: Apache-2.0

package wallet

import (
	"errors"
	"fmt"
	"slices"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
)

// ErrNoGrant says that something that moves value was to be signed without a
// valid grant.
var ErrNoGrant = errors.New("not signed: no grant")

// GrantError says that what was to be signed is not what was granted. It is a
// fault of the program or of its stored state; nothing was signed.
type GrantError struct {
	// Field is "kind", "signer", "chain", "token", "payee", "escrow", "order",
	// "amount", "deadline", "validAfter", "validBefore" or "fee".
	Field string
	// Granted and Asked are the two values, as text.
	Granted, Asked string
}

// Error implements error.
func (e *GrantError) Error() string {
	return fmt.Sprintf("not signed: %s %s was granted, %s asked", e.Field, e.Granted, e.Asked)
}

// moves is what a signature would move, in the terms of a grant.
type moves struct {
	// kinds are the kinds of grant that admit it.
	kinds   []policy.Kind
	chainID uint64
	token   common.Address
	// receiver is the account that the value goes to: the payee, or an escrow.
	receiver common.Address
	amount   money.Amount
}

// compare holds what would be signed against the grant, field by field.
func compare(g policy.Grant, m moves) error {
	if !g.Valid() {
		return ErrNoGrant
	}
	if !slices.Contains(m.kinds, g.Kind()) {
		return &GrantError{"kind", string(g.Kind()), fmt.Sprint(m.kinds)}
	}
	if id, ok := g.Chain().EVM(); !ok || id != m.chainID {
		return &GrantError{"chain", string(g.Chain()), fmt.Sprintf("eip155:%d", m.chainID)}
	}
	if g.Token() != m.token {
		return &GrantError{"token", g.Token().Hex(), m.token.Hex()}
	}
	if g.Receiver() != m.receiver {
		return &GrantError{"payee", g.Receiver().Hex(), m.receiver.Hex()}
	}
	if g.Amount().Cmp(m.amount) != 0 {
		return &GrantError{"amount", g.Amount().String(), m.amount.String()}
	}
	return nil
}

// SPDX-License-Identifier: Apache-2.0

package wallet

import (
	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
)

// Approve describes an EIP-1559 transaction that sets the allowance of a spender.
type Approve struct {
	Gas Gas
	// Token is the contract that is called.
	Token   common.Address
	Spender common.Address
	// Amount is the allowance in base units of Token, 0 to take it back.
	Amount money.Amount
}

// approveSelector is the first four bytes of keccak256("approve(address,uint256)").
var approveSelector = [4]byte{0x09, 0x5e, 0xa7, 0xb3}

// ApproveCall returns the calldata of approve(spender, amount), as
// [Wallet.SignApprove] signs it.
func ApproveCall(spender common.Address, amount money.Amount) []byte {
	return tokenCall(approveSelector, spender, amount)
}

// SignApprove signs the allowance of the granted escrow: exactly the granted
// amount, under a grant of [policy.KindLock], or nothing, which takes an allowance
// back, under that or one of [policy.KindPayout]. It fails with [ErrNoGrant] or a
// [*GrantError].
func (w *Wallet) SignApprove(g policy.Grant, a Approve) (Signed, error) {
	m := moves{kinds: []policy.Kind{policy.KindLock}, chainID: a.Gas.ChainID, token: a.Token, receiver: a.Spender, amount: a.Amount}
	if a.Amount.IsZero() {
		m.kinds, m.amount = append(m.kinds, policy.KindPayout), g.Amount()
	}
	if err := compare(g, m); err != nil {
		return Signed{}, err
	}
	if g.Escrow() != a.Spender {
		return Signed{}, &GrantError{"escrow", g.Escrow().Hex(), a.Spender.Hex()}
	}
	return w.sign(a.Gas, a.Token, ApproveCall(a.Spender, a.Amount))
}

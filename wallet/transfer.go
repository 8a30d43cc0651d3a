// SPDX-License-Identifier: Apache-2.0

package wallet

import (
	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
)

// Transfer describes an EIP-1559 transaction that transfers an ERC-20 token.
type Transfer struct {
	Gas Gas
	// Token is the contract that is called.
	Token common.Address
	// To receives Amount base units of the token.
	To     common.Address
	Amount money.Amount
}

// transferSelector is the first four bytes of keccak256("transfer(address,uint256)").
var transferSelector = [4]byte{0xa9, 0x05, 0x9c, 0xbb}

// TransferCall returns the calldata of transfer(to, amount), as
// [Wallet.SignTransfer] signs it.
func TransferCall(to common.Address, amount money.Amount) []byte {
	return tokenCall(transferSelector, to, amount)
}

// SignTransfer signs a token transfer that equals its grant in kind, chain,
// token, receiver and amount. It fails with [ErrNoGrant] or a [*GrantError].
func (w *Wallet) SignTransfer(g policy.Grant, t Transfer) (Signed, error) {
	err := compare(g, moves{kinds: []policy.Kind{policy.KindTransfer}, chainID: t.Gas.ChainID, token: t.Token, receiver: t.To, amount: t.Amount})
	if err != nil {
		return Signed{}, err
	}
	return w.sign(t.Gas, t.Token, TransferCall(t.To, t.Amount))
}

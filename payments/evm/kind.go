// SPDX-License-Identifier: Apache-2.0

package evm

import (
	"fmt"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/wallet"
)

// The kinds of the attempts that a [Sender] stores.
const (
	// AttemptTransfer transfers the token to the grant's receiver.
	AttemptTransfer = "transfer"
	// AttemptApprove lets the escrow contract take exactly the granted amount.
	AttemptApprove = "approve"
	// AttemptRevoke takes such an allowance back.
	AttemptRevoke = "revoke"
	// AttemptLock has the escrow contract take the amount and keep it for the payee.
	AttemptLock = "lock"
	// AttemptRelease has it pay the payee.
	AttemptRelease = "release"
	// AttemptRefund has it pay us back.
	AttemptRefund = "refund"
	// AttemptCancel takes the nonce of another attempt and moves nothing.
	AttemptCancel = "cancel"
)

// Call is one transaction of a purchase.
type Call struct {
	// Kind is one of the Attempt kinds, but not [AttemptCancel].
	Kind string
	// Escrow is the escrow contract's interface; nil for a transfer only.
	Escrow *wallet.EscrowABI
}

// Pays says whether a kind of attempt moves value out of our account, or lets it
// be moved. Such a thing is not begun after the grant's deadline, and not again
// after it was cancelled.
func Pays(kind string) bool {
	return kind == AttemptTransfer || kind == AttemptApprove || kind == AttemptLock
}

// once says whether a purchase has at most one transaction of the kind that
// counts: once it is mined, succeeded or not, no other is signed.
func once(kind string) bool { return kind == AttemptTransfer || kind == AttemptLock }

// Transaction says whether attempts of a kind are transactions of a [Sender], with
// a nonce of its lane.
func Transaction(kind string) bool {
	switch kind {
	case AttemptTransfer, AttemptApprove, AttemptRevoke, AttemptLock, AttemptRelease, AttemptRefund, AttemptCancel:
		return true
	}
	return false
}

// admits says whether a grant is for the call, so that a wrong one is refused
// before anything is asked. The wallet compares the rest.
func (c Call) admits(g policy.Grant) error {
	if c.Kind != AttemptTransfer && (c.Escrow == nil || !c.Escrow.Valid()) {
		return fmt.Errorf("evm: %s without the escrow contract's interface", c.Kind)
	}
	kind := g.Kind()
	var ok bool
	switch c.Kind {
	case AttemptTransfer:
		ok = kind == policy.KindTransfer
	case AttemptApprove, AttemptLock:
		ok = kind == policy.KindLock
	case AttemptRevoke, AttemptRelease, AttemptRefund:
		ok = kind == policy.KindLock || kind == policy.KindPayout
	}
	if !g.Valid() || !ok {
		return fmt.Errorf("%s by a grant for %q: %w", c.Kind, kind, wallet.ErrNoGrant)
	}
	return nil
}

// target is the contract that a call goes to and its calldata, made of the grant.
func (c Call) target(g policy.Grant, payer common.Address) (to common.Address, data []byte) {
	fields := wallet.EscrowFieldsOf(g, payer)
	switch c.Kind {
	case AttemptTransfer:
		return g.Token(), wallet.TransferCall(g.Receiver(), g.Amount())
	case AttemptApprove:
		return g.Token(), wallet.ApproveCall(g.Escrow(), g.Amount())
	case AttemptRevoke:
		return g.Token(), wallet.ApproveCall(g.Escrow(), money.Amount{})
	case AttemptLock:
		return g.Escrow(), c.Escrow.LockCall(fields)
	case AttemptRelease:
		return g.Escrow(), c.Escrow.ReleaseCall(fields)
	default:
		return g.Escrow(), c.Escrow.RefundCall(fields)
	}
}

// sign has the wallet sign the call by the function for its kind.
func (s *Sender) sign(g policy.Grant, c Call, gas wallet.Gas) (wallet.Signed, error) {
	call := wallet.EscrowCall{Gas: gas, Escrow: g.Escrow(), EscrowFields: wallet.EscrowFieldsOf(g, s.wallet.Address())}
	if c.Escrow != nil {
		call.ABI = *c.Escrow
	}
	switch c.Kind {
	case AttemptTransfer:
		return s.wallet.SignTransfer(g, wallet.Transfer{Gas: gas, Token: g.Token(), To: g.Receiver(), Amount: g.Amount()})
	case AttemptApprove:
		return s.wallet.SignApprove(g, wallet.Approve{Gas: gas, Token: g.Token(), Spender: g.Escrow(), Amount: g.Amount()})
	case AttemptRevoke:
		return s.wallet.SignApprove(g, wallet.Approve{Gas: gas, Token: g.Token(), Spender: g.Escrow()})
	case AttemptLock:
		return s.wallet.SignLock(g, call)
	case AttemptRelease:
		return s.wallet.SignRelease(g, call)
	case AttemptRefund:
		return s.wallet.SignRefund(g, call)
	}
	return wallet.Signed{}, fmt.Errorf("evm: nothing of kind %q is signed", c.Kind)
}

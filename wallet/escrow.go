// SPDX-License-Identifier: Apache-2.0

package wallet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
)

// EscrowFields are what the arguments of an escrow's methods can be.
type EscrowFields struct {
	Order               common.Hash
	Token, Payee, Payer common.Address
	// Amount is in base units of Token.
	Amount money.Amount
	// Deadline is when the payer may take the value back, in Unix seconds.
	Deadline uint64
}

// EscrowFieldsOf returns the fields that a grant admits, for a payer.
func EscrowFieldsOf(g policy.Grant, payer common.Address) EscrowFields {
	return EscrowFields{Order: g.Order(), Token: g.Token(), Payee: g.Payee(), Payer: payer, Amount: g.Amount(), Deadline: unix(g.RefundFrom())}
}

// Valid says whether the interface was parsed: false for the zero EscrowABI.
func (a EscrowABI) Valid() bool { return len(a.lock.fields) > 0 }

// LockCall returns the calldata that locks.
func (a EscrowABI) LockCall(f EscrowFields) []byte { return a.lock.pack(f) }

// ReleaseCall returns the calldata that pays the payee.
func (a EscrowABI) ReleaseCall(f EscrowFields) []byte { return a.release.pack(f) }

// RefundCall returns the calldata that pays the payer back.
func (a EscrowABI) RefundCall(f EscrowFields) []byte { return a.refund.pack(f) }

// LockedTopic returns the first topic of the event of a lock; the second is the order.
func (a EscrowABI) LockedTopic() common.Hash { return a.locked }

// ReleasedTopic returns the first topic of the event of a release; the second is the order.
func (a EscrowABI) ReleasedTopic() common.Hash { return a.released }

// RefundedTopic returns the first topic of the event of a refund; the second is the order.
func (a EscrowABI) RefundedTopic() common.Hash { return a.refunded }

// ReadLock reads calldata that [EscrowABI.LockCall] made; fields that the method
// does not take are zero.
func (a EscrowABI) ReadLock(data []byte) (EscrowFields, error) { return a.lock.read(data) }

// ReadPayout reads calldata that [EscrowABI.ReleaseCall] or [EscrowABI.RefundCall]
// made and says which of them did.
func (a EscrowABI) ReadPayout(data []byte) (f EscrowFields, released bool, err error) {
	if f, err = a.release.read(data); err == nil {
		return f, true, nil
	}
	f, err = a.refund.read(data)
	return f, false, err
}

func (m escrowMethod) pack(f EscrowFields) []byte {
	data := append([]byte(nil), m.selector[:]...)
	for _, field := range m.fields {
		var word [32]byte
		switch field {
		case "order":
			word = f.Order
		case "token":
			copy(word[12:], f.Token[:])
		case "payee":
			copy(word[12:], f.Payee[:])
		case "payer":
			copy(word[12:], f.Payer[:])
		case "amount":
			v := f.Amount.Uint256()
			word = v.Bytes32()
		case "deadline":
			binary.BigEndian.PutUint64(word[24:], f.Deadline)
		}
		data = append(data, word[:]...)
	}
	return data
}

func (m escrowMethod) read(data []byte) (f EscrowFields, err error) {
	if len(m.fields) == 0 || len(data) != 4+32*len(m.fields) {
		return f, errors.New("not a call of the escrow")
	}
	for i, field := range m.fields {
		word := data[4+32*i : 4+32*(i+1)]
		switch field {
		case "order":
			f.Order = common.BytesToHash(word)
		case "token":
			f.Token = common.BytesToAddress(word)
		case "payee":
			f.Payee = common.BytesToAddress(word)
		case "payer":
			f.Payer = common.BytesToAddress(word)
		case "amount":
			if f.Amount, err = money.ParseBase("0x" + common.Bytes2Hex(word)); err != nil {
				return f, err
			}
		case "deadline":
			f.Deadline = binary.BigEndian.Uint64(word[24:])
		}
	}
	if !bytes.Equal(m.pack(f), data) {
		return f, errors.New("not a call of the escrow")
	}
	return f, nil
}

// EscrowCall describes an EIP-1559 transaction that calls an escrow contract.
type EscrowCall struct {
	Gas Gas
	// ABI is the contract's interface.
	ABI EscrowABI
	// Escrow is the contract that is called.
	Escrow common.Address
	// EscrowFields must be the grant's whether the method takes them or not.
	EscrowFields
}

// SignLock signs the lock of the granted amount for the payee. It fails with
// [ErrNoGrant] or a [*GrantError] if anything differs from a grant of
// [policy.KindLock].
func (w *Wallet) SignLock(g policy.Grant, c EscrowCall) (Signed, error) {
	return w.signEscrow(g, c, c.ABI.lock, policy.KindLock)
}

// SignRelease signs the release of what is locked to the payee, under a grant of
// [policy.KindLock] or [policy.KindPayout]. It fails as [Wallet.SignLock] does.
func (w *Wallet) SignRelease(g policy.Grant, c EscrowCall) (Signed, error) {
	return w.signEscrow(g, c, c.ABI.release, policy.KindLock, policy.KindPayout)
}

// SignRefund signs taking back what is locked, under a grant of [policy.KindLock]
// or [policy.KindPayout]. It fails as [Wallet.SignLock] does.
func (w *Wallet) SignRefund(g policy.Grant, c EscrowCall) (Signed, error) {
	return w.signEscrow(g, c, c.ABI.refund, policy.KindLock, policy.KindPayout)
}

func (w *Wallet) signEscrow(g policy.Grant, c EscrowCall, m escrowMethod, kinds ...policy.Kind) (Signed, error) {
	err := compare(g, moves{kinds: kinds, chainID: c.Gas.ChainID, token: c.Token, receiver: c.Escrow, amount: c.Amount})
	if err != nil {
		return Signed{}, err
	}
	switch {
	case !c.ABI.Valid():
		return Signed{}, &GrantError{"escrow", "a checked interface", "none"}
	case g.Escrow() != c.Escrow || c.Escrow == (common.Address{}):
		return Signed{}, &GrantError{"escrow", g.Escrow().Hex(), c.Escrow.Hex()}
	case g.Order() != c.Order || c.Order == (common.Hash{}):
		return Signed{}, &GrantError{"order", g.Order().Hex(), c.Order.Hex()}
	case g.Payee() != c.Payee:
		return Signed{}, &GrantError{"payee", g.Payee().Hex(), c.Payee.Hex()}
	case c.Payer != w.address:
		return Signed{}, &GrantError{"signer", w.address.Hex(), c.Payer.Hex()}
	case unix(g.RefundFrom()) != c.Deadline || c.Deadline == 0:
		return Signed{}, &GrantError{"deadline", g.RefundFrom().UTC().Format(time.RFC3339), fmt.Sprint(c.Deadline)}
	}
	return w.sign(c.Gas, c.Escrow, m.pack(c.EscrowFields))
}

// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/money"
)

// PurchaseID names a purchase: a UUIDv7 in text form.
type PurchaseID string

// The rails whose meaning the guard must know. Every other rail is judged by the
// lists and limits only.
const (
	RailNotRequired   = "not-required"
	RailWallet        = "wallet"
	RailUSDTTransfer  = "wdk-usdt-transfer"
	RailEscrow        = "escrow"
	RailOnchainEscrow = "onchain-escrow"
	RailX402          = "x402"
)

// SameRail says whether two rail names mean the same rail: wallet and
// wdk-usdt-transfer count as equal, every other name only as itself.
func SameRail(a, b string) bool {
	return a == b || (isTransfer(a) && isTransfer(b))
}

func isTransfer(rail string) bool { return rail == RailWallet || rail == RailUSDTTransfer }

// IsEscrow says whether a rail's value goes into an escrow before the payee gets it.
func IsEscrow(rail string) bool { return rail == RailEscrow || rail == RailOnchainEscrow }

// paysOnChain says whether the rail moves a token, so that a price of zero can
// only be a price that is missing.
func paysOnChain(rail string) bool {
	switch rail {
	case RailWallet, RailUSDTTransfer, RailEscrow, RailOnchainEscrow, RailX402:
		return true
	}
	return false
}

// Request is what a decision is about: one purchase on its way to be reserved
// or granted. Names are the Market's keys.
type Request struct {
	Purchase    PurchaseID
	Need        string
	Service     string
	Skill       string
	Provider    string
	ServiceType string
	Operation   string
	Rail        string
	// Native says that the service runs natively, not by handoff to an external provider.
	Native   bool
	Chain    money.ChainID
	Token    common.Address
	Symbol   string
	HasToken bool
	Payee    common.Address
	HasPayee bool
	// Currency is the currency that Value and MaxPrice count in.
	Currency string
	Value    money.Value
	// PriceUnknown says that the price is told only later; MaxPrice is reserved
	// in its place and without it the request is refused.
	PriceUnknown bool
	MaxPrice     money.Value
	HasMaxPrice  bool
	// Approved says that a person approved exactly this purchase. It lifts the
	// reason approval_required only, and the Store must know of the approval.
	Approved bool
	// Record is passed through to the Store, which writes it in the transaction
	// that takes the reservation.
	Record any
}

// Reserves returns the value that a reservation for the request takes: its
// price, or its maximum while the price is unknown.
func (r *Request) Reserves() money.Value {
	if r.PriceUnknown {
		return r.MaxPrice
	}
	return r.Value
}

// State is what the Store knows when a decision is taken. The purchase's own
// reservation is in none of its sums.
type State struct {
	// At is the time of the decision: the trusted time of the query, or the time
	// of the last reservation if that is later.
	At             time.Time
	Paused         bool
	LedgerVerified bool
	// Spent holds settled + reserved per window, aligned with Rules.Windows.
	Spent []money.Value
	// Lifetime is everything ever settled and everything reserved now.
	Lifetime money.Value
	// ServerDay is settled in the current UTC day plus everything reserved now.
	ServerDay money.Value
	// Counts holds settled + reserved purchases, aligned with Rules.Counts.
	Counts []int64
	// PayeePinned is the payee that the provider was paid at first; HasPin says
	// that there is one.
	PayeePinned common.Address
	HasPin      bool
	// PayeeKnown says that the provider was paid at this payee before.
	PayeeKnown bool
	// Approved says that the Store holds an approval for this purchase.
	Approved bool
	// Own is the purchase's own reservation, nil if it has none.
	Own *Reservation
}

// Terms are the exact terms under which a purchase pays.
type Terms struct {
	Rail     string
	Chain    money.ChainID
	Token    common.Address
	Symbol   string
	Decimals uint8
	Payee    common.Address
	Amount   money.Amount
	// Deadline is the latest validBefore of an authorisation, or the time after
	// which a transaction must not be sent for the first time; zero is none for
	// a transaction and refused for an authorisation.
	Deadline time.Time
	// Escrow is the owner's escrow that receives the value; zero where it goes to
	// the payee at once.
	Escrow common.Address `json:",omitzero"`
	// Lock says that Escrow is a contract in which the value is locked for the
	// payee, to be released or refunded; otherwise Escrow gets a plain transfer.
	Lock bool `json:",omitempty"`
	// Order is the id under which the contract keeps what is locked, and RefundFrom
	// the time, in whole seconds, from which the payer may take it back.
	Order      common.Hash `json:",omitzero"`
	RefundFrom time.Time   `json:",omitzero"`
}

// Receiver returns the account that the value goes to: the escrow, or the payee.
func (t *Terms) Receiver() common.Address {
	if t.Escrow != (common.Address{}) {
		return t.Escrow
	}
	return t.Payee
}

// ReservationStatus says what became of a reservation.
type ReservationStatus string

// The states of a reservation.
const (
	ReservationOpen     ReservationStatus = "open"
	ReservationSettled  ReservationStatus = "settled"
	ReservationReleased ReservationStatus = "released"
	ReservationRefunded ReservationStatus = "refunded"
)

// Reservation is money set aside for one purchase. What was known when it was
// taken is kept, since a set term never changes.
type Reservation struct {
	Purchase PurchaseID
	Need     string
	Service  string
	Provider string
	Rail     string
	Chain    money.ChainID
	Token    common.Address
	HasToken bool
	Payee    common.Address
	HasPayee bool
	// Value is what the reservation counts now; binding its terms may shrink it.
	Value  money.Value
	Status ReservationStatus
	// Terms are the terms it was granted for, nil before.
	Terms *Terms
	// At is the ledger time at which it was taken.
	At time.Time
}

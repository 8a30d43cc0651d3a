// SPDX-License-Identifier: Apache-2.0

package payments

import (
	"context"
	"fmt"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
)

// Rail is one way to move value.
type Rail interface {
	// Ready says whether a payment under the terms could be made now: tokens, gas
	// and gas budget suffice. A [*Refusal] says that it could not. Amount may be
	// zero where it is not known yet.
	Ready(ctx context.Context, t policy.Terms) error
	// Pay moves the granted value, or presents what it moved before, and waits
	// until the transfer is final (for x402: until the authorisation is stored).
	// After an error that is no [*Refusal], the end of ctx included, the value may
	// have moved: call again.
	Pay(ctx context.Context, g policy.Grant, job Job) (Evidence, error)
	// Check says whether the purchase's value has moved. An error comes with
	// [Unknown].
	Check(ctx context.Context, id policy.PurchaseID) (Outcome, error)
}

// Job is what a rail needs to know of a purchase besides its grant.
type Job struct {
	Purchase policy.PurchaseID
	// Challenge is the x402 challenge from the payment intent. It may be nil once
	// an authorisation is stored.
	Challenge *Challenge
}

// Evidence is what is shown to the Market for a payment.
type Evidence struct {
	Rail  string
	Chain money.ChainID
	// TxHash is the transaction of the transfer or the lock, "" for x402.
	TxHash              string
	Payer, Payee, Token common.Address
	// Escrow is the account that received the value for the payee, zero if the payee
	// did.
	Escrow   common.Address
	Symbol   string
	Decimals uint8
	Amount   money.Amount
	// Block and At are the number and the time of the block that holds the
	// transfer, zero for x402.
	Block uint64
	At    time.Time

	// PaymentSignature is the x402 header value, handed over byte for byte, and
	// PaymentReference the name that peaqOS derives from it.
	PaymentSignature, PaymentReference string
	// ValidBefore is when the authorisation ends.
	ValidBefore time.Time
	// Network and Asset are spelled as in the challenge.
	Network, Asset string
}

// Status says what is known about a payment.
type Status string

// The four outcomes, never folded.
const (
	// Paid means that a final block holds the transfer.
	Paid Status = "paid"
	// NotPaid means that nothing moved and that nothing can move any more under
	// what was signed.
	NotPaid Status = "not_paid"
	// NotYet means that it may still move, or has but not finally.
	NotYet Status = "not_yet"
	// Unknown means that nobody could be asked.
	Unknown Status = "unknown"
)

// Outcome is what the chain says about a purchase's payment.
type Outcome struct {
	Status Status
	// Ref is the transaction that moved the value, if it is known.
	Ref string
	// At and Block are the time and number of its block.
	At    time.Time
	Block uint64
	// Reason says why NotPaid; it is empty where nothing was ever signed.
	Reason policy.Reason
}

// Refusal says that nothing moved and nothing will move under what is stored.
type Refusal struct {
	Reason policy.Reason
	Err    error
}

// Error implements error.
func (r *Refusal) Error() string {
	if r.Err == nil {
		return "not paid: " + string(r.Reason)
	}
	return fmt.Sprintf("not paid: %s: %v", r.Reason, r.Err)
}

// Unwrap returns the cause.
func (r *Refusal) Unwrap() error { return r.Err }

func refuse(reason policy.Reason, format string, args ...any) *Refusal {
	return &Refusal{Reason: reason, Err: fmt.Errorf(format, args...)}
}

// SPDX-License-Identifier: Apache-2.0

package payments

import (
	"fmt"
	"time"

	"github.com/agentd-project/agentd/payments/evm"
	"github.com/agentd-project/agentd/policy"
)

// A lost answer and a crash leave one question: did the value move? Each rail has
// a table of the worlds that may be, and the table decides: [Rail.Check] finds
// out which of them holds, and the row says what is known. The tables are shown in
// docs/explanation/recovery.md, which a test keeps equal.

// fact is what was found out about a payment. Where nobody could be asked there
// is none, and the outcome is [Unknown].
type fact string

// The facts.
const (
	factNothing   fact = "nothing"
	factOpen      fact = "open"
	factDone      fact = "done"
	factReverted  fact = "reverted"
	factCancelled fact = "cancelled"
	factAllowance fact = "allowance"
	factUnused    fact = "unused"
	factExpired   fact = "expired"
	factUsedEarly fact = "used_early"
	factUsed      fact = "used"
	factVoided    fact = "voided"
	factDead      fact = "dead"
)

// World is one row of a rail's table.
type World struct {
	fact fact
	// Disk is what is stored, Asked what the chain is asked and Answer what it says.
	Disk, Asked, Answer string
	// Status and Reason are what is known then.
	Status Status
	Reason policy.Reason
	// Follows is what is done about it.
	Follows string
}

const (
	diskNothing = "no attempt, or only ones that are proven dead"
	diskSigned  = "signed bytes"
	askReceipt  = "the receipt and the final head; without a receipt, which transaction took the nonce"
	askNonce    = "`authorizationState` as of a head at or above the final block"
	askEvent    = "the event `AuthorizationUsed` or `AuthorizationCanceled`"
)

// transferWorlds are those of the rails wallet and wdk-usdt-transfer, and of the
// escrow rails where the escrow takes plain transfers.
var transferWorlds = []World{
	{factNothing, diskNothing, "", "", NotPaid, "", "pay, or end without having paid"},
	{factOpen, diskSigned, askReceipt, "no receipt, or one in a block that is not final", NotYet, "",
		"send the same bytes again, replace them only under their nonce, ask again"},
	{factDone, diskSigned, askReceipt, "a receipt with the `Transfer` in a final block", Paid, "", "hand over the proof, settle"},
	{factReverted, diskSigned, askReceipt, "a failed receipt in a final block", NotPaid, policy.ReasonTransferReverted, "end without having paid"},
	{factCancelled, diskSigned, askReceipt, "a final block holds our own cancellation under the nonce", NotPaid, policy.ReasonCancelled,
		"end without having paid"},
}

// lockWorlds are those of the escrow rails where a contract locks the value.
var lockWorlds = []World{
	{factNothing, diskNothing, "", "", NotPaid, "", "approve and lock, or end without having paid"},
	{factAllowance, "an approval, no lock or one that failed", "the allowance", "the contract may still take the amount", NotYet, "",
		"lock, or take the allowance back before the end is told"},
	{factOpen, "an approval and a lock", askReceipt, "no receipt, or one in a block that is not final", NotYet, "",
		"send the same bytes again, replace them only under their nonce, ask again"},
	{factDone, "an approval and a lock", askReceipt, "a receipt with `Locked` of the order and the `Transfer` in a final block", Paid, "",
		"hand over the lock, settle"},
	{factReverted, "an approval and a lock", askReceipt + "; the allowance", "a failed receipt in a final block, and no allowance", NotPaid,
		policy.ReasonTransferReverted, "end without having paid"},
	{factCancelled, "an approval and a lock", askReceipt + "; the allowance", "a final block holds our own cancellation, and no allowance", NotPaid,
		policy.ReasonCancelled, "end without having paid"},
}

// x402Worlds are those of the rail x402. Only the seller can settle, so nothing
// is sent again: whoever has the header may use it until it is dead.
var x402Worlds = []World{
	{factNothing, "no authorisation", "", "", NotPaid, "", "sign, or end without having paid"},
	{factUnused, "a signed authorisation", askNonce, "unused, and the final block's time is before `validBefore`", NotYet, "",
		"the amount stays reserved; present the same header again, ask again"},
	{factUsedEarly, "a signed authorisation", askNonce + "; " + askEvent, "used or cancelled in a block that is not final", NotYet, "",
		"the amount stays reserved; ask again"},
	{factUsed, "a signed authorisation", askNonce + "; " + askEvent, "used in a final block", Paid, "", "settle"},
	{factVoided, "a signed authorisation", askNonce + "; " + askEvent, "cancelled in a final block", NotPaid, policy.ReasonAuthorizationUnused,
		"recorded as dead; end without having paid: its nonce can no longer pay"},
	{factExpired, "a signed authorisation", askNonce, "unused, and the final block's time has reached `validBefore`", NotPaid,
		policy.ReasonAuthorizationUnused, "recorded as dead; sign again under the same nonce, token and payer, or end without having paid"},
	{factDead, "an authorisation that is recorded as dead", "", "", NotPaid, policy.ReasonAuthorizationUnused,
		"sign again under the same nonce, token and payer, or end without having paid"},
}

// freeWorlds are those of the rail not-required.
var freeWorlds = []World{
	{factNothing, "nothing is ever signed", "", "", NotPaid, "", "go on with the order"},
}

// CustodyWorld is one row of the table that says where value is that was paid.
type CustodyWorld struct {
	fact fact
	// Paid says how it was paid, Asked what the chain is asked and Answer what it says.
	Paid, Asked, Answer string
	// State is where the value is then.
	State CustodyState
	// Follows is what is done about it.
	Follows string
}

// The facts about value that was paid.
const (
	factGone     fact = "gone"
	factBack     fact = "back"
	factLocked   fact = "locked"
	factReleased fact = "released"
	factRefunded fact = "refunded"
)

const (
	paidAway  = "transfer, x402, plain escrow"
	paidLock  = "lock in a contract"
	askReturn = "`Transfer` of exactly the amount, from who received it to us, in final blocks from the payment on"
	askEnd    = "the events `Released` and `Refunded` of the order in final blocks"
)

var custodyWorlds = []CustodyWorld{
	{factGone, paidAway, askReturn, "none that is not another purchase's refund", CustodyPaid, "it counts as spent; in a dispute: wait"},
	{factBack, paidAway, askReturn, "one", CustodyReturned, "the budget comes back, with the transfer's name, which counts once"},
	{factLocked, paidLock, askEnd, "neither", CustodyLocked, "release after the confirmation; take it back once its time has come"},
	{factReleased, paidLock, askEnd, "`Released`", CustodyReleased, "tell the Market, settle"},
	{factRefunded, paidLock, askEnd + "; the `Transfer` in that transaction", "`Refunded`, and the `Transfer` of exactly the amount to us", CustodyReturned,
		"the budget comes back"},
}

// custodyOf returns what the table says of a fact.
func custodyOf(found fact) Custody {
	for _, w := range custodyWorlds {
		if w.fact == found {
			return Custody{State: w.State}
		}
	}
	panic(fmt.Sprintf("payments: no world is %q", found)) // see outcomeIn
}

// at adds the transfer or transaction that shows it.
func (c Custody) at(ref string, at time.Time, block uint64) Custody {
	c.Ref, c.At, c.Block = ref, at, block
	return c
}

// outcomeIn returns what a rail's table says of a fact.
func outcomeIn(worlds []World, found fact) Outcome {
	for _, w := range worlds {
		if w.fact == found {
			return Outcome{Status: w.Status, Reason: w.Reason}
		}
	}
	panic(fmt.Sprintf("payments: no world is %q", found)) // a test asks every rail for every fact it can find
}

// shown adds the transaction that shows it.
func (o Outcome) shown(ref string, at time.Time, block uint64) Outcome {
	o.Ref, o.At, o.Block = ref, at, block
	return o
}

// factOf says what a look at the chain found out about a transaction.
func factOf(s evm.Standing) fact {
	switch s {
	case evm.StandingNone:
		return factNothing
	case evm.StandingDone:
		return factDone
	case evm.StandingReverted:
		return factReverted
	case evm.StandingCancelled:
		return factCancelled
	default:
		return factOpen
	}
}

// ofTransaction returns what a table says of a transaction.
func ofTransaction(worlds []World, found fact, r evm.Receipt) Outcome {
	o := outcomeIn(worlds, found)
	if o.Status == Paid {
		o = o.shown(r.Tx.Hex(), r.At, r.Block)
	}
	return o
}

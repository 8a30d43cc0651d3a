// SPDX-License-Identifier: Apache-2.0

package market

// State is where a purchase stands; it is stored, shown and used as a metric
// label, so the values never change their spelling.
type State string

// The states of a purchase. The first group moves on by itself, the second
// waits for somebody else, the third is final.
const (
	Planned   State = "planned"
	Quoted    State = "quoted"
	Reserved  State = "reserved"
	Ordered   State = "ordered"
	Intended  State = "intended"
	Paying    State = "paying"
	Paid      State = "paid"
	Proven    State = "proven"
	Executing State = "executing"
	Delivered State = "delivered"
	Rejecting State = "rejecting"
	Confirmed State = "confirmed"
	// Reclaiming is a lock whose time has passed without a usable delivery.
	Reclaiming State = "reclaiming"

	AwaitingApproval State = "awaiting_approval"
	HandedOff        State = "handed_off"
	NeedsOperator    State = "needs_operator"
	Disputed         State = "disputed"

	Settled   State = "settled"
	NoMatch   State = "no_match"
	Denied    State = "denied"
	Rejected  State = "rejected"
	Cancelled State = "cancelled"
	Failed    State = "failed"
	Refunded  State = "refunded"
)

// Kind says who moves a purchase on.
type Kind uint8

// The kinds of state.
const (
	// Active states are worked on by the engine until they are left.
	Active Kind = iota + 1
	// Waiting states stand until a person, the Market or the chain speaks; the
	// engine looks again now and then where there is an action.
	Waiting
	// Final states are never left.
	Final
)

// Kind returns who moves a purchase on from s.
func (s State) Kind() Kind {
	switch s {
	case AwaitingApproval, HandedOff, NeedsOperator, Disputed:
		return Waiting
	case Settled, NoMatch, Denied, Rejected, Cancelled, Failed, Refunded:
		return Final
	default:
		return Active
	}
}

// Event is what happened in a state; with the state it decides the next one.
type Event string

// The events of a purchase.
const (
	EventMatched    Event = "matched"     // a quote fits the need and the policy
	EventNoMatch    Event = "no_match"    // nothing is offered
	EventDenied     Event = "denied"      // the local policy refused
	EventRefused    Event = "refused"     // the Market refused, or its terms changed on the way
	EventAsk        Event = "ask"         // the policy wants a person's word first
	EventApproved   Event = "approved"    // a person agreed
	EventRequote    Event = "requote"     // the quote is too old: search again
	EventReserved   Event = "reserved"    // the budget is taken, in one commit with the check
	EventOrdered    Event = "ordered"     // the Market holds the order
	EventOrderAgain Event = "order_again" // no order appeared in the list: it may be made again
	EventFree       Event = "free"        // nothing is due
	EventIntended   Event = "intended"    // the terms are complete, compared and granted
	EventPay        Event = "pay"         // about to move value
	EventPaid       Event = "paid"        // the chain shows the transfer, final
	EventProven     Event = "proven"      // the Market holds the evidence
	EventExecute    Event = "execute"     // about to execute
	EventDelivered  Event = "delivered"   // the provider answered
	EventHandedOff  Event = "handed_off"  // the provider wants a person elsewhere
	EventRanFailed  Event = "run_failed"  // the provider failed
	EventUnusable   Event = "unusable"    // the result is not what the need accepts
	EventConfirmed  Event = "confirmed"   // the Market has our confirmation
	EventDisputed   Event = "disputed"    // the Market has our dispute
	EventAccounted  Event = "accounted"   // the ledger has the value; the dispute goes on
	EventSettled    Event = "settled"     // value and ledger agree: over
	EventRefunded   Event = "refunded"    // the value came back
	EventRenew      Event = "renew"       // the authorisation died unused: it may be signed again
	EventExpired    Event = "expired"     // the lock's time has passed: take the value back
	EventHold       Event = "hold"        // only a person can go on
	EventReference  Event = "reference"   // a person paid by other means and says how
	EventDeadline   Event = "deadline"    // unpaid and out of time
	EventCancel     Event = "cancel"      // a person gave it up, unpaid
	EventUnpaid     Event = "unpaid"      // proven that no value moved and none will
	EventStillHeld  Event = "still_held"  // resolved by a person: take up the confirmation
	EventStillWrong Event = "still_wrong" // resolved by a person: take up the dispute
)

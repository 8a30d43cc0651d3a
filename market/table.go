// SPDX-License-Identifier: Apache-2.0

package market

import "context"

// action does the work of one state. It may change the purchase's document; the
// engine then stores document and next state in one commit. An error leaves the
// purchase where it is.
type action func(m *Market, ctx context.Context, p *purchase) (step, error)

// Row is one line of the purchase table.
type Row struct {
	State State
	// Unpaid says that no value can have moved: such a purchase may be
	// cancelled at its deadline.
	Unpaid bool
	// Doing describes the action in a few words, for the diagram.
	Doing string
	// act is the work; recover takes its place after a restart or an answer that
	// was lost, and asks what happened before it acts. A state without a recover
	// action has one whose repetition is harmless.
	act, recover action
	Edges        map[Event]State
}

// Table is the purchase: states, events and edges in one place. The diagram in
// docs/explanation/purchase.md is generated from it.
func Table() []Row {
	return []Row{
		{State: Planned, Unpaid: true, Doing: "search and choose", act: (*Market).search,
			Edges: map[Event]State{EventMatched: Quoted, EventNoMatch: NoMatch, EventDenied: Denied, EventRefused: Rejected,
				EventAsk: AwaitingApproval, EventDeadline: Cancelled, EventCancel: Cancelled}},
		{State: Quoted, Unpaid: true, Doing: "check input and balances, reserve", act: (*Market).reserveBudget,
			Edges: map[Event]State{EventReserved: Reserved, EventRequote: Planned, EventDenied: Denied, EventRefused: Rejected,
				EventAsk: AwaitingApproval, EventDeadline: Cancelled, EventCancel: Cancelled}},
		{State: AwaitingApproval, Unpaid: true, Doing: "wait for a person", act: (*Market).awaitApproval,
			Edges: map[Event]State{EventApproved: Planned, EventDenied: Denied, EventCancel: Cancelled}},
		{State: Reserved, Unpaid: true, Doing: "create the order", act: (*Market).createOrder, recover: (*Market).findOrder,
			Edges: map[Event]State{EventOrdered: Ordered, EventOrderAgain: Reserved, EventRequote: Planned, EventRefused: Rejected, EventHold: NeedsOperator,
				EventDeadline: Cancelled, EventCancel: Cancelled}},
		{State: Ordered, Unpaid: true, Doing: "intent, compare terms, grant", act: (*Market).intend,
			Edges: map[Event]State{EventFree: Executing, EventIntended: Intended, EventDenied: Denied, EventRefused: Rejected,
				EventAsk: AwaitingApproval, EventHold: NeedsOperator, EventDeadline: Cancelled, EventCancel: Cancelled}},
		{State: Intended, Unpaid: true, Doing: "last look before paying", act: (*Market).beforePaying,
			Edges: map[Event]State{EventPay: Paying, EventDenied: Denied, EventHold: NeedsOperator, EventDeadline: Cancelled, EventCancel: Cancelled}},
		{State: Paying, Doing: "move value", act: (*Market).pay,
			Edges: map[Event]State{EventPaid: Paid, EventProven: Proven, EventUnpaid: Failed, EventRenew: Ordered, EventHold: NeedsOperator}},
		{State: Paid, Doing: "hand the proof or the lock over", act: (*Market).prove, recover: (*Market).findProof,
			Edges: map[Event]State{EventProven: Proven, EventExpired: Reclaiming, EventHold: NeedsOperator}},
		{State: Proven, Doing: "get ready to execute", act: (*Market).beforeExecuting,
			Edges: map[Event]State{EventExecute: Executing}},
		{State: Executing, Doing: "execute", act: (*Market).execute, recover: (*Market).findExecution,
			Edges: map[Event]State{EventDelivered: Delivered, EventHandedOff: HandedOff, EventRanFailed: Rejecting, EventUnpaid: Failed, EventHold: NeedsOperator,
				EventConfirmed: Confirmed, EventDisputed: Disputed, EventDeadline: Cancelled, EventRenew: Ordered, EventExpired: Reclaiming}},
		{State: Delivered, Doing: "accept, deliver, confirm", act: (*Market).accept, recover: (*Market).findConfirmation,
			Edges: map[Event]State{EventConfirmed: Confirmed, EventDisputed: Disputed, EventUnusable: Rejecting, EventHold: NeedsOperator}},
		{State: Rejecting, Doing: "dispute with evidence", act: (*Market).dispute, recover: (*Market).findDispute,
			Edges: map[Event]State{EventDisputed: Disputed, EventConfirmed: Confirmed, EventUnpaid: Failed, EventExpired: Reclaiming, EventHold: NeedsOperator}},
		{State: Confirmed, Doing: "release and settle", act: (*Market).settle,
			Edges: map[Event]State{EventSettled: Settled, EventAccounted: Confirmed, EventRefunded: Refunded}},
		{State: Reclaiming, Doing: "take back what is locked", act: (*Market).reclaim,
			Edges: map[Event]State{EventAccounted: Reclaiming, EventSettled: Settled, EventRefunded: Refunded, EventUnpaid: Failed}},
		{State: HandedOff, Doing: "wait for a person",
			Edges: map[Event]State{EventStillHeld: Delivered, EventStillWrong: Rejecting, EventExpired: Reclaiming}},
		{State: NeedsOperator, Doing: "wait for a person",
			Edges: map[Event]State{EventStillHeld: Delivered, EventStillWrong: Rejecting, EventReference: Paid, EventCancel: Cancelled, EventExpired: Reclaiming}},
		{State: Disputed, Doing: "follow the payment", act: (*Market).followDispute,
			Edges: map[Event]State{EventAccounted: Disputed, EventSettled: Settled, EventRefunded: Refunded, EventUnpaid: Failed, EventExpired: Reclaiming}},
		{State: Settled},
		{State: NoMatch},
		{State: Denied},
		{State: Rejected},
		{State: Cancelled},
		{State: Failed},
		{State: Refunded},
	}
}

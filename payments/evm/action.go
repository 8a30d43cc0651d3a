// SPDX-License-Identifier: Apache-2.0

package evm

import "fmt"

// Action says what to do about an error of an endpoint. [Classify] is the only
// place that looks at such errors, and what an action does stands in one table.
type Action int

// The actions.
const (
	// ActionNone is for no error.
	ActionNone Action = iota
	// ActionFailover asks the next endpoint: this one does not work.
	ActionFailover
	// ActionLeave stops and changes nothing: our own context ended.
	ActionLeave
	// ActionAskReceipt looks for the receipt of our hash: the chain knows the
	// transaction or another one with its nonce.
	ActionAskReceipt
	// ActionWaitFee keeps the signed bytes and tries later: their fee is too low now.
	ActionWaitFee
	// ActionFund keeps the signed bytes and tries later: the account lacks coin.
	ActionFund
	// ActionReverted means that the call reverts on the state as it is.
	ActionReverted
	// ActionAbsent means that the thing asked for is not known to this endpoint (yet).
	ActionAbsent
	// ActionSplit asks for less: the answer would be too large.
	ActionSplit
	// ActionReport is for everything else: the endpoint understood and refused.
	ActionReport
	actionEnd
)

// reaction is what an action makes the rest of the package do.
type reaction struct {
	name string
	// text says it in a sentence, for the documentation.
	text string
	// next asks the next endpoint, and looks again more slowly where none is left.
	next bool
	// known takes a broadcast as done, since the chain has the bytes or another
	// transaction under their nonce; which of them the receipts must tell.
	known bool
	// refused counts a broadcast as refused: the bytes stay and are sent again.
	refused bool
	// proof is what a trial before anything is signed ends with: nothing was done.
	proof error
}

// reactions is the table of what follows from an error. A test wants an entry for
// every action and drives each through [Sender.Send].
var reactions = [...]reaction{
	ActionNone:       {name: "none", text: "goes on"},
	ActionFailover:   {name: "failover", text: "asks the next endpoint; where none is left, looks again every 5 s", next: true},
	ActionLeave:      {name: "leave", text: "stops at once; what is stored stays as it is"},
	ActionAskReceipt: {name: "ask_receipt", text: "counts the bytes as sent, looks for their receipts, and for a final block with another transaction under the nonce", known: true},
	ActionWaitFee:    {name: "wait_fee", text: "sends the same bytes again later, and replaces them by dearer ones when they have waited long enough", refused: true},
	ActionFund:       {name: "fund", text: "sends the same bytes again later; before anything is signed it refuses for want of gas", refused: true, proof: ErrGasBalance},
	ActionReverted:   {name: "reverted", text: "before anything is signed it refuses; afterwards the same bytes are sent again until a final block decides", refused: true, proof: ErrReverted},
	ActionAbsent:     {name: "absent", text: "takes it as not known yet, never as proof of anything, and looks again", refused: true},
	ActionSplit:      {name: "split", text: "asks for half as many blocks", refused: true},
	ActionReport:     {name: "report", text: "before anything is signed it fails with the error; afterwards the same bytes are sent again", refused: true},
}

// Actions returns every action, a closed set.
func Actions() []Action {
	all := make([]Action, 0, actionEnd)
	for a := ActionNone; a < actionEnd; a++ {
		all = append(all, a)
	}
	return all
}

func (a Action) reaction() reaction {
	if a < 0 || int(a) >= len(reactions) {
		return reactions[ActionReport]
	}
	return reactions[a]
}

// String returns the action's name.
func (a Action) String() string {
	if a < 0 || a >= actionEnd || int(a) >= len(reactions) {
		return fmt.Sprintf("action(%d)", int(a))
	}
	return reactions[a].name
}

// Text says in half a sentence what the sender does.
func (a Action) Text() string { return a.reaction().text }

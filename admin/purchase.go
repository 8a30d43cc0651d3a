// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"encoding/json"
	"time"

	"github.com/agentd-project/agentd/money"
)

// Purchase is one purchase. List answers leave History out.
type Purchase struct {
	ID   string `json:"id"`
	Need string `json:"need"`
	// State is the state's name in the purchase table.
	State string `json:"state"`
	// Final says that the state never changes again. Settled says that the
	// purchase succeeded and its money is accounted for.
	Final   bool `json:"final"`
	Settled bool `json:"settled"`
	// Waiting says that nothing goes on until a person decides; Unknown that
	// money is out whose fate the chain has not settled yet.
	Waiting bool `json:"waiting,omitempty"`
	Unknown bool `json:"unknown,omitempty"`
	// HandedOff says that the provider takes the order on elsewhere, and
	// HandoffURL where.
	HandedOff  bool   `json:"handedOff,omitempty"`
	HandoffURL string `json:"handoffUrl,omitempty"`
	// Reason is a code of the closed set, with its sentence and what to do next;
	// empty while all is well.
	Reason     string `json:"reason,omitempty"`
	ReasonText string `json:"reasonText,omitempty"`
	Next       string `json:"next,omitempty"`

	Rail     string `json:"rail,omitempty"`
	Service  string `json:"service,omitempty"`
	Provider string `json:"provider,omitempty"`
	OrderID  string `json:"orderId,omitempty"`
	// Price is in Currency, rounded up to a millionth; Amount is what is paid in
	// units of Token on Chain to Payee.
	Price    money.Value `json:"price"`
	Currency string      `json:"currency,omitempty"`
	Amount   string      `json:"amount,omitempty"`
	Token    string      `json:"token,omitempty"`
	Chain    string      `json:"chain,omitempty"`
	Payee    string      `json:"payee,omitempty"`
	// Reference is the transaction's hash, the authorisation's nonce, or what
	// the operator recorded.
	Reference string `json:"reference,omitempty"`

	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
	// Deadline ends an unpaid purchase.
	Deadline time.Time `json:"deadline,omitzero"`
	// ResultFile is where the accepted result was delivered; HasResult says
	// that it can be read.
	ResultFile string `json:"resultFile,omitempty"`
	HasResult  bool   `json:"hasResult,omitempty"`

	History []Event `json:"history,omitempty"`
	// Quotes are the quotes of the last search, why each fell out.
	Quotes []Quote `json:"quotes,omitempty"`
}

// Event is one entry of a purchase's history.
type Event struct {
	At     time.Time `json:"at"`
	Kind   string    `json:"kind,omitempty"`
	From   string    `json:"from,omitempty"`
	To     string    `json:"to,omitempty"`
	Event  string    `json:"event,omitempty"`
	Reason string    `json:"reason,omitempty"`
	Detail string    `json:"detail,omitempty"`
}

// PurchaseQuery selects purchases.
type PurchaseQuery struct {
	// Open leaves out what is final.
	Open bool `json:"open,omitempty"`
	// Need leaves out the other needs; empty takes all.
	Need string `json:"need,omitempty"`
	// Limit is the largest number of answers, 1 to 1000; 0 is 50.
	Limit int `json:"limit,omitempty"`
}

// BuyRequest asks for one purchase of a need.
type BuyRequest struct {
	Need string `json:"need"`
	// Input replaces the need's input if it is not empty; a JSON object.
	Input json.RawMessage `json:"input,omitempty"`
	// MaxPrice lowers the need's highest price; it never raises it.
	MaxPrice *money.Value `json:"maxPrice,omitempty"`
}

// Action is what [Resolution] does.
type Action string

// The resolutions.
const (
	// ActionConfirm says that the thing was delivered.
	ActionConfirm Action = "confirm"
	// ActionDispute opens a dispute with Text as its reason.
	ActionDispute Action = "dispute"
	// ActionReference records Text as the reference of a payment that a person made.
	ActionReference Action = "reference"
	// ActionCancelTransaction puts a transaction to ourselves in the place of the
	// purchase's payment that no block holds yet. The purchase is unpaid only once a
	// final block holds it.
	ActionCancelTransaction Action = "cancel-transaction"
)

// Resolution ends what a person had to look at.
type Resolution struct {
	Action Action `json:"action"`
	// Text is the dispute's reason or the payment's reference.
	Text string `json:"text,omitempty"`
}

// Explanation says what a purchase of a need would do now.
type Explanation struct {
	Need string `json:"need"`
	// Currency is the policy's.
	Currency string `json:"currency"`
	// Quotes are ranked; those that fell out come last.
	Quotes []Quote `json:"quotes"`
	// Chosen is the index of the quote that would be bought, -1 if none.
	Chosen int `json:"chosen"`
	// Reason says why none is chosen; empty if one is.
	Reason string `json:"reason,omitempty"`
	Text   string `json:"text,omitempty"`
}

// Quote is one offer and what the guard says to it.
type Quote struct {
	ID       string `json:"id,omitempty"`
	Service  string `json:"service"`
	Provider string `json:"provider"`
	Rail     string `json:"rail"`
	Chain    string `json:"chain,omitempty"`
	Token    string `json:"token,omitempty"`
	Payee    string `json:"payee,omitempty"`
	// Price is the decimal text of the quote with its currency; empty if unknown.
	Price    string    `json:"price,omitempty"`
	Currency string    `json:"currency,omitempty"`
	Score    string    `json:"score,omitempty"`
	Expires  time.Time `json:"expires,omitzero"`
	// Reason is allowed, or the code that says why not.
	Reason string `json:"reason"`
	Text   string `json:"text,omitempty"`
}

// SPDX-License-Identifier: Apache-2.0

package market

import (
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/orchestration"
	"github.com/agentd-project/agentd/policy"
)

// terms are what a purchase is about to pay. They may go from absent to set
// until the purchase is intended; a set term never changes.
type terms struct {
	Service     string         `json:"service"`
	Skill       string         `json:"skill"`
	Provider    string         `json:"provider"`
	ServiceType string         `json:"service_type,omitempty"`
	Operation   string         `json:"operation"`
	Native      bool           `json:"native"`
	Rail        string         `json:"rail"`
	Chain       money.ChainID  `json:"chain,omitempty"`
	Token       common.Address `json:"token,omitzero"`
	Symbol      string         `json:"symbol,omitempty"`
	Decimals    uint8          `json:"decimals,omitempty"`
	Payee       common.Address `json:"payee,omitzero"`
	// Escrow receives the value in the payee's stead. With Lock it is a contract,
	// which keeps the value under Order until it is released or, from RefundFrom
	// on, taken back.
	Escrow     common.Address `json:"escrow,omitzero"`
	Lock       bool           `json:"lock,omitempty"`
	Order      common.Hash    `json:"escrow_order,omitzero"`
	RefundFrom time.Time      `json:"refund_from,omitzero"`
	Currency   string         `json:"currency,omitempty"`
	// Price is the quoted value; Priced says that the quote named one.
	Price  money.Value `json:"price"`
	Priced bool        `json:"priced"`
	// PriceText is the quote's own number, sent back as the order's budget.
	PriceText string `json:"price_text,omitempty"`
	// Amount is the exact number of base units; it is set with the intent at the
	// latest.
	Amount money.Amount `json:"amount"`
}

func (t terms) free() bool     { return t.Rail == policy.RailNotRequired }
func (t terms) x402() bool     { return t.Rail == policy.RailX402 }
func (t terms) hasToken() bool { return t.Token != common.Address{} }
func (t terms) hasPayee() bool { return t.Payee != common.Address{} }

// receiver is the account that the value goes to.
func (t terms) receiver() common.Address { return orDefault(t.Escrow, t.Payee) }

// document is what a purchase remembers, stored as JSON with every transition.
// It holds no credential: an x402 header stays in the ledger's attempts.
type document struct {
	Need  Need        `json:"need"`
	Terms terms       `json:"terms"`
	Offer []Explained `json:"offers,omitempty"`
	// Searches counts the searches, so that a Market whose quotes are always too
	// old does not keep us busy.
	Searches    int       `json:"searches,omitempty"`
	QuoteExpiry time.Time `json:"quote_expiry,omitzero"`
	// OrderSent is when an order was last about to be created: from then on one
	// may exist.
	OrderSent  time.Time `json:"order_sent,omitzero"`
	Duplicates []string  `json:"duplicate_orders,omitempty"`
	// Due is what the order says about paying, from which the intent is asked.
	Due orchestration.PaymentTerms `json:"due"`
	// Committed is set before the first byte that could move value leaves; until
	// then a purchase may be given up.
	Committed bool `json:"committed,omitempty"`
	// Challenge is the payment's rail metadata as received, where the x402
	// challenge lives.
	Challenge json.RawMessage `json:"challenge,omitempty"`
	TxHash    string          `json:"tx_hash,omitempty"`
	// Reference is the operator's own reference of a payment made elsewhere.
	Reference string          `json:"reference,omitempty"`
	Result    json.RawMessage `json:"result,omitempty"`
	ResultErr string          `json:"result_error,omitempty"`
	// Handoff is where a person has to go on.
	Handoff json.RawMessage `json:"handoff,omitempty"`
	// Approved is what a person agreed to, by its hash; a later quote must be
	// the same or cheaper.
	Approved *Shown `json:"approved,omitempty"`
	// Asked is when a person was asked, since waiting stops the deadline.
	Asked time.Time `json:"asked,omitzero"`
	// Word is an operator's decision to confirm without a check of the result.
	Word string `json:"word,omitempty"`
	// Refetched says that a delivered order without a result was executed once
	// more.
	Refetched bool `json:"refetched,omitempty"`
	// Accounted says that value and ledger agree already.
	Accounted bool `json:"accounted,omitempty"`
	// PaymentStatus is what the Market last said of the payment.
	PaymentStatus string `json:"payment_status,omitempty"`
	// Renewals counts the authorisations that died unused and were signed again.
	Renewals int `json:"renewals,omitempty"`
	// ReturnRef is the transaction by which the value came back.
	ReturnRef string `json:"return_ref,omitempty"`
	// Spent is what the chain showed.
	SpentRef string    `json:"spent_ref,omitempty"`
	SpentAt  time.Time `json:"spent_at,omitzero"`
}

// clipped shortens the names of terms that were refused; those that are acted on
// are short.
func (t terms) clipped() terms {
	for _, name := range []*string{&t.Service, &t.Skill, &t.Provider, &t.ServiceType, &t.Operation, &t.Rail, &t.Currency, &t.PriceText} {
		*name = clip(*name, maxName)
	}
	return t
}

// Shown is what an approval is about; its hash binds the approval to it.
type Shown struct {
	Service  string         `json:"service"`
	Provider string         `json:"provider"`
	Rail     string         `json:"rail"`
	Chain    money.ChainID  `json:"chain,omitempty"`
	Token    common.Address `json:"token,omitzero"`
	Payee    common.Address `json:"payee,omitzero"`
	Price    money.Value    `json:"price"`
	Currency string         `json:"currency,omitempty"`
}

func (t terms) shown() Shown {
	return Shown{Service: t.Service, Provider: t.Provider, Rail: t.Rail, Chain: t.Chain, Token: t.Token,
		Payee: t.Payee, Price: t.Price, Currency: t.Currency}
}

// covers says whether an approval of s is good for t: the same service, payee
// and token at a price not higher. What one of the two does not know yet is
// compared when it is known, by intend at the latest.
func (s Shown) covers(t terms) bool {
	unset := common.Address{}
	return s.Service == t.Service && s.Provider == t.Provider && policy.SameRail(s.Rail, t.Rail) && t.Price <= s.Price &&
		(s.Payee == unset || t.Payee == unset || s.Payee == t.Payee) && (s.Token == unset || t.Token == unset || s.Token == t.Token)
}

// purchase is one purchase in memory: the ledger's record and its document.
type purchase struct {
	ledger.Purchase
	doc document
	// resumed is true until the first step after a start or a lost answer: the
	// state's recover action runs instead of its ordinary one.
	resumed bool
	// loaded says that an earlier process made the purchase.
	loaded bool
	// trouble is what the last unsuccessful step said, for status.
	trouble error
	wake    chan struct{}
	// mu is held while the purchase is worked on or decided about.
	mu sync.Mutex
}

func load(record ledger.Purchase) (*purchase, error) {
	p := &purchase{Purchase: record, resumed: true, wake: make(chan struct{}, 1)}
	if err := json.Unmarshal(record.Doc, &p.doc); err != nil {
		return nil, fmt.Errorf("purchase %s: stored document: %w", record.ID, err)
	}
	return p, nil
}

func (p *purchase) state() State { return State(p.State) }

// step is what an action concluded.
type step struct {
	event  Event
	reason policy.Reason
	detail string
	// committed says that the action stored the move itself, with money.
	committed *ledger.Move
}

// move prepares the transition that an event makes: a copy of the record in its
// next state, with the document as it is now. Nothing changes in p until the
// copy is on disk and adopted.
func (p *purchase) move(row Row, s step) (*ledger.Move, error) {
	next, known := row.Edges[s.event]
	if !known {
		return nil, fmt.Errorf("purchase %s: no edge for %q from %q", p.ID, s.event, p.State)
	}
	doc, err := json.Marshal(&p.doc)
	if err != nil {
		return nil, fmt.Errorf("purchase %s: document: %w", p.ID, err)
	}
	record := p.Purchase
	record.State, record.Final, record.Reason, record.Doc = string(next), next.Kind() == Final, s.reason, doc
	record.Rail, record.Value = p.doc.Terms.Rail, p.doc.Terms.Price
	return &ledger.Move{Purchase: &record, From: p.State, Event: string(s.event), Detail: clip(s.detail, maxDetail)}, nil
}

func (p *purchase) adopt(mv *ledger.Move) {
	p.Purchase = *mv.Purchase
	p.resumed = false
	p.trouble = nil
}

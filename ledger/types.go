// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
)

// The branch points of this package's errors.
var (
	// ErrNotFound says that there is no such purchase, reservation, attempt or approval.
	ErrNotFound = errors.New("not in the ledger")
	// ErrExists says that a purchase with this id was created before.
	ErrExists = errors.New("already in the ledger")
	// ErrStale says that a purchase is no longer in the state that a move starts from.
	ErrStale = errors.New("purchase has moved on")
	// ErrConflict says that something else is already recorded in this place:
	// other terms, another reference, other signed bytes.
	ErrConflict = errors.New("contradicts what is recorded")
	// ErrClosed says that a reservation is no longer open.
	ErrClosed = errors.New("reservation is closed")
	// ErrExpired says that an approval's time had passed.
	ErrExpired = errors.New("approval has expired")
	// ErrNewerSchema says that the file was written by a newer program.
	ErrNewerSchema = errors.New("ledger was written by a newer version")
	// ErrCorrupt says that the database file failed its integrity check.
	ErrCorrupt = errors.New("ledger file is damaged")
)

// Purchase is one purchase as it stands.
type Purchase struct {
	ID    policy.PurchaseID
	Need  string
	State string
	// Final says that nothing will happen to the purchase any more by itself.
	Final    bool
	Reason   policy.Reason
	Rail     string
	OrderID  string
	SearchID string
	QuoteID  string
	Value    money.Value
	// Created and Updated are set by the ledger where they are zero, Updated on
	// every move.
	Created  time.Time
	Updated  time.Time
	Deadline time.Time
	// Doc is the market's own document.
	Doc json.RawMessage
}

// Move is a transition of a purchase. Purchase is already in its new state; From
// is the state it comes from, and the move fails with [ErrStale] if the ledger has
// it in another. An empty From is not compared.
type Move struct {
	Purchase *Purchase
	From     string
	Event    string
	Detail   string
}

// Entry is one entry of the journal.
type Entry struct {
	Seq      int64
	At       time.Time
	Purchase policy.PurchaseID
	Kind     EntryKind
	From     string
	To       string
	Event    string
	Reason   policy.Reason
	Detail   string
	// Body is what the entry changed apart from the state, as JSON.
	Body json.RawMessage
	// Hash is the entry's link of the audit chain, in hexadecimal.
	Hash string
}

// EntryKind says what an entry of the journal records.
type EntryKind string

// The kinds of entry.
const (
	KindCreate   EntryKind = "create"
	KindMove     EntryKind = "move"
	KindReserve  EntryKind = "reserve"
	KindBind     EntryKind = "bind"
	KindSettle   EntryKind = "settle"
	KindRelease  EntryKind = "release"
	KindRefund   EntryKind = "refund"
	KindAttempt  EntryKind = "attempt"
	KindApproval EntryKind = "approval"
	KindPause    EntryKind = "pause"
	KindPayee    EntryKind = "payee"
	// KindAccept is a transfer that no purchase made and that the operator answers for.
	KindAccept EntryKind = "accept"
	// KindCheckpoint sums up what was compacted.
	KindCheckpoint EntryKind = "checkpoint"
)

// ListOptions narrows [Ledger.List].
type ListOptions struct {
	// Open leaves out what is final.
	Open bool
	// Need is the need's name; empty is all.
	Need string
	// Limit is the most that is returned; 0 means 100, and 1000 is the largest.
	Limit int
}

// Settlement is the proof that a purchase's value moved. A purchase that cost
// nothing is settled with a zero Value and without Chain and Ref.
type Settlement struct {
	Purchase policy.PurchaseID
	Value    money.Value
	Amount   money.Amount
	Chain    money.ChainID
	Token    common.Address
	// Payee is the receiver of the transfer: the payee, or the escrow that holds
	// the value for it.
	Payee common.Address
	// Ref is the transaction hash, or an operator's reference.
	Ref string
	// At is the chain time of the transfer.
	At   time.Time
	Rail string
	// Refunded says that the value came back later, RefundRef by which
	// transaction; set on reading only.
	Refunded  bool
	RefundRef string
}

// AttemptStatus says what became of signed bytes.
type AttemptStatus string

// The states of an attempt.
const (
	AttemptPrepared  AttemptStatus = "prepared"
	AttemptBroadcast AttemptStatus = "broadcast"
	AttemptMined     AttemptStatus = "mined"
	AttemptFailed    AttemptStatus = "failed"
	AttemptReplaced  AttemptStatus = "replaced"
	AttemptDead      AttemptStatus = "dead"
	AttemptFinal     AttemptStatus = "final"
)

// AttemptCancel is the kind of an attempt that takes an account nonce away from
// an attempt of any other kind of the same purchase.
const AttemptCancel = "cancel"

// Open says whether the fate of the attempt is still undecided.
func (s AttemptStatus) Open() bool {
	return s == AttemptPrepared || s == AttemptBroadcast || s == AttemptMined
}

// Attempt is one set of signed bytes that may move value.
type Attempt struct {
	Purchase policy.PurchaseID
	// Seq numbers the attempts of a purchase from 1; zero is given the next.
	Seq int
	// Kind is "transfer", "authorization", [AttemptCancel] or the like.
	Kind   string
	Chain  money.ChainID
	Signer common.Address
	// Nonce is a decimal account nonce, or the hexadecimal nonce of an authorisation.
	Nonce  string
	Hash   string
	Raw    []byte
	FeeCap money.Amount
	TipCap money.Amount
	Gas    uint64
	// ValidBefore is when an authorisation ends; zero for a transaction.
	ValidBefore time.Time
	Status      AttemptStatus
	// Ref is what the last status is known from, such as a receipt's block hash.
	Ref     string
	Created time.Time
	Updated time.Time
}

// Decision says what became of a request for approval.
type Decision string

// The decisions. Used is an approval that a reservation was made with.
const (
	DecisionPending  Decision = "pending"
	DecisionApproved Decision = "approved"
	DecisionDenied   Decision = "denied"
	DecisionExpired  Decision = "expired"
	DecisionUsed     Decision = "used"
)

// Approval is a question to a person about one purchase, and the answer.
type Approval struct {
	Purchase policy.PurchaseID
	// Hash binds the approval to what was shown.
	Hash string
	// Shown is what the person is shown.
	Shown   json.RawMessage
	Expires time.Time
	// Decision, Who, Requested and Decided are set by the ledger.
	Decision  Decision
	Who       string
	Requested time.Time
	Decided   time.Time
}

// Usage is how much of each limit is taken.
type Usage struct {
	// Spent holds settled + reserved per window asked for.
	Spent []money.Value
	// Lifetime is settled + reserved over all time.
	Lifetime money.Value
	// Reserved is the sum of the open reservations, Open their number.
	Reserved money.Value
	Open     int64
}

// Token names a token contract on a chain.
type Token struct {
	Chain   money.ChainID
	Address common.Address
}

// MarshalText writes the token as chain/address.
func (t Token) MarshalText() ([]byte, error) {
	return []byte(string(t.Chain) + "/" + t.Address.Hex()), nil
}

// UnmarshalText reads what MarshalText writes.
func (t *Token) UnmarshalText(text []byte) error {
	chain, address, ok := strings.Cut(string(text), "/")
	if !ok || !common.IsHexAddress(address) {
		return fmt.Errorf("%q is no token", text)
	}
	t.Chain, t.Address = money.ChainID(chain), common.HexToAddress(address)
	return nil
}

// Report is what [Ledger.Verify] found.
type Report struct {
	// Entries and Purchases are what is kept, Compacted is the number of purchases
	// of which a receipt is left.
	Entries   int64
	Purchases int64
	Compacted int64
	// Settled is what was paid per token and has not come back.
	Settled map[Token]money.Amount
	// Head is the hash of the last entry, in hexadecimal.
	Head string
	// Findings is empty if everything agrees.
	Findings []string
}

// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"errors"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
)

var errWip = errors.New("wip")

// Config is what a ledger is opened with.
type Config struct {
	// Path is the database file. Its directory is created with mode 0700 if it is missing.
	Path string
	// Now tells the time that entries are stamped with; nil means [time.Now].
	Now func() time.Time
	// Observe is told how long each commit took; nil means nobody is.
	Observe func(commit time.Duration)
}

// Ledger is an open ledger. It is safe for concurrent use.
type Ledger struct{}

// Open opens the ledger, and creates it if there is none.
func Open(ctx context.Context, cfg Config) (*Ledger, error) { return nil, errWip }

// Close closes the file; what was committed is durable without it.
func (l *Ledger) Close() error { return errWip }

// SetVerified says whether the ledger is believed to agree with the chain; while
// it is not, the guard refuses everything. It is true after [Open].
func (l *Ledger) SetVerified(ok bool) {}

// Create records a new purchase.
func (l *Ledger) Create(ctx context.Context, p *Purchase) error { return errWip }

// Advance records a transition.
func (l *Ledger) Advance(ctx context.Context, m Move) error { return errWip }

// Get returns a purchase, or [ErrNotFound].
func (l *Ledger) Get(ctx context.Context, id policy.PurchaseID) (*Purchase, error) {
	return nil, errWip
}

// OpenPurchases returns every purchase that is not final, the oldest first.
func (l *Ledger) OpenPurchases(ctx context.Context) ([]Purchase, error) { return nil, errWip }

// List returns purchases, the newest first.
func (l *Ledger) List(ctx context.Context, o ListOptions) ([]Purchase, error) { return nil, errWip }

// History returns the journal of one purchase.
func (l *Ledger) History(ctx context.Context, id policy.PurchaseID) ([]Entry, error) {
	return nil, errWip
}

// Reserve implements [policy.Store]; the request's Record is nil or a *[Move].
func (l *Ledger) Reserve(ctx context.Context, req policy.Request, q policy.Query, decide func(*policy.State) policy.Verdict) (policy.Verdict, error) {
	return policy.Verdict{}, errWip
}

// Bind implements [policy.Store]; record is nil or a *[Move].
func (l *Ledger) Bind(ctx context.Context, id policy.PurchaseID, t policy.Terms, value money.Value, q policy.Query, decide func(*policy.State) policy.Verdict, record any) (policy.Verdict, error) {
	return policy.Verdict{}, errWip
}

// Reservation returns the reservation of a purchase, or [ErrNotFound].
func (l *Ledger) Reservation(ctx context.Context, id policy.PurchaseID) (policy.Reservation, error) {
	return policy.Reservation{}, errWip
}

// State implements [policy.Store].
func (l *Ledger) State(ctx context.Context, q policy.Query) (*policy.State, error) {
	return nil, errWip
}

// Settle turns a reservation into spend; m may be nil. Settling again with the same reference changes nothing.
func (l *Ledger) Settle(ctx context.Context, s Settlement, m *Move) error { return errWip }

// Release ends a reservation of which nothing was or will be spent; m may be nil. Releasing again, or where nothing is reserved, changes nothing but the purchase.
func (l *Ledger) Release(ctx context.Context, id policy.PurchaseID, m *Move) error { return errWip }

// Refund takes back a settled or open reservation; m may be nil.
func (l *Ledger) Refund(ctx context.Context, id policy.PurchaseID, m *Move) error { return errWip }

// SaveAttempt stores signed bytes and returns their number. It must return before they leave.
func (l *Ledger) SaveAttempt(ctx context.Context, a Attempt) (int, error) { return 0, errWip }

// UpdateAttempt records what became of an attempt; ref may be empty.
func (l *Ledger) UpdateAttempt(ctx context.Context, id policy.PurchaseID, seq int, status AttemptStatus, ref string) error {
	return errWip
}

// Attempts returns the attempts of a purchase in order.
func (l *Ledger) Attempts(ctx context.Context, id policy.PurchaseID) ([]Attempt, error) {
	return nil, errWip
}

// OpenAttempts returns the undecided attempts of a signer on a chain, by nonce.
func (l *Ledger) OpenAttempts(ctx context.Context, chain money.ChainID, signer common.Address) ([]Attempt, error) {
	return nil, errWip
}

// HighestNonce returns the highest account nonce that a signer used on a chain; ok is false if there is none.
func (l *Ledger) HighestNonce(ctx context.Context, chain money.ChainID, signer common.Address) (nonce uint64, ok bool, err error) {
	return 0, false, errWip
}

// AddFee records a transaction fee in base units of the chain's own coin.
func (l *Ledger) AddFee(ctx context.Context, chain money.ChainID, wei money.Amount, at time.Time) error {
	return errWip
}

// FeesSince returns the fees paid on a chain since a time, by the minute.
func (l *Ledger) FeesSince(ctx context.Context, chain money.ChainID, since time.Time) (money.Amount, error) {
	return money.Amount{}, errWip
}

// RequestApproval records a question to a person; m may be nil.
func (l *Ledger) RequestApproval(ctx context.Context, a Approval, m *Move) error { return errWip }

// DecideApproval records the answer.
func (l *Ledger) DecideApproval(ctx context.Context, id policy.PurchaseID, approve bool, who string) error {
	return errWip
}

// ApprovalOf returns the approval of a purchase, or [ErrNotFound].
func (l *Ledger) ApprovalOf(ctx context.Context, id policy.PurchaseID) (Approval, error) {
	return Approval{}, errWip
}

// SetPaused stops or resumes spending, durably.
func (l *Ledger) SetPaused(ctx context.Context, paused bool, who string) error { return errWip }

// Paused says whether spending is stopped.
func (l *Ledger) Paused(ctx context.Context) (bool, error) { return false, errWip }

// ForgetPayee forgets the payees of a provider, so that the next one is a first one.
func (l *Ledger) ForgetPayee(ctx context.Context, provider, who string) error { return errWip }

// Meta returns a stored text that is no secret; ok is false if there is none.
func (l *Ledger) Meta(ctx context.Context, key string) (value string, ok bool, err error) {
	return "", false, errWip
}

// SetMeta stores a text that is no secret.
func (l *Ledger) SetMeta(ctx context.Context, key, value string) error { return errWip }

// Usage returns how much of the windows is taken at a time.
func (l *Ledger) Usage(ctx context.Context, windows []policy.Window, at time.Time) (Usage, error) {
	return Usage{}, errWip
}

// Verify checks the audit chain and derives every sum again from the journal.
func (l *Ledger) Verify(ctx context.Context) (Report, error) { return Report{}, errWip }

// Head returns the number and the hash of the last entry, for the log.
func (l *Ledger) Head(ctx context.Context) (seq int64, hash string, err error) {
	return 0, "", errWip
}

// Settlements returns every settlement, the oldest first.
func (l *Ledger) Settlements(ctx context.Context) ([]Settlement, error) { return nil, errWip }

// SettledTransfers returns the settlements that moved a token on a chain.
func (l *Ledger) SettledTransfers(ctx context.Context) ([]Settlement, error) { return nil, errWip }

var _ policy.Store = (*Ledger)(nil)

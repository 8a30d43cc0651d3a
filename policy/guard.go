// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/money"
)

// ErrNotGranted says that a purchase has no open reservation with terms, so that
// there is nothing to rebuild a grant from.
var ErrNotGranted = errors.New("purchase was not granted")

// GuardConfig is what a [Guard] is made of; every member is required.
type GuardConfig struct {
	Rules *Rules
	Store Store
	Clock Clock
}

// Guard decides about purchases with the sums of its Store and is the only maker
// of grants. It is safe for concurrent use.
type Guard struct {
	store  Store
	clock  Clock
	rules  atomic.Pointer[Rules]
	remote atomic.Pointer[Remote]
}

// NewGuard returns a guard. Rules that do not pass [Rules.Validate] are an error.
func NewGuard(cfg GuardConfig) (*Guard, error) {
	if cfg.Store == nil || cfg.Clock == nil {
		return nil, errors.New("policy: guard needs a store and a clock")
	}
	g := &Guard{store: cfg.Store, clock: cfg.Clock}
	if err := g.SetRules(cfg.Rules); err != nil {
		return nil, err
	}
	return g, nil
}

// Rules returns the rules in force; they must not be changed.
func (g *Guard) Rules() *Rules { return g.rules.Load() }

// SetRules puts other rules in force from the next decision on. If they do not
// pass [Rules.Validate], the old ones stay.
func (g *Guard) SetRules(r *Rules) error {
	if r == nil {
		return fmt.Errorf("%w: there are no rules", ErrRules)
	}
	if err := r.Validate(); err != nil {
		return err
	}
	g.rules.Store(r)
	return nil
}

// Remote returns the server's rules in force, nil before any were set.
func (g *Guard) Remote() *Remote { return g.remote.Load() }

// SetRemote puts what the server's policies say in force from the next decision
// on. It can only tighten: the owner's rules always hold too.
func (g *Guard) SetRemote(m Remote) { g.remote.Store(&m) }

// Decide returns the verdict on a request as things stand, for explain and for
// the selection among quotes. It reserves nothing and allows nobody to pay.
func (g *Guard) Decide(ctx context.Context, req Request) (Verdict, error) {
	d := g.decision(req)
	st, err := g.store.State(ctx, d.query)
	if err != nil {
		return Verdict{}, fmt.Errorf("decide about %s: %w", req.Need, err)
	}
	return d.verdict(st), nil
}

// Reserve decides about a request and, if it is allowed, reserves its value; the
// check, the reservation and the request's Record are one transaction. A verdict
// that refuses changed nothing.
func (g *Guard) Reserve(ctx context.Context, req Request) (Verdict, error) {
	if req.Purchase == "" {
		return Verdict{}, errors.New("reserve: request without a purchase")
	}
	d := g.decision(req)
	v, err := g.store.Reserve(ctx, req, d.query, d.verdict)
	if err != nil {
		return Verdict{}, fmt.Errorf("reserve for purchase %s: %w", req.Purchase, err)
	}
	return v, nil
}

// Grant decides about the exact terms that a reserved purchase is to pay under,
// binds them to its reservation together with the request's Record, and returns
// the right to pay. The terms may fill in what was not known when the value was
// reserved; what was known must be unchanged, and the value must not exceed what
// is reserved. Without an allowing verdict the grant is not valid. Granting the
// same terms again returns the same grant; once granted, no term but the deadline
// may change.
func (g *Guard) Grant(ctx context.Context, req Request, t Terms) (Grant, Verdict, error) {
	value, err := money.ValueOf(t.Amount, t.Decimals)
	if err != nil {
		return Grant{}, Refuse(ReasonPriceInvalid), nil //nolint:nilerr // an amount without a value is a refusal
	}
	d := g.decision(exactRequest(req, &t, value))
	d.query.Payee = t.Payee
	decide := func(st *State) Verdict {
		switch reason := decideTerms(d.rules, &req, &t, value, st); {
		case reason == "":
			return d.verdict(st)
		case !d.query.Trusted && (reason == ReasonDeadlinePassed || reason == ReasonAuthorizationTooLong):
			return Refuse(ReasonClockUntrusted) // a wrong clock proves nothing about a deadline
		default:
			return Refuse(reason)
		}
	}
	v, err := g.store.Bind(ctx, req.Purchase, t, value, d.query, decide, req.Record)
	if err != nil {
		return Grant{}, Verdict{}, fmt.Errorf("grant for purchase %s: %w", req.Purchase, err)
	}
	if !v.Allowed() {
		return Grant{}, v, nil
	}
	return newGrant(req.Purchase, &t), v, nil
}

// Regrant rebuilds the grant of a purchase from its stored reservation. It takes
// no decision: what was granted and may be on its way stays signable when the
// policy has tightened or expired since. What is locked in an escrow and settled
// may still be released or refunded, by a grant of [KindPayout]. Otherwise a
// purchase that was never granted, or whose reservation is closed, is
// [ErrNotGranted].
func (g *Guard) Regrant(ctx context.Context, id PurchaseID) (Grant, error) {
	r, err := g.store.Reservation(ctx, id)
	if err != nil {
		return Grant{}, fmt.Errorf("regrant for purchase %s: %w", id, err)
	}
	switch {
	case r.Terms == nil || r.Purchase != id:
	case r.Status == ReservationOpen:
		return newGrant(id, r.Terms), nil
	case r.Status == ReservationSettled && r.Terms.Lock:
		payout := newGrant(id, r.Terms)
		payout.kind = KindPayout
		return payout, nil
	}
	return Grant{}, fmt.Errorf("regrant for purchase %s: %w", id, ErrNotGranted)
}

// decision is one request with the rules and the time that it is judged by: all
// are read once, so that what the Store sums is what the verdict looks at.
type decision struct {
	rules  *Rules
	remote *Remote
	req    Request
	query  Query
}

func (g *Guard) decision(req Request) *decision {
	now, trusted := g.clock.Now()
	d := &decision{rules: g.rules.Load(), remote: g.remote.Load(), req: req}
	d.query = Query{
		At: now.UTC(), Trusted: trusted, Windows: d.rules.Windows, Counts: d.rules.Counts,
		Purchase: req.Purchase, Provider: req.Provider, Payee: req.Payee,
	}
	return d
}

// verdict believes in an approval only if the Store has it too.
func (d *decision) verdict(st *State) Verdict {
	req := d.req
	req.Approved = req.Approved && st.Approved
	return Decide(d.rules, d.remote, &req, st, st.At, d.query.Trusted)
}

func exactRequest(req Request, t *Terms, value money.Value) Request {
	req.Chain, req.Token, req.Symbol, req.HasToken = t.Chain, t.Token, t.Symbol, true
	req.Payee, req.HasPayee = t.Payee, true
	req.Value, req.PriceUnknown = value, false
	return req
}

// decideTerms compares the exact terms with the request, with what was known
// when the value was reserved, and with what may be signed at all.
func decideTerms(r *Rules, req *Request, t *Terms, value money.Value, st *State) Reason {
	own := st.Own
	if own == nil {
		return ReasonLedgerUnverified
	}
	_, evm := t.Chain.EVM()
	switch {
	case !SameRail(req.Rail, t.Rail) || !SameRail(own.Rail, t.Rail):
		return ReasonRailMismatch
	case !paysOnChain(t.Rail):
		return ReasonRailUnsupported
	case req.Provider != own.Provider || req.Service != own.Service:
		return ReasonServiceMismatch
	case !evm:
		return ReasonChainUnknown
	case t.Token == (common.Address{}):
		return ReasonTokenUnknown
	case t.Payee == (common.Address{}):
		return ReasonPayeeUnknown
	case t.Amount.IsZero():
		return ReasonPriceInvalid
	case own.HasToken && own.Chain != t.Chain || req.HasToken && req.Chain != t.Chain:
		return ReasonChainMismatch
	case own.HasToken && own.Token != t.Token || req.HasToken && req.Token != t.Token:
		return ReasonTokenMismatch
	case own.HasPayee && own.Payee != t.Payee || req.HasPayee && req.Payee != t.Payee:
		return ReasonPayeeMismatch
	case value > own.Value:
		return ReasonPriceChanged
	case IsEscrow(t.Rail) != (t.Escrow != (common.Address{})) || t.Lock && !IsEscrow(t.Rail):
		return ReasonEscrowUnknown
	case t.Lock && (t.Order == (common.Hash{}) || !t.RefundFrom.After(st.At)):
		return ReasonDeadlinePassed
	case own.Terms != nil:
		if reason := decideBound(own.Terms, t); reason != "" {
			return reason
		}
	}
	return decideDeadline(r, t, st)
}

// decideBound compares with terms that were granted before. Only the deadline may
// differ: an authorisation that is proven dead is signed again under its nonce
// with a later one.
func decideBound(bound, t *Terms) Reason {
	switch {
	case bound.Chain != t.Chain:
		return ReasonChainMismatch
	case bound.Token != t.Token:
		return ReasonTokenMismatch
	case bound.Decimals != t.Decimals:
		return ReasonDecimalsMismatch
	case bound.Payee != t.Payee:
		return ReasonPayeeMismatch
	case bound.Amount != t.Amount:
		return ReasonPriceChanged
	case bound.Escrow != t.Escrow || bound.Lock != t.Lock || bound.Order != t.Order || !bound.RefundFrom.Equal(t.RefundFrom):
		return ReasonEscrowUnknown
	}
	return ""
}

func decideDeadline(r *Rules, t *Terms, st *State) Reason {
	limit := r.MaxAuthorization
	if limit == 0 {
		limit = DefaultMaxAuthorization
	}
	switch {
	case kindOf(t) == KindAuthorization && (t.Deadline.IsZero() || t.Deadline.Sub(st.At) > limit):
		return ReasonAuthorizationTooLong
	case !t.Deadline.IsZero() && !t.Deadline.After(st.At):
		return ReasonDeadlinePassed
	}
	return ""
}

// SPDX-License-Identifier: Apache-2.0

package payments

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/payments/evm"
	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/wallet"
)

// attemptAuthorization is the kind of the attempts that the x402 rail stores.
const attemptAuthorization = "authorization"

// x402 is the rail of the same name: an EIP-3009 authorisation that the seller
// settles, signed offline.
type x402 struct {
	outOfHands
	set              *Set
	wallet           *wallet.Wallet
	ledger           evm.Ledger
	now              func() time.Time
	began            time.Time // of this process
	maxAuthorization func() time.Duration
	held             held
	// signing is held from the look at what is stored until something is.
	signing sync.Mutex
}

var _ Rail = (*x402)(nil)

// Ready implements [Rail]. The seller pays the gas.
func (x *x402) Ready(ctx context.Context, t policy.Terms) error {
	c, _, token, err := x.set.token(t.Chain, t.Token)
	if err != nil {
		return err
	}
	if token.Name == "" {
		return refuse(policy.ReasonDomainMismatch, "token %s has no EIP-712 domain configured", t.Token)
	}
	return x.held.enough(ctx, c, t.Token, t.Amount)
}

// Pay implements [Rail]. What is stored and not proven dead is presented again;
// otherwise the one entry of the challenge that equals the grant is signed under
// the purchase's nonce. A nonce that was cancelled can pay nothing any more.
func (x *x402) Pay(ctx context.Context, g policy.Grant, job Job) (Evidence, error) {
	if !g.Valid() || g.Kind() != policy.KindAuthorization {
		return Evidence{}, wallet.ErrNoGrant
	}
	if g.Purchase() != job.Purchase {
		return Evidence{}, fmt.Errorf("grant of purchase %s used for %s", g.Purchase(), job.Purchase)
	}
	x.signing.Lock()
	defer x.signing.Unlock()
	last, err := x.last(ctx, job.Purchase)
	if err != nil {
		return Evidence{}, err
	}
	if last != nil && last.Status != ledger.AttemptDead {
		return x.evidence(*last)
	}
	if last != nil && last.Ref != "" {
		return Evidence{}, refuse(policy.ReasonAuthorizationUnused, "the nonce was cancelled by %s", last.Ref)
	}
	a, err := x.sign(g, job.Challenge)
	if err != nil {
		return Evidence{}, err
	}
	if a.Seq, err = x.ledger.SaveAttempt(ctx, a); err != nil {
		return Evidence{}, fmt.Errorf("store authorisation: %w", err)
	}
	return x.evidence(a)
}

// last returns the purchase's newest authorisation, nil if it has none.
func (x *x402) last(ctx context.Context, id policy.PurchaseID) (*ledger.Attempt, error) {
	attempts, err := x.ledger.Attempts(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("read attempts: %w", err)
	}
	var last *ledger.Attempt
	for i, a := range attempts {
		if a.Kind == attemptAuthorization {
			last = &attempts[i]
		}
	}
	if last != nil && last.Signer != x.wallet.Address() {
		return nil, fmt.Errorf("purchase %s has an authorisation by %s", id, last.Signer)
	}
	return last, nil
}

func (x *x402) sign(g policy.Grant, c *Challenge) (ledger.Attempt, error) {
	if c == nil {
		return ledger.Attempt{}, refuse(policy.ReasonChallengeInvalid, "no x402 challenge to sign")
	}
	_, _, token, err := x.set.token(g.Chain(), g.Token())
	if err != nil {
		return ledger.Attempt{}, err
	}
	e, reason := c.Choose(func(e Entry) policy.Reason { return equals(e, g, token) })
	if reason != policy.Allowed {
		return ledger.Attempt{}, refuse(reason, "no entry of the x402 challenge is what was granted")
	}
	chainID, _ := g.Chain().EVM()
	end, err := x.validBefore(g, e.MaxTimeout)
	if err != nil {
		return ledger.Attempt{}, err
	}
	auth := wallet.Authorization{
		ChainID: chainID, Domain: wallet.Domain{Name: token.Name, Version: token.Version}, Token: g.Token(),
		From: x.wallet.Address(), To: g.Payee(), Value: g.Amount(),
		ValidBefore: uint64(end.Unix()), Nonce: nonceOf(x.wallet.Address(), g.Purchase()), //nolint:gosec // validBefore returns a time after now
	}
	signature, err := x.wallet.SignAuthorization(g, auth)
	if err != nil {
		return ledger.Attempt{}, err
	}
	header := buildHeader(c, &e, &auth, signature)
	return ledger.Attempt{
		Purchase: g.Purchase(), Kind: attemptAuthorization, Chain: g.Chain(), Signer: auth.From,
		Nonce: hexutil.Encode(auth.Nonce[:]), Hash: referenceOf(e.network, header), Raw: header,
		ValidBefore: end, Status: ledger.AttemptPrepared, Created: x.now().UTC(),
	}, nil
}

// equals says whether an entry is exactly what was granted, in the domain that
// the owner configured.
func equals(e Entry, g policy.Grant, token evm.Token) policy.Reason {
	switch {
	case e.Network != g.Chain():
		return policy.ReasonChainMismatch
	case e.Asset != g.Token():
		return policy.ReasonTokenMismatch
	case e.PayTo != g.Payee():
		return policy.ReasonPayeeMismatch
	case e.Amount != g.Amount():
		return policy.ReasonPriceChanged
	case token.Name == "" || e.Name != token.Name || e.Version != token.Version:
		return policy.ReasonDomainMismatch
	}
	return policy.Allowed
}

// validBefore is the earliest of what the seller asks, what the policy admits and
// the grant's deadline. Time starts at the later of the wall clock and the newest
// block seen, whose clock will judge.
func (x *x402) validBefore(g policy.Grant, asked time.Duration) (time.Time, error) {
	now := x.now()
	if seen := x.set.chains[g.Chain()].LastSeen(); seen.After(now) {
		now = seen
	}
	end := now.Add(min(asked, x.longest()))
	if deadline := g.Deadline(); deadline.Before(end) {
		end = deadline
	}
	end = end.Truncate(time.Second).UTC()
	if !end.After(now) {
		return time.Time{}, refuse(policy.ReasonDeadlinePassed, "the authorisation would end at %s", end.Format(time.RFC3339))
	}
	return end, nil
}

// longest is how long an authorisation may be good for.
func (x *x402) longest() time.Duration {
	if x.maxAuthorization != nil {
		if d := x.maxAuthorization(); d > 0 {
			return d
		}
	}
	return policy.DefaultMaxAuthorization
}

func (x *x402) evidence(a ledger.Attempt) (Evidence, error) {
	h, err := readHeader(a.Raw)
	if err != nil {
		return Evidence{}, fmt.Errorf("purchase %s: %w", a.Purchase, err)
	}
	e := Evidence{
		Rail: policy.RailX402, Chain: a.Chain, Payer: a.Signer, Payee: h.payee, Token: h.token, Amount: h.amount,
		PaymentSignature: string(a.Raw), PaymentReference: referenceOf(h.network, a.Raw),
		ValidBefore: a.ValidBefore, Network: h.network, Asset: h.asset,
	}
	if c := x.set.chains[a.Chain]; c != nil {
		if t, ok := c.Token(h.token); ok {
			e.Symbol, e.Decimals = t.Symbol, t.Decimals
		}
	}
	return e, nil
}

// Check implements [Rail]. The chain alone decides: used in a final block is
// paid; unused, as of a head at or above a final block whose time has reached
// validBefore, is proven dead, since no block after that one can use it.
func (x *x402) Check(ctx context.Context, id policy.PurchaseID) (Outcome, error) {
	last, err := x.last(ctx, id)
	if err != nil {
		return Outcome{Status: Unknown}, err
	}
	if last == nil {
		return outcomeIn(x402Worlds, factNothing), nil
	}
	if last.Status == ledger.AttemptDead {
		return outcomeIn(x402Worlds, factDead), nil
	}
	found, end, err := x.ask(ctx, last)
	if err != nil {
		return Outcome{Status: Unknown}, err
	}
	o := outcomeIn(x402Worlds, found)
	if end.Tx != (common.Hash{}) {
		o = o.shown(end.Tx.Hex(), end.At, end.Block)
	}
	switch {
	case o.Status == Paid && last.Status != ledger.AttemptFinal:
		err = x.ledger.UpdateAttempt(ctx, id, last.Seq, ledger.AttemptFinal, o.Ref)
	case o.Status == NotPaid:
		err = x.ledger.UpdateAttempt(ctx, id, last.Seq, ledger.AttemptDead, o.Ref)
	}
	if err != nil {
		return Outcome{Status: Unknown}, fmt.Errorf("record authorisation: %w", err)
	}
	return o, nil
}

// ask finds out which world an authorisation is in, and what consumed it.
func (x *x402) ask(ctx context.Context, a *ledger.Attempt) (fact, evm.AuthorizationEnd, error) {
	none := evm.AuthorizationEnd{}
	c := x.set.chains[a.Chain]
	if c == nil {
		return "", none, fmt.Errorf("authorisation is on %s, which is not configured", a.Chain)
	}
	h, err := readHeader(a.Raw)
	if err != nil {
		return "", none, err
	}
	final, head, err := c.Heads(ctx)
	if evm.Classify(err) == evm.ActionAbsent {
		return factUnused, none, nil
	}
	if err != nil {
		return "", none, err
	}
	consumed, err := c.AuthorizationState(ctx, h.token, a.Signer, h.nonce, &head.Number)
	switch {
	case err != nil:
		return "", none, err
	case !consumed && a.Status == ledger.AttemptFinal:
		return "", none, fmt.Errorf("authorisation was used by %s in a final block, and the chain says now that it is unused", a.Ref)
	case !consumed && (final.Time.Before(a.ValidBefore) || x.now().Before(a.ValidBefore)): // one endpoint's clock alone ends nothing
		return factUnused, none, nil
	case !consumed:
		return factExpired, none, nil
	}
	if a.Status == ledger.AttemptFinal { // it was found before: no need to search for it again
		end, ok, err := c.AuthorizationIn(ctx, common.HexToHash(a.Ref), h.token, a.Signer, h.nonce, final.Number)
		switch {
		case err != nil:
			return "", none, err
		case ok && end.Used:
			return factUsed, end, nil
		}
	}
	// An hour allows for a wall clock that was ahead of the chain when it was signed.
	end, err := c.FindAuthorization(ctx, h.token, a.Signer, h.nonce, a.Created.Add(-time.Hour), head)
	switch {
	case err != nil:
		return "", none, err
	case end.Block > final.Number:
		return factUsedEarly, end, nil
	case !end.Used:
		return factVoided, end, nil
	}
	return factUsed, end, nil
}

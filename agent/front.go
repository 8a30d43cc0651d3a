// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"encoding/json"
	"errors"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/agentd-project/agentd/admin"
	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/market"
	"github.com/agentd-project/agentd/pairing"
	"github.com/agentd-project/agentd/payments/evm"
	"github.com/agentd-project/agentd/policy"
)

// front is the daemon as the local API sees it.
type front struct{ a *Agent }

var _ admin.Daemon = (*front)(nil)

// asked turns an error into what the asker is told.
func asked(err error) error {
	var (
		u *pairing.Unavailable
		e *admin.Error
	)
	switch {
	case err == nil || errors.As(err, &e):
		return err
	case errors.Is(err, ledger.ErrNotFound):
		return &admin.Error{Code: admin.CodeNotFound, Text: "there is no such purchase", Next: "see agentd purchases"}
	case errors.Is(err, market.ErrUnknownNeed):
		return &admin.Error{Code: admin.CodeNotFound, Text: err.Error(), Next: "see needs in the configuration"}
	case errors.Is(err, market.ErrPaused):
		return reasonError(admin.CodeRefused, policy.ReasonPaused, err)
	case errors.Is(err, market.ErrBusy):
		return &admin.Error{Code: admin.CodeUnavailable, Text: err.Error(), Next: "try again when some have ended"}
	case errors.Is(err, market.ErrInput):
		return &admin.Error{Code: admin.CodeUsage, Reason: string(policy.ReasonInputInvalid), Text: err.Error()}
	case errors.Is(err, market.ErrNotWaiting):
		return &admin.Error{Code: admin.CodeConflict, Text: err.Error(), Next: "see agentd purchases --open"}
	case errors.Is(err, evm.ErrNothingToCancel):
		return &admin.Error{Code: admin.CodeConflict, Text: err.Error(), Next: "see agentd purchases --open"}
	case errors.Is(err, evm.ErrFeeCeiling):
		return reasonError(admin.CodeRefused, policy.ReasonFeeCeiling, err)
	case errors.Is(err, evm.ErrGasBudget):
		return reasonError(admin.CodeRefused, policy.ReasonGasBudget, err)
	case errors.Is(err, evm.ErrGasBalance):
		return reasonError(admin.CodeRefused, policy.ReasonInsufficientGas, err)
	case errors.Is(err, ledger.ErrExpired):
		return reasonError(admin.CodeConflict, policy.ReasonApprovalExpired, err)
	case errors.As(err, &u):
		return reasonError(admin.CodeUnavailable, u.Reason, err)
	}
	return err
}

func reasonError(code admin.Code, reason policy.Reason, err error) error {
	info, _ := reason.Info()
	return &admin.Error{Code: code, Reason: string(reason), Text: err.Error(), Next: info.Next}
}

// Buy starts one purchase.
func (f *front) Buy(ctx context.Context, r admin.BuyRequest) (*admin.Purchase, error) {
	o := market.Order{Need: r.Need, Input: r.Input}
	if r.MaxPrice != nil {
		o.MaxPrice, o.HasMaxPrice = *r.MaxPrice, true
	}
	id, err := f.a.market.Buy(ctx, o)
	if err != nil {
		return nil, asked(err)
	}
	return f.purchase(ctx, id, false)
}

// Wait returns the purchase once it is over or waits for a person.
func (f *front) Wait(ctx context.Context, id string) (*admin.Purchase, error) {
	p, err := f.a.market.Wait(ctx, policy.PurchaseID(id))
	if err != nil {
		return nil, asked(err)
	}
	return f.show(context.WithoutCancel(ctx), p, true)
}

// Explain searches and judges without spending.
func (f *front) Explain(ctx context.Context, need string) (*admin.Explanation, error) {
	found, err := f.a.market.Explain(ctx, need)
	if err != nil {
		return nil, asked(err)
	}
	e := &admin.Explanation{Need: need, Currency: f.a.guard.Rules().Currency, Quotes: quotesOf(found), Chosen: -1}
	for i := range found {
		if found[i].Chosen {
			e.Chosen = i
		}
	}
	if e.Chosen >= 0 {
		return e, nil
	}
	reason := policy.ReasonNoQuotes
	if len(found) > 0 {
		reason = found[0].Reason
	}
	info, _ := reason.Info()
	e.Reason, e.Text = string(reason), info.Text
	return e, nil
}

func quotesOf(found []market.Explained) []admin.Quote {
	quotes := make([]admin.Quote, 0, len(found))
	for _, q := range found {
		out := admin.Quote{ID: q.Quote, Service: q.Service, Provider: q.Provider, Rail: q.Rail, Currency: q.Currency, Score: q.Score, Expires: q.Expires,
			Reason: string(q.Reason), Text: q.Detail}
		if info, ok := q.Reason.Info(); ok && out.Text == "" {
			out.Text = info.Text
		}
		if q.Currency != "" || q.Price > 0 {
			out.Price = q.Price.String()
		}
		quotes = append(quotes, out)
	}
	return quotes
}

// Approve lets a purchase that waits for approval go on.
func (f *front) Approve(ctx context.Context, id, by string) (*admin.Purchase, error) {
	return f.decided(ctx, id, f.a.market.Approve(ctx, policy.PurchaseID(id), by))
}

// Deny ends a purchase that waits for approval.
func (f *front) Deny(ctx context.Context, id, by string) (*admin.Purchase, error) {
	return f.decided(ctx, id, f.a.market.Deny(ctx, policy.PurchaseID(id), by))
}

// Resolve ends what was handed off or needs the operator.
func (f *front) Resolve(ctx context.Context, id string, r admin.Resolution, by string) (*admin.Purchase, error) {
	var err error
	switch r.Action {
	case admin.ActionConfirm:
		err = f.a.market.Confirm(ctx, policy.PurchaseID(id), by)
	case admin.ActionDispute:
		err = f.a.market.Dispute(ctx, policy.PurchaseID(id), r.Text, by)
	case admin.ActionReference:
		err = f.a.market.Reference(ctx, policy.PurchaseID(id), r.Text, by)
	case admin.ActionCancelTransaction:
		err = f.cancelTransaction(ctx, policy.PurchaseID(id), by)
	default:
		err = &admin.Error{Code: admin.CodeUsage, Text: "the action is not confirm, dispute, reference or cancel-transaction"}
	}
	return f.decided(ctx, id, err)
}

// cancelTransaction has the owner's word put a transaction to ourselves in the
// place of a payment that is not mined. What becomes of the purchase the chain says.
func (f *front) cancelTransaction(ctx context.Context, id policy.PurchaseID, by string) error {
	if _, err := f.a.ledger.Get(ctx, id); err != nil {
		return err
	}
	err := f.a.rails.Cancel(ctx, id)
	f.a.log.Info("cancellation of a payment asked for", zap.String("purchase", string(id)), zap.String("by", by), zap.Error(err))
	return err
}

func (f *front) decided(ctx context.Context, id string, err error) (*admin.Purchase, error) {
	if err != nil {
		return nil, asked(err)
	}
	return f.purchase(ctx, policy.PurchaseID(id), true)
}

// Pause stops spending durably.
func (f *front) Pause(ctx context.Context, by string) error { return f.setPaused(ctx, true, by) }

// Resume lets spending go on.
func (f *front) Resume(ctx context.Context, by string) error { return f.setPaused(ctx, false, by) }

func (f *front) setPaused(ctx context.Context, paused bool, by string) error {
	if err := f.a.ledger.SetPaused(ctx, paused, by); err != nil {
		return err
	}
	f.a.health.set(problemPaused, paused, "by "+by)
	return nil
}

// LogLevel returns the level in force.
func (f *front) LogLevel(context.Context) (string, error) {
	if f.a.opt.Level == nil {
		return f.a.log.Level().String(), nil
	}
	return f.a.opt.Level.Level().String(), nil
}

// SetLogLevel changes the level until the next start.
func (f *front) SetLogLevel(_ context.Context, level string) error {
	parsed, err := zapcore.ParseLevel(level)
	if err != nil || parsed < zapcore.DebugLevel || parsed > zapcore.ErrorLevel {
		return &admin.Error{Code: admin.CodeUsage, Text: "the level is not debug, info, warn or error"}
	}
	if f.a.opt.Level == nil {
		return &admin.Error{Code: admin.CodeConflict, Text: "the log level of this daemon is fixed"}
	}
	f.a.opt.Level.SetLevel(parsed)
	f.a.log.Info("log level changed", zap.String("level", level))
	return nil
}

// Pairing describes the pairing from memory.
func (f *front) Pairing(context.Context) (*admin.Pairing, error) {
	p := f.pairing()
	return &p, nil
}

func (f *front) pairing() admin.Pairing {
	st := f.a.pairing.Status()
	p := admin.Pairing{
		ID: st.PairingID, Status: st.Standing, Machine: st.MachineID, Address: st.Address.Hex(), Provider: st.Provider, Role: st.Role,
		SessionExpires: st.Expires.UTC(), NextRotation: st.Rotates.UTC(),
	}
	if p.Status == pairing.StandingUnknown {
		p.Status = pairing.StandingMissing
	}
	if st.Expires.IsZero() {
		p.SessionExpires, p.NextRotation = st.Expires, st.Rotates
	}
	switch info, known := st.Reason.Info(); {
	case st.Usable:
	case known:
		p.Problem = info.Text
	case st.Err != nil:
		p.Problem = st.Err.Error()
	default:
		p.Problem = "the Market was not asked yet"
	}
	return p
}

// RotatePairing asks for a new session now.
func (f *front) RotatePairing(ctx context.Context) (*admin.Pairing, error) {
	return f.commanded(ctx, f.a.pairing.Rotate(ctx))
}

// CreatePairing pairs anew, also after a revocation.
func (f *front) CreatePairing(ctx context.Context) (*admin.Pairing, error) {
	return f.commanded(ctx, f.a.pairing.Create(ctx))
}

// RevokePairing revokes the pairing.
func (f *front) RevokePairing(ctx context.Context) (*admin.Pairing, error) {
	return f.commanded(ctx, f.a.pairing.Revoke(ctx))
}

func (f *front) commanded(ctx context.Context, err error) (*admin.Pairing, error) {
	if err != nil {
		return nil, asked(err)
	}
	return f.Pairing(ctx)
}

// Result returns the accepted result of a purchase as it was received.
func (f *front) Result(ctx context.Context, id string) (json.RawMessage, error) {
	p, err := f.a.ledger.Get(ctx, policy.PurchaseID(id))
	if err != nil {
		return nil, asked(err)
	}
	view, err := f.a.market.View(p)
	if err != nil {
		return nil, err
	}
	if !accepted(p, view) {
		return nil, &admin.Error{Code: admin.CodeNotFound, Text: "the purchase has no accepted result"}
	}
	return view.Result, nil
}

// accepted says whether a purchase's result passed its check.
func accepted(p *ledger.Purchase, view market.View) bool {
	s := market.State(p.State)
	return len(view.Result) > 0 && view.ResultErr == "" && (s == market.Confirmed || s == market.Settled)
}

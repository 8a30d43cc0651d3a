// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/admin"
	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/market"
	"github.com/agentd-project/agentd/policy"
)

const defaultPurchases = 50

// Purchases lists purchases, newest first.
func (f *front) Purchases(ctx context.Context, q admin.PurchaseQuery) ([]admin.Purchase, error) {
	limit := q.Limit
	if limit == 0 {
		limit = defaultPurchases
	}
	found, err := f.a.ledger.List(ctx, ledger.ListOptions{Open: q.Open, Need: q.Need, Limit: limit})
	if err != nil {
		return nil, err
	}
	return f.showAll(ctx, found)
}

func (f *front) showAll(ctx context.Context, found []ledger.Purchase) ([]admin.Purchase, error) {
	out := make([]admin.Purchase, 0, len(found))
	for i := range found {
		p, err := f.show(ctx, &found[i], false)
		if err != nil {
			return nil, err
		}
		out = append(out, *p)
	}
	return out, nil
}

// Purchase returns one purchase with its history.
func (f *front) Purchase(ctx context.Context, id string) (*admin.Purchase, error) {
	return f.purchase(ctx, policy.PurchaseID(id), true)
}

func (f *front) purchase(ctx context.Context, id policy.PurchaseID, whole bool) (*admin.Purchase, error) {
	p, err := f.a.ledger.Get(ctx, id)
	if err != nil {
		return nil, asked(err)
	}
	return f.show(ctx, p, whole)
}

// show describes a stored purchase; whole adds its history and quotes.
func (f *front) show(ctx context.Context, p *ledger.Purchase, whole bool) (*admin.Purchase, error) {
	view, err := f.a.market.View(p)
	if err != nil {
		return nil, err
	}
	state := market.State(p.State)
	out := &admin.Purchase{
		ID: string(p.ID), Need: p.Need, State: p.State, Final: p.Final, Settled: state == market.Settled,
		Waiting: waitsForPerson(p), Unknown: view.Unknown, HandedOff: state == market.HandedOff,
		Rail: p.Rail, Service: view.Terms.Service, Provider: view.Terms.Provider, OrderID: p.OrderID, Price: p.Value,
		Currency: f.a.guard.Rules().Currency, Reference: view.Reference, Created: p.Created, Updated: p.Updated, Deadline: p.Deadline,
		HasResult: accepted(p, view),
	}
	if out.HasResult {
		out.ResultFile = view.ResultFile
	}
	if view.Handoff != nil {
		out.HandoffURL = view.Handoff.URL
	}
	f.showTerms(out, view)
	f.showReason(out, p)
	if !whole {
		return out, nil
	}
	out.Quotes = quotesOf(view.Offers)
	entries, err := f.a.ledger.History(ctx, p.ID)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		out.History = append(out.History, admin.Event{
			At: e.At, Kind: string(e.Kind), From: e.From, To: e.To, Event: e.Event, Reason: string(e.Reason), Detail: e.Detail,
		})
	}
	return out, nil
}

func (f *front) showTerms(out *admin.Purchase, view market.View) {
	t := view.Terms
	out.Chain = string(t.Chain)
	if t.Token != (common.Address{}) {
		out.Token = view.Symbol
		if out.Token == "" {
			out.Token = t.Token.Hex()
		}
	}
	if t.Payee != (common.Address{}) {
		out.Payee = t.Payee.Hex()
	}
	if !view.Amount.IsZero() {
		out.Amount = view.Amount.Format(view.Decimals)
	}
}

// showReason says why a purchase ended as it did, or what an open one waits for.
func (f *front) showReason(out *admin.Purchase, p *ledger.Purchase) {
	reason := p.Reason
	if reason == "" && !p.Final {
		reason, _ = f.a.market.Trouble(p.ID)
	}
	if reason == "" || reason == policy.Allowed {
		return
	}
	out.Reason = string(reason)
	if info, known := reason.Info(); known {
		out.ReasonText, out.Next = info.Text, info.Next
	}
}

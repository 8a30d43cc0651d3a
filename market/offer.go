// SPDX-License-Identifier: Apache-2.0

package market

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/orchestration"
	"github.com/agentd-project/agentd/pairing"
	"github.com/agentd-project/agentd/policy"
)

// maxSearches bounds how often one purchase searches: quotes that are always
// too old are a Market that does not work.
const maxSearches = 10

// search asks the catalogue, ranks what the guard would allow and keeps why
// each quote fell out.
func (m *Market) search(ctx context.Context, p *purchase) (step, error) {
	if p.doc.Searches >= maxSearches {
		return step{event: EventRefused, reason: policy.ReasonQuoteExpired, detail: "every quote was too old"}, nil
	}
	found, err := m.find(ctx, p.doc.Need)
	if err != nil {
		return m.unpaid(err)
	}
	p.doc.Searches++
	candidates, err := m.judge(ctx, p, found)
	if err != nil {
		return step{}, err
	}
	best, reason := choose(candidates, p.doc.Need.Select)
	p.doc.Offer = explain(candidates, best)
	if best == nil {
		return step{event: EventNoMatch, reason: reason}, nil
	}
	if p.OrderID != "" { // left behind: the Market has no cancel
		p.doc.leftBehind(p.OrderID)
	}
	p.SearchID, p.QuoteID, p.OrderID = clip(found.ID, maxName), clip(best.quote, maxName), ""
	p.doc.Terms, p.doc.QuoteExpiry = best.terms.clipped(), best.expires
	if reason == policy.Allowed {
		return step{event: EventMatched, detail: best.quote}, nil
	}
	s, err := m.denied(ctx, p, reason, best.detail)
	if err != nil {
		p.doc.Searches-- // the wait is ours, not for want of a fresh quote
	}
	return s, err
}

// explain lists the best quotes with their reasons, the ranked order kept.
func explain(candidates []candidate, best *candidate) []Explained {
	candidates = candidates[:min(len(candidates), maxShown)]
	list := make([]Explained, 0, len(candidates))
	for i := range candidates {
		e := candidates[i].explained()
		e.Chosen = &candidates[i] == best && e.Reason == policy.Allowed
		list = append(list, e)
	}
	return list
}

// find searches the Market for a need (POST /market/search).
func (m *Market) find(ctx context.Context, need Need) (*orchestration.SearchResult, error) {
	credentials, err := need.credentials()
	if err != nil {
		return nil, err
	}
	return call(ctx, m, func(s pairing.Session) (*orchestration.SearchResult, error) {
		r := orchestration.SearchRequest{
			MachineID: s.MachineID, AgentPairingID: s.PairingID, ServiceType: orchestration.ServiceType(need.Search.ServiceType),
			Operation: need.Search.Operation, RequiredCapabilities: need.Search.Capabilities, Region: need.Search.Region,
			MaxResults: need.Search.MaxResults, ProviderCredentials: credentials,
		}
		if need.Search.AllowExternalHandoff {
			r.AllowExternalHandoff = new(true)
		}
		if need.Search.NativeOnly {
			r.RequireNativeExecution = new(true)
		}
		if need.HasMaxPrice {
			r.Budget = &orchestration.SearchBudget{Max: json.Number(need.MaxPrice.String()), Currency: m.guard.Rules().Currency}
		}
		return m.api.Search(ctx, s.Token, r)
	})
}

func (n Need) credentials() (*orchestration.ProviderCredentials, error) {
	if n.Credentials == nil {
		return nil, nil
	}
	return n.Credentials()
}

// reserveBudget checks what can be known before an order exists, since the
// Market has no cancel, and takes the budget in one commit with the check.
func (m *Market) reserveBudget(ctx context.Context, p *purchase) (step, error) {
	if !time.Now().Add(quoteMargin).Before(p.doc.QuoteExpiry) {
		return step{event: EventRequote, reason: policy.ReasonQuoteExpired}, nil
	}
	if s, err := m.checkInput(ctx, p); err != nil || s.event != "" {
		return s, err
	}
	if s, err := m.checkFunds(ctx, p.doc.Terms); err != nil || s.event != "" {
		return s, err
	}
	p.doc.OrderSent = time.Now().UTC()
	s := step{event: EventReserved}
	mv, err := p.move(m.rows[Quoted], s)
	if err != nil {
		return step{}, err
	}
	request := m.request(p, p.doc.Terms)
	request.Record = mv
	verdict, err := m.guard.Reserve(ctx, request)
	if err != nil {
		return step{}, err
	}
	if verdict.Allowed() {
		s.committed = mv
		return s, nil
	}
	p.doc.OrderSent = time.Time{}
	return m.denied(ctx, p, verdict.Reason, "")
}

// denied turns a verdict into the step it asks for.
func (m *Market) denied(ctx context.Context, p *purchase, reason policy.Reason, detail string) (step, error) {
	m.metrics.refused(reason)
	switch reason {
	case policy.ReasonApprovalRequired:
		return m.askPerson(ctx, p)
	case policy.ReasonPaused, policy.ReasonClockUntrusted, policy.ReasonLedgerUnverified:
		// Nothing about this purchase is wrong: it waits, until its deadline.
		return step{}, waitFor(reason, nil)
	}
	return step{event: EventDenied, reason: reason, detail: detail}, nil
}

// checkInput compares the input with the operation's contract on every rail
// that moves value: a provider charges for what it rejects.
func (m *Market) checkInput(ctx context.Context, p *purchase) (step, error) {
	t := p.doc.Terms
	if t.free() {
		return step{}, nil
	}
	service, err := call(ctx, m, func(s pairing.Session) (*orchestration.Service, error) {
		return m.api.GetService(ctx, s.Token, t.Service, s.MachineID)
	})
	if err != nil {
		return m.unpaid(err)
	}
	for i := range service.OperationContracts {
		if contract := &service.OperationContracts[i]; contract.Operation == t.Operation {
			if err := fits(contract, p.doc.Need.Input); err != nil {
				return step{event: EventDenied, reason: policy.ReasonInputInvalid, detail: err.Error()}, nil //nolint:nilerr // an input that does not fit is a refusal
			}
		}
	}
	return step{}, nil
}

// checkFunds asks the rail whether it could pay terms that are known far enough.
func (m *Market) checkFunds(ctx context.Context, t terms) (step, error) {
	rail, pays := m.rails.Rail(t.Rail)
	if !pays || t.free() || !t.hasToken() || t.Amount.IsZero() {
		return step{}, nil
	}
	if err := rail.Ready(ctx, t.exact(time.Time{})); err != nil {
		if reason, refused := refusal(err); refused {
			return step{event: EventDenied, reason: reason, detail: err.Error()}, nil
		}
		return step{}, waitFor(policy.ReasonMarketUnavailable, err)
	}
	return step{}, nil
}

// exact returns the terms as the guard and the rails take them.
func (t terms) exact(deadline time.Time) policy.Terms {
	return policy.Terms{Rail: t.Rail, Chain: t.Chain, Token: t.Token, Symbol: t.Symbol, Decimals: t.Decimals,
		Payee: t.Payee, Amount: t.Amount, Deadline: deadline,
		Escrow: t.Escrow, Lock: t.Lock, Order: t.Order, RefundFrom: t.RefundFrom}
}

// askPerson stores the question, bound by its hash to what is shown.
func (m *Market) askPerson(ctx context.Context, p *purchase) (step, error) {
	question := p.doc.Terms.shown()
	if !p.doc.Terms.Priced {
		question.Price = p.doc.Need.MaxPrice // what is reserved until the price is told
	}
	shown, err := json.Marshal(question)
	if err != nil {
		return step{}, fmt.Errorf("purchase %s: %w", p.ID, err)
	}
	if err := m.ledger.Release(ctx, p.ID, nil); err != nil {
		return step{}, err
	}
	hash := sha256.Sum256(shown)
	p.doc.Asked = time.Now().UTC()
	s := step{event: EventAsk, reason: policy.ReasonApprovalRequired, detail: string(shown)}
	mv, err := p.move(m.rows[p.state()], s)
	if err != nil {
		return step{}, err
	}
	approval := ledger.Approval{Purchase: p.ID, Hash: hex.EncodeToString(hash[:]), Shown: shown, Expires: p.doc.Asked.Add(m.guard.Rules().ApprovalTTL)}
	if err := m.ledger.RequestApproval(ctx, approval, mv); err != nil {
		return step{}, err
	}
	s.committed = mv
	return s, nil
}

// awaitApproval reads the answer. After an approval the purchase searches
// anew, since quotes live minutes; the deadline did not run while a person was
// asked.
func (m *Market) awaitApproval(ctx context.Context, p *purchase) (step, error) {
	approval, err := m.ledger.ApprovalOf(ctx, p.ID)
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return step{}, err
	}
	switch approval.Decision {
	case ledger.DecisionApproved:
		var shown Shown
		if err := json.Unmarshal(approval.Shown, &shown); err != nil {
			return step{}, fmt.Errorf("stored approval: %w", err)
		}
		p.doc.Approved = &shown
		p.Deadline = p.Deadline.Add(time.Since(p.doc.Asked))
		return step{event: EventApproved, detail: approval.Who}, nil
	case ledger.DecisionDenied:
		return step{event: EventDenied, reason: policy.ReasonApprovalDenied, detail: approval.Who}, nil
	case ledger.DecisionExpired:
		return step{event: EventDenied, reason: policy.ReasonApprovalExpired}, nil
	default:
		return step{}, &waitError{reason: policy.ReasonApprovalRequired, pause: min(personPoll, max(time.Until(approval.Expires), time.Second))}
	}
}

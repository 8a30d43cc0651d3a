// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/agentd-project/agentd/admin"
	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
)

// Status describes the daemon now, from memory and the ledger.
func (f *front) Status(ctx context.Context) (*admin.Status, error) {
	a := f.a
	now, trusted := a.clock.Now()
	paused, err := a.ledger.Paused(ctx)
	if err != nil {
		return nil, err
	}
	id, did, status := a.machine.state()
	s := &admin.Status{
		Version: a.opt.Version, Started: a.started.UTC(), Now: now, ClockTrusted: trusted, Mode: string(a.cfg.Mode), Paused: paused,
		Live:    a.beats.stuck() == nil,
		Machine: admin.Machine{ID: id, Identity: did, Status: string(status), Agent: a.heartbeat.enrolment.current()},
		Pairing: f.pairing(), Heartbeat: f.heartbeat(), Balances: f.balances(),
	}
	f.problems(s)
	if s.Budget, err = f.budget(ctx); err != nil {
		return nil, err
	}
	open, err := a.ledger.OpenPurchases(ctx)
	if err != nil {
		return nil, err
	}
	if s.Open, err = f.showAll(ctx, open); err != nil {
		return nil, err
	}
	s.Needs, err = f.needs(ctx)
	return s, err
}

// problems fills in what is wrong and whether that keeps the daemon from buying.
func (f *front) problems(s *admin.Status) {
	blockers := f.a.health.blockers()
	s.Ready = len(blockers) == 0
	for _, p := range blockers {
		s.NotReady = append(s.NotReady, sentence(p))
	}
	s.Problems = []admin.Problem{}
	for _, p := range f.a.health.visible(time.Now()) {
		s.Problems = append(s.Problems, admin.Problem{
			Code: p.Code, Severity: admin.Severity(p.Severity), Text: sentence(p), Next: p.Next, Since: p.Since,
		})
	}
}

func sentence(p shown) string {
	if p.Detail == "" {
		return p.Text
	}
	return p.Text + " (" + p.Detail + ")"
}

func (f *front) heartbeat() admin.Heartbeat {
	h := f.a.heartbeat
	st := h.state()
	out := admin.Heartbeat{Enabled: len(h.endpoints) > 0, Last: st.accepted}
	if st.err != nil {
		out.Error = st.err.Error()
	}
	for _, p := range st.probes {
		e := admin.Endpoint{ProviderKey: p.endpoint.providerKey, URL: p.endpoint.url, Up: p.err == nil, Status: string(st.answers[p.endpoint.providerKey].Status)}
		if p.err != nil {
			e.Error = p.err.Error()
		}
		out.Endpoints = append(out.Endpoints, e)
	}
	return out
}

func (f *front) balances() []admin.Balance {
	out := []admin.Balance{}
	for _, w := range f.a.chains {
		for _, b := range w.state() {
			view := admin.Balance{Chain: string(b.chain), Asset: b.asset, Address: f.a.wallet.Address().Hex(), Low: b.low, At: b.at}
			if b.err != nil {
				view.Error = b.err.Error()
			} else {
				view.Amount = b.amount.Format(b.decimals)
			}
			out = append(out, view)
		}
	}
	return out
}

func (f *front) budget(ctx context.Context) (admin.Budget, error) {
	r := f.a.guard.Rules()
	b := admin.Budget{Currency: r.Currency, PerPurchase: r.PerPurchase, Expires: r.Expires}
	st, err := f.a.sums(ctx)
	if err != nil {
		return b, err
	}
	b.Windows = windowsOf(r, st)
	for i, c := range r.Counts {
		b.Counts = append(b.Counts, admin.Count{Name: c.String(), Limit: c.Limit, Used: st.Counts[i]})
	}
	return b, nil
}

// sums reads what is spent and reserved.
func (a *Agent) sums(ctx context.Context) (*policy.State, error) {
	r := a.guard.Rules()
	now, _ := a.clock.Now()
	st, err := a.ledger.State(ctx, policy.Query{At: now, Windows: r.Windows, Counts: r.Counts})
	if err != nil {
		return nil, fmt.Errorf("read the budget: %w", err)
	}
	return st, nil
}

// windows returns the spending limits with what is used of them.
func (a *Agent) windows(ctx context.Context) ([]admin.Window, error) {
	st, err := a.sums(ctx)
	if err != nil {
		return nil, err
	}
	return windowsOf(a.guard.Rules(), st), nil
}

func windowsOf(r *policy.Rules, st *policy.State) []admin.Window {
	out := make([]admin.Window, 0, len(r.Windows)+1)
	add := func(name string, limit, used money.Value) {
		out = append(out, admin.Window{Name: name, Limit: limit, Used: used, Left: max(limit-used, 0)})
	}
	for i, w := range r.Windows {
		add(w.String(), w.Limit, st.Spent[i])
	}
	if r.Lifetime > 0 {
		add("lifetime", r.Lifetime, st.Lifetime)
	}
	return out
}

func (f *front) needs(ctx context.Context) ([]admin.Need, error) {
	out := make([]admin.Need, 0, len(f.a.cfg.Needs))
	for i := range f.a.cfg.Needs {
		n := &f.a.cfg.Needs[i]
		view := admin.Need{Name: n.Name, Schedule: n.Schedule, Next: f.a.scheduler.next(n.Name)}
		last, err := f.a.ledger.List(ctx, ledger.ListOptions{Need: n.Name, Limit: 1})
		if err != nil {
			return nil, err
		}
		if len(last) > 0 {
			view.Last, view.LastOutcome = last[0].Created, last[0].State
		}
		out = append(out, view)
	}
	return out, nil
}

// Policy describes the rules in force, local and remote.
func (f *front) Policy(ctx context.Context) (*admin.PolicyView, error) {
	st := f.a.pairing.Status()
	view := &admin.PolicyView{Remote: st.ServerPolicy, RemoteRead: st.PolicyRead}
	var err error
	if view.Budget, err = f.budget(ctx); err != nil {
		return nil, err
	}
	if view.Local, err = asConfigured(f.a.cfg.Policy); err != nil {
		return nil, fmt.Errorf("describe the policy: %w", err)
	}
	return view, nil
}

// asConfigured writes a part of the configuration as JSON with the keys of the
// configuration file.
func asConfigured(v any) (json.RawMessage, error) {
	text, err := yaml.Marshal(v)
	if err != nil {
		return nil, err
	}
	var tree any
	if err := yaml.Unmarshal(text, &tree); err != nil {
		return nil, err
	}
	return json.Marshal(tree)
}

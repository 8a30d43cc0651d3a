// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"
)

// fakeDaemon remembers what it was asked and answers with one purchase.
type fakeDaemon struct {
	mu    sync.Mutex
	calls []string
	// err, if set, is the answer to everything.
	err      error
	purchase Purchase
	status   Status
	result   json.RawMessage
	level    string
	// settle makes Wait return a settled purchase at its n-th call; before, it
	// waits until its context ends.
	settle int
	waits  int
}

var _ Daemon = (*fakeDaemon)(nil)

func (f *fakeDaemon) note(format string, args ...any) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, fmt.Sprintf(format, args...))
	return f.err
}

func (f *fakeDaemon) last() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.calls) == 0 {
		return ""
	}
	return f.calls[len(f.calls)-1]
}

func (f *fakeDaemon) one() *Purchase { p := f.purchase; return &p }

func (f *fakeDaemon) Status(context.Context) (*Status, error) {
	return &f.status, f.note("status")
}

func (f *fakeDaemon) Purchases(_ context.Context, q PurchaseQuery) ([]Purchase, error) {
	return []Purchase{f.purchase}, f.note("purchases open=%t need=%s limit=%d", q.Open, q.Need, q.Limit)
}

func (f *fakeDaemon) Purchase(_ context.Context, id string) (*Purchase, error) {
	return f.one(), f.note("purchase %s", id)
}

func (f *fakeDaemon) Result(_ context.Context, id string) (json.RawMessage, error) {
	return f.result, f.note("result %s", id)
}

func (f *fakeDaemon) Policy(context.Context) (*PolicyView, error) {
	return &PolicyView{Local: json.RawMessage(`{"currency":"USD"}`)}, f.note("policy")
}

func (f *fakeDaemon) LedgerVerify(context.Context) (*LedgerReport, error) {
	return &LedgerReport{OK: true, Entries: 3}, f.note("verify")
}

func (f *fakeDaemon) LedgerAccept(_ context.Context, transactions []string, by string) (*LedgerReport, error) {
	return &LedgerReport{OK: true, Entries: 4}, f.note("accept %v by %s", transactions, by)
}

func (f *fakeDaemon) Explain(_ context.Context, need string) (*Explanation, error) {
	return &Explanation{Need: need, Chosen: -1}, f.note("explain %s", need)
}

func (f *fakeDaemon) Buy(_ context.Context, r BuyRequest) (*Purchase, error) {
	price := "none"
	if r.MaxPrice != nil {
		price = r.MaxPrice.String()
	}
	return f.one(), f.note("buy %s input=%s max=%s", r.Need, r.Input, price)
}

func (f *fakeDaemon) Wait(ctx context.Context, id string) (*Purchase, error) {
	err := f.note("wait %s", id)
	f.mu.Lock()
	f.waits++
	done := f.waits >= f.settle
	f.mu.Unlock()
	p := f.one()
	if done {
		p.Settled, p.State = true, "settled"
		return p, err
	}
	<-ctx.Done()
	return p, err
}

func (f *fakeDaemon) Approve(_ context.Context, id, by string) (*Purchase, error) {
	return f.one(), f.note("approve %s by %s", id, by)
}

func (f *fakeDaemon) Deny(_ context.Context, id, by string) (*Purchase, error) {
	return f.one(), f.note("deny %s by %s", id, by)
}

func (f *fakeDaemon) Resolve(_ context.Context, id string, r Resolution, by string) (*Purchase, error) {
	return f.one(), f.note("resolve %s %s %q by %s", id, r.Action, r.Text, by)
}

func (f *fakeDaemon) Pause(_ context.Context, by string) error  { return f.note("pause by %s", by) }
func (f *fakeDaemon) Resume(_ context.Context, by string) error { return f.note("resume by %s", by) }

func (f *fakeDaemon) LogLevel(context.Context) (string, error) { return f.level, f.note("level") }

func (f *fakeDaemon) SetLogLevel(_ context.Context, level string) error {
	return f.note("set level %s", level)
}

func (f *fakeDaemon) Pairing(context.Context) (*Pairing, error) {
	return &Pairing{ID: "pair_1", Status: "active"}, f.note("pairing")
}

func (f *fakeDaemon) RotatePairing(context.Context) (*Pairing, error) {
	return &Pairing{ID: "pair_1", Status: "active"}, f.note("rotate")
}

func (f *fakeDaemon) CreatePairing(context.Context) (*Pairing, error) {
	return &Pairing{ID: "pair_2", Status: "active"}, f.note("create")
}

func (f *fakeDaemon) RevokePairing(context.Context) (*Pairing, error) {
	return &Pairing{ID: "pair_1", Status: "revoked"}, f.note("revoke")
}

func (f *fakeDaemon) Market(_ context.Context, q MarketQuery) (json.RawMessage, error) {
	return json.RawMessage(`[{"id":"x"}]`), f.note("market %s id=%s limit=%d type=%s provider=%s", q.Kind, q.ID, q.Limit, q.ServiceType, q.Provider)
}

// newFake returns a daemon with one purchase.
func newFake() *fakeDaemon {
	at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	return &fakeDaemon{
		purchase: Purchase{ID: "p1", Need: "price", State: "ordered", Price: 10_000, Currency: "USD", Created: at, Updated: at},
		status:   Status{Version: "v1", Started: at, Now: at, Live: true, Mode: "buy"},
		result:   json.RawMessage("{ \"price\" : 0.10,\n\"note\":\"<&>\" }"),
		level:    "info",
	}
}

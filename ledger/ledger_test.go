// SPDX-License-Identifier: Apache-2.0

package ledger_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
)

var (
	t0     = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	tokenA = common.HexToAddress("0x036CbD53842c5426634e7929541eC2318f3dCF7e")
	payeeA = common.HexToAddress("0x1111111111111111111111111111111111111111")
	payeeB = common.HexToAddress("0x2222222222222222222222222222222222222222")
	allow  = policy.Verdict{Reason: policy.Allowed, Window: -1}
)

const chainA = money.ChainID("eip155:84532")

// clock is a settable clock for the ledger and the guard.
type clock struct {
	t         time.Time
	untrusted bool
}

func (c *clock) Now() (time.Time, bool) { return c.t, !c.untrusted }

func open(t testing.TB, path string, c *clock) *ledger.Ledger {
	t.Helper()
	l, err := ledger.Open(t.Context(), ledger.Config{Path: path, Now: func() time.Time { return c.t }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return l
}

func fresh(t testing.TB) (*ledger.Ledger, *clock) {
	t.Helper()
	c := &clock{t: t0}
	return open(t, filepath.Join(t.TempDir(), "state", "ledger.db"), c), c
}

func rules() *policy.Rules {
	return &policy.Rules{
		Currency: "USD", PerPurchase: 5_000_000, Lifetime: 1000_000_000,
		Windows: []policy.Window{{Over: 24 * time.Hour, Limit: 20_000_000}, {Over: 720 * time.Hour, Limit: 200_000_000}},
		Counts:  []policy.CountLimit{{Over: time.Hour, Limit: 30}},
		Payees:  policy.PayeesPin,
	}
}

func guard(t testing.TB, l *ledger.Ledger, c *clock, r *policy.Rules) *policy.Guard {
	t.Helper()
	g, err := policy.NewGuard(policy.GuardConfig{Rules: r, Store: l, Clock: c})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func request(id policy.PurchaseID, value money.Value) policy.Request {
	return policy.Request{
		Purchase: id, Need: "price", Service: "svc_1", Provider: "acme", Rail: policy.RailWallet, Native: true,
		Currency: "USD", Value: value,
	}
}

func terms(value money.Value) policy.Terms {
	amount, err := money.AmountOf(value, 6)
	if err != nil {
		panic(err)
	}
	return policy.Terms{
		Rail: policy.RailWallet, Chain: chainA, Token: tokenA, Symbol: "USDC", Decimals: 6, Payee: payeeA, Amount: amount,
	}
}

func settlement(id policy.PurchaseID, value money.Value, at time.Time) ledger.Settlement {
	tm := terms(value)
	return ledger.Settlement{
		Purchase: id, Value: value, Amount: tm.Amount, Chain: tm.Chain, Token: tm.Token, Payee: tm.Payee,
		Ref: "0xtx-" + string(id), At: at, Rail: tm.Rail,
	}
}

func TestPurchaseFromReservationToSettlement(t *testing.T) {
	l, c := fresh(t)
	g := guard(t, l, c, rules())
	ctx := context.Background()
	p := &ledger.Purchase{ID: "p1", Need: "price", State: "planned", Doc: []byte(`{"a":1}`)}
	if err := l.Create(ctx, p); err != nil {
		t.Fatal(err)
	}
	req := request("p1", 2_000_000)
	next := *p
	next.State = "reserved"
	req.Record = &ledger.Move{Purchase: &next, From: "planned", Event: "allowed"}
	v, err := g.Reserve(ctx, req)
	if err != nil || !v.Allowed() {
		t.Fatalf("reserve: %v, %v", v, err)
	}
	next.State = "intended"
	req.Record = &ledger.Move{Purchase: &next, From: "reserved", Event: "intent"}
	grant, v, err := g.Grant(ctx, req, terms(1_500_000))
	if err != nil || !v.Allowed() || !grant.Valid() {
		t.Fatalf("grant: %v, %v, %v", grant, v, err)
	}
	again, err := g.Regrant(ctx, "p1")
	if err != nil || again != grant {
		t.Fatalf("regrant: got %v, want %v (%v)", again, grant, err)
	}
	next.State, next.Final = "settled", true
	if err := l.Settle(ctx, settlement("p1", 1_500_000, c.t), &ledger.Move{Purchase: &next, From: "intended", Event: "settled"}); err != nil {
		t.Fatal(err)
	}
	u, err := l.Usage(ctx, rules().Windows, c.t)
	if err != nil || u.Spent[0] != 1_500_000 || u.Spent[1] != 1_500_000 || u.Reserved != 0 || u.Lifetime != 1_500_000 {
		t.Errorf("usage: %+v, %v", u, err)
	}
	h, err := l.History(ctx, "p1")
	if err != nil || len(h) != 4 {
		t.Fatalf("history: %d entries, %v", len(h), err)
	}
	for i, want := range []string{"planned", "reserved", "intended", "settled"} {
		if h[i].To != want {
			t.Errorf("entry %d: got state %q, want %q", i, h[i].To, want)
		}
	}
	verifyClean(t, l)
}

func verifyClean(t testing.TB, l *ledger.Ledger) ledger.Report {
	t.Helper()
	r, err := l.Verify(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.Findings {
		t.Errorf("verify: %s", f)
	}
	return r
}

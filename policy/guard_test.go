// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
)

var errDisk = errors.New("disk is gone")

// fakeStore keeps one reservation and fails its commits on demand, after the
// decision was taken: the moment at which a grant must not exist yet.
type fakeStore struct {
	state      policy.State
	own        *policy.Reservation
	failCommit bool
	query      policy.Query
	record     any
}

func (f *fakeStore) at(q policy.Query) *policy.State {
	f.query = q
	st := f.state
	st.At, st.Own = q.At, f.own
	return &st
}

func (f *fakeStore) Reserve(_ context.Context, req policy.Request, q policy.Query, decide func(*policy.State) policy.Verdict) (policy.Verdict, error) {
	v := decide(f.at(q))
	if !v.Allowed() {
		return v, nil
	}
	if f.failCommit {
		return policy.Verdict{}, errDisk
	}
	f.record = req.Record
	f.own = &policy.Reservation{
		Purchase: req.Purchase, Service: req.Service, Provider: req.Provider, Rail: req.Rail, Chain: req.Chain, Token: req.Token,
		HasToken: req.HasToken, Payee: req.Payee, HasPayee: req.HasPayee, Value: req.Reserves(), Status: policy.ReservationOpen,
	}
	return v, nil
}

func (f *fakeStore) Bind(_ context.Context, _ policy.PurchaseID, t policy.Terms, value money.Value, q policy.Query, decide func(*policy.State) policy.Verdict, record any) (policy.Verdict, error) {
	v := decide(f.at(q))
	if !v.Allowed() {
		return v, nil
	}
	if f.failCommit {
		return policy.Verdict{}, errDisk
	}
	f.record, f.own.Terms, f.own.Value = record, &t, value
	return v, nil
}

func (f *fakeStore) Reservation(context.Context, policy.PurchaseID) (policy.Reservation, error) {
	if f.own == nil {
		return policy.Reservation{}, errors.New("none")
	}
	return *f.own, nil
}

func (f *fakeStore) State(_ context.Context, q policy.Query) (*policy.State, error) {
	if f.failCommit {
		return nil, errDisk
	}
	return f.at(q), nil
}

type fakeClock struct {
	at        time.Time
	untrusted bool
}

func (c fakeClock) Now() (time.Time, bool) { return c.at, !c.untrusted }

// granting is a purchase that is reserved and asks for its grant.
type granting struct {
	rules policy.Rules
	store fakeStore
	clock fakeClock
	req   policy.Request
	terms policy.Terms
}

func reservedPurchase() *granting {
	s := allowedScene()
	g := &granting{rules: s.rules, store: fakeStore{state: s.state}, clock: fakeClock{at: noon}, req: s.req}
	g.terms = policy.Terms{
		Rail: policy.RailX402, Chain: chainA, Token: tokenA, Symbol: "USDC", Decimals: 6, Payee: payeeA,
		Amount: money.FromUint64(100_000), Deadline: noon.Add(5 * time.Minute),
	}
	g.store.own = &policy.Reservation{
		Purchase: "p1", Service: "svc_1", Provider: "acme", Rail: policy.RailX402, Chain: chainA, Token: tokenA, HasToken: true,
		Payee: payeeA, HasPayee: true, Value: 10 * cent, Status: policy.ReservationOpen,
	}
	return g
}

func (g *granting) guard(t *testing.T) *policy.Guard {
	t.Helper()
	guard, err := policy.NewGuard(policy.GuardConfig{Rules: &g.rules, Store: &g.store, Clock: &g.clock})
	if err != nil {
		t.Fatal(err)
	}
	return guard
}

var grantCases = []struct {
	name   string
	change func(*granting)
	want   policy.Reason
}{
	{"the terms reserved for", func(*granting) {}, policy.Allowed},
	{"nothing reserved", func(g *granting) { g.store.own = nil }, policy.ReasonLedgerUnverified},
	{"less than reserved", func(g *granting) { g.terms.Amount = money.FromUint64(99_999) }, policy.Allowed},
	{"more than reserved", func(g *granting) { g.terms.Amount = money.FromUint64(100_001) }, policy.ReasonPriceChanged},
	{"a fraction more than reserved", func(g *granting) {
		g.terms.Decimals, g.terms.Amount = 7, money.FromUint64(1_000_001)
	}, policy.ReasonPriceChanged},
	{"an amount past every value", func(g *granting) {
		g.terms.Amount, _ = money.ParseBase("0xffffffffffffffffffffffffffffffff")
	}, policy.ReasonPriceInvalid},
	{"an amount of nothing", func(g *granting) { g.terms.Amount = money.Amount{} }, policy.ReasonPriceInvalid},
	{"another rail", func(g *granting) { g.terms.Rail = policy.RailWallet }, policy.ReasonRailMismatch},
	{"another rail in terms and request", func(g *granting) {
		g.terms.Rail, g.req.Rail = policy.RailWallet, policy.RailWallet
	}, policy.ReasonRailMismatch},
	{"the other name of the rail", func(g *granting) {
		g.store.own.Rail, g.req.Rail, g.terms.Rail = policy.RailWallet, policy.RailUSDTTransfer, policy.RailUSDTTransfer
	}, policy.Allowed},
	{"a rail that moves no token", func(g *granting) {
		g.store.own.Rail, g.req.Rail, g.terms.Rail = "mpp", "mpp", "mpp"
	}, policy.ReasonRailUnsupported},
	{"another provider", func(g *granting) { g.req.Provider = "globex" }, policy.ReasonServiceMismatch},
	{"another service", func(g *granting) { g.req.Service = "svc_2" }, policy.ReasonServiceMismatch},
	{"a chain that is no EVM", func(g *granting) { g.terms.Chain = "solana:1" }, policy.ReasonChainUnknown},
	{"no token", func(g *granting) { g.terms.Token = common.Address{} }, policy.ReasonTokenUnknown},
	{"no payee", func(g *granting) { g.terms.Payee = common.Address{} }, policy.ReasonPayeeUnknown},
	{"another chain", func(g *granting) { g.terms.Chain = "eip155:1" }, policy.ReasonChainMismatch},
	{"another token", func(g *granting) { g.terms.Token = payeeB }, policy.ReasonTokenMismatch},
	{"another payee", func(g *granting) { g.terms.Payee = payeeB }, policy.ReasonPayeeMismatch},
	{"another payee than reserved for", func(g *granting) {
		g.terms.Payee, g.req.HasPayee = payeeB, false
	}, policy.ReasonPayeeMismatch},
	{"another chain than reserved for", func(g *granting) {
		g.terms.Chain, g.req.HasToken = "eip155:1", false
	}, policy.ReasonChainMismatch},
	{"another token than reserved for", func(g *granting) {
		g.terms.Token, g.req.HasToken = payeeB, false
	}, policy.ReasonTokenMismatch},
	{"token and payee told only now", func(g *granting) {
		g.req.HasPayee, g.req.HasToken, g.store.own.HasPayee, g.store.own.HasToken = false, false, false, false
	}, policy.Allowed},
	{"a payee told only now that is not the pinned", func(g *granting) {
		g.req.HasPayee, g.store.own.HasPayee, g.store.state.HasPin, g.store.state.PayeePinned = false, false, true, payeeB
	}, policy.ReasonPayeeChanged},
	{"authorisation as long as allowed", func(g *granting) { g.terms.Deadline = noon.Add(10 * time.Minute) }, policy.Allowed},
	{"authorisation one second too long", func(g *granting) {
		g.terms.Deadline = noon.Add(10*time.Minute + time.Second)
	}, policy.ReasonAuthorizationTooLong},
	{"authorisation past the owner's maximum", func(g *granting) {
		g.rules.MaxAuthorization = 4 * time.Minute
	}, policy.ReasonAuthorizationTooLong},
	{"authorisation without end", func(g *granting) { g.terms.Deadline = time.Time{} }, policy.ReasonAuthorizationTooLong},
	{"authorisation that has ended", func(g *granting) { g.terms.Deadline = noon }, policy.ReasonDeadlinePassed},
	{"transaction with a far deadline", transfer(time.Hour), policy.Allowed},
	{"transaction without a deadline", func(g *granting) {
		transfer(0)(g)
		g.terms.Deadline = time.Time{}
	}, policy.Allowed},
	{"the policy has tightened since", func(g *granting) { g.rules.PerPurchase = 9 * cent }, policy.ReasonPerPurchaseLimit},
	{"paused since", func(g *granting) { g.store.state.Paused = true }, policy.ReasonPaused},
	{"clock lost since", func(g *granting) { g.clock.untrusted = true }, policy.ReasonClockUntrusted},
	{"authorisation that has ended by a clock that is wrong", func(g *granting) { g.terms.Deadline, g.clock.untrusted = noon, true }, policy.ReasonClockUntrusted},
	{"authorisation that is too long by a clock that is wrong", func(g *granting) {
		g.terms.Deadline, g.clock.untrusted = noon.Add(time.Hour), true
	}, policy.ReasonClockUntrusted},
	{"another payee by a clock that is wrong", func(g *granting) {
		g.terms.Payee, g.clock.untrusted = payeeB, true
	}, policy.ReasonPayeeMismatch},
	{"observing", func(g *granting) { g.rules.Observe = true }, policy.ReasonObserveMode},
	{"granted before, longer now", func(g *granting) {
		t := g.terms
		t.Deadline = noon.Add(time.Minute)
		g.store.own.Terms = &t
	}, policy.Allowed},
	{"granted before for less", bound(func(b *policy.Terms) { b.Amount = money.FromUint64(90_000) }), policy.ReasonPriceChanged},
	{"granted before for another payee", bound(func(b *policy.Terms) { b.Payee = payeeB }), policy.ReasonPayeeMismatch},
	{"granted before for another token", bound(func(b *policy.Terms) { b.Token = payeeB }), policy.ReasonTokenMismatch},
	{"granted before on another chain", bound(func(b *policy.Terms) { b.Chain = "eip155:1" }), policy.ReasonChainMismatch},
	{"plain transfer to an escrow", escrowed(func(t *policy.Terms) { t.Lock = false }), policy.Allowed},
	{"lock in an escrow", escrowed(func(*policy.Terms) {}), policy.Allowed},
	{"escrow rail without an escrow", escrowed(func(t *policy.Terms) { t.Escrow, t.Lock = common.Address{}, false }), policy.ReasonEscrowUnknown},
	{"escrow on a rail that has none", func(g *granting) { g.terms.Escrow = payeeB }, policy.ReasonEscrowUnknown},
	{"lock on a rail that has none", func(g *granting) { g.terms.Lock = true }, policy.ReasonEscrowUnknown},
	{"lock without an order", escrowed(func(t *policy.Terms) { t.Order = common.Hash{} }), policy.ReasonDeadlinePassed},
	{"lock that ends at once", escrowed(func(t *policy.Terms) { t.RefundFrom = noon }), policy.ReasonDeadlinePassed},
	{"granted before for another escrow", escrowBound(func(t *policy.Terms) { t.Escrow = payeeA }), policy.ReasonEscrowUnknown},
	{"granted before as a plain transfer", escrowBound(func(t *policy.Terms) { t.Lock = false }), policy.ReasonEscrowUnknown},
	{"granted before for another order", escrowBound(func(t *policy.Terms) { t.Order[0]++ }), policy.ReasonEscrowUnknown},
	{"granted before for another time", escrowBound(func(t *policy.Terms) { t.RefundFrom = noon.Add(2 * time.Hour) }), policy.ReasonEscrowUnknown},
	{"granted before the same", escrowBound(func(*policy.Terms) {}), policy.Allowed},
	{"granted before with other decimals", bound(func(b *policy.Terms) { b.Decimals = 7 }), policy.ReasonDecimalsMismatch},
}

// bound is a purchase that was granted before, under terms that differ, and for
// which nothing else was known before.
func bound(change func(*policy.Terms)) func(*granting) {
	return func(g *granting) {
		terms := g.terms
		change(&terms)
		g.req.HasToken, g.req.HasPayee, g.store.own.HasToken, g.store.own.HasPayee = false, false, false, false
		g.store.own.Terms = &terms
	}
}

func transfer(in time.Duration) func(*granting) {
	return func(g *granting) {
		g.store.own.Rail, g.req.Rail, g.terms.Rail = policy.RailWallet, policy.RailWallet, policy.RailWallet
		g.terms.Deadline = noon.Add(in)
	}
}

// escrowed makes the purchase one that locks its value, under terms that differ.
func escrowed(change func(*policy.Terms)) func(*granting) {
	return func(g *granting) {
		transfer(time.Hour)(g)
		g.store.own.Rail, g.req.Rail, g.terms.Rail = policy.RailEscrow, policy.RailEscrow, policy.RailEscrow
		g.terms.Escrow, g.terms.Lock, g.terms.Order, g.terms.RefundFrom = payeeB, true, common.Hash{1}, noon.Add(time.Hour)
		change(&g.terms)
	}
}

// escrowBound is a lock that was granted before, under terms that differ.
func escrowBound(change func(*policy.Terms)) func(*granting) {
	return func(g *granting) {
		escrowed(func(*policy.Terms) {})(g)
		bound(change)(g)
	}
}

func TestGrant(t *testing.T) {
	tried := map[policy.Reason]bool{}
	for _, c := range grantCases {
		tried[c.want] = true
		t.Run(c.name, func(t *testing.T) {
			g := reservedPurchase()
			c.change(g)
			g.req.Record = "move"
			grant, v, err := g.guard(t).Grant(t.Context(), g.req, g.terms)
			if err != nil {
				t.Fatal(err)
			}
			if v.Reason != c.want {
				t.Fatalf("got %q, want %q", v.Reason, c.want)
			}
			if grant.Valid() != v.Allowed() {
				t.Fatalf("grant valid is %t for %q", grant.Valid(), v.Reason)
			}
			if !grant.Valid() {
				if grant != (policy.Grant{}) || g.store.record != nil {
					t.Error("a refusal left something behind")
				}
				return
			}
			if grant.Purchase() != "p1" || grant.Payee() != g.terms.Payee || grant.Token() != g.terms.Token || grant.Chain() != g.terms.Chain ||
				grant.Amount() != g.terms.Amount || !grant.Deadline().Equal(g.terms.Deadline) || g.store.record != "move" ||
				grant.Escrow() != g.terms.Escrow || grant.Order() != g.terms.Order || !grant.RefundFrom().Equal(g.terms.RefundFrom) {
				t.Errorf("grant %+v is not for terms %+v", grant, g.terms)
			}
		})
	}
	for _, want := range reasonsIn(t, "guard.go") {
		if !tried[want] {
			t.Errorf("no case wants %q", want)
		}
	}
}

func TestGrantKind(t *testing.T) {
	g := reservedPurchase()
	grant, _, err := g.guard(t).Grant(t.Context(), g.req, g.terms)
	if err != nil || grant.Kind() != policy.KindAuthorization {
		t.Errorf("x402: got kind %q, %v", grant.Kind(), err)
	}
	g = reservedPurchase()
	transfer(time.Hour)(g)
	grant, _, err = g.guard(t).Grant(t.Context(), g.req, g.terms)
	if err != nil || grant.Kind() != policy.KindTransfer {
		t.Errorf("wallet: got kind %q, %v", grant.Kind(), err)
	}
}

func TestEscrowGrant(t *testing.T) {
	for _, c := range []struct {
		name     string
		lock     bool
		status   policy.ReservationStatus
		want     policy.Kind
		receiver common.Address
	}{
		{"lock", true, policy.ReservationOpen, policy.KindLock, payeeB},
		{"plain transfer", false, policy.ReservationOpen, policy.KindTransfer, payeeB},
		{"settled lock", true, policy.ReservationSettled, policy.KindPayout, payeeB},
		{"settled plain transfer", false, policy.ReservationSettled, "", payeeB},
		{"refunded lock", true, policy.ReservationRefunded, "", payeeB},
		{"released lock", true, policy.ReservationReleased, "", payeeB},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := reservedPurchase()
			escrowed(func(t *policy.Terms) { t.Lock = c.lock })(g)
			g.store.own.Terms, g.store.own.Status = &g.terms, c.status
			grant, err := g.guard(t).Regrant(t.Context(), "p1")
			if grant.Kind() != c.want || (err == nil) != (c.want != "") {
				t.Fatalf("got kind %q, %v; want %q", grant.Kind(), err, c.want)
			}
			if err == nil && grant.Receiver() != c.receiver {
				t.Errorf("receiver: got %s, want %s", grant.Receiver(), c.receiver)
			}
		})
	}
}

func TestNoGrantWithoutACommittedReservation(t *testing.T) {
	g := reservedPurchase()
	g.store.failCommit = true
	guard := g.guard(t)
	grant, v, err := guard.Grant(t.Context(), g.req, g.terms)
	if !errors.Is(err, errDisk) || grant != (policy.Grant{}) || v.Allowed() {
		t.Errorf("grant: got %+v, %+v, %v", grant, v, err)
	}
	if grant, err := guard.Regrant(t.Context(), "p1"); !errors.Is(err, policy.ErrNotGranted) || grant.Valid() {
		t.Errorf("regrant without terms: got %+v, %v", grant, err)
	}
	if v, err := guard.Reserve(t.Context(), g.req); !errors.Is(err, errDisk) || v.Allowed() {
		t.Errorf("reserve: got %+v, %v", v, err)
	}
	if v, err := guard.Decide(t.Context(), g.req); !errors.Is(err, errDisk) || v.Allowed() {
		t.Errorf("decide: got %+v, %v", v, err)
	}
}

func TestRegrant(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*granting)
		want   bool
	}{
		{"open and granted", func(*granting) {}, true},
		{"paused, expired and out of money since", func(g *granting) {
			g.store.state.Paused, g.clock.untrusted, g.rules.Expires, g.rules.PerPurchase = true, true, noon.Add(-1), 1
		}, true},
		{"not granted", func(g *granting) { g.store.own.Terms = nil }, false},
		{"settled", func(g *granting) { g.store.own.Status = policy.ReservationSettled }, false},
		{"released", func(g *granting) { g.store.own.Status = policy.ReservationReleased }, false},
		{"of another purchase", func(g *granting) { g.store.own.Purchase = "p2" }, false},
		{"none", func(g *granting) { g.store.own = nil }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := reservedPurchase()
			g.store.own.Terms = &g.terms
			c.change(g)
			grant, err := g.guard(t).Regrant(t.Context(), "p1")
			if grant.Valid() != c.want || (err == nil) != c.want {
				t.Errorf("got valid %t, %v", grant.Valid(), err)
			}
		})
	}
}

func TestAnApprovalCountsOnlyIfTheStoreHasIt(t *testing.T) {
	g := reservedPurchase()
	g.rules.HasApproval, g.rules.ApprovalTTL, g.store.own = true, time.Hour, nil
	g.req.Approved = true
	guard := g.guard(t)
	v, err := guard.Reserve(t.Context(), g.req)
	if err != nil || !v.NeedsApproval() {
		t.Errorf("not in the store: got %+v, %v", v, err)
	}
	g.store.state.Approved = true
	if v, err = guard.Reserve(t.Context(), g.req); err != nil || !v.Allowed() {
		t.Errorf("in the store: got %+v, %v", v, err)
	}
	g.req.Approved = false
	if v, err = guard.Decide(t.Context(), g.req); err != nil || !v.NeedsApproval() {
		t.Errorf("not claimed: got %+v, %v", v, err)
	}
}

func TestGuardAsksForTheSumsOfItsRules(t *testing.T) {
	g := reservedPurchase()
	g.store.own = nil
	guard := g.guard(t)
	if v, err := guard.Reserve(t.Context(), g.req); err != nil || !v.Allowed() {
		t.Fatalf("got %+v, %v", v, err)
	}
	q := g.store.query
	if len(q.Windows) != 2 || len(q.Counts) != 1 || q.Provider != "acme" || q.Payee != payeeA || !q.Trusted || !q.At.Equal(noon) || q.Purchase != "p1" {
		t.Errorf("got query %+v", q)
	}
	if g.store.own.Value != 10*cent {
		t.Errorf("got %s reserved", g.store.own.Value)
	}
	g.req.Purchase = ""
	if _, err := guard.Reserve(t.Context(), g.req); err == nil {
		t.Error("reserved for no purchase")
	}
}

func TestSetRules(t *testing.T) {
	g := reservedPurchase()
	guard := g.guard(t)
	if err := guard.SetRules(&policy.Rules{}); !errors.Is(err, policy.ErrRules) {
		t.Errorf("empty rules: got %v", err)
	}
	if err := guard.SetRules(nil); !errors.Is(err, policy.ErrRules) {
		t.Errorf("no rules: got %v", err)
	}
	if guard.Rules() != &g.rules {
		t.Error("bad rules replaced the good ones")
	}
	tight := g.rules
	tight.PerPurchase = cent
	if err := guard.SetRules(&tight); err != nil {
		t.Fatal(err)
	}
	if v, err := guard.Decide(t.Context(), g.req); err != nil || v.Reason != policy.ReasonPerPurchaseLimit {
		t.Errorf("tightened: got %+v, %v", v, err)
	}
}

func TestSetRemote(t *testing.T) {
	g := reservedPurchase()
	guard := g.guard(t)
	if guard.Remote() != nil {
		t.Error("there are remote rules before any were set")
	}
	guard.SetRemote(policy.Remote{PerTransaction: cent, HasPerTransaction: true})
	if v, err := guard.Decide(t.Context(), g.req); err != nil || v.Reason != policy.ReasonServerLimit {
		t.Errorf("got %+v, %v", v, err)
	}
	guard.SetRemote(policy.Remote{PerTransaction: 100 * dollar, HasPerTransaction: true})
	if v, err := guard.Decide(t.Context(), g.req); err != nil || !v.Allowed() {
		t.Errorf("loosened: got %+v, %v", v, err)
	}
}

func TestNewGuardNeedsItsParts(t *testing.T) {
	g := reservedPurchase()
	for name, cfg := range map[string]policy.GuardConfig{
		"store": {Rules: &g.rules, Clock: g.clock},
		"clock": {Rules: &g.rules, Store: &g.store},
		"rules": {Store: &g.store, Clock: g.clock},
	} {
		if _, err := policy.NewGuard(cfg); err == nil {
			t.Errorf("made without its %s", name)
		}
	}
}

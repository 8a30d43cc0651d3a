// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
)

const (
	chainA = money.ChainID("eip155:84532")
	cent   = money.Value(10_000)
	dollar = money.Value(1_000_000)
)

var (
	noon   = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	tokenA = common.HexToAddress("0x036CbD53842c5426634e7929541eC2318f3dCF7e")
	payeeA = common.HexToAddress("0x1111111111111111111111111111111111111111")
	payeeB = common.HexToAddress("0x2222222222222222222222222222222222222222")
)

// scene is one decision; each case changes a scene that is allowed.
type scene struct {
	rules     policy.Rules
	remote    policy.Remote
	req       policy.Request
	state     policy.State
	at        time.Time
	untrusted bool
}

func allowedScene() *scene {
	return &scene{
		rules: policy.Rules{
			Currency: "USD", PerPurchase: 5 * dollar, Lifetime: 1000 * dollar,
			Windows: []policy.Window{{Over: 24 * time.Hour, Limit: 20 * dollar}, {Calendar: policy.CalendarMonth, Limit: 200 * dollar}},
			Counts:  []policy.CountLimit{{Over: time.Hour, Limit: 30}},
		},
		req: policy.Request{
			Purchase: "p1", Need: "price", Service: "svc_1", Skill: "skill_1", Provider: "acme", ServiceType: "oracle.price-feed",
			Operation: "latest-price", Rail: policy.RailX402, Native: true, Chain: chainA, Token: tokenA, Symbol: "USDC",
			HasToken: true, Payee: payeeA, HasPayee: true, Currency: "USD", Value: 10 * cent,
		},
		state: policy.State{LedgerVerified: true, Spent: make([]money.Value, 2), Counts: make([]int64, 1)},
		at:    noon,
	}
}

func (s *scene) decide() policy.Verdict {
	return policy.Decide(&s.rules, &s.remote, &s.req, &s.state, s.at, !s.untrusted)
}

type decideCase struct {
	name   string
	change func(*scene)
	want   policy.Reason
}

func runDecide(t *testing.T, cases []decideCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := allowedScene()
			c.change(s)
			if got := s.decide(); got.Reason != c.want {
				t.Errorf("got %q, want %q", got.Reason, c.want)
			}
		})
	}
}

var timeCases = []decideCase{
	{"as it is", func(*scene) {}, policy.Allowed},
	{"paused", func(s *scene) { s.state.Paused = true }, policy.ReasonPaused},
	{"pause comes before all else", func(s *scene) {
		s.state.Paused, s.untrusted, s.rules.Observe, s.req.Value = true, true, true, 100*dollar
	}, policy.ReasonPaused},
	{"clock not trusted", func(s *scene) { s.untrusted = true }, policy.ReasonClockUntrusted},
	{"ledger not verified", func(s *scene) { s.state.LedgerVerified = false }, policy.ReasonLedgerUnverified},
	{"sums of other rules", func(s *scene) { s.state.Spent = nil }, policy.ReasonLedgerUnverified},
	{"counts of other rules", func(s *scene) { s.state.Counts = nil }, policy.ReasonLedgerUnverified},
	{"before the expiry", func(s *scene) { s.rules.Expires = noon.Add(1) }, policy.Allowed},
	{"at the expiry", func(s *scene) { s.rules.Expires = noon }, policy.ReasonPolicyExpired},
	{"quiet hours begin", quiet("12:00", 12*60, 13*60), policy.ReasonQuietHours},
	{"a minute before quiet hours", quiet("11:59", 12*60, 13*60), policy.Allowed},
	{"last quiet minute", quiet("12:59", 12*60, 13*60), policy.ReasonQuietHours},
	{"quiet hours end", quiet("13:00", 12*60, 13*60), policy.Allowed},
	{"quiet over midnight, evening", quiet("22:00", 22*60, 6*60), policy.ReasonQuietHours},
	{"quiet over midnight, midnight", quiet("00:00", 22*60, 6*60), policy.ReasonQuietHours},
	{"quiet over midnight, last minute", quiet("05:59", 22*60, 6*60), policy.ReasonQuietHours},
	{"quiet over midnight, morning", quiet("06:00", 22*60, 6*60), policy.Allowed},
	{"quiet over midnight, before", quiet("21:59", 22*60, 6*60), policy.Allowed},
	{"quiet hours are UTC", func(s *scene) {
		s.rules.QuietHours = []policy.QuietHours{{From: 12 * 60, To: 12*60 + 1}}
		s.at = noon.In(time.FixedZone("east", 7200))
	}, policy.ReasonQuietHours},
	{"observe", func(s *scene) { s.rules.Observe = true }, policy.ReasonObserveMode},
	{"observe says first what would be refused", func(s *scene) {
		s.rules.Observe, s.req.Value = true, 6*dollar
	}, policy.ReasonPerPurchaseLimit},
	{"observe asks nobody", func(s *scene) { s.rules.Observe, s.rules.HasApproval = true, true }, policy.ReasonObserveMode},
}

func quiet(clock string, from, to int) func(*scene) {
	return func(s *scene) {
		at, err := time.Parse("15:04", clock)
		if err != nil {
			panic(err)
		}
		s.at = time.Date(2026, 11, 24, at.Hour(), at.Minute(), 59, 0, time.UTC)
		s.rules.QuietHours = []policy.QuietHours{{From: from, To: to}}
	}
}

func TestDecideTime(t *testing.T) { runDecide(t, timeCases) }

// listCases tries every list: named in allow, another named in allow, named in
// deny, and named in both.
func listCases() (cases []decideCase) {
	lists := []struct {
		name             string
		pick             func(*policy.Lists) *policy.Set
		member           string
		denied, unlisted policy.Reason
	}{
		{"rails", func(l *policy.Lists) *policy.Set { return &l.Rails }, policy.RailX402, policy.ReasonRailDenied, policy.ReasonRailNotAllowed},
		{"service types", func(l *policy.Lists) *policy.Set { return &l.ServiceTypes }, "oracle.price-feed", policy.ReasonServiceTypeDenied, policy.ReasonServiceTypeNotAllowed},
		{"services", func(l *policy.Lists) *policy.Set { return &l.Services }, "svc_1", policy.ReasonServiceDenied, policy.ReasonServiceNotAllowed},
		{"skills", func(l *policy.Lists) *policy.Set { return &l.Skills }, "skill_1", policy.ReasonSkillDenied, policy.ReasonSkillNotAllowed},
		{"providers", func(l *policy.Lists) *policy.Set { return &l.Providers }, "acme", policy.ReasonProviderDenied, policy.ReasonProviderNotAllowed},
		{"operations", func(l *policy.Lists) *policy.Set { return &l.Operations }, "latest-price", policy.ReasonOperationDenied, policy.ReasonOperationNotAllowed},
		{"token symbols", func(l *policy.Lists) *policy.Set { return &l.Tokens }, "usdc", policy.ReasonTokenDenied, policy.ReasonTokenNotAllowed},
		{"token addresses", func(l *policy.Lists) *policy.Set { return &l.Tokens }, "0x036cbd53842c5426634e7929541ec2318f3dcf7e", policy.ReasonTokenDenied, policy.ReasonTokenNotAllowed},
		{"payees", func(l *policy.Lists) *policy.Set { return &l.Payees }, "0x1111111111111111111111111111111111111111", policy.ReasonPayeeDenied, policy.ReasonPayeeNotAllowed},
	}
	const other = "0x3333333333333333333333333333333333333333"
	for _, l := range lists {
		cases = append(cases,
			decideCase{l.name + " allowed", func(s *scene) { *l.pick(&s.rules.Allow) = policy.NewSet(other, l.member) }, policy.Allowed},
			decideCase{l.name + " not allowed", func(s *scene) { *l.pick(&s.rules.Allow) = policy.NewSet(other) }, l.unlisted},
			decideCase{l.name + " denied", func(s *scene) { *l.pick(&s.rules.Deny) = policy.NewSet(other, l.member) }, l.denied},
			decideCase{l.name + " others denied", func(s *scene) { *l.pick(&s.rules.Deny) = policy.NewSet(other) }, policy.Allowed},
			decideCase{l.name + " deny wins", func(s *scene) {
				*l.pick(&s.rules.Allow), *l.pick(&s.rules.Deny) = policy.NewSet(l.member), policy.NewSet(l.member)
			}, l.denied},
			decideCase{l.name + " in a long list", func(s *scene) {
				members := []string{l.member}
				for i := range 40 {
					members = append(members, fmt.Sprintf("other-%d", i), fmt.Sprintf("0x%040x", i+1))
				}
				*l.pick(&s.rules.Deny) = policy.NewSet(members...)
			}, l.denied},
		)
	}
	return cases
}

func TestDecideLists(t *testing.T) { runDecide(t, listCases()) }

var priceCases = []decideCase{
	{"per purchase at the limit", func(s *scene) { s.req.Value = 5 * dollar }, policy.Allowed},
	{"per purchase one past", func(s *scene) { s.req.Value = 5*dollar + 1 }, policy.ReasonPerPurchaseLimit},
	{"negative price", func(s *scene) { s.req.Value = -1 }, policy.ReasonPriceInvalid},
	{"negative maximum", func(s *scene) { s.req.MaxPrice, s.req.HasMaxPrice = -1, true }, policy.ReasonPriceInvalid},
	{"free", func(s *scene) { s.req.Rail, s.req.Value, s.req.Currency = policy.RailNotRequired, 0, "" }, policy.Allowed},
	{"price on the free rail", func(s *scene) { s.req.Rail, s.req.Value = policy.RailNotRequired, 1 }, policy.ReasonPriceOnFreeRail},
	{"no price on a rail that pays", func(s *scene) { s.req.Value = 0 }, policy.ReasonPriceUnknown},
	{"no price on a rail that a person pays", func(s *scene) { s.req.Rail, s.req.Value = "external", 0 }, policy.Allowed},
	{"another currency", func(s *scene) { s.req.Currency = "EUR" }, policy.ReasonCurrencyMismatch},
	{"the currency in small letters", func(s *scene) { s.req.Currency = "usd" }, policy.Allowed},
	{"no currency", func(s *scene) { s.req.Currency = "" }, policy.ReasonCurrencyMismatch},
	{"at the need's maximum", func(s *scene) { s.req.MaxPrice, s.req.HasMaxPrice = 10*cent, true }, policy.Allowed},
	{"past the need's maximum", func(s *scene) { s.req.MaxPrice, s.req.HasMaxPrice = 10*cent-1, true }, policy.ReasonMaxPrice},
	{"price told later", func(s *scene) { s.req.PriceUnknown, s.req.MaxPrice, s.req.HasMaxPrice = true, 5*dollar, true }, policy.Allowed},
	{"price told later, maximum above the limit", func(s *scene) {
		s.req.PriceUnknown, s.req.MaxPrice, s.req.HasMaxPrice = true, 5*dollar+1, true
	}, policy.ReasonPerPurchaseLimit},
	{"price told later, no maximum", func(s *scene) { s.req.PriceUnknown = true }, policy.ReasonNoMaxPrice},
	{"window at the limit", func(s *scene) { s.state.Spent[0] = 20*dollar - 10*cent }, policy.Allowed},
	{"window one past", func(s *scene) { s.state.Spent[0] = 20*dollar - 10*cent + 1 }, policy.ReasonWindowLimit},
	{"second window at the limit", func(s *scene) { s.state.Spent[1] = 200*dollar - 10*cent }, policy.Allowed},
	{"second window one past", func(s *scene) { s.state.Spent[1] = 200*dollar - 10*cent + 1 }, policy.ReasonWindowLimit},
	{"window sum out of range", func(s *scene) { s.state.Spent[0] = money.MaxValue }, policy.ReasonWindowLimit},
	{"free in a full window", func(s *scene) {
		s.req.Rail, s.req.Value, s.state.Spent[0] = policy.RailNotRequired, 0, 30*dollar
	}, policy.Allowed},
	{"lifetime at the limit", func(s *scene) { s.state.Lifetime = 1000*dollar - 10*cent }, policy.Allowed},
	{"lifetime one past", func(s *scene) { s.state.Lifetime = 1000*dollar - 10*cent + 1 }, policy.ReasonLifetimeLimit},
	{"no lifetime limit", func(s *scene) { s.rules.Lifetime, s.state.Lifetime = 0, 5000*dollar }, policy.Allowed},
	{"count below the limit", func(s *scene) { s.state.Counts[0] = 29 }, policy.Allowed},
	{"count at the limit", func(s *scene) { s.state.Counts[0] = 30 }, policy.ReasonCountLimit},
	{"count of free purchases", func(s *scene) {
		s.req.Rail, s.req.Value, s.state.Counts[0] = policy.RailNotRequired, 0, 30
	}, policy.ReasonCountLimit},
}

func TestDecidePrice(t *testing.T) { runDecide(t, priceCases) }

func TestDecideNamesTheWindow(t *testing.T) {
	s := allowedScene()
	s.state.Spent[1] = 200 * dollar
	if got := s.decide(); got.Window != 1 {
		t.Errorf("got window %d, want 1", got.Window)
	}
	s = allowedScene()
	if got := s.decide(); got.Window != -1 || !got.Allowed() || got.NeedsApproval() {
		t.Errorf("got %+v for what is allowed", got)
	}
}

var payeeCases = []decideCase{
	{"listed", func(s *scene) {
		s.rules.Payees, s.rules.Allow.Payees = policy.PayeesList, policy.NewSet(payeeA.Hex())
	}, policy.Allowed},
	{"not listed", func(s *scene) {
		s.rules.Payees, s.rules.Allow.Payees = policy.PayeesList, policy.NewSet(payeeB.Hex())
	}, policy.ReasonPayeeNotAllowed},
	{"list without a list", func(s *scene) { s.rules.Payees = policy.PayeesList }, policy.ReasonPayeeNotAllowed},
	{"first payee", func(s *scene) { s.rules.Payees = policy.PayeesPin }, policy.Allowed},
	{"pinned payee", func(s *scene) {
		s.rules.Payees, s.state.HasPin, s.state.PayeePinned = policy.PayeesPin, true, payeeA
	}, policy.Allowed},
	{"another payee than the pinned", func(s *scene) {
		s.rules.Payees, s.state.HasPin, s.state.PayeePinned = policy.PayeesPin, true, payeeB
	}, policy.ReasonPayeeChanged},
	{"no mode pins", func(s *scene) { s.state.HasPin, s.state.PayeePinned = true, payeeB }, policy.ReasonPayeeChanged},
	{"an approval does not lift a pin", func(s *scene) {
		s.state.HasPin, s.state.PayeePinned, s.req.Approved = true, payeeB, true
	}, policy.ReasonPayeeChanged},
	{"payee not known yet", func(s *scene) {
		s.req.HasPayee, s.state.HasPin, s.state.PayeePinned = false, true, payeeB
	}, policy.Allowed},
	{"first payment to a payee", func(s *scene) { s.rules.Payees = policy.PayeesApprove }, policy.ReasonApprovalRequired},
	{"first payment, approved", func(s *scene) { s.rules.Payees, s.req.Approved = policy.PayeesApprove, true }, policy.Allowed},
	{"known payee", func(s *scene) { s.rules.Payees, s.state.PayeeKnown = policy.PayeesApprove, true }, policy.Allowed},
	{"at the approval threshold", approval(10 * cent), policy.Allowed},
	{"past the approval threshold", approval(10*cent - 1), policy.ReasonApprovalRequired},
	{"past the threshold, approved", func(s *scene) {
		approval(10*cent - 1)(s)
		s.req.Approved = true
	}, policy.Allowed},
	{"an approval lifts no limit", func(s *scene) {
		approval(10*cent - 1)(s)
		s.req.Approved, s.state.Spent[0] = true, 20*dollar
	}, policy.ReasonWindowLimit},
	{"nobody is asked about what is refused anyway", func(s *scene) {
		approval(10*cent - 1)(s)
		s.state.Counts[0] = 30
	}, policy.ReasonCountLimit},
	{"no threshold", func(s *scene) { s.rules.ApprovalAbove = 1 }, policy.Allowed},
}

func approval(above money.Value) func(*scene) {
	return func(s *scene) { s.rules.HasApproval, s.rules.ApprovalAbove = true, above }
}

func TestDecidePayeeAndApproval(t *testing.T) { runDecide(t, payeeCases) }

var remoteCases = []decideCase{
	{"skill denied", func(s *scene) { s.remote.DeniedSkills = policy.NewSet("skill_1") }, policy.ReasonServerPolicyDenied},
	{"skill not allowed", func(s *scene) { s.remote.AllowedSkills = policy.NewSet("skill_2") }, policy.ReasonServerPolicyDenied},
	{"skill allowed", func(s *scene) { s.remote.AllowedSkills = policy.NewSet("skill_1") }, policy.Allowed},
	{"service denied", func(s *scene) { s.remote.DeniedServices = policy.NewSet("svc_1") }, policy.ReasonServerPolicyDenied},
	{"service not allowed", func(s *scene) { s.remote.AllowedServices = policy.NewSet("svc_2") }, policy.ReasonServerPolicyDenied},
	{"service allowed", func(s *scene) { s.remote.AllowedServices = policy.NewSet("svc_1") }, policy.Allowed},
	{"the server allows, the owner denies", func(s *scene) {
		s.remote.AllowedServices, s.rules.Deny.Services = policy.NewSet("svc_1"), policy.NewSet("svc_1")
	}, policy.ReasonServiceDenied},
	{"account skill denied", func(s *scene) { s.remote.AccountDeniedSkills = policy.NewSet("skill_1") }, policy.ReasonAccountPolicyDenied},
	{"account skill not allowed", func(s *scene) { s.remote.AccountAllowedSkills = policy.NewSet("skill_2") }, policy.ReasonAccountPolicyDenied},
	{"native only, native", func(s *scene) { s.remote.NativeOnly = true }, policy.Allowed},
	{"native only, handoff", func(s *scene) { s.remote.NativeOnly, s.req.Native = true, false }, policy.ReasonAccountPolicyDenied},
	{"handoff denied", func(s *scene) { s.remote.HandoffDenied, s.req.Native = true, false }, policy.ReasonAccountPolicyDenied},
	{"per transaction at the limit", perTransaction(10 * cent), policy.Allowed},
	{"per transaction one past", perTransaction(10*cent - 1), policy.ReasonServerLimit},
	{"per transaction of nothing", perTransaction(0), policy.ReasonServerLimit},
	{"a looser server changes nothing", func(s *scene) {
		perTransaction(100 * dollar)(s)
		s.req.Value = 6 * dollar
	}, policy.ReasonPerPurchaseLimit},
	{"daily at the limit", daily(9*dollar - 10*cent), policy.Allowed},
	{"daily one past", daily(9*dollar - 10*cent + 1), policy.ReasonServerLimit},
	{"server limit in another currency", func(s *scene) {
		perTransaction(dollar)(s)
		s.remote.Currency = "EUR"
	}, policy.ReasonCurrencyMismatch},
	{"server limit in the same currency", func(s *scene) {
		perTransaction(dollar)(s)
		s.remote.Currency = "USD"
	}, policy.Allowed},
	{"another currency without a limit", func(s *scene) { s.remote.Currency = "EUR" }, policy.Allowed},
	{"cap at the limit", budgetCap(10 * cent), policy.Allowed},
	{"cap one past", budgetCap(10*cent - 1), policy.ReasonAccountPolicyDenied},
	{"cap one past, and a full window", func(s *scene) {
		budgetCap(10*cent - 1)(s)
		s.state.Spent[0] = 20 * dollar
	}, policy.ReasonAccountPolicyDenied},
	{"cap of the day one past", func(s *scene) {
		budgetCap(dollar)(s)
		s.state.ServerDay = dollar - 10*cent + 1
	}, policy.ReasonAccountPolicyDenied},
	{"cap in another currency", func(s *scene) {
		budgetCap(dollar)(s)
		s.remote.BudgetCapCurrency = "EUR"
	}, policy.ReasonCurrencyMismatch},
	{"free under a limit of nothing", func(s *scene) {
		perTransaction(0)(s)
		s.req.Rail, s.req.Value = policy.RailNotRequired, 0
	}, policy.Allowed},
}

func perTransaction(limit money.Value) func(*scene) {
	return func(s *scene) { s.remote.HasPerTransaction, s.remote.PerTransaction = true, limit }
}

func daily(spent money.Value) func(*scene) {
	return func(s *scene) { s.remote.HasDaily, s.remote.Daily, s.state.ServerDay = true, 9*dollar, spent }
}

func budgetCap(limit money.Value) func(*scene) {
	return func(s *scene) { s.remote.HasBudgetCap, s.remote.BudgetCap = true, limit }
}

func TestDecideRemote(t *testing.T) { runDecide(t, remoteCases) }

func TestDecideWithoutRemote(t *testing.T) {
	s := allowedScene()
	if got := policy.Decide(&s.rules, nil, &s.req, &s.state, s.at, true); !got.Allowed() {
		t.Errorf("got %q", got.Reason)
	}
}

// TestEveryReasonOfDecideIsTried keeps the tables complete: each reason that the
// pure decision can give is the wanted one of some case.
func TestEveryReasonOfDecideIsTried(t *testing.T) {
	tried := map[policy.Reason]bool{}
	for _, cases := range [][]decideCase{timeCases, listCases(), priceCases, payeeCases, remoteCases} {
		for _, c := range cases {
			tried[c.want] = true
		}
	}
	for _, want := range reasonsIn(t, "decide.go") {
		if !tried[want] {
			t.Errorf("no case wants %q", want)
		}
	}
}

func TestTheZeroVerdictAllowsNothing(t *testing.T) {
	if (policy.Verdict{}).Allowed() {
		t.Error("the zero verdict allows")
	}
}

// fullScene has every rule set and is still allowed.
func fullScene() *scene {
	s := allowedScene()
	s.rules.Payees, s.rules.HasApproval, s.rules.ApprovalAbove = policy.PayeesPin, true, 2*dollar
	s.rules.Expires = noon.AddDate(1, 0, 0)
	s.rules.QuietHours = []policy.QuietHours{{From: 22 * 60, To: 6 * 60}}
	s.rules.Allow = policy.Lists{
		Rails:        policy.NewSet("not-required", "x402", "wallet", "wdk-usdt-transfer"),
		ServiceTypes: policy.NewSet("oracle.price-feed", "storage.object"), Services: policy.NewSet("svc_1", "svc_2", "svc_3"),
		Skills: policy.NewSet("skill_1", "skill_2"), Providers: policy.NewSet("acme", "globex"),
		Operations: policy.NewSet("latest-price", "put"), Tokens: policy.NewSet("USDC", "USDT"), Payees: policy.NewSet(payeeA.Hex(), payeeB.Hex()),
	}
	s.rules.Deny = policy.Lists{
		Rails: policy.NewSet("mpp"), ServiceTypes: policy.NewSet("device.control"), Services: policy.NewSet("svc_8", "svc_9"),
		Skills: policy.NewSet("skill_9"), Providers: policy.NewSet("evil"), Operations: policy.NewSet("delete"),
		Tokens: policy.NewSet("DAI"), Payees: policy.NewSet("0x9999999999999999999999999999999999999999"),
	}
	s.remote = policy.Remote{
		AllowedSkills: policy.NewSet("skill_1"), DeniedSkills: policy.NewSet("skill_7"), AllowedServices: policy.NewSet("svc_1"),
		DeniedServices: policy.NewSet("svc_7"), PerTransaction: 4 * dollar, HasPerTransaction: true, Daily: 10 * dollar, HasDaily: true,
		Currency: "USD", NativeOnly: true, BudgetCap: 50 * dollar, HasBudgetCap: true, BudgetCapCurrency: "USD",
	}
	s.req.HasMaxPrice, s.req.MaxPrice = true, dollar
	s.state.HasPin, s.state.PayeePinned = true, payeeA
	return s
}

func TestDecideAllocatesNothing(t *testing.T) {
	s := fullScene()
	if got := s.decide(); !got.Allowed() {
		t.Fatalf("got %q", got.Reason)
	}
	if n := testing.AllocsPerRun(1000, func() { s.decide() }); n != 0 {
		t.Errorf("got %v allocations, want 0", n)
	}
}

func BenchmarkDecide(b *testing.B) {
	s := fullScene()
	b.ReportAllocs()
	for b.Loop() {
		if !s.decide().Allowed() {
			b.Fatal("refused")
		}
	}
}

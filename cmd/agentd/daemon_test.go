// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agentd-project/agentd/admin"
)

// fake is a daemon that answers what it is told to; a method that a test does
// not expect panics for want of an implementation.
type fake struct {
	admin.Daemon

	bought, waited admin.Purchase
	failure        error
	asked          []string
}

var at = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func (f *fake) note(format string, args ...any) {
	f.asked = append(f.asked, fmt.Sprintf(format, args...))
}

func (f *fake) Status(context.Context) (*admin.Status, error) {
	return &admin.Status{Version: "v1", Started: at, Now: at.Add(time.Minute), Live: true, Mode: "buy", ClockTrusted: true}, f.failure
}

func (f *fake) Buy(_ context.Context, r admin.BuyRequest) (*admin.Purchase, error) {
	price := ""
	if r.MaxPrice != nil {
		price = r.MaxPrice.String()
	}
	f.note("buy %s %s %s", r.Need, r.Input, price)
	return &f.bought, f.failure
}

func (f *fake) Wait(context.Context, string) (*admin.Purchase, error) { return &f.waited, f.failure }

func (f *fake) Purchases(_ context.Context, q admin.PurchaseQuery) ([]admin.Purchase, error) {
	if q.Need == "none" {
		return nil, nil
	}
	return []admin.Purchase{f.bought, f.waited}, f.failure
}

func (f *fake) Purchase(context.Context, string) (*admin.Purchase, error) {
	p := f.waited
	p.Rail, p.Service, p.Provider, p.OrderID, p.Amount, p.Token = "x402", "svc_1", "oracle", "ord_1", "0.01", "USDC"
	p.Chain, p.Payee, p.Reference, p.ResultFile = "eip155:8453", "0x00000000000000000000000000000000000000a1", "0xabc", "/var/lib/agentd/price.json"
	p.Quotes = []admin.Quote{{Service: "svc_1", Provider: "oracle", Rail: "x402", Price: "0.01", Currency: "USD", Score: "0.9", Reason: "allowed"}}
	p.History = []admin.Event{{At: at, Kind: "transition", To: "planned", Event: "ask"}, {At: at.Add(time.Second), From: "planned", To: "quoted", Event: "search", Detail: "1 quote"}}
	return &p, f.failure
}

func (f *fake) Result(context.Context, string) (json.RawMessage, error) {
	return json.RawMessage(`{"price": 0.10}` + "\n"), f.failure
}

func (f *fake) Explain(context.Context, string) (*admin.Explanation, error) {
	return &admin.Explanation{Need: "price", Currency: "USD", Chosen: 0, Quotes: []admin.Quote{
		{Service: "svc_1", Provider: "oracle", Rail: "x402", Price: "0.01", Currency: "USD", Score: "0.9", Expires: at.Add(5 * time.Minute), Reason: "allowed"},
		{Service: "svc_2", Provider: "other", Rail: "wallet", Price: "9", Currency: "USD", Reason: "per_purchase_limit", Text: "It costs more than one purchase may."},
	}}, f.failure
}

func (f *fake) Approve(_ context.Context, id, by string) (*admin.Purchase, error) {
	f.note("approve %s", id)
	return &f.waited, f.failure
}

func (f *fake) Resolve(_ context.Context, id string, r admin.Resolution, _ string) (*admin.Purchase, error) {
	f.note("resolve %s %s %s", id, r.Action, r.Text)
	return &f.waited, f.failure
}

func (f *fake) Pause(context.Context, string) error  { f.note("pause"); return f.failure }
func (f *fake) Resume(context.Context, string) error { f.note("resume"); return f.failure }

func (f *fake) Policy(context.Context) (*admin.PolicyView, error) {
	return &admin.PolicyView{Local: json.RawMessage(`{"currency":"USD"}`), Budget: admin.Budget{Currency: "USD", PerPurchase: 5_000_000,
		Windows: []admin.Window{{Name: "24h", Limit: 20_000_000, Used: 1_000_000, Left: 19_000_000}}, Counts: []admin.Count{{Name: "1h", Limit: 30, Used: 2}}}}, f.failure
}

func (f *fake) Pairing(context.Context) (*admin.Pairing, error) {
	return &admin.Pairing{ID: "pair_1", Status: "revoked", Machine: "mach_1", Address: "0xaa", Provider: "custom", Role: "buyer", Problem: "the owner revoked it"}, f.failure
}

func (f *fake) LedgerAccept(_ context.Context, transactions []string, _ string) (*admin.LedgerReport, error) {
	return &admin.LedgerReport{OK: true, Entries: 12 + len(transactions), Purchases: 3, Head: "abce"}, f.failure
}

func (f *fake) LedgerVerify(context.Context) (*admin.LedgerReport, error) {
	r := &admin.LedgerReport{OK: f.waited.State != "broken", Entries: 12, Purchases: 3, Head: "abcd",
		Settled: []admin.SettledSum{{Chain: "eip155:8453", Token: "USDC", Ledger: "0.03", OnChain: "0.03", Transfers: 3}}}
	if !r.OK {
		r.Findings = []string{"the entry 7 does not follow from the entry 6"}
	}
	return r, f.failure
}

func (f *fake) Market(_ context.Context, q admin.MarketQuery) (json.RawMessage, error) {
	switch q.Kind {
	case admin.MarketOrders:
		return json.RawMessage(`[{"id":"ord_1","status":"confirmed","serviceId":"svc_1","operation":"latest-price","payment":{"defaultRail":"x402"},"createdAt":"2026-11-24T12:00:00Z","more":1}]`), f.failure
	case admin.MarketAgents:
		return json.RawMessage(`[]`), f.failure
	default:
		return json.RawMessage(`{"status":"ready"}`), f.failure
	}
}

// serveFake serves a daemon and returns how to call the command against it.
func serveFake(t *testing.T, daemon *fake) func(stdin string, args ...string) (code int, out, errs string) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	server, err := admin.NewServer(admin.ServerConfig{Socket: socket, Daemon: daemon})
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return func(stdin string, args ...string) (int, string, string) {
		var out, errs bytes.Buffer
		code := run(args, strings.NewReader(stdin), &out, &errs, []string{"AGENTD_ADMIN_SOCKET=" + socket})
		return code, out.String(), errs.String()
	}
}

func newFake() *fake {
	return &fake{
		bought: admin.Purchase{ID: "p1", Need: "price", State: "planned", Created: at, Updated: at},
		waited: admin.Purchase{ID: "p1", Need: "price", State: "settled", Final: true, Settled: true, Rail: "x402", Price: 10_000, Currency: "USD", Created: at, Updated: at.Add(time.Second)},
	}
}

// TestOutput compares what each command prints with golden files.
func TestOutput(t *testing.T) {
	t.Setenv("COLUMNS", "80") // the parser wraps its help at it
	tests := []struct {
		name string
		args []string
	}{
		{"status", []string{"status"}}, {"status-json", []string{"status", "--json"}},
		{"buy", []string{"buy", "price"}}, {"buy-wait", []string{"buy", "price", "--wait"}}, {"buy-json", []string{"buy", "price", "--json", "--wait=1s"}},
		{"explain", []string{"explain", "price"}}, {"purchases", []string{"purchases"}}, {"purchases-none", []string{"purchases", "--need", "none"}},
		{"purchases-json", []string{"purchases", "--json"}}, {"purchase", []string{"purchases", "p1"}}, {"result", []string{"purchases", "p1", "--result"}},
		{"approve", []string{"approve", "p1"}}, {"pause", []string{"pause"}}, {"resume", []string{"resume"}}, {"policy", []string{"policy", "show"}},
		{"pairing", []string{"pairing", "show"}}, {"ledger", []string{"ledger", "verify"}}, {"orders", []string{"market", "orders"}},
		{"orders-json", []string{"market", "orders", "--json"}}, {"agents-none", []string{"market", "agents"}}, {"readiness", []string{"market", "readiness"}},
		{"help", []string{"--help"}},
	}
	call := serveFake(t, newFake())
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code, got, errs := call("", tt.args...)
			if code != exitOK || errs != "" {
				t.Errorf("exit code %d, %q; want 0 and silence", code, errs)
			}
			golden := filepath.Join("testdata", "golden", tt.name+".txt")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("output (-want +got):\n%s", diff)
			}
		})
	}
}

// TestBuyExitCodes wants one code for each way a purchase can end, and a text
// that says what to do.
func TestBuyExitCodes(t *testing.T) {
	tests := []struct {
		name   string
		waited admin.Purchase
		code   int
		text   string
	}{
		{"settled", admin.Purchase{State: "settled", Final: true, Settled: true}, 0, ""},
		{"refused", admin.Purchase{State: "denied", Final: true, Reason: "window_limit", ReasonText: "A window is full."}, 3, "window_limit: A window is full."},
		{"refused by the Market", admin.Purchase{State: "rejected", Final: true, Reason: "server_limit"}, 3, "server_limit"},
		{"an offer that changed", admin.Purchase{State: "rejected", Final: true, Reason: "payee_mismatch"}, 1, "payee_mismatch"},
		{"nothing matched", admin.Purchase{State: "no_match", Final: true, Reason: "no_quotes"}, 4, "no_quotes"},
		{"approval", admin.Purchase{State: "awaiting_approval", Waiting: true, Reason: "approval_required", Next: "Approve it."}, 5, "waits for a person: approval_required; Approve it."},
		{"operator", admin.Purchase{State: "needs_operator", Waiting: true, Reason: "reference_required"}, 5, "see agentd purchases p1"},
		{"in time", admin.Purchase{State: "paying"}, 6, "not settled yet"},
		{"handed off", admin.Purchase{State: "handed_off", Waiting: true, HandedOff: true, HandoffURL: "https://partner.example"}, 7, "https://partner.example"},
		{"failed", admin.Purchase{State: "failed", Final: true, Reason: "execution_failed"}, 1, "ended as failed: execution_failed"},
		{"disputed", admin.Purchase{State: "disputed", Final: true, Reason: "result_rejected"}, 1, "ended as disputed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			daemon := newFake()
			daemon.waited = tt.waited
			daemon.waited.ID = "p1"
			code, out, errs := serveFake(t, daemon)("", "buy", "price", "--wait=10ms")
			if code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			if !strings.Contains(errs, tt.text) || (tt.text == "" && errs != "") {
				t.Errorf("standard error is %q, want %q", errs, tt.text)
			}
			if !strings.Contains(out, tt.waited.State) {
				t.Errorf("standard output is %q, want the state %s", out, tt.waited.State)
			}
		})
	}
}

// TestFailuresOfTheDaemon maps its errors to exit codes.
func TestFailuresOfTheDaemon(t *testing.T) {
	tests := []struct {
		code admin.Code
		want int
	}{
		{admin.CodeUsage, 64}, {admin.CodeNotPermitted, 77}, {admin.CodeNotFound, 1}, {admin.CodeConflict, 1}, {admin.CodeRefused, 1},
		{admin.CodeUnavailable, 1}, {admin.CodeInternal, 1},
	}
	for _, tt := range tests {
		t.Run(string(tt.code), func(t *testing.T) {
			daemon := newFake()
			daemon.failure = &admin.Error{Code: tt.code, Text: "that cannot be", Next: "do something else"}
			code, out, errs := serveFake(t, daemon)("", "approve", "p1")
			if code != tt.want || out != "" || errs != "agentd: that cannot be; do something else\n" {
				t.Errorf("got %d, %q, %q; want %d, silence, and the text", code, out, errs, tt.want)
			}
		})
	}
}

// TestBuyRefusedAtOnce wants the code of a refusal also if nothing was started.
func TestBuyRefusedAtOnce(t *testing.T) {
	daemon := newFake()
	daemon.failure = &admin.Error{Code: admin.CodeRefused, Reason: "paused", Text: "spending is paused"}
	call := serveFake(t, daemon)
	if code, _, errs := call("", "buy", "price", "--wait"); code != exitRefused || !strings.Contains(errs, "paused") {
		t.Errorf("with --wait: exit code %d, %q; want 3", code, errs)
	}
	if code, _, _ := call("", "buy", "price"); code != exitFailure {
		t.Errorf("without --wait: exit code %d, want 1", code)
	}
}

// TestArguments wants what was typed at the daemon.
func TestArguments(t *testing.T) {
	tests := []struct {
		name, stdin string
		args        []string
		want        string
	}{
		{"input from standard input", `{"a":1.10}`, []string{"buy", "price", "--input", "-", "--max-price", "0.05"}, `buy price {"a":1.10} 0.05`},
		{"confirm", "", []string{"resolve", "p1", "--confirm"}, "resolve p1 confirm "},
		{"dispute", "", []string{"resolve", "p1", "--dispute", "too late"}, "resolve p1 dispute too late"},
		{"reference", "", []string{"resolve", "p1", "--reference", "INV-7"}, "resolve p1 reference INV-7"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			daemon := newFake()
			if code, _, errs := serveFake(t, daemon)(tt.stdin, tt.args...); code != exitOK {
				t.Fatalf("exit code %d: %s", code, errs)
			}
			if diff := cmp.Diff([]string{tt.want}, daemon.asked); diff != "" {
				t.Errorf("the daemon was asked (-want +got):\n%s", diff)
			}
		})
	}
}

// TestVerifyFails wants a ledger that disagrees to fail the command.
func TestVerifyFails(t *testing.T) {
	daemon := newFake()
	daemon.waited.State = "broken"
	code, out, errs := serveFake(t, daemon)("", "ledger", "verify")
	if code != exitFailure || !strings.Contains(out, "finding: the entry 7") || !strings.Contains(errs, "not ok") {
		t.Errorf("got %d, %q, %q", code, out, errs)
	}
}

// TestHealthcheckReady tells live and ready apart.
func TestHealthcheckReady(t *testing.T) {
	call := serveFake(t, newFake())
	if code, _, errs := call("", "healthcheck"); code != exitOK {
		t.Errorf("live: exit code %d, %s", code, errs)
	}
	if code, _, _ := call("", "healthcheck", "--ready"); code != exitFailure {
		t.Errorf("not ready: exit code %d, want 1", code)
	}
}

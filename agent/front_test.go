// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/agentd-project/agentd/admin"
	"github.com/agentd-project/agentd/market"
	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/sandbox"
)

func buyRequest(need string) admin.BuyRequest { return admin.BuyRequest{Need: need} }

func codeIs(t *testing.T, what string, err error, want admin.Code, reason policy.Reason) {
	t.Helper()
	var e *admin.Error
	if !errors.As(err, &e) || e.Code != want || e.Reason != string(reason) {
		t.Errorf("%s: got %v, want code %s, reason %q", what, err, want, reason)
	}
}

func TestFrontDoor(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		d := w.start(w.config())
		d.ready(time.Minute)
		f, ctx := d.front, t.Context()

		_, err := f.Buy(ctx, buyRequest("nothing"))
		codeIs(t, "buy an unknown need", err, admin.CodeNotFound, "")
		_, err = f.Explain(ctx, "nothing")
		codeIs(t, "explain an unknown need", err, admin.CodeNotFound, "")
		_, err = f.Buy(ctx, admin.BuyRequest{Need: "price", Input: json.RawMessage(`[1]`)})
		codeIs(t, "buy with a list as input", err, admin.CodeUsage, policy.ReasonInputInvalid)
		_, err = f.Purchase(ctx, "0190")
		codeIs(t, "an unknown purchase", err, admin.CodeNotFound, "")
		_, err = f.Result(ctx, "0190")
		codeIs(t, "an unknown result", err, admin.CodeNotFound, "")
		_, err = f.Approve(ctx, "0190", "me")
		codeIs(t, "approve an unknown purchase", err, admin.CodeNotFound, "")
		_, err = f.Resolve(ctx, "0190", admin.Resolution{Action: "other"}, "me")
		codeIs(t, "an unknown action", err, admin.CodeUsage, "")

		bought := d.buy("fix")
		if bought.Payee == "" || bought.Amount != "0.01" || bought.Token != "USDC" || !bought.HasResult || len(bought.History) == 0 || len(bought.Quotes) == 0 {
			t.Errorf("purchase %+v lacks something", bought)
		}
		if result, err := f.Result(ctx, bought.ID); err != nil || !json.Valid(result) {
			t.Errorf("result %s, %v", result, err)
		}
		_, err = f.Approve(ctx, bought.ID, "me")
		codeIs(t, "approve what is settled", err, admin.CodeConflict, "")

		if err := f.Pause(ctx, "me"); err != nil {
			t.Fatal(err)
		}
		_, err = f.Buy(ctx, buyRequest("price"))
		codeIs(t, "buy while paused", err, admin.CodeRefused, policy.ReasonPaused)
		if !d.status().Paused || !d.health.lasts(problemPaused) {
			t.Error("the status does not say that spending is paused")
		}
		if err := f.Resume(ctx, "me"); err != nil {
			t.Fatal(err)
		}
		d.mustSettle("price")
		if err := f.SetLogLevel(ctx, "loud"); err == nil {
			t.Error("an unknown log level was accepted")
		}
		list, err := f.Purchases(ctx, admin.PurchaseQuery{Need: "price"})
		if err != nil || len(list) != 1 {
			t.Errorf("purchases of price: %+v, %v; want one", list, err)
		}
		view, err := f.Policy(ctx)
		if err != nil || !strings.Contains(string(view.Local), "per_purchase") || !strings.Contains(string(view.Remote), "perTransactionLimit") {
			t.Errorf("policy %+v, %v", view, err)
		}
	})
}

func TestExplain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		d := w.start(w.config())
		d.ready(time.Minute)
		e, err := d.front.Explain(t.Context(), "fix")
		if err != nil || e.Chosen != 0 || len(e.Quotes) == 0 || e.Quotes[0].Reason != string(policy.Allowed) {
			t.Errorf("explanation %+v, %v; want the first quote chosen", e, err)
		}
		low := w.config("policy: {currency: USD, per_purchase: \"0.005\", windows: [{over: 24h, limit: \"1\"}]}")
		if err := d.guard.SetRules(low.PolicyRules()); err != nil {
			t.Fatal(err)
		}
		e, err = d.front.Explain(t.Context(), "fix")
		if err != nil || e.Chosen != -1 || e.Reason != string(policy.ReasonPerPurchaseLimit) || e.Text == "" {
			t.Errorf("explanation %+v, %v; want none chosen and why", e, err)
		}
	})
}

func TestApproval(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		d := w.start(w.config("policy: {currency: USD, per_purchase: \"5.00\", windows: [{over: 24h, limit: \"20\"}], max_authorization: 1h, approval: {above: \"0.001\", ttl: 24h}}"))
		d.ready(time.Minute)
		p := d.buy("fix")
		if !p.Waiting || p.Reason != string(policy.ReasonApprovalRequired) {
			t.Fatalf("purchase %+v, want one that waits for approval", p)
		}
		time.Sleep(time.Minute)
		if !d.health.lasts(problemWaiting) {
			t.Error("no problem says that a purchase waits for a person")
		}
		if _, err := d.front.Approve(t.Context(), p.ID, "me"); err != nil {
			t.Fatalf("Approve: %v", err)
		}
		time.Sleep(10 * time.Second)
		if p, err := d.front.Purchase(t.Context(), p.ID); err != nil || p.State != string(market.Settled) {
			t.Errorf("the approved purchase is %s (%s), %v; want settled", p.State, p.Reason, err)
		}
		p = d.buy("fix")
		if _, err := d.front.Deny(t.Context(), p.ID, "me"); err != nil {
			t.Fatalf("Deny: %v", err)
		}
		time.Sleep(10 * time.Second)
		if p, err := d.front.Purchase(t.Context(), p.ID); err != nil || p.State != string(market.Denied) {
			t.Errorf("the denied purchase is %s (%s), %v; want denied", p.State, p.Reason, err)
		}
	})
}

func TestMarketReads(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		d := w.start(w.config())
		d.ready(time.Minute)
		time.Sleep(time.Minute)
		bought := d.buy("fix")
		for _, kind := range admin.MarketKinds() {
			q := admin.MarketQuery{Kind: kind}
			switch kind {
			case admin.MarketOrder:
				q.ID = bought.OrderID
			case admin.MarketSearches:
				record, err := d.ledger.Get(t.Context(), policy.PurchaseID(bought.ID))
				if err != nil {
					t.Fatal(err)
				}
				q.ID = record.SearchID
			}
			got, err := d.front.Market(t.Context(), q)
			if err != nil || !json.Valid(got) || len(got) < 2 {
				t.Errorf("market %s: %s, %v", kind, got, err)
			}
			for _, secret := range []string{w.info.APIKey, "provisioningToken", "pairingToken"} {
				if strings.Contains(string(got), secret) {
					t.Errorf("market %s shows a secret", kind)
				}
			}
		}
		_, err := d.front.Market(t.Context(), admin.MarketQuery{Kind: admin.MarketOrder, ID: "ord_none"})
		codeIs(t, "an unknown order", err, admin.CodeNotFound, "")
		_, err = d.front.Market(t.Context(), admin.MarketQuery{Kind: "weather"})
		codeIs(t, "an unknown kind", err, admin.CodeUsage, "")
		w.cut.Store(true)
		_, err = d.front.Market(t.Context(), admin.MarketQuery{Kind: admin.MarketServices})
		codeIs(t, "services with the Market away", err, admin.CodeUnavailable, "")
	})
}

func TestPairingCommands(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		d := w.start(w.config())
		d.ready(time.Minute)
		before, err := d.front.Pairing(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		after, err := d.front.RotatePairing(t.Context())
		if err != nil || !after.SessionExpires.After(before.SessionExpires) || after.ID != before.ID {
			t.Errorf("rotated from %+v to %+v, %v", before, after, err)
		}
		revoked, err := d.front.RevokePairing(t.Context())
		if err != nil || revoked.Status != "revoked" || revoked.Problem == "" || d.status().Ready {
			t.Errorf("revoked: %+v, %v", revoked, err)
		}
		created, err := d.front.CreatePairing(t.Context())
		if err != nil || created.Status != "active" || created.ID == before.ID || created.Problem != "" {
			t.Errorf("created: %+v, %v", created, err)
		}
		d.mustSettle("price")
	})
}

// TestDrain stops the daemon while purchases are under way, and goes on.
func TestDrain(t *testing.T) {
	for _, need := range []string{"price", "fix", "store"} {
		t.Run(need, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, func(o *sandbox.Options) {
					o.Services = sandbox.DefaultServices()
					for i := range o.Services {
						o.Services[i].LatencyMS = 60_000 // longer than the drain
					}
				})
				cfg := w.config()
				d := w.start(cfg)
				d.ready(time.Minute)
				p, err := d.front.Buy(t.Context(), buyRequest(need))
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(2 * time.Second)
				start := time.Now()
				d.stop()
				if took := time.Since(start); took > drainLimit {
					t.Errorf("the stop took %s, want at most %s", took, drainLimit)
				}
				d = w.start(cfg)
				time.Sleep(5 * time.Minute)
				if p, err = d.front.Purchase(t.Context(), p.ID); err != nil || p.State != string(market.Settled) {
					t.Errorf("after the restart the purchase is %s (%s), %v; want settled: %+v", p.State, p.Reason, err, p.History)
				}
				if got := w.market.Calls("order-create"); got != 1 {
					t.Errorf("created %d orders, want 1", got)
				}
				mustVerify(t, d)
			})
		})
	}
}

func TestOneDaemonPerStateDirectory(t *testing.T) {
	w := newWorld(t, nil)
	cfg := w.config()
	first, err := New(Options{Config: cfg, HTTPTransport: w})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{Config: cfg, HTTPTransport: w}); !errors.Is(err, ErrRunning) {
		t.Errorf("a second daemon: got %v, want ErrRunning", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := New(Options{Config: cfg, HTTPTransport: w})
	if err != nil {
		t.Fatalf("after the first has closed: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

// TestOverRealSockets runs the daemon with its admin socket and its listener.
func TestOverRealSockets(t *testing.T) {
	w := newWorld(t, nil)
	dir, err := os.MkdirTemp("", "agentd") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	addresses := make(chan string, 1)
	a, err := New(Options{Config: w.config("listen: 127.0.0.1:0", "admin: {socket: "+socket+"}"), HTTPTransport: w, Logger: zap.NewNop(),
		Listening: func(at net.Addr) { addresses <- at.String() }})
	if err != nil {
		t.Fatal(err)
	}
	ready := make(chan string, 8)
	a.notify.send = func(state string) { ready <- state }
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	address := <-addresses
	get := func(path string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		var b strings.Builder
		if _, err := b.WriteString(resp.Status); err != nil {
			t.Fatal(err)
		}
		body := make([]byte, 1<<20)
		n, _ := resp.Body.Read(body)
		return resp.StatusCode, string(body[:n])
	}
	if status, body := get("/livez"); status != http.StatusOK {
		t.Errorf("/livez: %d %s", status, body)
	}
	if status, _ := get("/metrics"); status != http.StatusOK {
		t.Errorf("/metrics: %d", status)
	}
	if status, _ := get("/other"); status != http.StatusNotFound {
		t.Errorf("/other: %d, want 404", status)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	var states []string
	for len(ready) > 0 {
		states = append(states, <-ready)
	}
	if got := strings.Join(states, " "); !strings.Contains(got, "READY=1") || !strings.HasSuffix(got, "STOPPING=1") {
		t.Errorf("the service manager heard %q, want READY=1 … STOPPING=1", got)
	}
}

func TestReadyAnswers(t *testing.T) {
	h := newHealth(zap.NewNop())
	l := newListener("", newMetrics("v", "r", time.Now()).registry, h, newBeats(), zap.NewNop())
	ask := func(path string) (int, string) {
		r := httptest.NewRecorder()
		l.handler.ServeHTTP(r, httptest.NewRequest(http.MethodGet, path, http.NoBody))
		return r.Code, r.Body.String()
	}
	if code, body := ask("/readyz"); code != http.StatusOK || body != "ready\n" {
		t.Errorf("well: %d %q", code, body)
	}
	h.raise(problemEndpoint, "qvac")
	if code, body := ask("/readyz?verbose"); code != http.StatusOK || !strings.Contains(body, "[!] endpoint_down") {
		t.Errorf("with a warning: %d %q", code, body)
	}
	h.raise(problemPairingRevoked, "by the owner")
	code, body := ask("/readyz?verbose")
	if code != http.StatusServiceUnavailable || !strings.Contains(body, "[-] pairing_revoked") || !strings.Contains(body, "agentd pairing create") {
		t.Errorf("revoked: %d %q", code, body)
	}
	h.clear(problemPairingRevoked)
	if code, _ := ask("/readyz"); code != http.StatusOK {
		t.Errorf("cleared: %d", code)
	}
}

func TestMaxPrice(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		d := w.start(w.config())
		d.ready(time.Minute)
		low := money.Value(9_999)
		p, err := d.front.Buy(t.Context(), admin.BuyRequest{Need: "fix", MaxPrice: &low})
		if err != nil {
			t.Fatal(err)
		}
		if p, err = d.front.Wait(t.Context(), p.ID); err != nil || (p.State != string(market.Denied) && p.State != string(market.NoMatch)) {
			t.Errorf("purchase is %s (%s), %v; want denied, or no match if the Market knows the maximum", p.State, p.Reason, err)
		}
	})
}

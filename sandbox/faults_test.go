// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// client is an HTTP client of a market in a bubble.
func client(t *testing.T, m *Market, timeout time.Duration) *http.Client {
	t.Helper()
	transport := NewTransport(map[string]http.Handler{"market.test": m.Handler(), "control.test": m.Control()})
	t.Cleanup(func() {
		if err := transport.Close(); err != nil {
			t.Error(err)
		}
	})
	return &http.Client{Transport: transport, Timeout: timeout}
}

// enrollment is the mutating call that the fault tests make.
func (w *world) enrollment(c *http.Client) (status int, body string, err error) {
	w.Helper()
	r, err := http.NewRequestWithContext(context.Background(), "POST", "http://market.test/api/v1/machines/"+w.machineID+"/agents/enrollment",
		strings.NewReader("{}"))
	if err != nil {
		w.Fatal(err)
	}
	r.Header.Set(keyHeader, w.key)
	resp, err := c.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

func TestFaults(t *testing.T) {
	tests := []struct {
		fault     Fault
		processed bool
		fails     bool // as an error of the connection
		status    int
		holds     string
		takes     time.Duration
	}{
		{Fault{Kind: FaultRefuse}, false, true, 0, "", 0},
		{Fault{Kind: FaultDropBefore}, false, true, 0, "", 0},
		{Fault{Kind: FaultDropAfter}, true, true, 0, "", 0},
		{Fault{Kind: FaultDelay, DelayMS: 5000}, true, false, 201, "provisioningToken", 5 * time.Second},
		{Fault{Kind: FaultDelay, DelayMS: 90_000}, true, true, 0, "", time.Minute},
		{Fault{Kind: FaultDelayBefore, DelayMS: 90_000}, true, true, 0, "", time.Minute},
		{Fault{Kind: FaultStatus}, false, false, 503, "<html>", 0},
		{Fault{Kind: FaultStatus, Status: 502, Code: "PAYMENT_RPC_ERROR"}, false, false, 502, `"code":"PAYMENT_RPC_ERROR"`, 0},
		{Fault{Kind: FaultStatusAfter, Status: 500}, true, false, 500, "<html>", 0},
		{Fault{Kind: FaultRateLimit, RetryAfter: 7}, false, false, 429, "<html>", 0},
		{Fault{Kind: FaultTruncate}, true, true, 201, `{"item"`, 0},
		{Fault{Kind: FaultNotJSON}, true, false, 200, "<html>", 0},
		{Fault{Kind: FaultEmpty}, true, false, 200, "", 0},
		{Fault{Kind: FaultHuge}, true, false, 200, "xxxx", 0},
		{Fault{Kind: FaultBody, Body: `{"item":NaN}`}, true, false, 200, `NaN`, 0},
	}
	for _, test := range tests {
		t.Run(string(test.fault.Kind), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := ready(t)
				c := client(t, w.m, time.Minute)
				test.fault.Operation, test.fault.Nth = "agent-enroll", 2
				if _, err := w.m.Inject(test.fault); err != nil {
					t.Fatal(err)
				}
				if status, _, err := w.enrollment(c); status != 201 || err != nil {
					t.Fatalf("first call: got %d %v", status, err)
				}
				began := time.Now()
				status, body, err := w.enrollment(c)
				if (err != nil) != test.fails || status != test.status || !strings.Contains(body, test.holds) {
					t.Errorf("got %d %.80q %v, want %d, %q, failure %t", status, body, err, test.status, test.holds, test.fails)
				}
				if took := time.Since(began); took != test.takes {
					t.Errorf("took %s, want %s", took, test.takes)
				}
				time.Sleep(2 * time.Minute) // the bubble's time: what is late gets its turn
				synctest.Wait()
				want := 1
				if test.processed {
					want = 2
				}
				if _, agents := w.platform("GET", "/machines/"+w.machineID+"/agents", nil); len(agents["items"].([]any)) != want {
					t.Errorf("%d agents, want %d", len(agents["items"].([]any)), want)
				}
				if status, _, err := w.enrollment(c); status != 201 || err != nil {
					t.Errorf("third call: got %d %v", status, err)
				}
			})
		})
	}
}

func TestFaultCounts(t *testing.T) {
	tests := []struct {
		name       string
		nth, times int
		want       string // hit or missed, per call
	}{
		{"always", 0, 0, "xxxxx"},
		{"next only", 1, 0, "x...."},
		{"third only", 3, 0, "..x.."},
		{"next two", 0, 2, "xx..."},
		{"two from the second", 2, 2, ".xx.."},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := &Fault{Nth: test.nth, Times: test.times}
			var got strings.Builder
			for range test.want {
				f.seen++
				got.WriteString(map[bool]string{true: "x", false: "."}[f.hits()])
			}
			if got.String() != test.want {
				t.Errorf("got %s, want %s", got.String(), test.want)
			}
		})
	}
}

func TestInjectRefuses(t *testing.T) {
	w := newWorld(t)
	for name, f := range map[string]Fault{
		"kind":      {Operation: "search", Kind: "x"},
		"operation": {Operation: "x", Kind: FaultRefuse},
		"count":     {Operation: "search", Kind: FaultRefuse, Nth: -1},
	} {
		if _, err := w.m.Inject(f); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestHooks(t *testing.T) {
	w := ready(t)
	var seen []int
	w.m.OnExchange(func(op string, n int) Fault {
		if op != "search" {
			return Fault{}
		}
		seen = append(seen, n)
		return Fault{Kind: FaultStatus, Status: 500, Code: "X"}
	})
	_, reply := w.pairing("/market/search", nil)
	if codeOf(reply) != "X" || len(seen) != 1 || seen[0] != 1 {
		t.Errorf("got %v, calls %v", reply, seen)
	}
	w.m.OnExchange(nil)
	w.m.Mutate(func(op string, reply map[string]any) {
		if op == "payment-intent" {
			reply["item"].(map[string]any)["amount"] = json.Number("0.99")
		}
	})
	w.order("put")
	if got := text(w.intend(), "amount"); got != "0.99" {
		t.Errorf("amount is %s, want the lie", got)
	}
	w.m.Mutate(nil)
	if got := text(w.intend(), "amount"); got != "0.02" {
		t.Errorf("amount is %s, want the truth", got)
	}
	if got := w.m.Calls("payment-intent"); got != 2 {
		t.Errorf("%d calls of payment-intent", got)
	}
}

func TestTransportKnowsItsHostsOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := client(t, newWorld(t).m, time.Minute)
		get := func(ctx context.Context, url string) (*http.Response, error) {
			r, err := http.NewRequestWithContext(ctx, "GET", url, nil)
			if err != nil {
				t.Fatal(err)
			}
			return c.Do(r)
		}
		resp, err := get(t.Context(), "http://market.test/health")
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil || resp.StatusCode != 200 {
			t.Errorf("got %d %v", resp.StatusCode, err)
		}
		if resp, err := get(t.Context(), "http://other.test/"); err == nil {
			_ = resp.Body.Close()
			t.Error("an unknown host answered")
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if resp, err := get(gone, "http://market.test/health"); !errors.Is(err, context.Canceled) {
			if err == nil {
				_ = resp.Body.Close()
			}
			t.Errorf("got %v, want a cancelled call", err)
		}
	})
}

func TestControl(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := ready(t)
		c := client(t, w.m, time.Minute)
		call := func(method, path, body string, into any) int {
			t.Helper()
			r, err := http.NewRequestWithContext(t.Context(), method, "http://control.test"+path, bytes.NewReader([]byte(body)))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := c.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			if into != nil {
				if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
					t.Fatalf("%s %s: %v", method, path, err)
				}
			}
			return resp.StatusCode
		}
		tests := []struct {
			method, path, body string
			want               int
		}{
			{"POST", "/faults", `{"operation":"search","nth":1,"kind":"status","status":500,"code":"X"}`, 200},
			{"POST", "/faults", `{"operation":"search","kind":"bad"}`, 400},
			{"POST", "/faults", `{"operatoin":"search"}`, 400},
			{"POST", "/faults", `{`, 400},
			{"DELETE", "/faults/x", "", 400},
			{"DELETE", "/faults/99", "", 204},
			{"POST", "/conditions", `{"noRpc":true}`, 200},
			{"POST", "/conditions", `{"x":true}`, 400},
			{"GET", "/conditions", "", 200},
			{"POST", "/services/svc_storage-object-put", `{"price":"0.5","failure":"broken"}`, 200},
			{"POST", "/services/svc_storage-object-put", `{"price":"-1"}`, 400},
			{"POST", "/services/svc_storage-object-put", `{"rails":[]}`, 400},
			{"POST", "/services/svc_storage-object-put", `{"settle":"x"}`, 400},
			{"POST", "/services/nothing", `{}`, 404},
			{"POST", "/identities/9", `{"controllers":["0x0000000000000000000000000000000000000009"]}`, 204},
			{"POST", "/identities/x", `{}`, 400},
			{"POST", "/identities/9", `{"y":1}`, 400},
			{"GET", "/operations", "", 200},
			{"GET", "/services", "", 200},
			{"GET", "/stats", "", 200},
			{"GET", "/nothing", "", 404},
		}
		for _, test := range tests {
			if got := call(test.method, test.path, test.body, nil); got != test.want {
				t.Errorf("%s %s %s: got %d, want %d", test.method, test.path, test.body, got, test.want)
			}
		}
		if _, reply := w.pairing("/market/search", nil); codeOf(reply) != "X" {
			t.Errorf("got %v, want the injected fault", reply)
		}
		if q := w.search("put"); text(q, "pricing.amount") != "0.5" {
			t.Errorf("got price %s, want the changed one", text(q, "pricing.amount"))
		}
		if !w.m.Conditions().NoRPC {
			t.Error("the condition did not hold")
		}
		var faults []Fault
		if call("GET", "/faults", "", &faults); len(faults) != 1 || faults[0].ID == 0 {
			t.Errorf("got faults %v", faults)
		}
		if call("DELETE", "/faults", "", nil); len(w.m.Faults()) != 0 {
			t.Error("the faults stand")
		}
		var info Info
		if call("GET", "/info", "", &info); info.APIKey != DefaultAPIKey || len(info.Services) != len(DefaultServices()) {
			t.Errorf("got info %+v", info)
		}
		call("POST", "/sessions/lose", "", nil)
		if _, reply := w.pairing("/market/search", nil); codeOf(reply) != codeAgentAuthInvalid {
			t.Errorf("got %v, want the session lost", reply)
		}
	})
}

func TestJournalHoldsNoSecret(t *testing.T) {
	var out bytes.Buffer
	w := ready(t, func(o *Options) { o.Journal = &out })
	secrets := []string{DefaultAPIKey, w.token}
	w.enroll()
	w.must(w.beat(func(b map[string]any) {
		b["endpoints"] = []any{map[string]any{"provider_key": "qvac", "endpoint_base_url": "http://127.0.0.1:1", "auth_token": "endpoint-secret"}}
	}))
	w.must(w.platform("PATCH", "/skills/sandbox.put/config", map[string]any{"credentials": map[string]any{"apiKey": "skill-secret"}}))
	w.must(w.pairing("/market/search", map[string]any{"providerCredentials": map[string]any{"walrus": map[string]any{"publisherToken": "walrus-secret"}}}))
	w.holdX402()
	w.must(w.execute())
	secrets = append(secrets, w.agentToken, "endpoint-secret", "skill-secret", "walrus-secret", w.payHeader)
	for _, secret := range secrets {
		if strings.Contains(out.String(), secret) {
			t.Errorf("the journal holds %.12s…", secret)
		}
	}
	kinds := map[string]int{}
	for line := range strings.Lines(out.String()) {
		var entry journalLine
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("%.80s: %v", line, err)
		}
		kinds[entry.Kind+" "+entry.Operation+entry.Event]++
	}
	for _, want := range []string{"exchange search", "exchange order-execute", "state order.delivered", "state payment.held",
		"state payment.settlement", "state x402.authorized", "state pairing.created"} {
		if kinds[want] == 0 {
			t.Errorf("the journal has no %q", want)
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

package orchestration

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// Idle keep-alive connections of the default transport clones end with the
	// test servers, but not at once.
	goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction("internal/poll.runtime_pollWait"),
		goleak.IgnoreTopFunction("net/http.(*persistConn).writeLoop"),
		goleak.IgnoreTopFunction("net/http.(*persistConn).readLoop"))
}

func TestNewRefusesBadConfiguration(t *testing.T) {
	for name, tc := range map[string]struct {
		cfg   Config
		field string // "" for none
	}{
		"https":                         {Config{BaseURL: "https://market.example"}, ""},
		"https with a path":             {Config{BaseURL: "https://gw.example/market/"}, ""},
		"http to localhost":             {Config{BaseURL: "http://localhost:8080"}, ""},
		"http to IPv4 loopback":         {Config{BaseURL: "http://127.0.0.7"}, ""},
		"http to IPv6 loopback":         {Config{BaseURL: "http://[::1]:1"}, ""},
		"http elsewhere":                {Config{BaseURL: "http://market.example"}, "BaseURL"},
		"http elsewhere, allowed":       {Config{BaseURL: "http://market.example", AllowHTTP: true}, ""},
		"http to a loopback look-alike": {Config{BaseURL: "http://127.0.0.1.example"}, "BaseURL"},
		"nothing":                       {Config{}, "BaseURL"},
		"no host":                       {Config{BaseURL: "https:///x"}, "BaseURL"},
		"another scheme":                {Config{BaseURL: "ftp://market.example"}, "BaseURL"},
		"password":                      {Config{BaseURL: "https://u:MARKER@market.example"}, "BaseURL"},
		"query":                         {Config{BaseURL: "https://market.example?a=MARKER"}, "BaseURL"},
		"no URL":                        {Config{BaseURL: "https://market.example/%zzMARKER"}, "BaseURL"},
		"key of two lines":              {Config{BaseURL: "https://market.example", APIKey: "MARKER\nx"}, "APIKey"},
		"version with a space":          {Config{BaseURL: "https://market.example", Version: "1 MARKER"}, "Version"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(tc.cfg)
			if tc.field == "" {
				if err != nil {
					t.Fatalf("got %v, want none", err)
				}
				return
			}
			var config *ConfigError
			if !errors.As(err, &config) || config.Field != tc.field {
				t.Fatalf("got %v, want a ConfigError of %s", err, tc.field)
			}
			if strings.Contains(err.Error(), "MARKER") {
				t.Errorf("the error shows the value: %v", err)
			}
		})
	}
}

func TestClientDoesNotPrintItsKey(t *testing.T) {
	c, err := New(Config{BaseURL: "https://market.example", APIKey: "MARKER-key"})
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		for _, v := range []any{c, *c} { //nolint:govet // a copy is what a careless caller prints
			if text := fmt.Sprintf(verb, v); strings.Contains(text, "MARKER") {
				t.Errorf("%s shows the key: %s", verb, text)
			}
		}
	}
}

func TestUserAgent(t *testing.T) {
	for version, want := range map[string]string{"1.2.3": "agentd/1.2.3", "": "agentd/dev"} {
		var got string
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			got = r.Header.Get("User-Agent")
			_, _ = w.Write([]byte(`{"ok":true}`))
		}))
		c, err := New(Config{BaseURL: server.URL, Version: version})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Health(t.Context()); err != nil {
			t.Error(err)
		}
		server.Close()
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestAddresses(t *testing.T) {
	rec := newRecorder(t)
	rec.reply = reply{http.StatusNotFound, []byte(`{"error":{"code":"NOT_FOUND","message":"no"}}`)}
	for name, tc := range map[string]struct{ base, id, want string }{
		"plain":               {"", "mach_1", "/api/v1/machines/mach_1"},
		"slash at the end":    {"/", "mach_1", "/api/v1/machines/mach_1"},
		"path of its own":     {"/gw/market", "mach_1", "/gw/market/api/v1/machines/mach_1"},
		"escaped base":        {"/a%2Fb/", "mach_1", "/a%2Fb/api/v1/machines/mach_1"},
		"id with a slash":     {"", "../orders/1", "/api/v1/machines/..%2Forders%2F1"},
		"id with a query":     {"", "a?b=c#d", "/api/v1/machines/a%3Fb=c%23d"},
		"id outside of ASCII": {"", "mäch", "/api/v1/machines/m%C3%A4ch"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := New(Config{BaseURL: rec.URL + tc.base})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.GetMachine(t.Context(), tc.id); CodeOf(err) != CodeNotFound {
				t.Fatalf("got %v, want %s", err, CodeNotFound)
			}
			if rec.last.Path != tc.want {
				t.Errorf("got %s, want %s", rec.last.Path, tc.want)
			}
		})
	}
}

func TestArgumentsAreCheckedBeforeSending(t *testing.T) {
	rec := newRecorder(t)
	c := rec.client(t)
	ctx := t.Context()
	endpoint := HeartbeatEndpoint{ProviderKey: "qvac", EndpointBaseURL: "http://127.0.0.1:1"}
	beat := HeartbeatRequest{MachineID: "m", AgentID: "a", Token: "t", Endpoints: []HeartbeatEndpoint{endpoint}}
	order := CreateOrderRequest{MachineID: "m", AgentPairingID: "p", ServiceID: "s"}
	for name, tc := range map[string]struct {
		field string
		call  func() error
	}{
		"blank id":         {"machineId", func() error { _, err := c.GetMachine(ctx, " "); return err }},
		"dot segment":      {"machineId", func() error { _, err := c.GetMachine(ctx, ".."); return err }},
		"second id":        {"pairingId", func() error { return c.RevokePairing(ctx, "m", "") }},
		"blank token":      {"pairingToken", func() error { _, err := c.CreateOrder(ctx, " ", order); return err }},
		"token of 2 lines": {"pairingToken", func() error { _, err := c.GetOrder(ctx, "a\r\nx: y", "o"); return err }},
		"limit too high":   {"limit", func() error { _, err := c.ListMachines(ctx, ListOptions{Limit: 501}); return err }},
		"limit negative":   {"limit", func() error { _, err := c.ListAuditEvents(ctx, AuditQuery{Limit: -1}); return err }},
		"order without service": {"serviceId", func() error {
			_, err := c.CreateOrder(ctx, testToken, with(order, func(r *CreateOrderRequest) { r.ServiceID = "" }))
			return err
		}},
		"input that is no object": {"input", func() error {
			_, err := c.CreateOrder(ctx, testToken, with(order, func(r *CreateOrderRequest) { r.Input = []byte(`[1]`) }))
			return err
		}},
		"input that is no JSON": {"input", func() error {
			_, err := c.ExecuteOrder(ctx, testToken, "o", ExecuteRequest{Input: []byte(`{"a":`)})
			return err
		}},
		"budget that is NaN": {"request", func() error {
			_, err := c.CreateOrder(ctx, testToken, with(order, func(r *CreateOrderRequest) { r.Budget = &OrderBudget{Amount: "NaN"} }))
			return err
		}},
		"heartbeat without endpoints": {"endpoints", func() error {
			_, err := c.Heartbeat(ctx, with(beat, func(r *HeartbeatRequest) { r.Endpoints = nil }))
			return err
		}},
		"heartbeat without token": {"agentToken", func() error {
			_, err := c.Heartbeat(ctx, with(beat, func(r *HeartbeatRequest) { r.Token = "" }))
			return err
		}},
		"heartbeat to a path": {"endpoints[0].endpointBaseUrl", func() error {
			_, err := c.Heartbeat(ctx, with(beat, func(r *HeartbeatRequest) {
				r.Endpoints = []HeartbeatEndpoint{{ProviderKey: "q", EndpointBaseURL: "/x"}}
			}))
			return err
		}},
		"endpoint of another scheme": {"endpointBaseUrl", func() error {
			_, err := c.PutRuntimeEndpoint(ctx, "m", "q", PutRuntimeEndpointRequest{EndpointBaseURL: "ftp://h"})
			return err
		}},
		"x402 without signature": {"payment.paymentSignature", func() error {
			_, err := c.SubmitX402Proof(ctx, testToken, "o", X402ProofRequest{})
			return err
		}},
		"dispute without reason": {"reason", func() error {
			_, err := c.DisputeOrder(ctx, testToken, "o", DisputeRequest{Reason: "\t"})
			return err
		}},
		"cap without amount": {"budgetCap.amount", func() error {
			_, err := c.UpdatePolicy(ctx, "p", PolicyRequest{BudgetCap: &BudgetCap{Currency: "USD"}})
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			err := tc.call()
			var invalid *ValidationError
			if !errors.As(err, &invalid) || invalid.Field != tc.field {
				t.Fatalf("got %v, want a ValidationError of %s", err, tc.field)
			}
			if Classify(err) != ActionOurFault || Ambiguous(err) {
				t.Errorf("classified as %v, ambiguous %v", Classify(err), Ambiguous(err))
			}
		})
	}
	if rec.calls != 0 {
		t.Errorf("%d requests were sent", rec.calls)
	}
}

func TestInputIsSentAsItIs(t *testing.T) {
	rec := newRecorder(t)
	rec.reply = captures(t)["order-create"].Responses.Minimal
	input := `{"my_key":{"a":{},"b":null},"html":"<&>","big":12345678901234567890.10,"empty":[]}`
	_, err := rec.client(t).CreateOrder(t.Context(), testToken, CreateOrderRequest{
		MachineID: "m", AgentPairingID: "p", ServiceID: "s", Input: []byte(input),
	})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(rec.last.raw), `"input":`+input) {
		t.Errorf("got %s, want the input %s", rec.last.raw, input)
	}
}

func TestNoKeyNoHeader(t *testing.T) {
	rec := newRecorder(t)
	rec.reply = captures(t)["order-get"].Responses.Minimal
	c, err := New(Config{BaseURL: rec.URL})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.GetOrder(t.Context(), testToken, "ord_0001"); err != nil {
		t.Fatal(err)
	}
	if _, has := rec.last.Headers["x-api-key"]; has {
		t.Error("a key was sent, none is configured")
	}
}

func TestHealth(t *testing.T) {
	for name, tc := range map[string]struct {
		api, root reply
		want      Code
		asked     int
	}{
		"below the API":      {reply{200, []byte(`{"ok":true}`)}, reply{}, "", 1},
		"at the host root":   {reply{404, []byte(`nothing here`)}, reply{200, []byte(`{"ok":true}`)}, "", 2},
		"nowhere":            {reply{404, []byte(`x`)}, reply{404, []byte(`x`)}, CodeBadResponse, 2},
		"not ok":             {reply{200, []byte(`{"ok":false}`)}, reply{}, CodeInvalidResponseShape, 1},
		"ok of another type": {reply{200, []byte(`{"ok":"true"}`)}, reply{}, CodeInvalidResponseShape, 1},
		"refused":            {reply{401, []byte(`{"error":{"code":"AUTH_REQUIRED","message":"m"}}`)}, reply{}, CodeAuthRequired, 1},
	} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked++
				answer := tc.root
				if r.URL.Path == "/gw/api/v1/health" {
					answer = tc.api
				}
				if len(r.Header.Get("X-Api-Key")) > 0 {
					t.Error("the key was sent")
				}
				w.WriteHeader(answer.Status)
				_, _ = w.Write(answer.Body)
			}))
			defer server.Close()
			c, err := New(Config{BaseURL: server.URL + "/gw", APIKey: "k"})
			if err != nil {
				t.Fatal(err)
			}
			if got := CodeOf(c.Health(t.Context())); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			if asked != tc.asked {
				t.Errorf("asked %d times, want %d", asked, tc.asked)
			}
		})
	}
}

func TestReadiness(t *testing.T) {
	for name, tc := range map[string]struct {
		answer reply
		want   ReadinessStatus
		code   Code
	}{
		"ready":                {reply{200, []byte(`{"status":"ready","checks":[]}`)}, StatusReady, ""},
		"not ready, 503":       {reply{503, []byte(`{"status":"not_ready","checks":[{"name":"db","status":"fail"}]}`)}, StatusNotReady, ""},
		"not ready with error": {reply{503, []byte(`{"status":"not_ready","error":{"code":"BAD","message":"m"}}`)}, StatusNotReady, ""},
		"503 of a proxy":       {reply{503, []byte(`<html>`)}, "", CodeBadResponse},
		"503 with an error":    {reply{503, []byte(`{"error":{"code":"PEAQOS_IDENTITY_UNAVAILABLE","message":"m"}}`)}, "", CodePeaqosIdentityUnavailable},
		"500 with a status":    {reply{500, []byte(`{"status":"ready"}`)}, "", CodeBadResponse},
	} {
		t.Run(name, func(t *testing.T) {
			rec := newRecorder(t)
			rec.reply = tc.answer
			r, err := rec.client(t).Readiness(t.Context())
			if CodeOf(err) != tc.code {
				t.Fatalf("got %v, want %q", err, tc.code)
			}
			if err == nil && r.Status != tc.want {
				t.Errorf("got %s, want %s", r.Status, tc.want)
			}
			if rec.calls != 1 {
				t.Errorf("asked %d times, want once", rec.calls)
			}
		})
	}
}

func TestPaymentBeforeTheIntent(t *testing.T) {
	rec := newRecorder(t)
	for name, answer := range map[string]reply{
		"null item": {200, []byte(`{"item":null}`)},
		"not found": {404, []byte(`{"error":{"code":"NOT_FOUND","message":"no payment"}}`)},
	} {
		rec.reply = answer
		if p, err := rec.client(t).GetPayment(t.Context(), "ord_0001"); p != nil || err != nil {
			t.Errorf("%s: got %v, %v, want nil, nil", name, p, err)
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

package orchestration

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// roundTrip is a transport without sockets.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func respond(r *http.Request, status int, header http.Header, body string) *http.Response {
	if header == nil {
		header = http.Header{}
	}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body)), Request: r}
}

func fakeClient(t *testing.T, f roundTrip) *Client {
	t.Helper()
	c, err := New(Config{BaseURL: "https://market.example", APIKey: "platform-key-EXAMPLE", HTTPClient: &http.Client{Transport: f}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var testOrder = CreateOrderRequest{MachineID: "m", AgentPairingID: "p", ServiceID: "s"}

func TestRedirectsAreRefused(t *testing.T) {
	var elsewhere atomic.Int32
	thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer thief.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, thief.URL+"/?t="+r.Header.Get("X-Agent-Pairing-Token"), status)
			}))
			defer server.Close()
			mine := &http.Client{}
			c, err := New(Config{BaseURL: server.URL, APIKey: "platform-key-EXAMPLE", HTTPClient: mine})
			if err != nil {
				t.Fatal(err)
			}
			_, getErr := c.GetMachine(t.Context(), "m")
			_, postErr := c.CreateOrder(t.Context(), testToken, testOrder)
			for _, err := range []error{getErr, postErr} {
				var api *APIError
				if !errors.As(err, &api) || api.Code != CodeBadResponse || api.Status != status {
					t.Errorf("got %v, want %s with %d", err, CodeBadResponse, status)
				}
				if strings.Contains(fmt.Sprint(err), testToken.Reveal()) {
					t.Errorf("the error shows the token: %v", err)
				}
			}
			if mine.CheckRedirect != nil {
				t.Error("the caller's client was changed")
			}
		})
	}
	if n := elsewhere.Load(); n != 0 {
		t.Errorf("%d redirects were followed", n)
	}
}

func TestAnswersThatCannotBeUsed(t *testing.T) {
	for name, tc := range map[string]struct {
		status int
		body   string
		length string // a Content-Length that is not the body's
		code   Code
	}{
		"not JSON":               {200, "<html>hello</html>", "", CodeBadResponse},
		"empty":                  {200, "", "", CodeBadResponse},
		"no content":             {204, "", "", CodeBadResponse},
		"cut JSON":               {200, `{"item":{"id":"ma`, "", CodeBadResponse},
		"broken off":             {200, `{"item":`, "500", CodeBadResponse},
		"two values":             {200, `{"item":{}}{}`, "", CodeBadResponse},
		"NaN":                    {200, `{"item":NaN}`, "", CodeBadResponse},
		"ten megabytes":          {200, `{"item":"` + strings.Repeat("x", 10<<20) + `"}`, "", CodeBadResponse},
		"two megabytes of error": {400, `{"error":{"code":"VALIDATION_ERROR","message":"` + strings.Repeat("x", 2<<20) + `"}}`, "", CodeBadResponse},
		"error of a proxy":       {403, "<html>forbidden</html>", "", CodeBadResponse},
		"error without a code":   {400, `{"error":{"message":"m"}}`, "", CodeBadResponse},
		"error as a text":        {400, `{"error":"VALIDATION_ERROR"}`, "", CodeBadResponse},
		"code that is none":      {400, `{"error":{"code":"rm -rf \n x","message":"m"}}`, "", CodeBadResponse},
		"array":                  {200, `[]`, "", CodeInvalidResponseShape},
		"null":                   {200, `null`, "", CodeInvalidResponseShape},
		"item of another type":   {200, `{"item":[]}`, "", CodeInvalidResponseShape},
	} {
		t.Run(name, func(t *testing.T) {
			calls := 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				calls++
				if tc.length != "" {
					w.Header().Set("Content-Length", tc.length)
				}
				w.WriteHeader(tc.status)
				_, _ = io.WriteString(w, tc.body)
			}))
			defer server.Close()
			c, err := New(Config{BaseURL: server.URL})
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.CreateOrder(t.Context(), testToken, testOrder)
			var api *APIError
			if !errors.As(err, &api) || api.Code != tc.code {
				t.Fatalf("got %.200v, want %s", err, tc.code)
			}
			if wantStatus := tc.status; tc.code == CodeBadResponse && api.Status != wantStatus {
				t.Errorf("status %d, want %d", api.Status, wantStatus)
			}
			if !Ambiguous(err) || calls != 1 || len(err.Error()) > 1000 {
				t.Errorf("ambiguous %v, %d calls, text of %d bytes", Ambiguous(err), calls, len(err.Error()))
			}
		})
	}
}

func TestTricklingBodyEndsWithTheContext(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"item":`)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	defer server.Close()
	c, err := New(Config{BaseURL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = c.CreateOrder(ctx, testToken, testOrder)
	var network *NetworkError
	if !errors.As(err, &network) || !errors.Is(err, context.DeadlineExceeded) || !Ambiguous(err) {
		t.Errorf("got %v (ambiguous %v), want an ambiguous NetworkError of the deadline", err, Ambiguous(err))
	}
}

func TestDeadlines(t *testing.T) {
	for name, tc := range map[string]struct {
		want time.Duration
		call func(context.Context, *Client) error
	}{
		"read": {30 * time.Second, func(ctx context.Context, c *Client) error { _, err := c.GetMachine(ctx, "m"); return err }},
		"write": {60 * time.Second, func(ctx context.Context, c *Client) error {
			_, err := c.CreateOrder(ctx, testToken, testOrder)
			return err
		}},
		"repeated write": {60 * time.Second, func(ctx context.Context, c *Client) error {
			_, err := c.CreatePaymentIntent(ctx, testToken, "o", PaymentIntentRequest{})
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := fakeClient(t, func(r *http.Request) (*http.Response, error) {
					<-r.Context().Done()
					return nil, r.Context().Err()
				})
				start := time.Now()
				err := tc.call(t.Context(), c)
				if got := time.Since(start); got != tc.want {
					t.Errorf("gave up after %v, want %v", got, tc.want)
				}
				if !errors.Is(err, context.DeadlineExceeded) || Classify(err) != ActionWait {
					t.Errorf("got %v, want the deadline", err)
				}
			})
		})
	}
}

func TestOnlyIdempotentCallsAreRepeated(t *testing.T) {
	repeated := map[string]bool{ // writes that the API documents as idempotent
		"payment-intent": true, "payment-intent-x402": true, "escrow-lock": true, "runtime-endpoint-put": true, "agent-heartbeat": true,
	}
	for name, c := range captures(t) {
		r := c.Requests[0]
		want := 1
		if r.Method == http.MethodDelete || r.Method == http.MethodGet && name != "readiness" || repeated[name] {
			want = 3
		}
		for fault, transport := range map[string]roundTrip{
			"500":   func(r *http.Request) (*http.Response, error) { return respond(r, 500, nil, "{}"), nil },
			"reset": func(*http.Request) (*http.Response, error) { return nil, errors.New("connection reset by peer") },
			"429": func(r *http.Request) (*http.Response, error) {
				return respond(r, 429, nil, `{"error":{"code":"RATE_LIMITED","message":"m"}}`), nil
			},
		} {
			t.Run(name+"/"+fault, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					calls := 0
					var first string
					client := fakeClient(t, func(r *http.Request) (*http.Response, error) {
						calls++
						body := ""
						if r.Body != nil {
							text, err := io.ReadAll(r.Body)
							if err != nil {
								t.Error(err)
							}
							body = string(text)
						}
						if calls == 1 {
							first = body
						} else if body != first {
							t.Errorf("attempt %d sent %q, the first %q", calls, body, first)
						}
						return transport(r)
					})
					_, err := replays[name][r.Variant](t.Context(), client)
					if err == nil || calls != want {
						t.Errorf("got %v after %d attempts, want an error after %d", err, calls, want)
					}
				})
			})
		}
	}
}

func TestRepetitionEndsWithASuccess(t *testing.T) {
	minimal := string(captures(t)["machine-get"].Responses.Minimal.Body)
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		c := fakeClient(t, func(r *http.Request) (*http.Response, error) {
			if calls++; calls < 3 {
				return respond(r, 502, nil, "bad gateway"), nil
			}
			return respond(r, 200, nil, minimal), nil
		})
		if m, err := c.GetMachine(t.Context(), "m"); err != nil || m.ID != "mach_0001" {
			t.Errorf("got %v, %v", m, err)
		}
	})
}

func TestWaitBetweenAttempts(t *testing.T) {
	for name, tc := range map[string]struct {
		status     int
		retryAfter string
		timeout    time.Duration
		calls      int
		low, high  time.Duration // of the whole call
		reported   time.Duration
	}{
		"backoff":                    {503, "", 0, 3, 300 * time.Millisecond, 600 * time.Millisecond, 0},
		"as asked":                   {429, "2", 0, 3, 4 * time.Second, 4 * time.Second, 2 * time.Second},
		"asked for too long":         {429, "3600", 0, 3, 10 * time.Second, 10 * time.Second, time.Hour},
		"asked for ever":             {503, "4294967295", 0, 3, 10 * time.Second, 10 * time.Second, time.Hour},
		"not a number":               {429, "soon", 0, 3, 300 * time.Millisecond, 600 * time.Millisecond, 0},
		"no time left for the wait":  {429, "4", 3 * time.Second, 1, 0, 0, 4 * time.Second},
		"no time left for the third": {429, "4", 6 * time.Second, 2, 4 * time.Second, 4 * time.Second, 4 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				c := fakeClient(t, func(r *http.Request) (*http.Response, error) {
					calls++
					return respond(r, tc.status, http.Header{"Retry-After": {tc.retryAfter}}, `{"error":{"code":"BUSY","message":"slow down"}}`), nil
				})
				ctx := t.Context()
				if tc.timeout > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tc.timeout)
					defer cancel()
				}
				start := time.Now()
				_, err := c.GetMachine(ctx, "m")
				if d := time.Since(start); d < tc.low || d > tc.high || calls != tc.calls {
					t.Errorf("%d calls in %v, want %d in %v to %v", calls, d, tc.calls, tc.low, tc.high)
				}
				var api *APIError
				if !errors.As(err, &api) || api.Code != "BUSY" || api.RetryAfter != tc.reported {
					t.Errorf("got %#v, want BUSY with the last answer and RetryAfter %v", err, tc.reported)
				}
				if Classify(err) != ActionWait {
					t.Errorf("got %v, want %v", Classify(err), ActionWait)
				}
			})
		})
	}
}

func TestRetryAfterAsADate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := http.Header{"Retry-After": {time.Now().Add(90 * time.Second).UTC().Format(http.TimeFormat)}}
		if got := retryAfter(h); got != 90*time.Second {
			t.Errorf("got %v, want 1m30s", got)
		}
		h.Set("Retry-After", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat))
		if got := retryAfter(h); got != 0 {
			t.Errorf("got %v for the past, want 0", got)
		}
	})
}

func TestCancellationIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		c := fakeClient(t, func(r *http.Request) (*http.Response, error) {
			cancel()
			return respond(r, 503, nil, "{}"), nil
		})
		_, err := c.GetMachine(ctx, "m")
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want the cancellation", err)
		}
		if _, err := c.CreateOrder(ctx, testToken, testOrder); Ambiguous(err) || !errors.Is(err, context.Canceled) {
			t.Errorf("a call with an ended context: %v, ambiguous %v", err, Ambiguous(err))
		}
	})
}

func TestAmbiguityOfRealConnections(t *testing.T) {
	call := func(base string, client *http.Client) error {
		c, err := New(Config{BaseURL: base, AllowHTTP: true, HTTPClient: client})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err = c.CreateOrder(ctx, testToken, testOrder)
		return err
	}
	dropping := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_ = conn.Close()
		}
	}))
	defer dropping.Close()
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains of the handshake
	secure.StartTLS()
	defer secure.Close()
	idle, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused := "http://" + idle.Addr().String()
	_ = idle.Close()

	for name, tc := range map[string]struct {
		err  error
		want bool
	}{
		"answer dropped":      {call(dropping.URL, nil), true},
		"connection refused":  {call(refused, nil), false},
		"unknown host":        {call("http://does-not-exist.invalid", &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) { return nil, &net.DNSError{Err: "no such host"} })}), false},
		"unknown authority":   {call(secure.URL, &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}}), false},
		"transport is silent": {call("http://m.example", &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) { return nil, errors.New("gone") })}), true},
	} {
		var network *NetworkError
		if !errors.As(tc.err, &network) || Ambiguous(tc.err) != tc.want {
			t.Errorf("%s: %v, ambiguous %v, want %v", name, tc.err, Ambiguous(tc.err), tc.want)
		}
	}
}

func TestObserve(t *testing.T) {
	type seen struct{ operation, code string }
	var got []seen
	answers := []reply{
		{200, []byte(`{"ok":true}`)}, {404, []byte(`{"error":{"code":"NOT_FOUND","message":"m"}}`)},
		{400, []byte(`{"error":{"code":"NEVER_SEEN_BEFORE","message":"m"}}`)}, {200, []byte(`x`)},
	}
	c, err := New(Config{
		BaseURL: "https://market.example",
		HTTPClient: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			if len(answers) == 0 {
				return nil, errors.New("gone")
			}
			a := answers[0]
			answers = answers[1:]
			return respond(r, a.Status, nil, string(a.Body)), nil
		})},
		Observe: func(operation, code string, _ time.Duration) { got = append(got, seen{operation, code}) },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	_ = c.Health(ctx)
	for range 4 {
		_, _ = c.CreateOrder(ctx, testToken, testOrder)
	}
	_, _ = c.CreateOrder(ctx, "", testOrder) // refused before it is sent
	want := []seen{{"Health", "ok"}, {"CreateOrder", "NOT_FOUND"}, {"CreateOrder", "other"}, {"CreateOrder", "BAD_RESPONSE"}, {"CreateOrder", "network"}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestAttemptsAreLoggedAtDebugLevelOnly(t *testing.T) {
	core, logs := observer.New(zap.DebugLevel)
	synctest.Test(t, func(t *testing.T) {
		c, err := New(Config{
			BaseURL: "https://market.example", APIKey: "MARKER-key", Logger: zap.New(core),
			HTTPClient: &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) { return nil, errors.New("gone") })},
		})
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.GetOrder(t.Context(), "MARKER-token", "ord_0001")
	})
	if logs.Len() == 0 {
		t.Error("nothing was logged")
	}
	for _, entry := range logs.All() {
		if entry.Level != zap.DebugLevel || strings.Contains(fmt.Sprint(entry.Message, entry.ContextMap()), "MARKER") {
			t.Errorf("got %v %v", entry.Level, entry)
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/agentd-project/agentd/money"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start runs a server on a socket until the test ends.
func start(t *testing.T, daemon Daemon) (*Client, string) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "run", "agentd.sock")
	s, err := NewServer(ServerConfig{Socket: socket, Daemon: daemon})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		if _, err := os.Lstat(socket); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the socket is still there: %v", err)
		}
	})
	return NewClient(socket), socket
}

// TestEveryRequest asks everything that a client can ask, over a real socket.
func TestEveryRequest(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	price := money.Value(500_000)
	tests := []struct {
		name string
		ask  func(ctx context.Context, c *Client) (any, error)
		call string
		want any
	}{
		{"status", func(ctx context.Context, c *Client) (any, error) { return c.Status(ctx) }, "status", &newFake().status},
		{"purchases", func(ctx context.Context, c *Client) (any, error) {
			return c.Purchases(ctx, PurchaseQuery{Open: true, Need: "a/b", Limit: 7})
		}, "purchases open=true need=a/b limit=7", []Purchase{newFake().purchase}},
		{"purchases by default", func(ctx context.Context, c *Client) (any, error) { return c.Purchases(ctx, PurchaseQuery{}) },
			"purchases open=false need= limit=50", []Purchase{newFake().purchase}},
		{"purchase", func(ctx context.Context, c *Client) (any, error) { return c.Purchase(ctx, "p/1") }, "purchase p/1", newFake().one()},
		{"result", func(ctx context.Context, c *Client) (any, error) { return c.Result(ctx, "p1") }, "result p1", newFake().result},
		{"policy", func(ctx context.Context, c *Client) (any, error) { return c.Policy(ctx) }, "policy", &PolicyView{Local: json.RawMessage(`{"currency":"USD"}`)}},
		{"verify", func(ctx context.Context, c *Client) (any, error) { return c.LedgerVerify(ctx) }, "verify", &LedgerReport{OK: true, Entries: 3}},
		{"accept", func(ctx context.Context, c *Client) (any, error) { return c.LedgerAccept(ctx, []string{"0xa", "0xb"}) },
			"accept [0xa 0xb] by " + me.Username, &LedgerReport{OK: true, Entries: 4}},
		{"explain", func(ctx context.Context, c *Client) (any, error) { return c.Explain(ctx, "price") }, "explain price", &Explanation{Need: "price", Chosen: -1}},
		{"buy", func(ctx context.Context, c *Client) (any, error) { return c.Buy(ctx, BuyRequest{Need: "price"}) }, "buy price input= max=none", newFake().one()},
		{"buy with all", func(ctx context.Context, c *Client) (any, error) {
			return c.Buy(ctx, BuyRequest{Need: "price", Input: json.RawMessage(`{"a":1.10}`), MaxPrice: &price})
		}, `buy price input={"a":1.10} max=0.5`, newFake().one()},
		{"approve", func(ctx context.Context, c *Client) (any, error) { return c.Approve(ctx, "p1") }, "approve p1 by " + me.Username, newFake().one()},
		{"deny", func(ctx context.Context, c *Client) (any, error) { return c.Deny(ctx, "p1") }, "deny p1 by " + me.Username, newFake().one()},
		{"confirm", func(ctx context.Context, c *Client) (any, error) {
			return c.Resolve(ctx, "p1", Resolution{Action: ActionConfirm})
		}, `resolve p1 confirm "" by ` + me.Username, newFake().one()},
		{"dispute", func(ctx context.Context, c *Client) (any, error) {
			return c.Resolve(ctx, "p1", Resolution{Action: ActionDispute, Text: "late"})
		}, `resolve p1 dispute "late" by ` + me.Username, newFake().one()},
		{"cancel a transaction", func(ctx context.Context, c *Client) (any, error) {
			return c.Resolve(ctx, "p1", Resolution{Action: ActionCancelTransaction})
		}, `resolve p1 cancel-transaction "" by ` + me.Username, newFake().one()},
		{"pause", func(ctx context.Context, c *Client) (any, error) { return nil, c.Pause(ctx) }, "pause by " + me.Username, nil},
		{"resume", func(ctx context.Context, c *Client) (any, error) { return nil, c.Resume(ctx) }, "resume by " + me.Username, nil},
		{"log level", func(ctx context.Context, c *Client) (any, error) { return c.LogLevel(ctx) }, "level", "info"},
		{"set log level", func(ctx context.Context, c *Client) (any, error) { return nil, c.SetLogLevel(ctx, "debug") }, "set level debug", nil},
		{"pairing", func(ctx context.Context, c *Client) (any, error) { return c.Pairing(ctx) }, "pairing", &Pairing{ID: "pair_1", Status: "active"}},
		{"rotate", func(ctx context.Context, c *Client) (any, error) { return c.RotatePairing(ctx) }, "rotate", &Pairing{ID: "pair_1", Status: "active"}},
		{"create", func(ctx context.Context, c *Client) (any, error) { return c.CreatePairing(ctx) }, "create", &Pairing{ID: "pair_2", Status: "active"}},
		{"revoke", func(ctx context.Context, c *Client) (any, error) { return c.RevokePairing(ctx) }, "revoke", &Pairing{ID: "pair_1", Status: "revoked"}},
		{"market", func(ctx context.Context, c *Client) (any, error) {
			return c.Market(ctx, MarketQuery{Kind: MarketServices, ID: "s&1", Limit: 3, ServiceType: "storage", Provider: "x"})
		}, "market services id=s&1 limit=3 type=storage provider=x", json.RawMessage(`[{"id":"x"}]`)},
	}
	daemon := newFake()
	client, _ := start(t, daemon)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.ask(t.Context(), client)
			if err != nil {
				t.Fatal(err)
			}
			if daemon.last() != tt.call {
				t.Errorf("the daemon was asked %q, want %q", daemon.last(), tt.call)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
		})
	}
}

// TestErrorsArriveWhole wants a daemon's error at the caller as it was.
func TestErrorsArriveWhole(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want *Error
	}{
		{"typed", &Error{Code: CodeConflict, Reason: "approval_expired", Text: "too late", Next: "buy again"},
			&Error{Code: CodeConflict, Reason: "approval_expired", Text: "too late", Next: "buy again"}},
		{"wrapped", fmt.Errorf("while asking: %w", &Error{Code: CodeNotFound, Text: "no such purchase"}), &Error{Code: CodeNotFound, Text: "no such purchase"}},
		{"other", errors.New("disk full"), &Error{Code: CodeInternal, Text: "disk full"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			daemon := newFake()
			daemon.err = tt.err
			client, _ := start(t, daemon)
			_, err := client.Purchase(t.Context(), "p1")
			var got *Error
			if !errors.As(err, &got) {
				t.Fatalf("got %T %v, want an *Error", err, err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

// TestBadRequests sends what no client of ours sends.
func TestBadRequests(t *testing.T) {
	tests := []struct {
		name, method, path, body string
		status                   int
	}{
		{"no need", "POST", "/v1/purchases", `{}`, 400},
		{"no json", "POST", "/v1/purchases", `need=price`, 400},
		{"two values", "POST", "/v1/purchases", `{"need":"a"} {"need":"b"}`, 400},
		{"unknown member", "POST", "/v1/purchases", `{"need":"a","price":1}`, 400},
		{"input that is a list", "POST", "/v1/purchases", `{"need":"a","input":[1]}`, 400},
		{"input that is null", "POST", "/v1/purchases", `{"need":"a","input":null}`, 400},
		{"price as a negative", "POST", "/v1/purchases", `{"need":"a","maxPrice":"-1"}`, 400},
		{"too large", "POST", "/v1/purchases", `{"need":"` + strings.Repeat("a", 2<<20) + `"}`, 400},
		{"unknown action", "POST", "/v1/purchases/p1/resolve", `{"action":"pay"}`, 400},
		{"dispute without a reason", "POST", "/v1/purchases/p1/resolve", `{"action":"dispute"}`, 400},
		{"limit of nothing", "GET", "/v1/purchases?limit=0", "", 400},
		{"limit too large", "GET", "/v1/purchases?limit=1001", "", 400},
		{"timeout that is none", "GET", "/v1/purchases/p1/wait?timeout=x", "", 400},
		{"unknown kind", "GET", "/v1/market/secrets", "", 400},
		{"order without an id", "GET", "/v1/market/order", "", 400},
		{"unknown level", "PUT", "/v1/log-level", `{"level":"silent"}`, 400},
		{"unknown path", "GET", "/v2/status", "", 404},
		{"wrong method", "GET", "/v1/resume", "", 404},
		{"unknown profile", "GET", "/debug/pprof/none", "", 404},
	}
	daemon := newFake()
	handler := handlerFor(t, daemon)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := as(handler, Peer{UID: 0}, tt.method, tt.path, tt.body)
			var body struct{ Error *Error }
			if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || body.Error == nil || body.Error.Text == "" {
				t.Errorf("body is %s, want an error with a text", w.Body)
			}
			if w.Code != tt.status {
				t.Errorf("status is %d, want %d: %s", w.Code, tt.status, w.Body)
			}
		})
	}
	if len(daemon.calls) != 0 {
		t.Errorf("the daemon was asked %q", daemon.calls)
	}
}

func handlerFor(t *testing.T, daemon Daemon) http.Handler {
	t.Helper()
	s, err := NewServer(ServerConfig{Socket: "/nowhere", Daemon: daemon, Operators: "no-such-group"})
	if err != nil {
		t.Fatal(err)
	}
	return s.handler()
}

// as sends a request as a peer.
func as(handler http.Handler, peer Peer, method, path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r = r.WithContext(context.WithValue(r.Context(), peerKey{}, peerOrError{peer: peer}))
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w
}

// TestWhoMayDecide asks everything as a stranger, who may look and ask only.
func TestWhoMayDecide(t *testing.T) {
	open := []string{
		"GET /v1/status", "GET /v1/purchases", "GET /v1/purchases/p1", "GET /v1/purchases/p1/result", "GET /v1/explain/price", "GET /v1/policy",
		"GET /v1/pairing", "GET /v1/ledger/verify", "GET /v1/market/services", "GET /v1/log-level", "POST /v1/pause", "POST /v1/purchases", "GET /",
	}
	closed := []string{
		"POST /v1/resume", "POST /v1/purchases/p1/approve", "POST /v1/purchases/p1/deny", "POST /v1/purchases/p1/resolve", "POST /v1/pairing/rotate",
		"POST /v1/pairing/create", "POST /v1/pairing/revoke", "PUT /v1/log-level", "GET /debug/pprof/", "GET /debug/pprof/heap", "GET /debug/pprof/profile",
	}
	bodies := map[string]string{"POST /v1/purchases": `{"need":"price"}`, "PUT /v1/log-level": `{"level":"debug"}`, "POST /v1/purchases/p1/resolve": `{"action":"confirm"}`}
	daemon := newFake()
	handler := handlerFor(t, daemon)
	stranger := Peer{UID: 4_000_000_000, GID: 4_000_000_000}
	try := func(request string, peer Peer) int {
		method, path, _ := strings.Cut(request, " ")
		return as(handler, peer, method, path, bodies[request]).Code
	}
	for _, request := range open {
		if code := try(request, stranger); code != http.StatusOK {
			t.Errorf("%s as a stranger: status %d, want 200", request, code)
		}
	}
	daemon.calls = nil
	for _, request := range closed {
		if code := try(request, stranger); code != http.StatusForbidden {
			t.Errorf("%s as a stranger: status %d, want 403", request, code)
		}
	}
	if len(daemon.calls) != 0 {
		t.Errorf("a stranger made the daemon do %q", daemon.calls)
	}
	for _, request := range closed {
		if strings.HasSuffix(request, "/profile") {
			continue // takes its time
		}
		if code := try(request, Peer{UID: 0}); code != http.StatusOK {
			t.Errorf("%s as root: status %d, want 200", request, code)
		}
	}
}

// TestNoCredentialsNoDecision refuses a connection whose peer is unknown.
func TestNoCredentialsNoDecision(t *testing.T) {
	daemon := newFake()
	r := httptest.NewRequest(http.MethodPost, "/v1/resume", nil)
	w := httptest.NewRecorder()
	handlerFor(t, daemon).ServeHTTP(w, r)
	if w.Code != http.StatusForbidden || len(daemon.calls) != 0 {
		t.Errorf("status %d, calls %q; want 403 and none", w.Code, daemon.calls)
	}
}

// TestOperatorsGroup lets a member decide, by the primary group of the connection.
func TestOperatorsGroup(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	group, err := user.LookupGroupId(me.Gid)
	if err != nil {
		t.Skipf("the primary group has no name: %v", err)
	}
	var gid uint32
	if _, err := fmt.Sscan(me.Gid, &gid); err != nil {
		t.Fatal(err)
	}
	if err := mayDecide(Peer{UID: 4_000_000_000, GID: gid}, group.Name); err != nil {
		t.Errorf("a member is refused: %v", err)
	}
	if err := mayDecide(Peer{UID: 4_000_000_000, GID: gid + 1}, group.Name); err == nil {
		t.Error("a stranger is let in")
	}
}

// TestSocket looks at the file: closed to others, and nothing left beside it.
func TestSocket(t *testing.T) {
	_, socket := start(t, newFake())
	info, err := os.Lstat(socket)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode(); got != fs.ModeSocket|0o660 {
		t.Errorf("mode is %v, want %v", got, fs.ModeSocket|0o660)
	}
	entries, err := os.ReadDir(filepath.Dir(socket))
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 {
		t.Errorf("%d entries beside the socket, want none: %v", len(entries)-1, entries)
	}
}

// TestTakingASocket replaces what a killed daemon left, and nothing else.
func TestTakingASocket(t *testing.T) {
	t.Run("a stale socket", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "s")
		stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		stale.SetUnlinkOnClose(false)
		if err := stale.Close(); err != nil {
			t.Fatal(err)
		}
		l, err := listen(t.Context(), path)
		if err != nil {
			t.Fatalf("listen: %v", err)
		}
		_ = l.Close()
	})
	t.Run("a running daemon", func(t *testing.T) {
		_, socket := start(t, newFake())
		if _, err := listen(t.Context(), socket); !errors.Is(err, ErrInUse) {
			t.Errorf("listen: %v, want ErrInUse", err)
		}
	})
	t.Run("a file", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "s")
		if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := listen(t.Context(), path); err == nil {
			t.Error("listen: no error")
		}
		if data, err := os.ReadFile(path); err != nil || string(data) != "mine" {
			t.Errorf("the file is %q, %v", data, err)
		}
	})
	t.Run("a path too long", func(t *testing.T) {
		if _, err := listen(t.Context(), filepath.Join(t.TempDir(), strings.Repeat("s", 108))); err == nil {
			t.Error("listen: no error")
		}
	})
}

// TestNobodyAnswers wants a text that says what to do.
func TestNobodyAnswers(t *testing.T) {
	_, err := NewClient(filepath.Join(t.TempDir(), "none")).Status(t.Context())
	var failure *Error
	if !errors.As(err, &failure) || failure.Code != CodeNoDaemon || failure.Next == "" {
		t.Errorf("got %v, want no_daemon and what to do", err)
	}
}

// TestWait returns at once when settled, and what there is when time is up.
func TestWait(t *testing.T) {
	tests := []struct {
		name    string
		settle  int
		timeout time.Duration
		settled bool
	}{
		{"settled", 1, time.Minute, true},
		{"not in time", 9, 20 * time.Millisecond, false},
		{"no time", 9, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			daemon := newFake()
			daemon.settle = tt.settle
			client, _ := start(t, daemon)
			p, err := client.Wait(t.Context(), "p1", tt.timeout)
			if err != nil {
				t.Fatal(err)
			}
			if p.Settled != tt.settled {
				t.Errorf("settled is %t, want %t", p.Settled, tt.settled)
			}
		})
	}
}

// TestStopCutsWaiting ends a server while a caller waits.
func TestStopCutsWaiting(t *testing.T) {
	daemon := newFake()
	daemon.settle = 1000
	socket := filepath.Join(t.TempDir(), "s")
	s, err := NewServer(ServerConfig{Socket: socket, Daemon: daemon})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	asked := make(chan error, 1)
	go func() {
		_, err := NewClient(socket).Wait(t.Context(), "p1", time.Minute)
		asked <- err
	}()
	for daemon.last() == "" {
		if _, err := NewClient(socket).LogLevel(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
	if err := <-asked; err != nil { // it may have got its answer, or a cut connection: it must return
		t.Logf("the caller was cut off: %v", err)
	}
}

// TestConnectionsAreBounded accepts a second caller only once the first is gone.
func TestConnectionsAreBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	inner, err := listen(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	l := limit(inner, 1)
	accepted := make(chan net.Conn)
	go func() {
		defer close(accepted)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	for range 2 {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
	}
	first := <-accepted
	select {
	case <-accepted:
		t.Error("a second caller was accepted beside the first")
	default:
	}
	_ = first.Close()
	second := <-accepted
	_ = second.Close()
	_ = second.Close() // a slot is given back once
	_ = l.Close()
	if c, open := <-accepted; open {
		t.Errorf("%v was accepted after Close", c)
	}
	if len(l.slots) != 0 {
		t.Errorf("%d slots are taken, want none", len(l.slots))
	}
}

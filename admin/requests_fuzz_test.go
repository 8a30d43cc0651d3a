// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// FuzzRequests has an ordinary caller ask anything of the local API: the answer is
// JSON with a status of ours, what decides is refused, and what reaches the daemon
// is what was checked.
func FuzzRequests(f *testing.F) {
	for _, seed := range [][3]string{
		{"GET", "/v1/status", ""}, {"GET", "/v1/purchases?limit=-1&open=true", ""}, {"POST", "/v1/purchases", `{"need":"price","input":{"a":1},"maxPrice":"0.10"}`},
		{"POST", "/v1/purchases", `{"need":"price","input":[1]}`}, {"POST", "/v1/purchases", `{"need":"price"}{}`}, {"POST", "/v1/purchases/x/approve", ""},
		{"POST", "/v1/purchases/%2e%2e/resolve", `{"action":"confirm"}`}, {"PUT", "/v1/log-level", `{"level":"debug"}`}, {"GET", "/v1/purchases/x/wait?timeout=-5s", ""},
		{"GET", "/v1/market/orders?limit=9999999999999999999", ""}, {"POST", "/v1/pairing/create", ""}, {"GET", "/debug/pprof/heap", ""}, {"POST", "/v1/purchases", `{"need":"a","maxPrice":-1}`},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	known := []int{200, 301, 307, 308, 400, 403, 404, 405, 409, 500, 503}
	f.Fuzz(func(t *testing.T, method, target, body string) {
		u, err := url.ParseRequestURI(target)
		if err != nil || !slices.Contains([]string{"GET", "POST", "PUT", "DELETE", "PATCH", "HEAD"}, method) || strings.Contains(target, "wait") && !strings.Contains(target, "timeout=-") {
			return
		}
		daemon := newFake()
		server, err := NewServer(ServerConfig{Socket: "/nowhere", Daemon: daemon, Operators: "no-such-group"})
		if err != nil {
			t.Fatal(err)
		}
		request := httptest.NewRequest(method, "http://agentd/", strings.NewReader(body))
		request.URL = u
		request = request.WithContext(t.Context())
		reply := httptest.NewRecorder()
		server.handler().ServeHTTP(reply, request)
		if !slices.Contains(known, reply.Code) {
			t.Fatalf("%s %s: status %d", method, target, reply.Code)
		}
		if strings.HasPrefix(reply.Header().Get("Content-Type"), "application/json") && !json.Valid(reply.Body.Bytes()) {
			t.Fatalf("%s %s: %q", method, target, reply.Body)
		}
		if reply.Body.Len() > 64<<10+len(body)*2 {
			t.Fatalf("%s %s: %d bytes", method, target, reply.Body.Len())
		}
		checkReached(t, daemon.last(), request, body)
	})
}

// checkReached looks at what the daemon was asked: no decision, and a purchase
// only with an object as input and a price that is one.
func checkReached(t *testing.T, call string, request *http.Request, body string) {
	t.Helper()
	for _, decision := range []string{"approve", "deny", "resolve", "resume", "rotate", "create", "revoke", "level ", "accept"} {
		if strings.HasPrefix(call, decision) {
			t.Fatalf("%s %s by a caller without a name: %s", request.Method, request.URL, call)
		}
	}
	if !strings.HasPrefix(call, "buy ") {
		return
	}
	var asked struct {
		Need     string
		Input    map[string]json.RawMessage
		MaxPrice any
	}
	if err := json.Unmarshal([]byte(body), &asked); err != nil || asked.Need == "" || strings.Contains(call, "max=-") {
		t.Fatalf("body %q reached the daemon as %q (%v)", body, call, err)
	}
}

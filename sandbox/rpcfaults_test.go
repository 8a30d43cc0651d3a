// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// countingNode answers every call with how many it has had.
func countingNode(calls *int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var c rpcCall
		if err := json.NewDecoder(r.Body).Decode(&c); err != nil {
			http.Error(w, "no call", http.StatusBadRequest)
			return
		}
		*calls++
		_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":"0x%x"}`, c.ID, *calls)
	})
}

func TestRPCFaults(t *testing.T) {
	tests := []struct {
		fault Fault
		calls int  // that reached the node, after two good ones
		fails bool // as an error of the connection
		holds string
		takes time.Duration
	}{
		{Fault{Kind: FaultRefuse}, 2, true, "", 0},
		{Fault{Kind: FaultDropBefore}, 2, true, "", 0},
		{Fault{Kind: FaultDropAfter}, 3, true, "", 0},
		{Fault{Kind: FaultDelay, DelayMS: 5000}, 3, false, `"result":"0x3"`, 5 * time.Second},
		{Fault{Kind: FaultDelayBefore, DelayMS: 90_000}, 3, true, "", time.Minute},
		{Fault{Kind: FaultStatus}, 2, false, "<html>", 0},
		{Fault{Kind: FaultStatusAfter}, 3, false, "<html>", 0},
		{Fault{Kind: FaultRateLimit, RetryAfter: 7}, 2, false, "<html>", 0},
		{Fault{Kind: FaultTruncate}, 3, true, "", 0},
		{Fault{Kind: FaultNotJSON}, 3, false, "<html>", 0},
		{Fault{Kind: FaultEmpty}, 3, false, "", 0},
		{Fault{Kind: FaultBody, Body: "{}"}, 3, false, "{}", 0},
		{Fault{Kind: FaultTwice}, 4, false, `"result":"0x4"`, 0},
		{Fault{Kind: FaultStale}, 2, false, `"result":"0x1"`, 0},
		{Fault{Kind: FaultError, Body: "limit exceeded"}, 2, false, `"message":"limit exceeded"`, 0},
		{Fault{Kind: FaultErrorAfter}, 3, false, `"code":-32000`, 0},
	}
	if len(tests) != len(RPCFaultKinds()) {
		t.Errorf("%d kinds are tested, there are %d", len(tests), len(RPCFaultKinds()))
	}
	for _, test := range tests {
		t.Run(string(test.fault.Kind), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				rpc := NewRPC()
				transport := NewTransport(map[string]http.Handler{"node.test": rpc.Wrap(countingNode(&calls))})
				defer func() { _ = transport.Close() }()
				c := &http.Client{Transport: transport, Timeout: time.Minute}
				send := func(id int) (string, error) {
					r, err := c.Post("http://node.test", "application/json", strings.NewReader(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"eth_blockNumber","params":[]}`, id)))
					if err != nil {
						return "", err
					}
					defer func() { _ = r.Body.Close() }()
					text, err := io.ReadAll(r.Body)
					return string(text), err
				}
				test.fault.Operation, test.fault.Nth = "eth_blockNumber", 3
				if _, err := rpc.Inject(test.fault); err != nil {
					t.Fatal(err)
				}
				for id := 1; id <= 2; id++ {
					if text, err := send(id); err != nil || !strings.Contains(text, fmt.Sprintf(`"result":"0x%d"`, id)) {
						t.Fatalf("good call: got %q, %v", text, err)
					}
				}
				began := time.Now()
				text, err := send(7)
				if (err != nil) != test.fails || !test.fails && !strings.Contains(text, test.holds) {
					t.Errorf("got %q, %v; want %q, failure %t", text, err, test.holds, test.fails)
				}
				if strings.HasPrefix(test.holds, `"`) && !strings.Contains(text, `"id":7`) {
					t.Errorf("got %q, want the request's id", text)
				}
				if took := time.Since(began); took != test.takes {
					t.Errorf("took %s, want %s", took, test.takes)
				}
				time.Sleep(2 * time.Minute) // the bubble's time: what is late gets its turn
				synctest.Wait()
				if calls != test.calls {
					t.Errorf("the node had %d calls, want %d", calls, test.calls)
				}
			})
		})
	}
}

func TestRPCFaultsOnTheControlPort(t *testing.T) {
	rpc := NewRPC()
	m := &Market{opt: Options{RPC: rpc}, faults: &faults{}}
	port := httptest.NewServer(m.controlRoutes())
	defer port.Close()
	do := func(method, path, body string) int {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, port.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		return closed(t, answer)
	}
	for _, c := range []struct {
		name, method, path, body string
		status, standing         int
	}{
		{"added", "POST", "/rpc/faults", `{"operation":"eth_call","kind":"stale"}`, 200, 1},
		{"added for all", "POST", "/rpc/faults", `{"operation":"*","kind":"rate-limit","nth":3}`, 200, 2},
		{"no method", "POST", "/rpc/faults", `{"kind":"stale"}`, 400, 2},
		{"unknown kind", "POST", "/rpc/faults", `{"operation":"*","kind":"huge"}`, 400, 2},
		{"one withdrawn", "DELETE", "/rpc/faults/1", "", 204, 1},
		{"no id", "DELETE", "/rpc/faults/x", "", 400, 1},
		{"all withdrawn", "DELETE", "/rpc/faults", "", 204, 0},
	} {
		if got := do(c.method, c.path, c.body); got != c.status || len(rpc.Faults()) != c.standing {
			t.Errorf("%s: got %d and %d faults, want %d and %d", c.name, got, len(rpc.Faults()), c.status, c.standing)
		}
	}
}

func closed(t *testing.T, r *http.Response) int {
	t.Helper()
	if err := r.Body.Close(); err != nil {
		t.Error(err)
	}
	return r.StatusCode
}

// A network that repeats a request has it processed twice.
func TestFaultTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := ready(t)
		c := client(t, w.m, time.Minute)
		if _, err := w.m.Inject(Fault{Operation: "agent-enroll", Nth: 1, Kind: FaultTwice}); err != nil {
			t.Fatal(err)
		}
		if status, _, err := w.enrollment(c); status != 201 || err != nil {
			t.Fatalf("got %d %v", status, err)
		}
		if _, agents := w.platform("GET", "/machines/"+w.machineID+"/agents", nil); len(agents["items"].([]any)) != 2 {
			t.Errorf("%d agents, want 2", len(agents["items"].([]any)))
		}
	})
}

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/agentd-project/agentd/admin"
	"github.com/agentd-project/agentd/sandbox"
)

const (
	markProvider = "marker-provider-EXAMPLE"
	markRuntime  = "marker-runtime-EXAMPLE"
	markRPC      = "marker-rpc-EXAMPLE"
)

// tap notes the secrets that pass between the daemon and the Market.
type tap struct {
	mu   sync.Mutex
	seen map[string]string // by value, what it is
}

func (w *tap) note(what, value string) {
	if value = strings.TrimPrefix(value, "Bearer "); len(value) < 12 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen[value] = what
}

// secretNames are the members of requests and answers that hold secrets.
var secretNames = []string{"pairingtoken", "provisioningtoken", "agenttoken", "token", "paymentsignature"}

func (w *tap) body(text []byte) {
	var value any
	if json.Unmarshal(text, &value) == nil {
		w.walk(value)
	}
}

func (w *tap) walk(value any) {
	switch v := value.(type) {
	case map[string]any:
		for name, member := range v {
			if text, isText := member.(string); isText && slices.Contains(secretNames, strings.ToLower(name)) && text != "USDC" && !strings.HasPrefix(text, "0x") {
				w.note(strings.ToLower(name), text)
			}
			w.walk(member)
		}
	case []any:
		for _, member := range v {
			w.walk(member)
		}
	}
}

// front serves the Market through the tap.
func (w *tap) front(t *testing.T, market string) string {
	t.Helper()
	to, err := url.Parse(market)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
	proxy.ModifyResponse = func(r *http.Response) error {
		text, err := io.ReadAll(r.Body)
		w.body(text)
		r.Body = io.NopCloser(bytes.NewReader(text))
		return err
	}
	server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		for name, values := range r.Header {
			if lower := strings.ToLower(name); strings.Contains(lower, "token") || strings.Contains(lower, "key") || lower == "authorization" {
				w.note(lower+" header", values[0])
			}
		}
		text, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		w.body(text)
		r.Body = io.NopCloser(bytes.NewReader(text))
		proxy.ServeHTTP(out, r)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// secretive makes the campaign's configuration hold every secret that an owner
// can set, and everything that can say one speak.
func (w *tap) secretive(t *testing.T, c *campaign) error {
	file := func(name, text string) string {
		path := filepath.Join(c.dir, name)
		if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	c.local.info.BaseURL = w.front(t, c.local.info.BaseURL)
	port, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if err := port.Close(); err != nil { // free, for the daemon to take
		return err
	}
	c.plan.Listen, c.plan.LogLevel = port.Addr().String(), "debug"
	c.plan.RPC += "/v3/" + markRPC
	c.plan.EndpointAuth = ", auth: {type: bearer, token_file: " + file("secret-runtime", markRuntime) + "}"
	for i := range c.plan.needs {
		if c.plan.needs[i].Name == "wallet" {
			c.plan.needs[i].More = fmt.Sprintf("provider_credentials: {akash: {console_api_key_file: %s}, walrus: {publisher_token_file: %s}}",
				file("secret-akash", markProvider), file("secret-walrus", markProvider))
		}
	}
	return nil
}

// No secret is in a log at debug level, an answer of the local API, a metric, a
// dump of the goroutines, the ledger, the Market's journal or the process table,
// after a campaign in which everything went wrong that can. The one exception is
// by design: the ledger holds what is signed, to present the same bytes again.
func TestNoSecretIsWritten(t *testing.T) {
	t.Parallel()
	ctx := context.WithoutCancel(t.Context())
	w := &tap{seen: map[string]string{}}
	dir := t.TempDir()
	c := &campaign{
		tortureCommand: tortureCommand{Purchases: 30, Kills: 12, Seed: 7, Keep: dir}, std: streams{io.Discard, io.Discard}, dir: dir, began: time.Now(),
		recovered: map[string][]time.Duration{}, adjust: func(c *campaign) error { return w.secretive(t, c) },
	}
	if err := c.prepare(ctx); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.local.close(); err != nil {
			t.Error(err)
		}
	}()
	defer c.end()
	for _, op := range []string{"search", "order-create", "payment-proof", "order-execute", "order-confirm"} {
		// The Market says back what it was sent.
		body := fmt.Sprintf(`{"error":{"code":"INTERNAL_ERROR","message":"cannot use %s and %s"}}`, c.local.info.APIKey, markProvider)
		if _, err := c.local.market.Inject(sandbox.Fault{Operation: op, Kind: sandbox.FaultBody, Body: body, Nth: 3, Times: 3}); err != nil {
			t.Fatal(err)
		}
	}
	c.end()
	if err := c.torture(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := c.drain(ctx); err != nil {
		t.Fatal(err)
	}
	findings, err := c.check(ctx)
	if err != nil || len(findings) > 0 {
		t.Errorf("check: %v, findings %v", err, findings)
	}

	places := c.answers(t)
	secrets := w.secrets(t, c)
	c.places(t, places)
	for place, text := range places {
		if text == "" {
			t.Errorf("%s is empty", place)
		}
		lower := strings.ToLower(text)
		for value, name := range secrets {
			if name == "paymentsignature" && strings.HasPrefix(place, "state/ledger.db") {
				continue
			}
			if strings.Contains(lower, strings.ToLower(strings.TrimPrefix(value, "0x"))) {
				t.Errorf("%s: the %s is in it", place, name)
			}
		}
	}
}

// secrets are those that were set and those that were seen.
func (w *tap) secrets(t *testing.T, c *campaign) map[string]string {
	t.Helper()
	passphrase, err := os.ReadFile(c.daemon.path("agent-passphrase"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{
		c.local.info.APIKey: "platform key", c.local.info.AgentKey: "agent key", c.local.info.OwnerKey: "owner key",
		strings.TrimSpace(string(passphrase)): "passphrase", markProvider: "provider credential", markRuntime: "runtime token", markRPC: "RPC credential",
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	kinds := map[string]int{}
	for value, what := range w.seen {
		all[value] = what
		kinds[what]++
	}
	for _, what := range []string{"x-api-key header", "x-agent-pairing-token header", "agenttoken", "paymentsignature"} {
		if kinds[what] == 0 {
			t.Errorf("no %s was seen on the wire, only %v", what, kinds)
		}
	}
	return all
}

// answers collects what the running daemon shows, and ends it by SIGQUIT, at
// which Go prints all stacks.
func (c *campaign) answers(t *testing.T) map[string]string {
	t.Helper()
	ctx := t.Context()
	places := map[string]string{}
	put := func(name string, value any, err error) {
		t.Helper()
		text, jsonErr := json.Marshal(value)
		if jsonErr != nil {
			t.Fatal(jsonErr)
		}
		places["local API: "+name] = string(text) + fmt.Sprint(err)
	}
	status, err := c.client.Status(ctx)
	put("status", status, err)
	pairing, err := c.client.Pairing(ctx)
	put("pairing", pairing, err)
	rules, err := c.client.Policy(ctx)
	put("policy", rules, err)
	var order string
	for number, id := range c.asked.promised() {
		p, err := c.client.Purchase(ctx, id)
		put(fmt.Sprintf("purchase %d", number), p, err)
		if err == nil && p.OrderID != "" {
			order = p.OrderID
		}
	}
	for _, rail := range tortureRails {
		e, err := c.client.Explain(ctx, rail.name)
		put("explain "+rail.name, e, err)
	}
	for _, kind := range admin.MarketKinds() {
		answer, err := c.client.Market(ctx, admin.MarketQuery{Kind: kind, ID: order})
		put("market "+string(kind), answer, err)
	}
	l := c.current()
	if l == nil {
		t.Fatal("the daemon ended")
	}
	local := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", c.daemon.path("agentd.sock"))
	}}}
	places["goroutines"] = get(t, local, "http://agentd/debug/pprof/goroutine?debug=2")
	places["metrics"] = get(t, http.DefaultClient, "http://"+c.plan.Listen+"/metrics")
	for _, name := range []string{"cmdline", "environ", "limits"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", l.cmd.Process.Pid, name))
		if err != nil {
			t.Fatal(err)
		}
		places["process: "+name] = string(text)
	}
	if limits := places["process: limits"]; !strings.Contains(strings.Join(strings.Fields(limits), " "), "Max core file size 0 0 bytes") {
		t.Errorf("the daemon may write a core file:\n%s", limits)
	}
	if err := l.cmd.Process.Signal(syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	<-l.exited
	return places
}

func get(t *testing.T, client *http.Client, from string) string {
	t.Helper()
	r, err := client.Get(from)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	text, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", from, r.Status, err)
	}
	return string(text)
}

// keepers are the files whose purpose is to hold secrets: those that the owner
// wrote, and the token store.
var keepers = []string{"agent-passphrase", "agent.hex", "owner.key", "api.key", "secret-runtime", "secret-akash", "secret-walrus"}

// places adds every file of the run: the log of all processes, the Market's
// journal, the ledger and whatever else there is.
func (c *campaign) places(t *testing.T, places map[string]string) {
	t.Helper()
	err := filepath.WalkDir(c.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		name, err := filepath.Rel(c.dir, path)
		store := filepath.Dir(name) == "state" && filepath.Ext(name) == ".json"
		if err != nil || slices.Contains(keepers, name) || store || strings.HasPrefix(name, "agentd-failpoint") || name == "agentd" || name == "agentd.yaml" {
			return err
		}
		text, err := os.ReadFile(path) //nolint:gosec // in the folder of the run
		if len(text) > 0 {
			places[filepath.ToSlash(name)] = string(text)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if log := places["agentd.log"]; !strings.Contains(log, `"level":"debug"`) || !strings.Contains(log, "SIGQUIT") {
		t.Error("the log has no line at debug level, or not the stacks of all goroutines")
	}
	for _, name := range []string{"journal.jsonl", "chain.jsonl", "state/ledger.db"} {
		if places[name] == "" {
			t.Errorf("there is no %s", name)
		}
	}
}

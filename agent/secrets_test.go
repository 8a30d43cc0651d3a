// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/agentd-project/agentd/admin"
	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/market"
	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/sandbox"
	"github.com/agentd-project/agentd/wallet"
)

// wiretap notes the credentials that requests carry in their headers.
type wiretap struct {
	next http.RoundTripper
	mu   sync.Mutex
	seen map[string]string // by value, the header's name
}

func (s *wiretap) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	for name, values := range r.Header {
		lower := strings.ToLower(name)
		if strings.Contains(lower, "token") || strings.Contains(lower, "key") || lower == "authorization" {
			for _, v := range values {
				s.seen[v] = lower
			}
		}
	}
	s.mu.Unlock()
	return s.next.RoundTrip(r)
}

// output is a place in which no secret may stand.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) Sync() error { return nil }

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

const (
	markPassphrase = "marker-passphrase-EXAMPLE"
	markProvider   = "marker-provider-EXAMPLE"
	markEndpoint   = "marker-endpoint-EXAMPLE"
)

// secretive is a configuration in which every secret that an owner can set is set.
func (w *world) secretive() []string {
	w.t.Helper()
	file := func(name, text string) string {
		path := filepath.Join(w.dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			w.t.Fatal(err)
		}
		return path
	}
	keystore, _, err := wallet.Import([]byte(w.info.AgentKey), []byte(markPassphrase))
	if err != nil {
		w.t.Fatal(err)
	}
	return []string{
		"keys: {agent: {keystore_file: " + file("agent.json", string(keystore)) + ", passphrase_file: " + file("passphrase", markPassphrase) +
			"}, owner: {private_key_file: " + file("owner.key", w.info.OwnerKey) + "}}",
		"heartbeat: {interval: 30s, lease: 90s, endpoints: [{provider_key: qvac, url: \"http://" + runtimeHost +
			":8000\", network_scope: loopback, auth: {type: bearer, token_file: " + file("endpoint", markEndpoint) + "}}]}",
		"needs: [{name: price, search: {service_type: oracle.price-feed, operation: latest-price}, input: {pair: PEAQ/USD}, max_price: \"0.10\", deadline: 5m}," +
			" {name: fix, search: {service_type: data.location, operation: fix}, input: {receiver: base-1}, max_price: \"0.10\", deadline: 5m}," +
			" {name: store, search: {service_type: storage.object, operation: put}, input: {name: log.txt, content: hello}, max_price: \"0.10\", deadline: 5m," +
			" provider_credentials: {akash: {console_api_key_file: " + file("akash", markProvider) + "}, walrus: {publisher_token_file: " + file("walrus", markProvider) + "}}}]",
	}
}

// No secret is in a log at debug level, an answer of the admin socket, a metric
// or the ledger, on good days and on bad ones.
func TestSecretsStayIn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		tap := &wiretap{next: w, seen: map[string]string{}}
		log := &output{}
		d := w.startOver(w.config(w.secretive()...), zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), log, zap.DebugLevel)), tap)
		d.ready(2 * time.Minute)
		secrets := map[string]string{
			"platform key": w.info.APIKey, "agent key": w.info.AgentKey, "owner key": w.info.OwnerKey,
			"passphrase": markPassphrase, "provider credential": markProvider, "endpoint token": markEndpoint,
		}
		for _, op := range []string{"search", "order-create", "payment-proof", "order-execute", "order-confirm"} {
			// The Market says back what it was sent.
			body := fmt.Sprintf(`{"error":{"code":"INTERNAL_ERROR","message":"cannot use %s and %s"}}`, w.info.APIKey, markProvider)
			if _, err := w.market.Inject(sandbox.Fault{Operation: op, Kind: sandbox.FaultBody, Body: body, Nth: 1}); err != nil {
				t.Fatal(err)
			}
		}
		ids := map[string]string{}
		for _, need := range []string{"price", "fix", "store"} {
			p := d.buy(need)
			if p.State != string(market.Settled) {
				t.Errorf("%s is %s (%s), want settled", need, p.State, p.Reason)
			}
			ids[need] = p.ID
		}
		w.market.LoseSessions()
		d.mustSettle("fix")
		time.Sleep(2 * time.Minute)

		attempts, err := d.ledger.Attempts(t.Context(), policy.PurchaseID(ids["fix"]))
		if err != nil || len(attempts) == 0 {
			t.Fatalf("attempts of the x402 purchase: %v, %v; want one", attempts, err)
		}
		secrets["x402 header"] = string(attempts[0].Raw)
		tap.mu.Lock()
		for value, name := range tap.seen {
			secrets[name+" header "+fmt.Sprint(len(secrets))] = strings.TrimPrefix(value, "Bearer ")
		}
		tap.mu.Unlock()
		if len(secrets) < 10 {
			t.Errorf("secrets on the wire: got %d in all, want the platform key, pairing tokens and the agent token too", len(secrets))
		}

		places := d.places(ids)
		d.stop()
		places["log"] = log.String()
		places["ledger file"] = w.files("ledger.db*")
		places["ledger backup"], places["ledger receipts"] = w.books()
		if !strings.Contains(places["log"], `"level":"debug"`) {
			t.Error("nothing was logged at debug level")
		}
		for place, text := range places {
			if text == "" {
				t.Errorf("%s is empty", place)
			}
			for name, secret := range secrets {
				if (place == "ledger file" || place == "ledger backup") && name == "x402 header" {
					continue // signed bytes are kept there, to be presented again
				}
				if bare := strings.TrimPrefix(secret, "0x"); strings.Contains(strings.ToLower(text), strings.ToLower(bare)) {
					t.Errorf("%s: the %s is in it", place, name)
				}
			}
		}
	})
}

// places collects what the daemon shows.
func (d *instance) places(ids map[string]string) map[string]string {
	d.w.t.Helper()
	ctx := d.w.t.Context()
	places := map[string]string{}
	put := func(name string, value any, err error) {
		d.w.t.Helper()
		text, jsonErr := json.Marshal(value)
		if jsonErr != nil {
			d.w.t.Fatalf("%s: %v", name, jsonErr)
		}
		places[name] = string(text) + fmt.Sprint(err)
	}
	status, err := d.front.Status(ctx)
	put("status", status, err)
	pairing, err := d.front.Pairing(ctx)
	put("pairing", pairing, err)
	rules, err := d.front.Policy(ctx)
	put("policy", rules, err)
	list, err := d.front.Purchases(ctx, admin.PurchaseQuery{})
	put("purchases", list, err)
	for need, id := range ids {
		p, err := d.front.Purchase(ctx, id)
		put("purchase "+need, p, err)
		offers, err := d.front.Explain(ctx, need)
		put("explain "+need, offers, err)
		result, err := d.front.Result(ctx, id)
		put("result "+need, result, err)
		record, err := d.ledger.Get(ctx, policy.PurchaseID(id))
		put("record "+need, record, err)
		history, err := d.ledger.History(ctx, policy.PurchaseID(id))
		put("history "+need, history, err)
	}
	orderOf := map[admin.MarketKind]string{admin.MarketOrder: list[0].OrderID}
	for _, kind := range admin.MarketKinds() {
		answer, err := d.front.Market(ctx, admin.MarketQuery{Kind: kind, ID: orderOf[kind]})
		put("market "+string(kind), answer, err)
	}
	families, err := d.metrics.registry.Gather()
	if err != nil {
		d.w.t.Fatal(err)
	}
	for _, f := range families {
		places["metrics"] += f.String()
	}
	return places
}

// books returns a backup of the ledger, and its receipts.
func (w *world) books() (backup, receipts string) {
	w.t.Helper()
	ctx := w.t.Context()
	f, err := ledger.OpenFile(ctx, filepath.Join(w.dir, "state", "ledger.db"))
	if err != nil {
		w.t.Fatal(err)
	}
	path := filepath.Join(w.dir, "copy.db")
	_, err = f.Backup(ctx, path)
	err = errors.Join(err, f.Receipts(ctx, time.Time{}, time.Time{}, func(r *ledger.Receipt) error {
		receipts += fmt.Sprintf("%+v\n", *r)
		return nil
	}), f.Close())
	copied, readErr := os.ReadFile(path)
	if err = errors.Join(err, readErr); err != nil {
		w.t.Fatal(err)
	}
	return string(copied), receipts
}

// files returns the contents of files in the state directory.
func (w *world) files(pattern string) string {
	w.t.Helper()
	names, err := filepath.Glob(filepath.Join(w.dir, "state", pattern))
	if err != nil {
		w.t.Fatal(err)
	}
	var all strings.Builder
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			w.t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}

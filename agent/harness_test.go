// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/agentd-project/agentd/admin"
	"github.com/agentd-project/agentd/config"
	"github.com/agentd-project/agentd/market"
	"github.com/agentd-project/agentd/orchestration"
	"github.com/agentd-project/agentd/sandbox"
	"github.com/agentd-project/agentd/sandbox/chain"
)

// The hosts of a world without sockets. They are loopback names, so that plain
// http to them is allowed.
const (
	marketHost  = "localhost"
	chainHost   = "127.0.0.1"
	runtimeHost = "127.0.0.2"
)

// world is a Market, a chain and a local runtime without sockets.
type world struct {
	t       *testing.T
	market  *sandbox.Market
	chain   *chain.Memory
	hosts   *sandbox.Transport
	info    sandbox.Info
	owner   *orchestration.Client // the owner at the Market's own front door
	cut     atomic.Bool           // the network is away
	runtime atomic.Int32          // status of the local runtime
	probes  atomic.Int32
	dir     string
}

// RoundTrip is the network.
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	if w.cut.Load() {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, errors.New("network is unreachable")
	}
	return w.hosts.RoundTrip(r)
}

func newWorld(t *testing.T, change func(*sandbox.Options)) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir()}
	w.runtime.Store(http.StatusOK)
	funded, err := sandbox.Accounts()
	if err != nil {
		t.Fatal(err)
	}
	if w.chain, err = chain.NewMemory(chain.Config{Accounts: funded}); err != nil {
		t.Fatal(err)
	}
	opt := sandbox.Options{Chain: w.chain, Strict: true}
	if change != nil {
		change(&opt)
	}
	if w.market, err = sandbox.New(opt); err != nil {
		t.Fatal(err)
	}
	w.info = w.market.Info()
	w.hosts = sandbox.NewTransport(map[string]http.Handler{
		marketHost: w.market.Handler(), chainHost: w.chain.Handler(), runtimeHost: http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			w.probes.Add(1)
			rw.WriteHeader(int(w.runtime.Load()))
		}),
	})
	t.Cleanup(func() {
		if err := errors.Join(w.hosts.Close(), w.market.Close(), w.chain.Close()); err != nil {
			t.Error(err)
		}
	})
	w.owner, err = orchestration.New(orchestration.Config{
		BaseURL: "http://" + marketHost, APIKey: orchestration.Secret(w.info.APIKey), HTTPClient: &http.Client{Transport: w.hosts},
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// config loads a configuration for the world; each setting is a line of YAML
// "key: value" at the top level that replaces the default one of that key.
func (w *world) config(settings ...string) *config.Config {
	w.t.Helper()
	secret := func(name, text string) string {
		path := filepath.Join(w.dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			w.t.Fatal(err)
		}
		return path
	}
	lines := []string{
		"state_dir: " + filepath.Join(w.dir, "state"),
		`listen: ""`,
		"admin: {socket: " + filepath.Join(w.dir, "s") + "}",
		"orchestration: {url: http://" + marketHost + ", api_key_file: " + secret("api-key", w.info.APIKey) + "}",
		"keys: {agent: {private_key_file: " + secret("agent.key", w.info.AgentKey) + "}, owner: {private_key_file: " + secret("owner.key", w.info.OwnerKey) + "}}",
		"machine: {identity_ref: " + w.info.IdentityRef + ", identity_key: owner, register: {display_name: dock-7, owner_id: acme, machine_type: robot, runtime_profile: linux-native}, agent: {label: dock-7}}",
		"pairing: {key: agent, provider: custom, role: buyer, push_policy: true}",
		"heartbeat: {interval: 30s, lease: 90s, endpoints: [{provider_key: qvac, url: \"http://" + runtimeHost + ":8000\", network_scope: loopback}]}",
		"chains: [{id: \"" + w.info.Chain + "\", name: base-sepolia, rpc: [\"http://" + chainHost + ":8545\"], final: {confirmations: 1}, " +
			"gas: {max_fee_per_gas_gwei: \"200\", per_day: \"0.5\"}, " +
			"tokens: [{symbol: USDC, address: \"" + w.info.Token + "\", decimals: 6, currency: USD, eip712: {name: USDC, version: \"2\"}}]}]",
		"policy: {currency: USD, per_purchase: \"5.00\", windows: [{over: 24h, limit: \"20.00\"}], payees: pin, max_authorization: 1h}",
		"needs: [{name: price, search: {service_type: oracle.price-feed, operation: latest-price}, input: {pair: PEAQ/USD}, max_price: \"0.10\", deadline: 5m}," +
			" {name: fix, search: {service_type: data.location, operation: fix}, input: {receiver: base-1}, max_price: \"0.10\", deadline: 5m}," +
			" {name: store, search: {service_type: storage.object, operation: put}, input: {name: log.txt, content: hello}, max_price: \"0.10\", deadline: 5m}]",
	}
	for _, s := range settings {
		key, _, _ := strings.Cut(s, ":")
		lines = slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, key+":") })
		lines = append(lines, s)
	}
	path := filepath.Join(w.dir, "agentd.yaml")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		w.t.Fatal(err)
	}
	cfg, err := config.Load(path, nil)
	if err != nil {
		w.t.Fatalf("load configuration: %v", err)
	}
	return cfg
}

// instance is a running agent.
type instance struct {
	*Agent
	w      *world
	cancel context.CancelFunc
	ended  chan error
	done   bool
}

// start runs an agent on a configuration, without its admin socket: a bubble
// has none.
func (w *world) start(cfg *config.Config) *instance {
	w.t.Helper()
	log := zap.NewNop()
	if testing.Verbose() {
		log = zaptest.NewLogger(w.t, zaptest.Level(zap.InfoLevel))
	}
	return w.startOver(cfg, log, w)
}

// startOver is start with a log and a network of one's own.
func (w *world) startOver(cfg *config.Config, log *zap.Logger, network http.RoundTripper) *instance {
	w.t.Helper()
	a, err := New(Options{Config: cfg, Logger: log, Version: "test", HTTPTransport: network})
	if err != nil {
		w.t.Fatalf("New: %v", err)
	}
	a.parts = slices.DeleteFunc(a.parts, func(p part) bool { return p == part(a.admin) })
	a.admin = nil
	a.notify.send = func(string) {}
	ctx, cancel := context.WithCancel(context.Background())
	d := &instance{Agent: a, w: w, cancel: cancel, ended: make(chan error, 1)}
	go func() { d.ended <- a.Run(ctx) }()
	w.t.Cleanup(d.stop)
	return d
}

func (d *instance) stop() {
	if d.done {
		return
	}
	d.done = true
	d.cancel()
	if err := <-d.ended; err != nil {
		d.w.t.Errorf("Run returned %v, want nil", err)
	}
	d.w.hosts.CloseIdleConnections()
}

func (d *instance) status() *admin.Status {
	d.w.t.Helper()
	s, err := d.front.Status(d.w.t.Context())
	if err != nil {
		d.w.t.Fatalf("Status: %v", err)
	}
	return s
}

// ready waits until the daemon could buy, at most d.
func (d *instance) ready(within time.Duration) {
	d.w.t.Helper()
	end := time.Now().Add(within)
	for time.Now().Before(end) {
		if d.status().Ready {
			return
		}
		time.Sleep(time.Second)
	}
	d.w.t.Fatalf("not ready after %s: %v", within, d.status().NotReady)
}

// buy makes one purchase and waits for its end.
func (d *instance) buy(need string) *admin.Purchase {
	d.w.t.Helper()
	ctx, cancel := context.WithTimeout(d.w.t.Context(), 10*time.Minute)
	defer cancel()
	p, err := d.front.Buy(ctx, admin.BuyRequest{Need: need})
	if err != nil {
		d.w.t.Fatalf("Buy %s: %v", need, err)
	}
	if p, err = d.front.Wait(ctx, p.ID); err != nil {
		d.w.t.Fatalf("Wait %s: %v", need, err)
	}
	return p
}

func (d *instance) mustSettle(need string) {
	d.w.t.Helper()
	if p := d.buy(need); p.State != string(market.Settled) {
		d.w.t.Errorf("purchase of %s is %s (%s), want settled; history: %+v", need, p.State, p.Reason, p.History)
	}
}

func (d *instance) problems() []string {
	codes := []string{}
	for _, p := range d.status().Problems {
		codes = append(codes, p.Code)
	}
	return codes
}

// bubble runs a test in fake time.
func bubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, test)
}

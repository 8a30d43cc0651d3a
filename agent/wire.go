// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/gofrs/flock"
	"go.uber.org/zap"

	"github.com/agentd-project/agentd/admin"
	"github.com/agentd-project/agentd/config"
	"github.com/agentd-project/agentd/internal/failpoint"
	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/market"
	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/orchestration"
	"github.com/agentd-project/agentd/pairing"
	"github.com/agentd-project/agentd/payments"
	"github.com/agentd-project/agentd/payments/evm"
	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/wallet"
)

// New wires a daemon. It takes the lock of the state directory, opens the ledger
// and unlocks the key, and asks nothing of the network. All wiring is here, in
// the order in which things come to exist.
func New(opt Options) (_ *Agent, err error) {
	if opt.Config == nil {
		return nil, errors.New("agent: no configuration")
	}
	a := newAgent(opt)
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Close())
		}
	}()
	ctx := context.Background()
	if err := a.lockState(); err != nil {
		return nil, err
	}
	for _, text := range a.cfg.Warnings {
		a.log.Warn("configuration warning", zap.String("warning", text))
	}
	if err := a.openStores(ctx); err != nil {
		return nil, err
	}
	a.auditor = newAuditor(a)
	store, err := pairing.NewFileStore(a.cfg.StateDir)
	if err != nil {
		return nil, err
	}
	transport, err := transportOf(opt.HTTPTransport, a.cfg.Orchestration.CAFile)
	if err != nil {
		return nil, err
	}
	transport = failpoint.Transport(transport)
	if err := a.wireMarketAPI(transport); err != nil {
		return nil, err
	}
	if a.guard, err = policy.NewGuard(policy.GuardConfig{Rules: a.cfg.PolicyRules(), Store: a.ledger, Clock: a.clock}); err != nil {
		return nil, err
	}
	if err := a.wireMachine(ctx, store, transport); err != nil {
		return nil, err
	}
	rails, err := a.wireChains(transport)
	if err != nil {
		return nil, err
	}
	a.rails = rails.set
	if err := a.wireMarket(rails); err != nil {
		return nil, err
	}
	a.scheduler = &scheduler{jobs: a.jobs(), log: a.log}
	a.front = &front{a: a}
	if a.admin, err = admin.NewServer(admin.ServerConfig{Socket: a.cfg.Admin.Socket, Daemon: a.front, Logger: a.log}); err != nil {
		return nil, err
	}
	a.metrics.registry.MustRegister(scraper{a})
	a.order()
	return a, nil
}

func newAgent(opt Options) *Agent {
	if opt.Logger == nil {
		opt.Logger = zap.NewNop()
	}
	if opt.Version == "" {
		opt.Version = "dev"
	}
	log := opt.Logger
	tuneRuntime(log)
	a := &Agent{
		cfg: opt.Config, opt: opt, log: log, started: time.Now(), beats: newBeats(), health: newHealth(log), clock: newClock(),
		notify: newNotifier(log), wakeMachine: make(chan struct{}, 1), wakeMarket: make(chan struct{}, 1),
	}
	a.trimmed = a.started
	a.metrics = newMetrics(opt.Version, opt.Revision, a.started)
	a.health.set(problemKeyInEnvironment, !a.cfg.Keys.Agent.PrivateKey.IsZero(), "")
	a.health.raise(problemClock, "no answer with a date was seen yet")
	return a
}

// tuneRuntime keeps the daemon small: a little more work for the collector than
// its default, the container's limit, if there is one, as a soft limit, and one
// processor, since a purchase is a chain of waits: with more, most of the work is
// waking threads that find nothing to do. GOMAXPROCS in the environment wins.
func tuneRuntime(log *zap.Logger) {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(1)
	}
	debug.SetGCPercent(50)
	if _, err := memlimit.Set(memlimit.WithProvider(memlimit.FromCgroup)); err != nil {
		log.Debug("no memory limit set", zap.Error(err))
	}
}

// lockState makes sure that one daemon at a time uses the state directory.
func (a *Agent) lockState() error {
	if err := os.MkdirAll(a.cfg.StateDir, 0o700); err != nil {
		return fmt.Errorf("make the state directory: %w", err)
	}
	a.lock = flock.New(filepath.Join(a.cfg.StateDir, "agentd.lock"))
	held, err := a.lock.TryLock()
	if err != nil {
		return fmt.Errorf("lock the state directory: %w", err)
	}
	if !held {
		return fmt.Errorf("%s: %w", a.cfg.StateDir, ErrRunning)
	}
	a.onClose("state lock", a.lock.Close)
	return nil
}

// openStores opens the ledger while the key is unlocked: the key derivation
// takes longer than all else together.
func (a *Agent) openStores(ctx context.Context) error {
	type opened struct {
		wallet *wallet.Wallet
		err    error
	}
	unlocked := make(chan opened, 1)
	go func() {
		w, err := openKey(a.cfg.Keys.ByName(a.cfg.Pairing.Key))
		unlocked <- opened{w, err}
	}()
	var err error
	a.ledger, err = ledger.Open(ctx, ledger.Config{Path: filepath.Join(a.cfg.StateDir, "ledger.db"), Now: a.clock.wallTime, Observe: a.metrics.observeCommit, Fault: a.ledgerFault})
	if err == nil {
		a.onClose("ledger", a.ledger.Close)
	}
	key := <-unlocked
	if key.err != nil {
		key.err = fmt.Errorf("open the agent's key: %w", key.err)
	}
	a.wallet = key.wallet
	return errors.Join(err, key.err)
}

func (a *Agent) wireMarketAPI(transport http.RoundTripper) error {
	key, err := platformKey(a.cfg)
	if err != nil {
		return err
	}
	a.api, err = orchestration.New(orchestration.Config{
		BaseURL: a.cfg.Orchestration.URL, APIKey: key, Version: a.opt.Version, AllowHTTP: a.cfg.Orchestration.AllowHTTP,
		HTTPClient: &http.Client{Transport: &dateReader{next: transport, clock: a.clock}}, Logger: a.log, Observe: a.observeCall,
	})
	return err
}

func (a *Agent) wireMachine(ctx context.Context, store *pairing.FileStore, transport http.RoundTripper) error {
	a.machine = &machine{
		api: a.api, meta: a.ledger, cfg: a.cfg.Machine, now: a.clock.estimate, health: a.health, log: a.log,
		identity: func() (*wallet.Wallet, error) { return a.identityKey() }, changed: func() { a.pairing.Wake(); wake(a.heartbeat.woken) },
	}
	if err := a.machine.restore(ctx); err != nil {
		return err
	}
	var err error
	a.pairing, err = pairing.New(pairing.Config{
		API: a.api, Wallet: a.wallet, Machine: a.machine.known, Store: store, Guard: a.guard, Logger: a.log, Now: a.clock.estimate,
		Settings: pairingSettings(a.cfg), Observe: a.metrics.observeRotation, Changed: a.pairingChanged, Beat: a.beats.lazy("pairing"),
	})
	if err != nil {
		return err
	}
	a.pairingChanged(a.pairing.Status())
	enrol := &enrolment{api: a.api, store: store, cfg: a.cfg.Machine.Agent, allowed: allowedKeys(a.cfg), log: a.log}
	if err := enrol.restore(); err != nil {
		return err
	}
	a.heartbeat = &heartbeat{
		api: a.api, enrolment: enrol, machine: a.machine, probes: probeClient(transport), endpoints: endpointsOf(a.cfg.Heartbeat.Endpoints),
		interval: a.cfg.Heartbeat.Interval, lease: a.cfg.Heartbeat.Lease, health: a.health, log: a.log, observe: a.metrics.observeHeartbeat,
		woken: make(chan struct{}, 1),
	}
	return nil
}

func (a *Agent) wireChains(transport http.RoundTripper) (*gatedRails, error) {
	var dialled []*evm.Chain
	gated := &gatedRails{chains: map[money.ChainID]*chainWatch{}}
	for i := range a.cfg.Chains {
		c := &a.cfg.Chains[i]
		chain, err := dialChain(c, evm.Config{HTTPClient: &http.Client{Transport: transport}, Observe: a.metrics.observeChain})
		if err != nil {
			return nil, err
		}
		a.onClose("chain "+string(c.ID), func() error { chain.Close(); return nil })
		a.metrics.prepareChain(c.ID)
		w := newChainWatch(chain, c, a.wallet.Address(), a.clock, a.health, a.log)
		w.compare = a.auditor.compareNew
		dialled = append(dialled, chain)
		a.chains = append(a.chains, w)
		gated.chains[c.ID] = w
	}
	escrows, _, err := escrowsOf(a.cfg)
	if err != nil {
		return nil, err
	}
	gated.set, err = payments.NewSet(payments.SetConfig{
		Wallet: a.wallet, Ledger: a.ledger, Chains: dialled, Escrows: escrows,
		MaxAuthorization: func() time.Duration { return a.guard.Rules().MaxAuthorization },
	})
	return gated, err
}

func (a *Agent) wireMarket(rails *gatedRails) error {
	needs, err := needsOf(a.cfg)
	if err != nil {
		return err
	}
	_, escrows, err := escrowsOf(a.cfg)
	if err != nil {
		return err
	}
	a.market, err = market.New(market.Config{
		API: a.api, Sessions: a.pairing, Guard: a.guard, Ledger: a.ledger, Rails: rails, Needs: needs, Tokens: tokensOf(a.cfg),
		Escrows: escrows, Chains: chainNames(a.cfg), Payer: a.wallet.Address(), Proof: orchestration.VerificationMode(a.cfg.Orchestration.Proof),
		Logger: a.log, Metrics: a.metrics.registry,
	})
	return err
}

// order lists the parts in the order in which they start. The watchdog comes
// first, so that it stops last and feeds while the others drain; the schedules
// come last, so that nothing is planned before everything runs.
func (a *Agent) order() {
	a.parts = append(a.parts, newWatchdog(a.beats, a.notify, a.statusLine, a.log))
	if a.cfg.Listen != "" {
		l := newListener(a.cfg.Listen, a.metrics.registry, a.health, a.beats, a.log)
		l.bound = a.opt.Listening
		a.parts = append(a.parts, l)
	}
	a.parts = append(a.parts, a.admin)
	a.parts = append(a.parts,
		a.loop(loop{name: "market probe", interval: pollMarket, limit: time.Minute, retry: 2 * time.Second, pass: a.probeMarket, wake: a.wakeMarket}),
		a.loop(loop{name: "machine", interval: pollMachineActive, limit: 5 * time.Minute, retry: time.Second, pass: a.machine.pass, next: a.machine.pause, wake: a.wakeMachine}))
	for _, w := range a.chains {
		a.parts = append(a.parts, a.loop(loop{name: "chain " + string(w.chain.ID()), interval: pollChain, limit: 2 * time.Minute, retry: 2 * time.Second, pass: w.pass}))
	}
	compaction := &compactor{a: a}
	a.parts = append(a.parts, a.pairing,
		a.loop(loop{name: "ledger check", interval: auditEvery, limit: auditLimit, retry: time.Second, pass: a.auditor.pass}),
		a.loop(loop{name: "compaction", interval: compactEvery, limit: time.Hour, retry: time.Minute, pass: compaction.pass, next: compaction.pause}),
		a.market,
		a.loop(loop{name: "heartbeat", interval: a.cfg.Heartbeat.Interval, limit: 3 * time.Minute, retry: time.Second, pass: a.heartbeat.pass, next: a.heartbeat.pause, wake: a.heartbeat.woken}),
		a.loop(loop{name: "health", interval: pollHealth, limit: time.Minute, retry: time.Second, pass: a.checkHealth}))
	if len(a.scheduler.jobs) > 0 {
		a.parts = append(a.parts, a.scheduler)
	}
}

func (a *Agent) loop(l loop) *loop {
	l.beats, l.log = a.beats, a.log
	return &l
}

// identityKey opens the key that controls the machine's identity. It is opened
// when it is needed, which is once in the life of a machine, and then dropped.
func (a *Agent) identityKey() (*wallet.Wallet, error) {
	name := a.cfg.Machine.IdentityKey
	if name == a.cfg.Pairing.Key {
		return a.wallet, nil
	}
	return openKey(a.cfg.Keys.ByName(name))
}

// platformKey reads the platform key; there may be none.
func platformKey(cfg *config.Config) (orchestration.Secret, error) {
	if cfg.Orchestration.APIKeyFile == "" {
		return orchestration.Secret(cfg.Orchestration.APIKey.Reveal()), nil
	}
	key, err := config.ReadSecret(cfg.Orchestration.APIKeyFile)
	if err != nil {
		return "", fmt.Errorf("platform key: %w", err)
	}
	return orchestration.Secret(key.Reveal()), nil
}

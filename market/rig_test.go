// SPDX-License-Identifier: Apache-2.0

package market_test

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/market"
	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/orchestration"
	"github.com/agentd-project/agentd/pairing"
	"github.com/agentd-project/agentd/payments"
	"github.com/agentd-project/agentd/payments/evm"
	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/sandbox"
	"github.com/agentd-project/agentd/sandbox/chain"
	"github.com/agentd-project/agentd/wallet"
)

// rig is a whole buyer against a whole Market: real client, ledger file, wallet,
// pairing and rails, the sandbox's Market and its in-memory chain, joined by
// pipes. It is made inside a synctest bubble.
type rig struct {
	t      testing.TB
	dir    string
	chain  *chain.Memory
	seller *sandbox.Market
	wire   *sandbox.Transport
	api    *orchestration.Client
	agent  *wallet.Wallet
	// escrow is the interface of the escrow contract, keeper the address of the
	// escrow that takes plain transfers.
	escrow *wallet.EscrowABI
	keeper common.Address
	rules  policy.Rules
	needs  []market.Need

	// crash is asked at every commit of a life of the buyer, before and after it;
	// where it says true that life is over, as by SIGKILL. Nil never crashes.
	crash func(after bool, state string) bool
	// refuse is asked before every commit; where it says true the write fails.
	refuse func(state string) bool
	// currency is what the token counts in; empty is USD.
	currency string
	// registry takes the metrics; it may be nil.
	registry prometheus.Registerer
	// front, if set, stands before the Market and may answer in its place.
	front func(w http.ResponseWriter, r *http.Request, market http.Handler)
	// strays are the requests that reached another host than Market and chain.
	strays strays
	// foreign are further tokens that the owner listed, on chains of their own too.
	foreign []market.Token
	// logs takes what is logged; it may be nil.
	logs zapcore.Core

	// of one life of the buyer
	life    *life
	ledger  *ledger.Ledger
	market  *market.Market
	node    *evm.Chain
	rails   *payments.Set
	cancel  context.CancelFunc
	running sync.WaitGroup
}

// lockTime is how long locked value waits for a delivery.
const lockTime = time.Hour

// trustedClock is the bubble's own clock.
type trustedClock struct{}

func (trustedClock) Now() (time.Time, bool) { return time.Now(), true }

// bubble runs a test in a synctest bubble with a rig.
func bubble(t *testing.T, test func(t *testing.T, r *rig)) {
	t.Helper()
	t.Parallel()
	bubbleNow(t, test)
}

// bubbleNow is bubble for tests that need its outcome at once.
func bubbleNow(t *testing.T, test func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.close()
		test(t, r)
	})
}

func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir()}
	accounts, err := sandbox.Accounts()
	r.must(err)
	r.chain, err = chain.NewMemory(chain.Config{Accounts: accounts})
	r.must(err)
	r.seller, err = sandbox.New(sandbox.Options{Chain: r.chain, Strict: true})
	r.must(err)
	r.wire = sandbox.NewTransport(map[string]http.Handler{"localhost": http.HandlerFunc(r.serveMarket), "127.0.0.1": r.chain.Handler(), elsewhere: &r.strays})
	r.agent, err = wallet.FromPrivateKey([]byte(sandbox.DefaultAgentKey))
	r.must(err)
	r.api, err = orchestration.New(orchestration.Config{BaseURL: "http://localhost", APIKey: orchestration.Secret(sandbox.DefaultAPIKey),
		Version: "test", HTTPClient: &http.Client{Transport: r.wire}})
	r.must(err)
	r.rules = policy.Rules{Currency: "USD", PerPurchase: 5_000_000, Windows: []policy.Window{{Over: 24 * time.Hour, Limit: 20_000_000}},
		Payees: policy.PayeesPin, ApprovalTTL: 24 * time.Hour,
		Allow: policy.Lists{Rails: policy.NewSet("not-required", "wallet", "wdk-usdt-transfer", "x402", "escrow", "onchain-escrow", "offchain-record")}}
	r.must(r.seller.UpdateService("svc_device-control-charge", func(s *sandbox.Service) { s.Escrow = sandbox.EscrowKeeper }))
	r.needs = needs()
	abi := wallet.DefaultEscrowABI()
	r.escrow, r.keeper = &abi, common.HexToAddress(r.seller.Info().EscrowKeeper)
	return r
}

// needs are one per rail of the sandbox's catalogue. The need escrow locks its
// value in the contract, onchain-escrow sends it to a keeper.
func needs() []market.Need {
	need := func(name, serviceType, operation, input string) market.Need {
		return market.Need{Name: name, Search: market.Search{ServiceType: serviceType, Operation: operation, MaxResults: 20},
			Input: json.RawMessage(input), MaxPrice: 1_000_000, HasMaxPrice: true, Deadline: 10 * time.Minute,
			Accept: market.Acceptance{Schema: json.RawMessage(`{"type":"object","minProperties":1}`)}}
	}
	handoff := need("handoff", "identity.proof-of-person", "verify", `{}`)
	handoff.Search.AllowExternalHandoff = true
	return []market.Need{
		need("not-required", "oracle.price-feed", "latest-price", `{"pair":"PEAQ/USD"}`),
		need("wallet", "storage.object", "put", `{"name":"log.txt","content":"hello"}`),
		need("wdk-usdt-transfer", "compute.marketplace", "run", `{"image":"sum:1","args":["1","2"]}`),
		need("x402", "data.location", "fix", `{"receiver":"base-1"}`),
		need("offchain-record", "machine.commerce", "log-delivery", `{"note":"pallet 7"}`),
		need("escrow", "device.control", "open-door", `{"device":"door-1"}`),
		need("onchain-escrow", "device.control", "charge", `{"device":"charger-1"}`),
		handoff,
	}
}

// start gives the buyer a life: everything is made anew over what is on disk.
func (r *rig) start() {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	var err error
	r.ledger, err = ledger.Open(ctx, ledger.Config{Path: filepath.Join(r.dir, "ledger.db")})
	r.must(err)
	r.life = &life{Ledger: r.ledger, wire: r.wire, end: cancel, over: make(chan struct{}), crash: r.crash, refuse: r.refuse}
	client := &http.Client{Transport: r.life}
	api, err := orchestration.New(orchestration.Config{BaseURL: "http://localhost", APIKey: orchestration.Secret(sandbox.DefaultAPIKey),
		Version: "test", HTTPClient: client})
	r.must(err)
	guard, err := policy.NewGuard(policy.GuardConfig{Rules: &r.rules, Store: r.life, Clock: trustedClock{}})
	r.must(err)
	token := money.Asset{Chain: money.ChainID(r.chain.CAIP2()), Address: r.chain.Token(), Symbol: "USDC", Decimals: 6, Currency: cmp.Or(r.currency, "USD")}
	node, err := evm.Dial(evm.Config{ID: token.Chain, Name: "base-sepolia", RPC: []string{"http://127.0.0.1"}, HTTPClient: client,
		Final: evm.Final{Confirmations: 1}, Gas: evm.Gas{MaxFeePerGas: money.FromUint64(200e9), PerDay: money.FromUint64(1e18)},
		Tokens: []evm.Token{{Asset: token, Name: "USDC", Version: "2"}}})
	r.must(err)
	r.must(node.VerifyStart(ctx))
	r.node = node
	rails, err := payments.NewSet(payments.SetConfig{Wallet: r.agent, Ledger: r.life, Chains: []*evm.Chain{node},
		Escrows: []payments.Escrow{{Chain: token.Chain, Address: r.chain.Escrow(), Contract: r.escrow}, {Chain: token.Chain, Address: r.keeper}}})
	r.must(err)
	r.rails = rails
	machine, identity := r.machine(ctx)
	store, err := pairing.NewFileStore(r.dir)
	r.must(err)
	sessions, err := pairing.New(pairing.Config{API: api, Wallet: r.agent, Machine: func() (string, string) { return machine, identity },
		Store: store, Guard: guard, Settings: pairing.Settings{Provider: "custom", Role: "buyer"}, Logger: r.log("pairing")})
	r.must(err)
	chains := map[string]money.ChainID{r.chain.CAIP2(): token.Chain, "base-sepolia": token.Chain}
	for _, t := range r.foreign {
		chains[string(t.Chain)] = t.Chain
	}
	r.market, err = market.New(market.Config{API: api, Sessions: sessions, Guard: guard, Ledger: r.life, Rails: rails, Needs: r.needs,
		Tokens:  append([]market.Token{{Asset: token, DomainName: "USDC", DomainVersion: "2"}}, r.foreign...),
		Escrows: []market.Escrow{{Chain: token.Chain, Address: r.chain.Escrow(), Lock: true, RefundAfter: lockTime}, {Chain: token.Chain, Address: r.keeper}},
		Chains:  chains, Payer: r.agent.Address(), Logger: r.log("market"), Metrics: r.registry})
	r.must(err)
	r.running.Go(func() { _ = sessions.Run(ctx) })
	r.running.Go(func() { r.must(r.market.Run(ctx)) })
}

func (r *rig) log(name string) *zap.Logger {
	if r.logs != nil {
		return zap.New(r.logs).Named(name)
	}
	if !testing.Verbose() {
		return zap.NewNop()
	}
	return zaptest.NewLogger(r.t).Named(name)
}

// elsewhere is a host that the owner did not name.
const elsewhere = "elsewhere"

func (r *rig) serveMarket(w http.ResponseWriter, req *http.Request) {
	if r.front != nil {
		r.front(w, req, r.seller.Handler())
		return
	}
	r.seller.Handler().ServeHTTP(w, req)
}

// strays is the other host: it notes every request and answers with nothing.
type strays struct {
	mu   sync.Mutex
	seen []string
}

func (s *strays) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, r.Method+" "+r.URL.String())
}

// stop ends a life of the buyer, as SIGTERM does.
func (r *rig) stop() {
	if r.cancel == nil {
		return
	}
	r.cancel()
	r.running.Wait()
	r.must(r.ledger.Close())
	r.cancel = nil
}

func (r *rig) close() {
	r.stop()
	r.wire.CloseIdleConnections()
	r.must(r.wire.Close())
	r.must(r.seller.Close())
	r.must(r.chain.Close())
}

// machine registers the machine, or finds it.
func (r *rig) machine(ctx context.Context) (id, identity string) {
	r.t.Helper()
	for m, err := range r.api.Machines(ctx, orchestration.ListOptions{}) {
		r.must(err)
		return m.ID, m.IdentityRef
	}
	owner, err := wallet.FromPrivateKey([]byte(sandbox.DefaultOwnerKey))
	r.must(err)
	ref := "did:peaq:184467"
	c, err := r.api.CreateIdentityChallenge(ctx, ref)
	r.must(err)
	expires, err := c.ExpiresAt.Time()
	r.must(err)
	checked, err := wallet.CheckChallenge(wallet.ChallengeWant{IdentityRef: ref, Address: owner.Address()},
		wallet.ChallengeReply{IdentityRef: c.IdentityRef, Address: c.ControllerAddresses[0], Message: c.Message, ExpiresAt: expires}, time.Now())
	r.must(err)
	signature, err := owner.SignChallenge(checked)
	r.must(err)
	m, err := r.api.CreateMachine(ctx, orchestration.CreateMachineRequest{DisplayName: "rig", OwnerID: "acme", MachineType: "robot",
		RuntimeProfile: "linux-native", IdentityRef: ref, IdentityProof: orchestration.Proof{ChallengeID: c.ChallengeID, Signature: signature}})
	r.must(err)
	_, err = r.api.UpdateMachine(ctx, m.ID, orchestration.UpdateMachineRequest{Status: orchestration.MachineActive})
	r.must(err)
	return m.ID, ref
}

// buy plans a purchase and waits until it stops moving by itself.
func (r *rig) buy(need string) *ledger.Purchase {
	r.t.Helper()
	id, err := r.market.Buy(r.t.Context(), market.Order{Need: need})
	r.must(err)
	return r.wait(id)
}

// wait waits up to two hours of fake time.
func (r *rig) wait(id policy.PurchaseID) *ledger.Purchase {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Hour)
	defer cancel()
	p, err := r.market.Wait(ctx, id)
	r.must(err)
	return p
}

// final waits up to two hours of fake time until a purchase is final.
func (r *rig) final(id policy.PurchaseID) *ledger.Purchase {
	r.t.Helper()
	for end := time.Now().Add(2 * time.Hour); ; {
		p := r.wait(id)
		if p.Final || time.Now().After(end) {
			return p
		}
		<-time.After(10 * time.Second)
	}
}

// transfers counts the transfers of the token out of the agent's address.
func (r *rig) transfers() []chain.Transfer {
	r.t.Helper()
	all, err := r.chain.Transfers(context.Background(), 0)
	r.must(err)
	var mine []chain.Transfer
	for _, x := range all {
		if x.From == r.agent.Address() {
			mine = append(mine, x)
		}
	}
	return mine
}

// sound checks what must hold at any time: the ledger agrees with itself, with
// the chain, and every purchase has one transfer at most.
func (r *rig) sound() {
	r.t.Helper()
	ctx := context.Background()
	report, err := r.ledger.Verify(ctx)
	r.must(err)
	for _, finding := range report.Findings {
		r.t.Errorf("ledger verify: %s", finding)
	}
	settled, err := r.ledger.SettledTransfers(ctx)
	r.must(err)
	byTx := map[string]int{}
	for _, s := range settled {
		byTx[s.Ref]++
	}
	moved := r.transfers()
	for _, x := range moved {
		if byTx[x.Tx.Hex()] != 1 {
			r.t.Errorf("transfer %s: got %d settled purchases, want 1", x.Tx, byTx[x.Tx.Hex()])
		}
	}
	if len(moved) != len(settled) {
		r.t.Errorf("transfers: got %d on the chain, want the %d that are settled", len(moved), len(settled))
	}
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

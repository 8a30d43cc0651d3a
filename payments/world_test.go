// SPDX-License-Identifier: Apache-2.0

package payments_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/payments"
	"github.com/agentd-project/agentd/payments/evm"
	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/sandbox/chain"
	"github.com/agentd-project/agentd/wallet"
)

var (
	seller = common.HexToAddress("0x3333333333333333333333333333333333333333")
	// keeper keeps an escrow that takes plain transfers.
	keeper = common.HexToAddress("0x4444444444444444444444444444444444444444")
	price  = money.FromUint64(10000)
)

const agentKey = "2222222222222222222222222222222222222222222222222222222222222222"

// world is a chain, an RPC path to it that fails on demand, and one agent whose
// process can be restarted.
type world struct {
	t      testing.TB
	chain  testChain
	faults *faults
	config evm.Config
	wallet *wallet.Wallet
	path   string
	now    func() time.Time
	// escrows are those that the owner lists.
	escrows []payments.Escrow

	ledger *ledger.Ledger
	guard  *policy.Guard
	set    *payments.Set
	evm    *evm.Chain
}

type testChain interface {
	chain.Chain
	SetAutomine(on bool)
}

type trusted func() time.Time

func (c trusted) Now() (time.Time, bool) { return c(), true }

func account() chain.Account {
	return chain.Account{
		Address: common.HexToAddress("0x1563915e194D8CfBA1943570603F7606A3115508"),
		Wei:     big.NewInt(1e18), Tokens: big.NewInt(1_000_000),
	}
}

// newWorld makes a world on the in-memory chain, whose blocks come with
// transactions only.
func newWorld(t testing.TB) *world {
	t.Helper()
	return newWorldAt(t, time.Now)
}

// newWorldAt makes one in which everybody reads the same clock.
func newWorldAt(t testing.TB, now func() time.Time, more ...chain.Account) *world {
	t.Helper()
	c, err := chain.NewMemory(chain.Config{Accounts: append(more, account()), BlockTime: -1, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	w := worldOn(t, c)
	w.now = now
	w.restart()
	return w
}

func worldOn(t testing.TB, c testChain) *world {
	t.Helper()
	w, err := wallet.FromPrivateKey([]byte(agentKey))
	if err != nil {
		t.Fatal(err)
	}
	contract := wallet.DefaultEscrowABI()
	f := &faults{next: chain.Transport(c.Handler()), calls: map[string]int{}}
	wd := &world{
		t: t, chain: c, faults: f, wallet: w, path: filepath.Join(t.TempDir(), "ledger.db"), now: time.Now,
		escrows: []payments.Escrow{{Chain: chain.CAIP2ID, Address: chain.EscrowAddress, Contract: &contract}, {Chain: chain.CAIP2ID, Address: keeper}},
		config: evm.Config{
			ID: chain.CAIP2ID, Name: "base-sepolia", RPC: []string{"http://one.test/key-SECRET"}, HTTPClient: &http.Client{Transport: f},
			Gas:    evm.Gas{MaxFeePerGas: money.FromUint64(100e9), PerDay: money.FromUint64(1e17)},
			Tokens: []evm.Token{{Asset: money.Asset{Chain: chain.CAIP2ID, Address: chain.TokenAddress, Symbol: "USDC", Decimals: 6, Currency: "USD"}, Name: "USDC", Version: "2"}},
			Poll:   20 * time.Millisecond, Resend: 50 * time.Millisecond, Timeout: 2 * time.Second,
		},
	}
	wd.start()
	t.Cleanup(wd.stop)
	return wd
}

// start makes everything that a process has in memory.
func (w *world) start() {
	w.t.Helper()
	var err error
	if w.ledger, err = ledger.Open(context.Background(), ledger.Config{Path: w.path, Now: w.now}); err != nil {
		w.t.Fatal(err)
	}
	rules := &policy.Rules{Currency: "USD", PerPurchase: 1_000_000, Lifetime: 100_000_000, Payees: policy.PayeesPin}
	if w.guard, err = policy.NewGuard(policy.GuardConfig{Rules: rules, Store: w.ledger, Clock: trusted(w.now)}); err != nil {
		w.t.Fatal(err)
	}
	if w.evm, err = evm.Dial(w.config); err != nil {
		w.t.Fatal(err)
	}
	w.set, err = payments.NewSet(payments.SetConfig{Wallet: w.wallet, Ledger: w.ledger, Chains: []*evm.Chain{w.evm}, Escrows: w.escrows, Now: w.now})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) stop() {
	w.evm.Close()
	if err := w.ledger.Close(); err != nil {
		w.t.Errorf("close ledger: %v", err)
	}
}

func (w *world) restart() { w.t.Helper(); w.stop(); w.start() }

func (w *world) rail(name string) payments.Rail {
	w.t.Helper()
	r, ok := w.set.Rail(name)
	if !ok {
		w.t.Fatalf("no rail %s", name)
	}
	return r
}

func (w *world) terms(rail string) policy.Terms {
	t := policy.Terms{Rail: rail, Chain: chain.CAIP2ID, Token: chain.TokenAddress, Symbol: "USDC", Decimals: 6, Payee: seller, Amount: price}
	if rail == policy.RailX402 {
		t.Deadline = w.now().Add(5 * time.Minute)
	}
	return t
}

// grant takes a purchase through create, reserve and grant.
func (w *world) grant(id policy.PurchaseID, t policy.Terms) policy.Grant {
	w.t.Helper()
	ctx := context.Background()
	p := &ledger.Purchase{ID: id, Need: "n", State: "planned"}
	if err := w.ledger.Create(ctx, p); err != nil {
		w.t.Fatal(err)
	}
	req := request(id, t)
	if v, err := w.guard.Reserve(ctx, req); err != nil || !v.Allowed() {
		w.t.Fatalf("reserve: %+v, %v", v, err)
	}
	g, v, err := w.guard.Grant(ctx, req, t)
	if err != nil || !v.Allowed() {
		w.t.Fatalf("grant: %+v, %v", v, err)
	}
	return g
}

func request(id policy.PurchaseID, t policy.Terms) policy.Request {
	return policy.Request{
		Purchase: id, Need: "n", Service: "s", Provider: "p", Rail: t.Rail, Native: true, Currency: "USD",
		Value: 10_000, MaxPrice: 10_000, HasMaxPrice: true,
	}
}

func (w *world) regrant(id policy.PurchaseID) policy.Grant {
	w.t.Helper()
	g, err := w.guard.Regrant(context.Background(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return g
}

// received asks the chain itself, not through our code or the faults, what the
// seller got.
func (w *world) received() []chain.Transfer {
	w.t.Helper()
	all, err := w.chain.Transfers(context.Background(), 0)
	if err != nil {
		w.t.Fatal(err)
	}
	var got []chain.Transfer
	for _, tr := range all {
		if tr.To == seller {
			got = append(got, tr)
		}
	}
	return got
}

func (w *world) wantTransfers(n int) {
	w.t.Helper()
	got := w.received()
	if len(got) != n {
		w.t.Errorf("%d transfers to the seller, want %d", len(got), n)
	}
	for _, tr := range got {
		if tr.Value.Cmp(price.Big()) != 0 {
			w.t.Errorf("transfer of %s, want %s", tr.Value, price)
		}
	}
}

func refusalOf(err error) policy.Reason {
	var r *payments.Refusal
	if errors.As(err, &r) {
		return r.Reason
	}
	return ""
}

// fault is what happens to one call.
type fault int

const (
	none       fault = iota
	lost             // the call is done, its answer is not delivered
	refused          // nothing is done, the connection fails
	badGateway       // nothing is done, status 502
	lostTo502        // the call is done and answered with status 502
	garbage          // the call is done and answered with something that is no JSON
	wrongChain       // eth_chainId names another chain
	empty            // the call is answered with null
	hang             // no answer until the caller gives up
)

// faults is a round tripper that fails the calls that decide says.
type faults struct {
	next http.RoundTripper

	mu    sync.Mutex
	calls map[string]int
	// decide is told the method, how often it was called before, and the host.
	decide func(method string, n int, host string) fault
	// answer replaces the result of a call where it returns something.
	answer func(method string, params json.RawMessage) any
}

func (f *faults) set(decide func(method string, n int, host string) fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.decide, f.calls = decide, map[string]int{}
}

func (f *faults) count(method string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[method]
}

func (f *faults) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	var call struct {
		ID     json.RawMessage `json:"id"`
		Method string          `json:"method"`
		Params json.RawMessage `json:"params"`
	}
	if err := json.Unmarshal(body, &call); err != nil {
		return nil, fmt.Errorf("test sees no single call: %w", err)
	}
	f.mu.Lock()
	n, kind := f.calls[call.Method], none
	f.calls[call.Method]++
	if f.decide != nil {
		kind = f.decide(call.Method, n, req.URL.Host)
	}
	answer := f.answer
	f.mu.Unlock()
	if answer != nil {
		if result := answer(call.Method, call.Params); result != nil {
			return reply(call.ID, result), nil
		}
	}
	switch kind {
	case refused:
		return nil, errors.New("connection refused")
	case badGateway:
		return response(http.StatusBadGateway, "bad gateway SECRET"), nil
	case wrongChain:
		return reply(call.ID, "0x1"), nil
	case empty:
		return reply(call.ID, nil), nil
	case hang:
		<-req.Context().Done()
		return nil, req.Context().Err()
	}
	req.Body = io.NopCloser(bytes.NewReader(body))
	resp, err := f.next.RoundTrip(req)
	switch kind {
	case lost:
		return nil, errors.New("connection reset")
	case lostTo502:
		return response(http.StatusBadGateway, "bad gateway"), nil
	case garbage:
		return response(http.StatusOK, "<html>"), nil
	}
	return resp, err
}

func reply(id json.RawMessage, result any) *http.Response {
	doc, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": id, "result": result})
	if err != nil {
		panic(err)
	}
	return response(http.StatusOK, string(doc))
}

func response(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Status: fmt.Sprintf("%d %s", status, http.StatusText(status)),
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body))}
}

// within runs a function with a bounded context.
func within(t testing.TB, d time.Duration, run func(context.Context)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	run(ctx)
}

func chains(w *world) []*evm.Chain { return []*evm.Chain{w.evm} }

// SPDX-License-Identifier: Apache-2.0

package evm_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/math"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/signer/core/apitypes"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/payments/evm"
	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/sandbox/chain"
	"github.com/agentd-project/agentd/wallet"
)

const agentKey = "2222222222222222222222222222222222222222222222222222222222222222"

var (
	seller = common.HexToAddress("0x3333333333333333333333333333333333333333")
	price  = money.FromUint64(10_000)
	gwei   = int64(1e9)
)

// world is a chain, one or more endpoints to it, and one agent whose process can
// be restarted. In a bubble its blocks come every two seconds.
type world struct {
	t      testing.TB
	node   *node
	mem    *chain.Memory
	config evm.Config
	wallet *wallet.Wallet
	path   string
	now    func() time.Time

	ledger *ledger.Ledger
	guard  *policy.Guard
	chain  *evm.Chain
	sender *evm.Sender

	mu       sync.Mutex
	outcomes map[string]int
}

type trusted func() time.Time

func (c trusted) Now() (time.Time, bool) { return c(), true }

// newWorld makes a world on the in-memory chain; change alters the configuration
// of the agent's chain.
func newWorld(t testing.TB, change func(*evm.Config)) *world {
	t.Helper()
	mem, err := chain.NewMemory(chain.Config{BlockTime: 2 * time.Second, Accounts: []chain.Account{
		{Address: us, Wei: big.NewInt(1e18), Tokens: big.NewInt(1_000_000)},
		{Address: seller, Wei: big.NewInt(1e18)},
	}})
	if err != nil {
		t.Fatal(err)
	}
	w := worldOn(t, chain.Transport(mem.Handler()), change)
	w.mem = mem
	return w
}

func worldOn(t testing.TB, next http.RoundTripper, change func(*evm.Config)) *world {
	t.Helper()
	key, err := wallet.FromPrivateKey([]byte(agentKey))
	if err != nil {
		t.Fatal(err)
	}
	n := &node{next: next, down: map[string]bool{}}
	w := &world{
		t: t, node: n, wallet: key, path: filepath.Join(t.TempDir(), "ledger.db"), now: time.Now, outcomes: map[string]int{},
		config: evm.Config{
			ID: chain.CAIP2ID, RPC: []string{"http://one.test/SECRET"}, HTTPClient: &http.Client{Transport: n}, Tokens: []evm.Token{usdc()},
			Final: evm.Final{Confirmations: 3}, Gas: evm.Gas{MaxFeePerGas: money.FromUint64(100e9), PerDay: money.FromUint64(1e17)},
			Poll: time.Second, Resend: 5 * time.Second, Replace: 10 * time.Second, Timeout: 2 * time.Second,
		},
	}
	w.config.Observe = func(_ money.ChainID, outcome string) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.outcomes[outcome]++
	}
	if change != nil {
		change(&w.config)
	}
	w.start()
	t.Cleanup(w.stop)
	return w
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
	if w.chain, err = evm.Dial(w.config); err != nil {
		w.t.Fatal(err)
	}
	if w.sender, err = evm.NewSender(evm.SenderConfig{Chain: w.chain, Wallet: w.wallet, Ledger: w.ledger, Now: w.now}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) stop() {
	w.chain.Close()
	if err := w.ledger.Close(); err != nil {
		w.t.Errorf("close ledger: %v", err)
	}
}

func (w *world) restart() { w.t.Helper(); w.stop(); w.start() }

// grant takes a purchase through create, reserve and grant.
func (w *world) grant(id policy.PurchaseID, change func(*policy.Terms)) policy.Grant {
	w.t.Helper()
	ctx := context.Background()
	t := policy.Terms{Rail: policy.RailWallet, Chain: w.config.ID, Token: w.config.Tokens[0].Address, Symbol: "USDC", Decimals: 6, Payee: seller, Amount: price}
	if change != nil {
		change(&t)
	}
	if err := w.ledger.Create(ctx, &ledger.Purchase{ID: id, Need: "n", State: "planned"}); err != nil {
		w.t.Fatal(err)
	}
	req := policy.Request{
		Purchase: id, Need: "n", Service: "s", Provider: "p", Rail: t.Rail, Native: true, Currency: "USD",
		Value: 10_000, MaxPrice: 10_000, HasMaxPrice: true,
	}
	if v, err := w.guard.Reserve(ctx, req); err != nil || !v.Allowed() {
		w.t.Fatalf("reserve: %+v, %v", v, err)
	}
	g, v, err := w.guard.Grant(ctx, req, t)
	if err != nil || !v.Allowed() {
		w.t.Fatalf("grant: %+v, %v", v, err)
	}
	return g
}

// locked makes the terms those of a lock in the escrow contract.
func (w *world) locked(refundFrom time.Time) func(*policy.Terms) {
	return func(t *policy.Terms) {
		t.Rail, t.Escrow, t.Lock = policy.RailOnchainEscrow, chain.EscrowAddress, true
		t.Order, t.RefundFrom = crypto.Keccak256Hash([]byte("ord_1")), refundFrom.Truncate(time.Second)
	}
}

var transfer = evm.Call{Kind: evm.AttemptTransfer}

// escrowCall is a call of the sandbox's escrow contract.
func escrowCall(kind string) evm.Call {
	abi := wallet.DefaultEscrowABI()
	return evm.Call{Kind: kind, Escrow: &abi}
}

type result struct {
	evm.Receipt
	err error
}

// send makes a call in the background, as the market does: again after an error
// that proves nothing, until ctx ends.
func (w *world) send(ctx context.Context, g policy.Grant, c evm.Call) <-chan result {
	done := make(chan result, 1)
	go func() {
		for {
			r, err := w.sender.Send(ctx, g, c)
			if err == nil || ctx.Err() != nil || proven(err) {
				done <- result{r, err}
				return
			}
			time.Sleep(time.Second)
		}
	}()
	return done
}

func proven(err error) bool {
	for _, proof := range []error{evm.ErrReverted, evm.ErrCancelled, evm.ErrFeeCeiling, evm.ErrGasBudget, evm.ErrGasBalance, evm.ErrLate} {
		if errors.Is(err, proof) {
			return true
		}
	}
	return false
}

// sendFor makes a call and leaves it under way after a time, as a process that ends does.
func (w *world) sendFor(d time.Duration, g policy.Grant, c evm.Call) error {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	_, err := w.sender.Send(ctx, g, c)
	return err
}

// observed says how often an outcome was told.
func (w *world) observed(outcome string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.outcomes[outcome]
}

func (w *world) attempts(id policy.PurchaseID) []ledger.Attempt {
	w.t.Helper()
	all, err := w.ledger.Attempts(context.Background(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

// statuses lists a purchase's attempts as "kind status".
func (w *world) statuses(id policy.PurchaseID) (list []string) {
	w.t.Helper()
	for _, a := range w.attempts(id) {
		list = append(list, fmt.Sprintf("%s %s", a.Kind, a.Status))
	}
	return list
}

// wantTransfers asks the chain itself, not our code, what the seller got.
func (w *world) wantTransfers(n int) {
	w.t.Helper()
	all, err := w.mem.Transfers(context.Background(), 0)
	if err != nil {
		w.t.Fatal(err)
	}
	got := 0
	for _, tr := range all {
		if tr.To != seller {
			continue
		}
		if got++; tr.Value.Cmp(price.Big()) != 0 {
			w.t.Errorf("transfer of %s, want %s", tr.Value, price)
		}
	}
	if got != n {
		w.t.Errorf("%d transfers to the seller, want %d", got, n)
	}
}

// foreign sends a transaction with the agent's key, as another program with the
// same key would: to ourselves, without coin or data.
func (w *world) foreign(nonce uint64, fee int64) common.Hash {
	w.t.Helper()
	return w.foreignCall(nonce, fee, us, nil)
}

// foreignApproval is an allowance of the escrow contract by another program.
func (w *world) foreignApproval(nonce uint64, amount money.Amount) {
	w.t.Helper()
	w.foreignCall(nonce, 5*gwei, chain.TokenAddress, wallet.ApproveCall(chain.EscrowAddress, amount))
}

func (w *world) foreignCall(nonce uint64, fee int64, to common.Address, data []byte) common.Hash {
	w.t.Helper()
	key, err := crypto.HexToECDSA(agentKey)
	if err != nil {
		w.t.Fatal(err)
	}
	id, _ := w.config.ID.EVM()
	tx := types.MustSignNewTx(key, types.LatestSignerForChainID(new(big.Int).SetUint64(id)), &types.DynamicFeeTx{
		ChainID: new(big.Int).SetUint64(id), Nonce: nonce, Gas: 21_000 + 5_000*uint64(len(data)), GasTipCap: big.NewInt(fee / 2), GasFeeCap: big.NewInt(fee), To: &to, Data: data,
	})
	c, err := chain.Dial(w.mem.Handler())
	if err != nil {
		w.t.Fatal(err)
	}
	if err := c.SendTransaction(context.Background(), tx); err != nil {
		w.t.Fatal(err)
	}
	return tx.Hash()
}

// drop has the node forget the purchase's newest bytes, as pools do.
func (w *world) drop(id policy.PurchaseID) {
	w.t.Helper()
	all := w.attempts(id)
	if !w.mem.Drop(common.HexToHash(all[len(all)-1].Hash)) {
		w.t.Fatalf("no node holds the bytes of %s", id)
	}
}

// isBytesOf says whether the parameters of a broadcast are bytes of a purchase.
func (w *world) isBytesOf(id policy.PurchaseID, params raw) bool {
	for _, a := range w.attempts(id) {
		if strings.Contains(string(params), common.Bytes2Hex(a.Raw)) {
			return true
		}
	}
	return false
}

// raw is the parameters of a call.
type raw = []byte

// set has calls answered by a function, nil for by the chain again.
func (n *node) set(answer func(host, method string, params raw) (result, failure any, ok bool)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.answer = nil
	if answer != nil {
		n.answer = func(host, method string, params json.RawMessage) (any, any, bool) {
			return answer(host, method, params)
		}
	}
}

func (n *node) setDown(host string, down bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down[host] = down
}

// count says how often a method was called, at any host.
func (n *node) count(method string) (calls int) {
	for _, call := range n.asked() {
		if strings.HasSuffix(call, " "+method) {
			calls++
		}
	}
	return calls
}

// failure is a JSON-RPC error object.
func failure(code int, message string) any { return map[string]any{"code": code, "message": message} }

// pinBaseFee holds the base fee of every block until it is called with 0.
func (w *world) pinBaseFee(wei int64) {
	w.node.mu.Lock()
	defer w.node.mu.Unlock()
	if w.node.before = nil; wei > 0 {
		w.node.before = func() { w.mem.SetBaseFee(big.NewInt(wei)) }
		w.node.before()
	}
}

// settleForeign moves tokens out of our account by an authorisation that another
// program with the same key signed, so that no nonce of the account is used.
func (w *world) settleForeign(t testing.TB, to common.Address, amount *big.Int) {
	t.Helper()
	key, err := crypto.HexToECDSA(agentKey)
	if err != nil {
		t.Fatal(err)
	}
	a := chain.Authorization{From: us, To: to, Value: amount, ValidAfter: new(big.Int), ValidBefore: big.NewInt(1 << 40), Nonce: [32]byte{9}}
	digest, _, err := apitypes.TypedDataAndHash(apitypes.TypedData{
		Types: apitypes.Types{
			"EIP712Domain":              {{Name: "name", Type: "string"}, {Name: "version", Type: "string"}, {Name: "chainId", Type: "uint256"}, {Name: "verifyingContract", Type: "address"}},
			"TransferWithAuthorization": {{Name: "from", Type: "address"}, {Name: "to", Type: "address"}, {Name: "value", Type: "uint256"}, {Name: "validAfter", Type: "uint256"}, {Name: "validBefore", Type: "uint256"}, {Name: "nonce", Type: "bytes32"}},
		},
		PrimaryType: "TransferWithAuthorization",
		Domain: apitypes.TypedDataDomain{Name: chain.TokenName, Version: chain.TokenVersion, VerifyingContract: chain.TokenAddress.Hex(),
			ChainId: (*math.HexOrDecimal256)(new(big.Int).SetUint64(chain.ChainID))},
		Message: apitypes.TypedDataMessage{"from": us.Hex(), "to": to.Hex(), "value": amount.String(), "validAfter": "0", "validBefore": a.ValidBefore.String(), "nonce": a.Nonce[:]},
	})
	if err != nil {
		t.Fatal(err)
	}
	if a.Signature, err = crypto.Sign(digest, key); err != nil {
		t.Fatal(err)
	}
	a.Signature[64] += 27
	if _, err := w.mem.Settle(context.Background(), a); err != nil {
		t.Fatal(err)
	}
}

// receiptWithoutLogs is what an endpoint tells of our transaction that hides its
// events.
func (w *world) receiptWithoutLogs() any {
	c, err := chain.Dial(w.mem.Handler())
	if err != nil {
		w.t.Fatal(err)
	}
	r, err := c.TransactionReceipt(context.Background(), common.HexToHash(w.attempts("p1")[0].Hash))
	if err != nil {
		return nil
	}
	r.Logs = []*types.Log{}
	return r
}

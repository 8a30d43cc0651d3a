// SPDX-License-Identifier: Apache-2.0

package evm_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"

	"io"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/payments/evm"
	"github.com/agentd-project/agentd/sandbox/chain"
	"github.com/agentd-project/agentd/wallet"
)

var us = common.HexToAddress("0x1563915e194D8CfBA1943570603F7606A3115508")

// node is a round tripper in front of the in-memory chain. Each host may answer
// for itself.
type node struct {
	chain *chain.Memory
	next  http.RoundTripper

	mu    sync.Mutex
	calls []string // host and method
	// answer returns the result or the error object of a call; ok is false to ask
	// the chain.
	answer func(host, method string, params json.RawMessage) (result, failure any, ok bool)
	// down says which hosts refuse connections.
	down map[string]bool
	// before runs before each call that reaches the chain.
	before func()
}

// What an answer may be besides a result or an error object.
type (
	// status is an HTTP status and no JSON.
	status int
	// hangs is no answer until the caller gives up.
	hangs struct{}
	// lost is the call done and its answer not delivered.
	lost struct{}
)

func newNode(t *testing.T) *node {
	t.Helper()
	c, err := chain.NewMemory(chain.Config{BlockTime: -1, Accounts: []chain.Account{{Address: us, Wei: big.NewInt(1e18), Tokens: big.NewInt(1_000_000)}}})
	if err != nil {
		t.Fatal(err)
	}
	return &node{chain: c, next: chain.Transport(c.Handler()), down: map[string]bool{}}
}

func (n *node) RoundTrip(req *http.Request) (*http.Response, error) {
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
		return nil, err
	}
	n.mu.Lock()
	n.calls = append(n.calls, req.URL.Host+" "+call.Method)
	down, answer, before := n.down[req.URL.Host], n.answer, n.before
	n.mu.Unlock()
	if down {
		return nil, errors.New("connection refused")
	}
	if answer != nil {
		if result, failure, ok := answer(req.URL.Host, call.Method, call.Params); ok {
			switch kind := result.(type) {
			case status:
				return &http.Response{StatusCode: int(kind), Header: http.Header{}, Body: io.NopCloser(strings.NewReader("slow down, SECRET"))}, nil
			case hangs:
				<-req.Context().Done()
				return nil, req.Context().Err()
			case lost:
				if resp, err := n.pass(req, body, before); err == nil {
					_ = resp.Body.Close()
				}
				return nil, errors.New("connection reset")
			}
			doc, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": call.ID, "result": result})
			if failure != nil {
				doc, err = json.Marshal(map[string]any{"jsonrpc": "2.0", "id": call.ID, "error": failure})
			}
			return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(doc))}, err
		}
	}
	return n.pass(req, body, before)
}

func (n *node) pass(req *http.Request, body []byte, before func()) (*http.Response, error) {
	if before != nil {
		before()
	}
	req.Body = io.NopCloser(bytes.NewReader(body))
	return n.next.RoundTrip(req)
}

func (n *node) asked() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.calls)
}

func usdc() evm.Token {
	return evm.Token{Asset: money.Asset{Chain: chain.CAIP2ID, Address: chain.TokenAddress, Symbol: "USDC", Decimals: 6, Currency: "USD"}, Name: "USDC", Version: "2"}
}

func dial(t *testing.T, n *node, change func(*evm.Config)) *evm.Chain {
	t.Helper()
	cfg := evm.Config{ID: chain.CAIP2ID, RPC: []string{"http://one.test/SECRET"}, HTTPClient: &http.Client{Transport: n}, Tokens: []evm.Token{usdc()}, Timeout: time.Second}
	if change != nil {
		change(&cfg)
	}
	c, err := evm.Dial(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestConfigFaults(t *testing.T) {
	tests := []struct {
		name string
		cfg  evm.Config
	}{
		{"not an EVM chain", evm.Config{ID: "solana:mainnet", RPC: []string{"http://a"}}},
		{"no endpoint", evm.Config{ID: "eip155:1"}},
		{"a socket", evm.Config{ID: "eip155:1", RPC: []string{"ws://a"}}},
		{"a path", evm.Config{ID: "eip155:1", RPC: []string{"/var/geth.ipc"}}},
		{"unknown tag", evm.Config{ID: "eip155:1", RPC: []string{"http://a"}, Final: evm.Final{Tag: "safe"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if c, err := evm.Dial(tt.cfg); err == nil || c != nil {
				t.Errorf("%v, %v", c, err)
			}
		})
	}
}

func TestFailOver(t *testing.T) {
	n := newNode(t)
	var outcomes []string
	c := dial(t, n, func(cfg *evm.Config) {
		cfg.RPC = []string{"http://one.test/SECRET", "http://two.test/SECRET"}
		cfg.Observe = func(_ money.ChainID, outcome string) { outcomes = append(outcomes, outcome) }
	})
	n.down["one.test"] = true
	for range 2 {
		if _, err := c.Head(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"one.test eth_chainId", "two.test eth_chainId", "two.test eth_getBlockByNumber", "two.test eth_getBlockByNumber"}
	if got := n.asked(); !slices.Equal(got, want) {
		t.Errorf("asked %v, want %v", got, want)
	}
	if !slices.Equal(outcomes, []string{evm.OutcomeFailover}) {
		t.Errorf("outcomes %v", outcomes)
	}
	n.down["two.test"] = true
	_, err := c.Head(t.Context())
	if !errors.Is(err, evm.ErrUnavailable) || evm.Classify(err) != evm.ActionFailover || strings.Contains(err.Error(), "SECRET") {
		t.Errorf("both down: %v", err)
	}
	// What comes back is asked for its chain id again.
	n.down["two.test"] = false
	n.calls = nil
	if _, err := c.Head(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := n.asked(); !slices.Contains(got, "two.test eth_chainId") {
		t.Errorf("asked %v", got)
	}
}

func TestWrongChainIDIsNotUsed(t *testing.T) {
	n := newNode(t)
	n.answer = func(host, method string, _ json.RawMessage) (any, any, bool) {
		return "0x1", nil, host == "one.test" && method == "eth_chainId"
	}
	c := dial(t, n, func(cfg *evm.Config) { cfg.RPC = []string{"http://one.test", "http://two.test"} })
	if _, err := c.Head(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, call := range n.asked() {
		if strings.HasPrefix(call, "one.test") && call != "one.test eth_chainId" {
			t.Errorf("used the wrong chain: %s", call)
		}
	}
	if err := c.VerifyStart(t.Context()); err != nil {
		t.Errorf("one endpoint is right: %v", err)
	}
	if got := c.VerifyEndpoints(t.Context()); !errors.Is(got[0], evm.ErrChainID) || got[1] != nil {
		t.Errorf("endpoints %v", got)
	}
	alone := dial(t, n, nil)
	if err := alone.VerifyStart(t.Context()); !errors.Is(err, evm.ErrChainID) {
		t.Errorf("no endpoint is right: %v", err)
	}
	if _, err := alone.Head(t.Context()); !errors.Is(err, evm.ErrChainID) {
		t.Errorf("read from the wrong chain: %v", err)
	}
}

func TestVerifyStart(t *testing.T) {
	word := func(n int64) string { return hexutil.Encode(common.LeftPadBytes(big.NewInt(n).Bytes(), 32)) }
	separator := hexutil.Encode(crypto.Keccak256([]byte("DOMAIN_SEPARATOR()"))[:4])
	domain := hexutil.Encode(crypto.Keccak256([]byte("eip712Domain()"))[:4])
	reverted := map[string]any{"code": 3, "message": "execution reverted", "data": "0x"}
	answers := func(results map[string]any) func(string, string, json.RawMessage) (any, any, bool) {
		return func(_, method string, params json.RawMessage) (any, any, bool) {
			for selector, result := range results {
				if method == "eth_call" && strings.Contains(string(params), selector) {
					if result == nil {
						return nil, reverted, true
					}
					return result, nil, true
				}
			}
			return nil, nil, false
		}
	}
	tests := []struct {
		name   string
		change func(*evm.Config)
		answer func(string, string, json.RawMessage) (any, any, bool)
		want   error
	}{
		{"as configured", func(*evm.Config) {}, nil, nil},
		{"decimals", func(c *evm.Config) { c.Tokens[0].Decimals = 18 }, nil, evm.ErrToken},
		{"no contract", func(c *evm.Config) { c.Tokens[0].Address = us }, nil, evm.ErrToken},
		{"domain name", func(c *evm.Config) { c.Tokens[0].Name = "USD Coin" }, nil, evm.ErrToken},
		{"domain version", func(c *evm.Config) { c.Tokens[0].Version = "1" }, nil, evm.ErrToken},
		{"no domain configured", func(c *evm.Config) { c.Tokens[0].Name = "" }, nil, nil},
		{"decimals out of range", func(*evm.Config) {}, answers(map[string]any{"0x313ce567": word(1 << 40)}), evm.ErrToken},
		{"domain in parts", func(*evm.Config) {}, answers(map[string]any{separator: nil, domain: domainParts(t, "USDC", "2", chain.ChainID, chain.TokenAddress)}), nil},
		{"another domain in parts", func(*evm.Config) {}, answers(map[string]any{separator: nil, domain: domainParts(t, "USDC", "1", chain.ChainID, chain.TokenAddress)}), evm.ErrToken},
		{"another chain in parts", func(*evm.Config) {}, answers(map[string]any{separator: nil, domain: domainParts(t, "USDC", "2", 1, chain.TokenAddress)}), evm.ErrToken},
		{"a name beyond the answer", func(*evm.Config) {}, answers(map[string]any{separator: nil, domain: "0x" + strings.Repeat("ff", 7*32)}), evm.ErrToken},
		{"a length beyond the answer", func(*evm.Config) {}, answers(map[string]any{separator: nil, domain: "0x" + strings.Repeat(strings.Repeat("0", 62)+"c0", 8)}), evm.ErrToken},
		{"garbage in parts", func(*evm.Config) {}, answers(map[string]any{separator: nil, domain: "0x01"}), evm.ErrToken},
		{"no domain shown", func(*evm.Config) {}, answers(map[string]any{separator: nil, domain: nil}), evm.ErrToken},
		{"separator of another length", func(*evm.Config) {}, answers(map[string]any{separator: "0x01", domain: nil}), evm.ErrToken},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := newNode(t)
			n.answer = tt.answer
			c := dial(t, n, tt.change)
			if err := c.VerifyStart(t.Context()); !errors.Is(err, tt.want) || (tt.want == nil && err != nil) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
		})
	}
	n := newNode(t)
	n.down["one.test"] = true
	if err := dial(t, n, nil).VerifyStart(t.Context()); err == nil || errors.Is(err, evm.ErrChainID) || errors.Is(err, evm.ErrToken) || strings.Contains(err.Error(), "SECRET") {
		t.Errorf("endpoint down: %v", err)
	}
}

// domainParts encodes the answer of eip712Domain().
func domainParts(t *testing.T, name, version string, id uint64, token common.Address) string {
	t.Helper()
	pad := func(b []byte) []byte { return common.LeftPadBytes(b, 32) }
	text := func(s string) []byte {
		return append(pad(big.NewInt(int64(len(s))).Bytes()), common.RightPadBytes([]byte(s), 32)...)
	}
	offset := func(n int64) []byte { return pad(big.NewInt(n).Bytes()) }
	out := slices.Concat(common.RightPadBytes([]byte{0x0f}, 32), offset(7*32), offset(9*32), pad(new(big.Int).SetUint64(id).Bytes()), pad(token[:]),
		make([]byte, 32), offset(11*32), text(name), text(version), make([]byte, 32))
	return hexutil.Encode(out)
}

// What nodes answer, through the real client, and what is done about it.
func TestClassification(t *testing.T) {
	fail := func(code int, message string) any { return map[string]any{"code": code, "message": message} }
	tests := []struct {
		name    string
		failure any
		want    evm.Action
	}{
		{"already known", fail(-32000, "already known"), evm.ActionAskReceipt},
		{"old parity", fail(-32010, "Transaction with the same hash was already imported."), evm.ActionAskReceipt},
		{"nonce too low", fail(-32000, "nonce too low: next nonce 8, tx nonce 7"), evm.ActionAskReceipt},
		{"replacement", fail(-32000, "replacement transaction underpriced"), evm.ActionAskReceipt},
		{"underpriced", fail(-32000, "transaction underpriced: gas tip cap 0, minimum needed 1"), evm.ActionWaitFee},
		{"base fee", fail(-32000, "max fee per gas less than block base fee: address 0x, maxFeePerGas: 1, baseFee: 2"), evm.ActionWaitFee},
		{"full pool", fail(-32000, "txpool is full"), evm.ActionWaitFee},
		{"no coin", fail(-32000, "insufficient funds for gas * price + value: balance 0, tx cost 1"), evm.ActionFund},
		{"reverted", fail(3, "execution reverted: ERC20: transfer amount exceeds balance"), evm.ActionReverted},
		{"reverted, old code", fail(-32000, "execution reverted"), evm.ActionReverted},
		{"reverted, by code alone", fail(3, "oops"), evm.ActionReverted},
		{"peaq's frontier", fail(-32603, "VM Exception while processing transaction: revert"), evm.ActionReverted},
		{"log range", fail(-32005, "query returned more than 10000 results"), evm.ActionSplit},
		{"log range, another node", fail(-32600, "eth_getLogs block range too large, range: 5000, max: 1024"), evm.ActionSplit},
		{"answer too large", fail(-32003, "response too large"), evm.ActionSplit},
		{"rate limit", fail(-32005, "rate limit exceeded"), evm.ActionFailover},
		{"no such method", fail(-32601, "the method eth_x does not exist/is not available"), evm.ActionFailover},
		{"no block", fail(-32000, "header not found"), evm.ActionAbsent},
		{"pruned", fail(-32000, "missing trie node 0x (path )"), evm.ActionAbsent},
		{"no sender", fail(-32000, "invalid sender"), evm.ActionReport},
		{"bad parameters", fail(-32602, "invalid argument 0"), evm.ActionReport},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := newNode(t)
			n.answer = func(_, method string, _ json.RawMessage) (any, any, bool) {
				return nil, tt.failure, method == "eth_getBalance"
			}
			_, err := dial(t, n, nil).GasBalance(t.Context(), us)
			if got := evm.Classify(err); got != tt.want {
				t.Errorf("%v is %s, want %s", err, got, tt.want)
			}
		})
	}
	if got := evm.Classify(nil); got != evm.ActionNone {
		t.Errorf("no error is %s", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := dial(t, newNode(t), nil).GasBalance(ctx, us); evm.Classify(err) != evm.ActionLeave {
		t.Errorf("our own end is %s: %v", evm.Classify(err), err)
	}
}

func TestBodiesAndRedirects(t *testing.T) {
	for name, resp := range map[string]*http.Response{
		"redirect": {StatusCode: 302, Header: http.Header{"Location": {"http://evil.test/"}}, Body: io.NopCloser(strings.NewReader(""))},
		"endless":  {StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(endless{})},
	} {
		t.Run(name, func(t *testing.T) {
			hosts := map[string]int{}
			c := dial(t, newNode(t), func(cfg *evm.Config) {
				cfg.Timeout = 20 * time.Second
				cfg.HTTPClient = &http.Client{Transport: tripper(func(r *http.Request) (*http.Response, error) { hosts[r.URL.Host]++; return resp, nil })}
			})
			if _, err := c.Head(t.Context()); evm.Classify(err) != evm.ActionFailover {
				t.Errorf("error %v", err)
			}
			if hosts["evil.test"] != 0 {
				t.Error("followed the redirect")
			}
		})
	}
}

type tripper func(*http.Request) (*http.Response, error)

func (f tripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// endless is white space before a document that never comes.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// transferTo makes token transfers from our account, by another program.
func transferTo(t *testing.T, n *node, nonce uint64, to common.Address, amount uint64) common.Hash {
	t.Helper()
	key, err := crypto.HexToECDSA(strings.Repeat("2", 64))
	if err != nil {
		t.Fatal(err)
	}
	id, token := new(big.Int).SetUint64(chain.ChainID), chain.TokenAddress
	tx := types.MustSignNewTx(key, types.LatestSignerForChainID(id), &types.DynamicFeeTx{
		ChainID: id, Nonce: nonce, Gas: 100000, GasTipCap: big.NewInt(1e9), GasFeeCap: big.NewInt(100e9), To: &token,
		Data: wallet.TransferCall(to, money.FromUint64(amount)),
	})
	eth, err := chain.Dial(n.chain.Handler())
	if err != nil {
		t.Fatal(err)
	}
	if err := eth.SendTransaction(t.Context(), tx); err != nil {
		t.Fatal(err)
	}
	return tx.Hash()
}

func TestTransfersFrom(t *testing.T) {
	n := newNode(t)
	payee := common.HexToAddress("0x3333333333333333333333333333333333333333")
	var hashes []common.Hash
	for i := range uint64(5) {
		hashes = append(hashes, transferTo(t, n, i, payee, 100+i))
		for range 3 {
			if err := n.chain.Mine(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	tests := []struct {
		name   string
		change func(*evm.Config)
		answer func(string, string, json.RawMessage) (any, any, bool)
		from   uint64
		want   []common.Hash
	}{
		{"one page", nil, nil, 0, hashes},
		{"pages of one block", func(c *evm.Config) { c.LogPage = 1 }, nil, 0, hashes},
		{"pages of seven blocks", func(c *evm.Config) { c.LogPage = 7 }, nil, 0, hashes},
		{"from the third on", nil, nil, 9, hashes[2:]},
		{"beyond the head", nil, nil, 1000, nil},
		{"only what is final", func(c *evm.Config) { c.Final = evm.Final{Confirmations: 5} }, nil, 0, hashes[:4]},
		{"node that limits the range", nil, func(_, method string, params json.RawMessage) (any, any, bool) {
			var query []struct{ FromBlock, ToBlock hexutil.Uint64 }
			if method != "eth_getLogs" || json.Unmarshal(params, &query) != nil || query[0].ToBlock-query[0].FromBlock < 3 {
				return nil, nil, false
			}
			return nil, map[string]any{"code": -32005, "message": "query returned more than 3 results"}, true
		}, 0, hashes},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n.answer = tt.answer
			c := dial(t, n, tt.change)
			final, err := c.FinalHead(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got, err := c.TransfersFrom(t.Context(), chain.TokenAddress, us, tt.from, final.Number)
			if err != nil {
				t.Fatal(err)
			}
			var txs []common.Hash
			for _, tr := range got {
				txs = append(txs, tr.Tx)
				if tr.To != payee || tr.Amount.Cmp(money.FromUint64(100)) < 0 {
					t.Errorf("transfer %+v", tr)
				}
			}
			if !slices.Equal(txs, tt.want) {
				t.Errorf("transfers %v, want %v", txs, tt.want)
			}
		})
	}
}

func TestBalances(t *testing.T) {
	c := dial(t, newNode(t), nil)
	if got, err := c.TokenBalance(t.Context(), chain.TokenAddress, us); err != nil || got != money.FromUint64(1_000_000) {
		t.Errorf("tokens %s, %v", got, err)
	}
	if got, err := c.GasBalance(t.Context(), us); err != nil || got != money.FromUint64(1e18) {
		t.Errorf("coin %s, %v", got, err)
	}
	if _, err := c.TokenBalance(t.Context(), us, us); err == nil {
		t.Error("an address without code has a balance")
	}
}

func TestOutcomesAreAClosedSet(t *testing.T) {
	seen := map[string]bool{}
	for _, o := range evm.Outcomes() {
		if o == "" || seen[o] {
			t.Errorf("outcome %q", o)
		}
		seen[o] = true
	}
	if len(seen) != 11 {
		t.Errorf("%d outcomes", len(seen))
	}
}

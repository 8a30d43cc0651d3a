// SPDX-License-Identifier: Apache-2.0

package evm_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/payments/evm"
	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/sandbox/chain"
)

func twoEndpoints(c *evm.Config) {
	c.RPC = []string{"http://one.test/SECRET", "http://two.test/SECRET"}
}

// Whatever the preferred endpoint does, and from whatever call on, the other one
// carries the transfer and there is one.
func TestFailOverPaysOnce(t *testing.T) {
	faults := map[string]func(method string) (result, failure any){
		"HTTP 429":          func(string) (any, any) { return status(429), nil },
		"HTTP 502":          func(string) (any, any) { return status(502), nil },
		"limit exceeded":    func(string) (any, any) { return nil, failure(-32005, "daily request count exceeded") },
		"rate limit":        func(string) (any, any) { return nil, failure(-32000, "rate limit reached") },
		"no such method":    func(string) (any, any) { return nil, failure(-32601, "method not found") },
		"hangs":             func(string) (any, any) { return hangs{}, nil },
		"answer lost":       func(string) (any, any) { return lost{}, nil },
		"wrong chain id":    func(string) (any, any) { return hexutil.Uint64(1), nil },
		"no JSON-RPC at it": func(string) (any, any) { return status(200), nil },
	}
	for name, fault := range faults {
		for _, from := range []string{"eth_chainId", "eth_call", "eth_sendRawTransaction", "eth_getTransactionReceipt"} {
			if name == "wrong chain id" && from != "eth_chainId" {
				continue
			}
			t.Run(name+" from "+from, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, twoEndpoints)
					broken := false
					w.node.set(func(host, method string, _ raw) (any, any, bool) {
						if host != "one.test" || (!broken && method != from) {
							return nil, nil, false
						}
						if broken = true; name == "wrong chain id" && method != "eth_chainId" {
							t.Errorf("asked the wrong chain for %s", method)
						}
						result, failed := fault(method)
						return result, failed, true
					})
					r := <-w.send(t.Context(), w.grant("p1", nil), transfer)
					if r.err != nil || !broken {
						t.Errorf("error %v", r.err)
					}
					if got := w.statuses("p1"); !slices.Equal(got, []string{"transfer final"}) {
						t.Errorf("attempts %v", got)
					}
					w.wantTransfers(1)
				})
			})
		}
	}
}

// With every endpoint at its limit the transfer waits, asks seldom, and goes on.
func TestAllEndpointsAtTheirLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, twoEndpoints)
		_, done := waiting(t, w)
		w.node.set(func(_, _ string, _ raw) (any, any, bool) { return status(429), nil, true })
		before := len(w.node.asked())
		time.Sleep(10 * time.Minute)
		if n := len(w.node.asked()) - before; n > 500 {
			t.Errorf("asked %d times in ten minutes", n)
		}
		if got := w.sender.Stuck(); len(got) != 1 || got[0].Reason != evm.StuckUnavailable {
			t.Errorf("stuck %+v", got)
		}
		w.node.set(nil)
		w.mem.SetAutomine(true)
		if r := <-done; r.err != nil || strings.Contains(w.lastError(r), "SECRET") {
			t.Error(r.err)
		}
		w.wantTransfers(1)
	})
}

func (w *world) lastError(r result) string {
	if r.err == nil {
		return ""
	}
	return r.err.Error()
}

// An endpoint that lags far behind takes over: what it does not know proves nothing.
func TestALaggingEndpointTakesOver(t *testing.T) {
	tests := []struct {
		name string
		// at says when the other endpoint goes away.
		at func(*world)
	}{
		{"after the broadcast", func(*world) {}},
		{"once mined", func(w *world) { w.mine(1); time.Sleep(2 * time.Second) }},
		{"once mined and almost final", func(w *world) { w.mine(2); time.Sleep(2 * time.Second) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, twoEndpoints)
				stale, err := w.chain.Head(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				g, done := waiting(t, w)
				tt.at(w)
				var lagging atomic.Bool
				lagging.Store(true)
				w.node.set(func(host, method string, params raw) (any, any, bool) {
					switch {
					case !lagging.Load():
						return nil, nil, false
					case host == "one.test":
						return status(503), nil, true
					case method == "eth_getTransactionReceipt":
						return nil, nil, true
					case method == "eth_getTransactionCount":
						return "0x0", nil, true
					case method == "eth_getBlockByNumber" && strings.Contains(string(params), "latest"):
						return map[string]any{"number": hexutil.Uint64(stale.Number), "hash": stale.Hash, "timestamp": hexutil.Uint64(stale.Time.Unix()), "baseFeePerGas": "0x1"}, nil, true //nolint:gosec // after 1970
					}
					return nil, nil, false
				})
				w.mem.SetAutomine(true)
				time.Sleep(2 * time.Minute)
				// Another purchase must not take the same nonce meanwhile.
				other := w.send(t.Context(), w.grant("p2", nil), transfer)
				time.Sleep(time.Minute)
				if all := w.attempts("p1"); len(all) != 1 || !all[0].Status.Open() {
					t.Errorf("attempts %v", w.statuses("p1"))
				}
				lagging.Store(false)
				for _, d := range []<-chan result{done, other} {
					if r := <-d; r.err != nil {
						t.Error(r.err)
					}
				}
				if _, err := w.sender.Send(t.Context(), g, transfer); err != nil {
					t.Error(err)
				}
				w.wantTransfers(2)
			})
		})
	}
}

// Two endpoints that tell of different things: nothing is decided until they agree.
func TestEndpointsThatDisagree(t *testing.T) {
	tests := []struct {
		name string
		// lie is what the second endpoint says about our transaction.
		lie func(*types.Receipt) any
	}{
		{"another block", func(r *types.Receipt) any { r.BlockHash = common.Hash{1}; return r }},
		{"another result", func(r *types.Receipt) any { r.Status = types.ReceiptStatusFailed; r.Logs = []*types.Log{}; return r }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, twoEndpoints)
				w.node.set(func(host, method string, _ raw) (any, any, bool) {
					if host != "two.test" || method != "eth_getTransactionReceipt" {
						return nil, nil, false
					}
					r := w.receiptOf("p1")
					if r == nil {
						return nil, nil, true
					}
					return tt.lie(r), nil, true
				})
				done := w.send(t.Context(), w.grant("p1", nil), transfer)
				time.Sleep(time.Minute)
				select {
				case r := <-done:
					t.Fatalf("decided: %+v", r)
				default:
				}
				if got := w.sender.Stuck(); len(got) != 1 || got[0].Reason != evm.StuckDisagree {
					t.Errorf("stuck %+v", got)
				}
				if w.observed(evm.OutcomeDisagree) == 0 {
					t.Error("nobody was told that they disagree")
				}
				if a := w.attempts("p1"); len(a) != 1 || !a[0].Status.Open() {
					t.Errorf("attempts %v", w.statuses("p1"))
				}
				w.node.set(nil)
				if r := <-done; r.err != nil {
					t.Error(r.err)
				}
				w.wantTransfers(1)
			})
		})
	}
}

// One endpoint says that something else took our nonce, the other one has our
// transaction: nothing is signed a second time.
func TestDisplacedOnOneEndpointOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, twoEndpoints)
		_, done := waiting(t, w)
		ours := w.attempts("p1")[0]
		// A foreign transaction is mined in its place ...
		w.drop("p1")
		w.foreign(0, 50*gwei)
		w.mem.SetAutomine(true)
		// ... but the other endpoint is on a branch that has ours.
		w.node.set(func(host, method string, _ raw) (any, any, bool) {
			return &types.Receipt{TxHash: common.HexToHash(ours.Hash), BlockHash: common.Hash{7}, BlockNumber: common.Big1, Logs: []*types.Log{}}, nil,
				host == "two.test" && method == "eth_getTransactionReceipt"
		})
		time.Sleep(time.Minute)
		if got := w.statuses("p1"); !slices.Equal(got, []string{"transfer broadcast"}) {
			t.Errorf("attempts %v", got)
		}
		if got := w.sender.Stuck(); len(got) != 1 || got[0].Reason != evm.StuckDisagree {
			t.Errorf("stuck %+v", got)
		}
		w.node.set(nil)
		if r := <-done; r.err != nil {
			t.Error(r.err)
		}
		if got := w.statuses("p1"); !slices.Equal(got, []string{"transfer dead", "transfer final"}) {
			t.Errorf("attempts %v", got)
		}
		w.wantTransfers(1)
	})
}

// A receipt that an endpoint keeps from a block that is gone is no proof.
func TestStaleReceipt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		_, done := waiting(t, w)
		w.mine(1)
		stale := w.receiptOf("p1")
		if stale == nil {
			t.Fatal("not mined")
		}
		w.reorg(1)
		w.drop("p1")
		w.node.set(func(_, method string, _ raw) (any, any, bool) {
			switch method {
			case "eth_getTransactionReceipt":
				return stale, nil, true
			case "eth_sendRawTransaction":
				return nil, failure(-32000, "already known"), true
			}
			return nil, nil, false
		})
		w.mem.SetAutomine(true)
		time.Sleep(time.Minute)
		select {
		case r := <-done:
			t.Fatalf("decided: %+v", r)
		default:
		}
		if a := w.attempts("p1"); a[0].Status != ledger.AttemptBroadcast {
			t.Errorf("attempts %v", w.statuses("p1"))
		}
		if got := w.sender.Stuck(); len(got) != 1 || got[0].Reason != evm.StuckNotMined {
			t.Errorf("stuck %+v", got)
		}
		w.node.set(nil)
		if r := <-done; r.err != nil {
			t.Error(r.err)
		}
		w.wantTransfers(1)
	})
}

// receiptOf is what the chain itself says of a purchase's newest bytes, nil before
// they are mined.
func (w *world) receiptOf(id policy.PurchaseID) *types.Receipt {
	all, err := w.ledger.Attempts(context.Background(), id)
	if err != nil || len(all) == 0 {
		return nil
	}
	r, err := w.mem.Receipt(context.Background(), common.HexToHash(all[len(all)-1].Hash))
	if err != nil || r == nil {
		return nil
	}
	copied := *r
	return &copied
}

// An endpoint that never agrees must not be waited for once it does not work.
func TestABrokenOpinionCostsLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, twoEndpoints)
		w.node.set(func(host, _ string, _ raw) (any, any, bool) { return hangs{}, nil, host == "two.test" })
		begin := time.Now()
		if _, err := w.sender.Send(t.Context(), w.grant("p1", nil), transfer); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(begin); d > 15*time.Second {
			t.Errorf("took %s", d)
		}
	})
}

func TestReadyAsksNothingOfAnEmptyAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		if err := w.sender.Ready(t.Context(), evm.AttemptLock, chain.TokenAddress, seller, price); !errors.Is(err, evm.ErrNoContract) {
			t.Errorf("error %v, want ErrNoContract", err)
		}
		if err := w.sender.Ready(t.Context(), evm.AttemptLock, chain.TokenAddress, chain.EscrowAddress, price); err != nil {
			t.Error(err)
		}
		if err := w.sender.Ready(t.Context(), evm.AttemptTransfer, chain.TokenAddress, seller, money.FromUint64(1_000_001)); !errors.Is(err, evm.ErrReverted) {
			t.Errorf("error %v, want ErrReverted", err)
		}
	})
}

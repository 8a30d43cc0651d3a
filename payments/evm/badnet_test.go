// SPDX-License-Identifier: Apache-2.0

package evm_test

import (
	"context"
	"errors"
	"math/big"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/payments/evm"
	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/sandbox/chain"
)

// What a bad network does to a transfer that is under way, and how it ends.
func TestTransferUnderABadNetwork(t *testing.T) {
	tests := []struct {
		name string
		// hinder is called while the bytes wait in the pool, which no block empties.
		hinder   func(*testing.T, *world)
		want     error
		statuses []string
		paid     int
	}{
		{"nothing", func(*testing.T, *world) {}, nil, []string{"transfer final"}, 1},
		{"dropped from the mempool", func(_ *testing.T, w *world) { w.drop("p1") }, nil, []string{"transfer final"}, 1},
		{"dropped again and again", func(_ *testing.T, w *world) {
			for range 5 {
				w.drop("p1")
				time.Sleep(6 * time.Second)
			}
		}, nil, []string{"transfer final"}, 1},
		{"reorged out and forgotten", func(t *testing.T, w *world) {
			w.mine(1)
			time.Sleep(2 * time.Second)
			if got := w.statuses("p1"); !slices.Equal(got, []string{"transfer mined"}) {
				t.Errorf("attempts %v", got)
			}
			w.reorg(1)
			w.drop("p1")
			time.Sleep(2 * time.Second)
			if got := w.statuses("p1"); !slices.Equal(got, []string{"transfer broadcast"}) {
				t.Errorf("attempts %v", got)
			}
		}, nil, []string{"transfer final"}, 1},
		{"reorged to another block", func(_ *testing.T, w *world) {
			w.mine(2)
			time.Sleep(2 * time.Second)
			w.reorg(2)
			w.mine(1)
			time.Sleep(2 * time.Second)
		}, nil, []string{"transfer final"}, 1},
		{"reorged between two looks", func(_ *testing.T, w *world) {
			for range 6 {
				w.mine(2)
				w.reorg(2)
				time.Sleep(time.Second)
			}
		}, nil, []string{"transfer final"}, 1},
		{"replaced by someone", func(_ *testing.T, w *world) { w.foreign(0, 50*gwei) }, nil, []string{"transfer dead", "transfer final"}, 1},
		{"replaced by someone, reorged out, won after all", func(_ *testing.T, w *world) {
			other := w.foreign(0, 50*gwei)
			w.mine(1)
			time.Sleep(6 * time.Second)
			w.reorg(1)
			w.mem.Drop(other)
		}, nil, []string{"transfer final"}, 1},
		{"foreign transactions before and after", func(_ *testing.T, w *world) {
			w.foreign(1, 5*gwei)
			w.foreign(2, 5*gwei)
		}, nil, []string{"transfer final"}, 1},
		{"reverted", func(t *testing.T, w *world) { w.emptyAccount(t) }, evm.ErrReverted, []string{"transfer failed"}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, nil)
				g, done := waiting(t, w)
				tt.hinder(t, w)
				w.mem.SetAutomine(true)
				if r := <-done; !errors.Is(r.err, tt.want) || (tt.want == nil && r.err != nil) {
					t.Errorf("error %v, want %v", r.err, tt.want)
				}
				if got := w.statuses("p1"); !slices.Equal(got, tt.statuses) {
					t.Errorf("attempts %v, want %v", got, tt.statuses)
				}
				w.wantTransfers(tt.paid)
				// Once decided it stays so.
				if _, err := w.sender.Send(t.Context(), g, transfer); !errors.Is(err, tt.want) || (tt.want == nil && err != nil) {
					t.Errorf("again: error %v, want %v", err, tt.want)
				}
				w.wantTransfers(tt.paid)
			})
		})
	}
}

func (w *world) mine(blocks int) {
	w.t.Helper()
	for range blocks {
		if err := w.mem.Mine(context.Background()); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) reorg(depth uint64) {
	w.t.Helper()
	if err := w.mem.Reorg(depth); err != nil {
		w.t.Fatal(err)
	}
}

// emptyAccount has another transaction of the key take all tokens away before.
func (w *world) emptyAccount(t *testing.T) {
	t.Helper()
	all := w.attempts("p1")
	w.mem.Drop(common.HexToHash(all[0].Hash))
	other := common.HexToAddress("0x5555555555555555555555555555555555555555")
	w.mem.SetAutomine(true)
	w.settleForeign(t, other, big.NewInt(1_000_000))
	w.resubmit(all[0])
}

// Out of gas: an endpoint that estimates too little has the transaction fail, and
// the failure is known to be one only once it is final.
func TestOutOfGas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.node.set(func(_, method string, _ raw) (any, any, bool) {
			return hexutil.Uint64(24_000), nil, method == "eth_estimateGas"
		})
		g := w.grant("p1", nil)
		if err := w.sendFor(3*time.Second, g, transfer); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("before it is final: %v", err)
		}
		r, err := w.sender.Send(t.Context(), g, transfer)
		if !errors.Is(err, evm.ErrReverted) {
			t.Errorf("error %v, want ErrReverted", err)
		}
		if got := w.statuses("p1"); !slices.Equal(got, []string{"transfer failed"}) {
			t.Errorf("attempts %v", got)
		}
		fees, err := w.ledger.FeesSince(t.Context(), w.config.ID, time.Now().Add(-time.Hour))
		if err != nil || fees.IsZero() || fees != r.Fee {
			t.Errorf("fees %s, %v, receipt %+v", fees, err, r)
		}
		w.wantTransfers(0)
	})
}

// What is missing before anything is signed is refused, and nothing is stored.
func TestRefusedBeforeSigning(t *testing.T) {
	tests := []struct {
		name   string
		change func(*evm.Config)
		answer func(host, method string, params raw) (any, any, bool)
		terms  func(*policy.Terms)
		// want is the proof that it fails with; nil for an error that proves nothing.
		want error
	}{
		{"insufficient coin", nil, func(_, method string, _ raw) (any, any, bool) { return "0x1", nil, method == "eth_getBalance" }, nil, evm.ErrGasBalance},
		{"insufficient coin, by the estimate", nil, func(_, method string, _ raw) (any, any, bool) {
			return nil, failure(-32000, "insufficient funds for transfer"), method == "eth_estimateGas"
		}, nil, evm.ErrGasBalance},
		{"insufficient tokens", nil, nil, func(t *policy.Terms) { t.Token = chain.TokenAddress }, evm.ErrReverted},
		{"gas budget", func(c *evm.Config) { c.Gas.PerDay = money.FromUint64(1) }, nil, nil, evm.ErrGasBudget},
		{"fee ceiling", func(c *evm.Config) { c.Gas.MaxFeePerGas = money.FromUint64(1) }, nil, nil, evm.ErrFeeCeiling},
		{"deadline", nil, nil, func(t *policy.Terms) { t.Deadline = time.Now().Add(time.Second) }, evm.ErrLate},
		{"an endpoint that estimates the impossible", nil, func(_, method string, _ raw) (any, any, bool) {
			return hexutil.Uint64(1 << 40), nil, method == "eth_estimateGas"
		}, nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, tt.change)
				w.node.set(tt.answer)
				if tt.name == "insufficient tokens" {
					w.settleForeign(t, seller, big.NewInt(1_000_000-9_999))
				}
				g := w.grant("p1", tt.terms)
				time.Sleep(2 * time.Second)
				_, err := w.sender.Send(t.Context(), g, transfer)
				if err == nil || (tt.want != nil && !errors.Is(err, tt.want)) || (tt.want == nil && proven(err)) {
					t.Errorf("error %v, want %v", err, tt.want)
				}
				if got := w.statuses("p1"); len(got) != 0 {
					t.Errorf("attempts %v", got)
				}
			})
		})
	}
}

// A transaction that succeeded without its effect is nobody's proof of anything:
// it stays open and is shown.
func TestSuccessWithoutTheEffect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.node.set(func(_, method string, _ raw) (any, any, bool) {
			if method != "eth_getTransactionReceipt" {
				return nil, nil, false
			}
			return w.receiptWithoutLogs(), nil, true
		})
		_, err := w.sender.Send(t.Context(), w.grant("p1", nil), transfer)
		if !errors.Is(err, evm.ErrNoEffect) || proven(err) {
			t.Errorf("error %v, want ErrNoEffect", err)
		}
		if a := w.attempts("p1"); len(a) != 1 || !a[0].Status.Open() {
			t.Errorf("attempts %v", w.statuses("p1"))
		}
		if got := w.sender.Stuck(); len(got) != 1 || got[0].Reason != evm.StuckNoEffect {
			t.Errorf("stuck %+v", got)
		}
	})
}

// The lane survives a restart, foreign transactions and a node that forgets all.
func TestLaneSurvives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.foreign(0, 5*gwei)
		w.mem.SetAutomine(false)
		grants := map[policy.PurchaseID]policy.Grant{}
		for _, id := range []policy.PurchaseID{"p1", "p2", "p3"} {
			grants[id] = w.grant(id, nil)
			if err := w.sendFor(2*time.Second, grants[id], transfer); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(err)
			}
		}
		for _, id := range []policy.PurchaseID{"p3", "p1", "p2"} {
			w.drop(id)
		}
		w.restart()
		// The next purchase must not take a nonce that is promised already, though
		// the node knows of none.
		grants["p4"] = w.grant("p4", nil)
		var all []<-chan result
		for _, id := range []policy.PurchaseID{"p4", "p3", "p1", "p2"} {
			all = append(all, w.send(t.Context(), grants[id], transfer))
		}
		time.Sleep(10 * time.Second)
		w.mem.SetAutomine(true)
		for _, done := range all {
			if r := <-done; r.err != nil {
				t.Error(r.err)
			}
		}
		nonces := map[string]bool{}
		for id := range grants {
			a := w.attempts(id)
			if len(a) != 1 || a[0].Status != ledger.AttemptFinal || nonces[a[0].Nonce] {
				t.Errorf("%s: %v, nonce %s", id, w.statuses(id), a[0].Nonce)
			}
			nonces[a[0].Nonce] = true
		}
		w.wantTransfers(4)
	})
}

// An endpoint that once counts too high leaves no gap in the lane: what would be in
// it is not there to be looked at, so nothing is signed until the count is right.
func TestHighCountLeavesNoGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		if r := <-w.send(t.Context(), w.grant("p0", nil), transfer); r.err != nil { // the first payment of a process looks back
			t.Fatal(r.err)
		}
		lies := 1
		w.node.set(func(_, method string, params raw) (result, failure any, ok bool) {
			if method == "eth_getTransactionCount" && lies > 0 {
				lies--
				return "0x3", nil, true
			}
			return nil, nil, false
		})
		first := w.send(t.Context(), w.grant("p1", nil), transfer)
		time.Sleep(time.Minute)
		second, third := w.send(t.Context(), w.grant("p2", nil), transfer), w.send(t.Context(), w.grant("p3", nil), transfer)
		for _, done := range []<-chan result{first, second, third} {
			if r := <-done; r.err != nil {
				t.Error(r.err)
			}
		}
		if a := w.attempts("p1"); len(a) != 1 || a[0].Nonce != "1" {
			t.Errorf("p1: got %d attempts, the first under nonce %s, want one under 1", len(a), a[0].Nonce)
		}
		w.wantTransfers(4)
	})
}

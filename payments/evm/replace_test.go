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

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/payments/evm"
)

// sendDear sends a transfer and has the base fee rise above what it offers before
// a block takes it.
func sendDear(t *testing.T, w *world, wei int64) <-chan result {
	t.Helper()
	w.mem.SetAutomine(false)
	done := w.send(t.Context(), w.grant("p1", nil), transfer)
	time.Sleep(3 * time.Second)
	if got := w.statuses("p1"); !slices.Equal(got, []string{"transfer broadcast"}) {
		t.Fatalf("attempts %v", got)
	}
	w.pinBaseFee(wei)
	w.mem.SetAutomine(true)
	return done
}

func TestReplacementUnderARisingFee(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		done := sendDear(t, w, 20*gwei)
		r := <-done
		if r.err != nil {
			t.Fatal(r.err)
		}
		all := w.attempts("p1")
		if len(all) != 2 || all[0].Status != ledger.AttemptDead || all[1].Status != ledger.AttemptFinal || all[0].Nonce != all[1].Nonce {
			t.Fatalf("attempts %+v", all)
		}
		if r.Tx.Hex() != all[1].Hash {
			t.Errorf("receipt of %s, want %s", r.Tx, all[1].Hash)
		}
		for name, fees := range map[string][2]money.Amount{"fee": {all[0].FeeCap, all[1].FeeCap}, "tip": {all[0].TipCap, all[1].TipCap}} {
			least := new(big.Int).Mul(fees[0].Big(), big.NewInt(110))
			if new(big.Int).Mul(fees[1].Big(), big.NewInt(100)).Cmp(least) < 0 {
				t.Errorf("%s raised from %s to %s, less than 10 %%", name, fees[0], fees[1])
			}
		}
		if all[1].FeeCap.Cmp(w.config.Gas.MaxFeePerGas) > 0 {
			t.Errorf("fee %s above the ceiling", all[1].FeeCap)
		}
		if got := w.sender.Stuck(); len(got) != 0 {
			t.Errorf("stuck %+v", got)
		}
		if n := w.observed(evm.OutcomeReplaced); n != 1 {
			t.Errorf("%d replacements were told", n)
		}
		w.wantTransfers(1)
	})
}

// Once replaced, either of the two may be mined: here the first, after all.
func TestReplacedBytesMayStillWin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		done := sendDear(t, w, 20*gwei)
		// The replacement is stored, but no node takes it.
		w.node.set(func(_, method string, _ raw) (any, any, bool) {
			if method == "eth_sendRawTransaction" && len(w.attempts("p1")) > 1 {
				return nil, failure(-32000, "replacement transaction underpriced"), true
			}
			return nil, nil, false
		})
		time.Sleep(30 * time.Second)
		if got := w.statuses("p1"); len(got) < 2 || got[0] != "transfer replaced" {
			t.Fatalf("attempts %v", got)
		}
		w.pinBaseFee(0)
		w.mem.SetBaseFee(big.NewInt(gwei))
		r := <-done
		if r.err != nil {
			t.Fatal(r.err)
		}
		all := w.attempts("p1")
		if r.Tx.Hex() != all[0].Hash || all[0].Status != ledger.AttemptFinal {
			t.Errorf("won by %s, attempts %v", r.Tx, w.statuses("p1"))
		}
		for _, a := range all[1:] {
			if a.Status != ledger.AttemptDead {
				t.Errorf("attempts %v", w.statuses("p1"))
			}
		}
		w.wantTransfers(1)
	})
}

func TestAtTheCeilingItIsStuckAndSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *evm.Config) { c.Gas.MaxFeePerGas = money.FromUint64(4e9) })
		done := sendDear(t, w, 50*gwei)
		time.Sleep(2 * time.Minute)
		all := w.attempts("p1")
		for _, a := range all {
			if a.FeeCap.Cmp(w.config.Gas.MaxFeePerGas) > 0 {
				t.Errorf("offered %s, ceiling %s", a.FeeCap, w.config.Gas.MaxFeePerGas)
			}
		}
		got := w.sender.Stuck()
		if len(got) != 1 || got[0].Reason != evm.StuckFeeCeiling || got[0].Purchase != "p1" || got[0].Nonce != 0 || got[0].Kind != evm.AttemptTransfer ||
			got[0].Hash != all[len(all)-1].Hash || time.Since(got[0].Since) < time.Minute {
			t.Fatalf("stuck %+v", got)
		}
		// Meanwhile the same bytes are sent again, and nothing else is signed.
		before := w.node.count("eth_sendRawTransaction")
		time.Sleep(time.Minute)
		if n := w.node.count("eth_sendRawTransaction") - before; n < 8 || n > 16 {
			t.Errorf("sent %d times in a minute, want every 5 s", n)
		}
		if n := len(w.attempts("p1")); n != len(all) {
			t.Errorf("%d attempts, then %d", len(all), n)
		}
		w.pinBaseFee(0)
		if r := <-done; r.err != nil {
			t.Error(r.err)
		}
		if got := w.sender.Stuck(); len(got) != 0 {
			t.Errorf("stuck %+v", got)
		}
		w.wantTransfers(1)
	})
}

// Each reason for which a transaction does not come to an end, and its end.
func TestStuckSaysWhy(t *testing.T) {
	tests := []struct {
		name   string
		change func(*evm.Config)
		hinder func(*world)
		want   evm.StuckReason
		clear  func(*world)
	}{
		{"gas budget", func(c *evm.Config) { c.Gas.PerDay = money.FromUint64(400_000e9) }, func(w *world) { w.pinBaseFee(20 * gwei) }, evm.StuckGasBudget, func(w *world) { w.pinBaseFee(0) }},
		{"no coin for more", nil, func(w *world) {
			w.pinBaseFee(20 * gwei)
			w.node.set(func(_, method string, _ raw) (any, any, bool) { return "0x1", nil, method == "eth_getBalance" })
		}, evm.StuckGasBalance, func(w *world) { w.node.set(nil); w.pinBaseFee(0) }},
		{"no coin at all", nil, func(w *world) {
			w.drop("p1")
			w.node.set(func(_, method string, _ raw) (any, any, bool) {
				return nil, failure(-32000, "insufficient funds for gas * price + value"), method == "eth_sendRawTransaction"
			})
		}, evm.StuckGasBalance, func(w *world) { w.node.set(nil) }},
		{"no blocks", nil, func(w *world) { w.mem.SetAutomine(false) }, evm.StuckNoBlocks, func(w *world) { w.mem.SetAutomine(true) }},
		{"held back", nil, func(w *world) {
			w.drop("p1")
			w.node.set(func(_, method string, _ raw) (any, any, bool) {
				return common.Hash{1}.Hex(), nil, method == "eth_sendRawTransaction"
			})
		}, evm.StuckNotMined, func(w *world) { w.node.set(nil) }},
		{"no endpoint", nil, func(w *world) { w.node.setDown("one.test", true) }, evm.StuckUnavailable, func(w *world) { w.node.setDown("one.test", false) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, tt.change)
				w.mem.SetAutomine(false)
				done := w.send(t.Context(), w.grant("p1", nil), transfer)
				time.Sleep(3 * time.Second)
				tt.hinder(w)
				w.mem.SetAutomine(tt.want != evm.StuckNoBlocks)
				time.Sleep(time.Minute)
				if got := w.sender.Stuck(); len(got) != 1 || got[0].Reason != tt.want {
					t.Errorf("stuck %+v, want %s", got, tt.want)
				}
				tt.clear(w)
				if r := <-done; r.err != nil {
					t.Error(r.err)
				}
				if got := w.sender.Stuck(); len(got) != 0 {
					t.Errorf("stuck at the end: %+v", got)
				}
				w.wantTransfers(1)
			})
		})
	}
}

func TestStuckBehindALowerNonce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *evm.Config) { c.Gas.MaxFeePerGas = money.FromUint64(4e9) })
		first := sendDear(t, w, 50*gwei)
		// The chain's word on fees is low now, but the pool has forgotten the first.
		w.node.set(func(_, method string, params raw) (any, any, bool) {
			return common.Hash{1}.Hex(), nil, method == "eth_sendRawTransaction" && w.isBytesOf("p1", params)
		})
		w.drop("p1")
		w.pinBaseFee(0)
		w.mem.SetBaseFee(big.NewInt(gwei))
		second := w.send(t.Context(), w.grant("p2", nil), transfer)
		time.Sleep(time.Minute)
		got := w.sender.Stuck()
		if len(got) != 2 || got[0].Purchase != "p1" || got[0].Reason != evm.StuckNotMined || got[1].Purchase != "p2" || got[1].Reason != evm.StuckNonce {
			t.Errorf("stuck %+v", got)
		}
		w.node.set(nil)
		for _, done := range []<-chan result{first, second} {
			if r := <-done; r.err != nil {
				t.Error(r.err)
			}
		}
		w.wantTransfers(2)
	})
}

// A process that ends between storing a replacement and anything after it goes on
// with what is stored.
func TestReplacementSurvivesARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		g := w.grant("p1", nil)
		w.mem.SetAutomine(false)
		if err := w.sendFor(3*time.Second, g, transfer); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		w.pinBaseFee(30 * gwei)
		w.mem.SetAutomine(true)
		// The replacement's broadcast is the moment of death.
		ctx, die := context.WithCancel(t.Context())
		w.node.set(func(_, method string, _ raw) (any, any, bool) {
			if method == "eth_sendRawTransaction" && len(w.attempts("p1")) > 1 {
				die()
				return nil, failure(-32000, "gone"), true
			}
			return nil, nil, false
		})
		if _, err := w.sender.Send(ctx, g, transfer); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		w.node.set(nil)
		w.restart()
		regrant, err := w.guard.Regrant(t.Context(), "p1")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.sender.Send(t.Context(), regrant, transfer); err != nil {
			t.Fatal(err)
		}
		if all := w.attempts("p1"); len(all) != 2 || all[1].Status != ledger.AttemptFinal {
			t.Errorf("attempts %v", w.statuses("p1"))
		}
		w.wantTransfers(1)
	})
}

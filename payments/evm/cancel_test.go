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
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/payments/evm"
	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/sandbox/chain"
)

// waiting has a transfer under way that no block takes yet.
func waiting(t *testing.T, w *world) (policy.Grant, <-chan result) {
	t.Helper()
	w.mem.SetAutomine(false)
	g := w.grant("p1", nil)
	done := w.send(t.Context(), g, transfer)
	time.Sleep(3 * time.Second)
	return g, done
}

func (w *world) standing(id policy.PurchaseID) evm.Standing {
	w.t.Helper()
	got, _, err := w.sender.Look(context.Background(), id, transfer)
	if err != nil {
		w.t.Errorf("look: %v", err)
	}
	return got
}

// resubmit gives old bytes to a node, as another node that kept them may.
func (w *world) resubmit(a ledger.Attempt) {
	w.t.Helper()
	tx := new(types.Transaction)
	if err := tx.UnmarshalBinary(a.Raw); err != nil {
		w.t.Fatal(err)
	}
	c, err := chain.Dial(w.mem.Handler())
	if err != nil {
		w.t.Fatal(err)
	}
	if err := c.SendTransaction(context.Background(), tx); err != nil {
		w.t.Fatal(err)
	}
}

func TestCancelledIsUnpaidOnceFinal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		g, done := waiting(t, w)
		for range 2 {
			if err := w.sender.Cancel(t.Context(), "p1"); err != nil {
				t.Fatal(err)
			}
		}
		all := w.attempts("p1")
		if got := w.statuses("p1"); !slices.Equal(got, []string{"transfer broadcast", "cancel broadcast"}) || all[0].Nonce != all[1].Nonce {
			t.Fatalf("attempts %v", got)
		}
		// A block holds it, but not finally: nothing is decided.
		if err := w.mem.Mine(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		select {
		case r := <-done:
			t.Fatalf("decided before it is final: %v", r.err)
		default:
		}
		if err := w.sender.Cancel(t.Context(), "p1"); err != nil {
			t.Errorf("once more: %v", err)
		}
		w.mem.SetAutomine(true)
		if r := <-done; !errors.Is(r.err, evm.ErrCancelled) {
			t.Errorf("error %v, want ErrCancelled", r.err)
		}
		if got := w.statuses("p1"); !slices.Equal(got, []string{"transfer dead", "cancel final"}) {
			t.Errorf("attempts %v", got)
		}
		if got := w.standing("p1"); got != evm.StandingCancelled {
			t.Errorf("standing %d", got)
		}
		w.restart()
		if _, err := w.sender.Send(t.Context(), g, transfer); !errors.Is(err, evm.ErrCancelled) {
			t.Errorf("paid after all: %v", err)
		}
		if err := w.sender.Cancel(t.Context(), "p1"); !errors.Is(err, evm.ErrNothingToCancel) {
			t.Errorf("cancelled again: %v", err)
		}
		w.wantTransfers(0)
	})
}

// Whichever of the two a block takes first counts.
func TestCancelMayLose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		_, done := waiting(t, w)
		w.node.set(func(_, method string, _ raw) (any, any, bool) {
			return nil, failure(-32000, "replacement transaction underpriced"), method == "eth_sendRawTransaction"
		})
		if err := w.sender.Cancel(t.Context(), "p1"); err != nil {
			t.Fatal(err)
		}
		if got := w.standing("p1"); got != evm.StandingOpen {
			t.Errorf("standing %d", got)
		}
		w.mem.SetAutomine(true)
		if r := <-done; r.err != nil {
			t.Error(r.err)
		}
		if got := w.statuses("p1"); !slices.Equal(got, []string{"transfer final", "cancel dead"}) {
			t.Errorf("attempts %v", got)
		}
		w.wantTransfers(1)
	})
}

// A cancellation that a reorg takes out again has decided nothing.
func TestCancelReorgedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		_, done := waiting(t, w)
		if err := w.sender.Cancel(t.Context(), "p1"); err != nil {
			t.Fatal(err)
		}
		all := w.attempts("p1")
		if err := w.mem.Mine(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		if err := w.mem.Reorg(1); err != nil {
			t.Fatal(err)
		}
		if !w.mem.Drop(common.HexToHash(all[1].Hash)) {
			t.Fatal("the cancellation did not go back to the pool")
		}
		w.resubmit(all[0])
		w.mem.SetAutomine(true)
		if r := <-done; r.err != nil || r.Tx.Hex() != all[0].Hash {
			t.Errorf("%s, %v", r.Tx, r.err)
		}
		w.wantTransfers(1)
	})
}

// The owner cancels while the daemon has nothing at work, and the daemon ends
// before anything is final.
func TestCancelAcrossARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.mem.SetAutomine(false)
		g := w.grant("p1", nil)
		if err := w.sendFor(3*time.Second, g, transfer); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		w.restart()
		if err := w.sender.Cancel(t.Context(), "p1"); err != nil {
			t.Fatal(err)
		}
		w.restart()
		w.mem.SetAutomine(true)
		if _, err := w.sender.Send(t.Context(), g, transfer); !errors.Is(err, evm.ErrCancelled) {
			t.Errorf("error %v, want ErrCancelled", err)
		}
		w.wantTransfers(0)
	})
}

// A cancellation that waits for its fee is replaced like anything else.
func TestCancelIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		_, done := waiting(t, w)
		if err := w.sender.Cancel(t.Context(), "p1"); err != nil {
			t.Fatal(err)
		}
		w.pinBaseFee(20 * gwei)
		w.mem.SetAutomine(true)
		if r := <-done; !errors.Is(r.err, evm.ErrCancelled) {
			t.Errorf("error %v", r.err)
		}
		if got := w.statuses("p1"); !slices.Equal(got, []string{"transfer dead", "cancel dead", "cancel final"}) {
			t.Errorf("attempts %v", got)
		}
		w.wantTransfers(0)
	})
}

// Something else of the key takes the nonce of both: the payment is not signed
// again, since the owner wanted it cancelled.
func TestCancelledAndDisplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		_, done := waiting(t, w)
		if err := w.sender.Cancel(t.Context(), "p1"); err != nil {
			t.Fatal(err)
		}
		w.drop("p1")
		w.foreign(0, 50*gwei)
		w.mem.SetAutomine(true)
		if r := <-done; !errors.Is(r.err, evm.ErrCancelled) {
			t.Errorf("error %v", r.err)
		}
		if got := w.statuses("p1"); !slices.Equal(got, []string{"transfer dead", "cancel dead"}) {
			t.Errorf("attempts %v", got)
		}
		if got := w.standing("p1"); got != evm.StandingCancelled {
			t.Errorf("standing %d", got)
		}
		w.wantTransfers(0)
	})
}

func TestNothingToCancel(t *testing.T) {
	tests := []struct {
		name  string
		setup func(*testing.T, *world)
		want  error
	}{
		{"nothing signed", func(*testing.T, *world) {}, evm.ErrNothingToCancel},
		{"paid", func(t *testing.T, w *world) {
			if _, err := w.sender.Send(t.Context(), w.grant("p1", nil), transfer); err != nil {
				t.Fatal(err)
			}
		}, evm.ErrNothingToCancel},
		{"in a block", func(t *testing.T, w *world) {
			g := w.grant("p1", nil)
			_ = w.sendFor(2*time.Second, g, transfer)
			w.mem.SetAutomine(false)
			_ = w.sendFor(time.Second, g, transfer)
		}, evm.ErrNothingToCancel},
		{"beyond the ceiling", func(t *testing.T, w *world) {
			w.mem.SetAutomine(false)
			_ = w.sendFor(time.Second, w.grant("p1", nil), transfer)
			w.config.Gas.MaxFeePerGas = w.attempts("p1")[0].FeeCap
			w.restart()
		}, evm.ErrFeeCeiling},
		{"beyond the gas budget", func(t *testing.T, w *world) {
			w.mem.SetAutomine(false)
			_ = w.sendFor(time.Second, w.grant("p1", nil), transfer)
			w.config.Gas.PerDay = money.FromUint64(1)
			w.restart()
		}, evm.ErrGasBudget},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, nil)
				tt.setup(t, w)
				before := len(w.attempts("p1"))
				if err := w.sender.Cancel(t.Context(), "p1"); !errors.Is(err, tt.want) {
					t.Errorf("error %v, want %v", err, tt.want)
				}
				if after := len(w.attempts("p1")); after != before {
					t.Errorf("%d attempts, then %d", before, after)
				}
			})
		})
	}
}

// The cancellation may cost less than what it cancels, and still outbids it.
func TestCancelOutbids(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		_, done := waiting(t, w)
		if err := w.sender.Cancel(t.Context(), "p1"); err != nil {
			t.Fatal(err)
		}
		all := w.attempts("p1")
		for _, fees := range [][2]money.Amount{{all[0].FeeCap, all[1].FeeCap}, {all[0].TipCap, all[1].TipCap}} {
			if new(big.Int).Mul(fees[1].Big(), big.NewInt(100)).Cmp(new(big.Int).Mul(fees[0].Big(), big.NewInt(110))) < 0 {
				t.Errorf("offers %s after %s", fees[1], fees[0])
			}
		}
		tx := new(types.Transaction)
		if err := tx.UnmarshalBinary(all[1].Raw); err != nil {
			t.Fatal(err)
		}
		if *tx.To() != us || tx.Value().Sign() != 0 || len(tx.Data()) != 0 || tx.Gas() != 21_000 {
			t.Errorf("not a transfer of nothing to ourselves: %+v", tx)
		}
		w.mem.SetAutomine(true)
		<-done
	})
}

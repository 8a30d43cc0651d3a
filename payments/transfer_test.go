// SPDX-License-Identifier: Apache-2.0

package payments_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/payments"
	"github.com/agentd-project/agentd/payments/evm"
	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/sandbox/chain"
)

func TestTransferPays(t *testing.T) {
	for _, name := range []string{policy.RailWallet, policy.RailUSDTTransfer} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			within(t, 20*time.Second, func(ctx context.Context) {
				r := w.rail(name)
				if err := r.Ready(ctx, w.terms(name)); err != nil {
					t.Fatal(err)
				}
				g := w.grant("p1", w.terms(name))
				e, err := r.Pay(ctx, g, payments.Job{Purchase: "p1"})
				if err != nil {
					t.Fatal(err)
				}
				got := w.received()
				if len(got) != 1 || got[0].Tx.Hex() != e.TxHash || e.Rail != name || e.Payer != w.wallet.Address() || e.Payee != seller ||
					e.Amount != price || e.Decimals != 6 || e.Symbol != "USDC" || e.At.Unix() != int64(got[0].Time) {
					t.Errorf("evidence %+v, transfers %+v", e, got)
				}
				again, err := r.Pay(ctx, g, payments.Job{Purchase: "p1"})
				if err != nil || again != e {
					t.Errorf("paid again: %+v, %v, want %+v", again, err, e)
				}
				o, err := r.Check(ctx, "p1")
				if err != nil || o.Status != payments.Paid || o.Ref != e.TxHash || !o.At.Equal(e.At) || o.Block != e.Block {
					t.Errorf("outcome %+v, %v", o, err)
				}
				w.wantTransfers(1)
				fees, err := w.ledger.FeesSince(ctx, chain.CAIP2ID, time.Now().Add(-time.Hour))
				if err != nil || fees.IsZero() {
					t.Errorf("fees %s, %v", fees, err)
				}
			})
		})
	}
}

func TestNothingSignedIsNotPaid(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{policy.RailWallet, policy.RailX402, policy.RailNotRequired} {
		if o, err := w.rail(name).Check(t.Context(), "never"); err != nil || o != (payments.Outcome{Status: payments.NotPaid}) {
			t.Errorf("%s: %+v, %v", name, o, err)
		}
	}
}

// Whatever happens to a call, the purchase is paid exactly once, or not at all
// and then provably so.
func TestTransferUnderEveryFault(t *testing.T) {
	methods := []string{
		"eth_chainId", "eth_getBlockByNumber", "eth_maxPriorityFeePerGas", "eth_call", "eth_estimateGas", "eth_getBalance",
		"eth_getTransactionCount", "eth_sendRawTransaction", "eth_getTransactionReceipt",
	}
	kinds := map[string]fault{"answer lost": lost, "refused": refused, "502": badGateway, "502 after processing": lostTo502, "garbage": garbage, "hangs": hang}
	for _, method := range methods {
		for name, kind := range kinds {
			t.Run(method+"/"+name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					w.faults.set(func(m string, n int, _ string) fault {
						if m == method && n < 2 {
							return kind
						}
						return none
					})
					payUntilDecided(t, w, "p1")
				})
			})
		}
	}
}

// payUntilDecided pays as the market does: on an error that is no refusal it
// calls again.
func payUntilDecided(t *testing.T, w *world, id policy.PurchaseID) {
	t.Helper()
	g := w.grant(id, w.terms(policy.RailWallet))
	for range 10 {
		var (
			e   payments.Evidence
			err error
		)
		within(t, 30*time.Second, func(ctx context.Context) {
			e, err = w.rail(policy.RailWallet).Pay(ctx, g, payments.Job{Purchase: id})
		})
		if err == nil {
			w.wantTransfers(1)
			if e.TxHash != w.received()[0].Tx.Hex() {
				t.Errorf("evidence names %s", e.TxHash)
			}
			return
		}
		if strings.Contains(err.Error(), "SECRET") {
			t.Errorf("error tells what it must not: %v", err)
		}
		if refusalOf(err) != "" {
			w.wantTransfers(0)
			return
		}
	}
	t.Error("never decided")
}

// A process that dies after any of its calls, done or not, pays once after its
// restart.
func TestTransferAfterDeathAtEveryCall(t *testing.T) {
	for _, done := range []bool{false, true} {
		for at := range 20 {
			t.Run(fmt.Sprintf("call %d, done %t", at, done), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				ctx, die := context.WithCancel(t.Context())
				defer die()
				total := 0
				w.faults.set(func(string, int, string) fault {
					total++
					if total <= at {
						return none
					}
					die()
					if done {
						return lost
					}
					return refused
				})
				g := w.grant("p1", w.terms(policy.RailWallet))
				_, err := w.rail(policy.RailWallet).Pay(ctx, g, payments.Job{Purchase: "p1"})
				if refusalOf(err) != "" {
					t.Errorf("dying was taken for a refusal: %v", err)
				}
				w.faults.set(nil)
				w.restart()
				within(t, 30*time.Second, func(ctx context.Context) {
					if _, err := w.rail(policy.RailWallet).Pay(ctx, w.regrant("p1"), payments.Job{Purchase: "p1"}); err != nil {
						t.Errorf("after restart: %v", err)
					}
				})
				w.wantTransfers(1)
			})
		}
	}
}

func TestTransferPresentsTheSameBytes(t *testing.T) {
	synctest.Test(t, testTransferPresentsTheSameBytes)
}

func testTransferPresentsTheSameBytes(t *testing.T) {
	w := newWorld(t)
	w.chain.SetAutomine(false)
	g := w.grant("p1", w.terms(policy.RailWallet))
	within(t, 300*time.Millisecond, func(ctx context.Context) {
		if _, err := w.rail(policy.RailWallet).Pay(ctx, g, payments.Job{Purchase: "p1"}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want the end of the context", err)
		}
	})
	if o, err := w.rail(policy.RailWallet).Check(t.Context(), "p1"); err != nil || o.Status != payments.NotYet {
		t.Errorf("outcome %+v, %v", o, err)
	}
	before, err := w.ledger.Attempts(t.Context(), "p1")
	if err != nil || len(before) != 1 || before[0].Status != ledger.AttemptBroadcast {
		t.Fatalf("attempts %+v, %v", before, err)
	}
	// The node forgets it, as pools do.
	w.chain.(*chain.Memory).Drop(common.HexToHash(before[0].Hash))
	w.restart()
	w.chain.SetAutomine(true)
	within(t, 20*time.Second, func(ctx context.Context) {
		e, err := w.rail(policy.RailWallet).Pay(ctx, w.regrant("p1"), payments.Job{Purchase: "p1"})
		if err != nil || e.TxHash != before[0].Hash {
			t.Errorf("paid with %s, %v, want %s", e.TxHash, err, before[0].Hash)
		}
	})
	w.wantTransfers(1)
}

func TestTransfersShareOneLane(t *testing.T) {
	w := newWorld(t)
	const n = 8
	grants := make([]policy.Grant, n)
	for i := range grants {
		grants[i] = w.grant(policy.PurchaseID(fmt.Sprint("p", i)), w.terms(policy.RailWallet))
	}
	errs := make(chan error)
	within(t, 30*time.Second, func(ctx context.Context) {
		for _, g := range grants {
			// Each purchase is paid twice at once.
			for range 2 {
				go func() {
					_, err := w.rail(policy.RailWallet).Pay(ctx, g, payments.Job{Purchase: g.Purchase()})
					errs <- err
				}()
			}
		}
		for range 2 * n {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
	})
	w.wantTransfers(n)
}

func TestTransferRefusals(t *testing.T) {
	tests := []struct {
		name   string
		change func(*world)
		reason policy.Reason
	}{
		{"fee ceiling", func(w *world) { w.config.Gas.MaxFeePerGas = money.FromUint64(1) }, policy.ReasonFeeCeiling},
		{"no ceiling configured", func(w *world) { w.config.Gas.MaxFeePerGas = money.Amount{} }, policy.ReasonFeeCeiling},
		{"gas budget", func(w *world) { w.config.Gas.PerDay = money.FromUint64(1) }, policy.ReasonGasBudget},
		{"no gas budget configured", func(w *world) { w.config.Gas.PerDay = money.Amount{} }, policy.ReasonGasBudget},
		{"gas budget used up", func(w *world) {
			if err := w.ledger.AddFee(context.Background(), chain.CAIP2ID, money.FromUint64(1e17), time.Now().Add(-23*time.Hour)); err != nil {
				w.t.Fatal(err)
			}
		}, policy.ReasonGasBudget},
		{"gas balance", func(w *world) {
			w.faults.answer = func(method string, _ json.RawMessage) any {
				if method == "eth_getBalance" {
					return "0x1"
				}
				return nil
			}
		}, policy.ReasonInsufficientGas},
		{"chain not configured", func(w *world) { w.config.ID = "eip155:1" }, policy.ReasonChainUnknown},
		{"token not configured", func(w *world) { w.config.Tokens = nil }, policy.ReasonTokenUnknown},
		{"token answers false", func(w *world) {
			w.faults.answer = func(method string, params json.RawMessage) any {
				if method == "eth_call" && strings.Contains(string(params), "0xa9059cbb") {
					return common.Hash{}.Hex()
				}
				return nil
			}
		}, policy.ReasonTransferReverted},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			g := w.grant("p1", w.terms(policy.RailWallet))
			tt.change(w)
			w.restart()
			within(t, 20*time.Second, func(ctx context.Context) {
				if err := w.rail(policy.RailWallet).Ready(ctx, w.terms(policy.RailWallet)); refusalOf(err) != tt.reason {
					t.Errorf("ready: %v, want %s", err, tt.reason)
				}
				if _, err := w.rail(policy.RailWallet).Pay(ctx, g, payments.Job{Purchase: "p1"}); refusalOf(err) != tt.reason {
					t.Errorf("pay: %v, want %s", err, tt.reason)
				}
			})
			attempts, err := w.ledger.Attempts(t.Context(), "p1")
			if err != nil || len(attempts) != 0 {
				t.Errorf("attempts %+v, %v", attempts, err)
			}
			w.wantTransfers(0)
		})
	}
}

func TestReadyCountsWhatIsSigned(t *testing.T) {
	w := newWorld(t)
	terms := w.terms(policy.RailWallet)
	terms.Amount = money.FromUint64(1_000_000)
	if err := w.rail(policy.RailWallet).Ready(t.Context(), terms); err != nil {
		t.Fatalf("all there is: %v", err)
	}
	g := w.grant("p1", w.terms(policy.RailX402))
	if _, err := w.rail(policy.RailX402).Pay(t.Context(), g, payments.Job{Purchase: "p1", Challenge: challenge(t, nil)}); err != nil {
		t.Fatal(err)
	}
	if err := w.rail(policy.RailWallet).Ready(t.Context(), terms); refusalOf(err) != policy.ReasonInsufficientTokens {
		t.Errorf("ready beside a signed authorisation: %v", err)
	}
	terms.Amount = money.FromUint64(990_000)
	if err := w.rail(policy.RailWallet).Ready(t.Context(), terms); err != nil {
		t.Errorf("what is left: %v", err)
	}
	terms.Amount, terms.Payee = money.Amount{}, common.Address{}
	if err := w.rail(policy.RailWallet).Ready(t.Context(), terms); err != nil {
		t.Errorf("amount and payee not known yet: %v", err)
	}
}

func TestTransferAfterItsDeadline(t *testing.T) {
	w := newWorld(t)
	terms := w.terms(policy.RailWallet)
	terms.Deadline = time.Now().Add(time.Hour)
	g := w.grant("p1", terms)
	w.now = func() time.Time { return time.Now().Add(2 * time.Hour) }
	w.restart()
	if _, err := w.rail(policy.RailWallet).Pay(t.Context(), g, payments.Job{Purchase: "p1"}); refusalOf(err) != policy.ReasonDeadlinePassed {
		t.Errorf("error %v", err)
	}
}

func TestRevertedTransferIsRefusedOnceFinal(t *testing.T) {
	synctest.Test(t, testRevertedTransferIsRefusedOnceFinal)
}

func testRevertedTransferIsRefusedOnceFinal(t *testing.T) {
	w := newWorld(t)
	w.chain.SetAutomine(false)
	g := w.grant("p1", w.terms(policy.RailWallet))
	within(t, 200*time.Millisecond, func(ctx context.Context) {
		_, _ = w.rail(policy.RailWallet).Pay(ctx, g, payments.Job{Purchase: "p1"})
	})
	attempts, err := w.ledger.Attempts(t.Context(), "p1")
	if err != nil || len(attempts) != 1 {
		t.Fatalf("attempts %+v, %v", attempts, err)
	}
	// The node forgets it, and before it comes again all tokens go elsewhere.
	w.chain.(*chain.Memory).Drop(common.HexToHash(attempts[0].Hash))
	w.chain.SetAutomine(true)
	elsewhere := signOutside(t, w, common.HexToAddress("0x5555555555555555555555555555555555555555"), big.NewInt(1_000_000))
	if _, err := w.chain.Settle(t.Context(), elsewhere); err != nil {
		t.Fatal(err)
	}
	within(t, 20*time.Second, func(ctx context.Context) {
		if _, err := w.rail(policy.RailWallet).Pay(ctx, g, payments.Job{Purchase: "p1"}); refusalOf(err) != policy.ReasonTransferReverted {
			t.Errorf("error %v", err)
		}
		o, err := w.rail(policy.RailWallet).Check(ctx, "p1")
		if err != nil || o.Status != payments.NotPaid || o.Reason != policy.ReasonTransferReverted {
			t.Errorf("outcome %+v, %v", o, err)
		}
		if _, err := w.rail(policy.RailWallet).Pay(ctx, g, payments.Job{Purchase: "p1"}); refusalOf(err) != policy.ReasonTransferReverted {
			t.Errorf("once more: %v", err)
		}
	})
	w.wantTransfers(0)
}

func TestConfirmations(t *testing.T) {
	for name, final := range map[string]evm.Final{"three": {Confirmations: 3}, "finalized": {Tag: evm.TagFinalized}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.config.Final = final
				w.restart()
				g := w.grant("p1", w.terms(policy.RailWallet))
				within(t, 300*time.Millisecond, func(ctx context.Context) {
					if _, err := w.rail(policy.RailWallet).Pay(ctx, g, payments.Job{Purchase: "p1"}); !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("mined once: %v", err)
					}
				})
				w.wantTransfers(1)
				for range 2 {
					if o, err := w.rail(policy.RailWallet).Check(t.Context(), "p1"); err != nil || o.Status != payments.NotYet {
						t.Errorf("outcome %+v, %v", o, err)
					}
					if err := w.chain.Mine(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				if o, err := w.rail(policy.RailWallet).Check(t.Context(), "p1"); err != nil || o.Status != payments.Paid {
					t.Errorf("outcome %+v, %v", o, err)
				}
				within(t, 20*time.Second, func(ctx context.Context) {
					if _, err := w.rail(policy.RailWallet).Pay(ctx, g, payments.Job{Purchase: "p1"}); err != nil {
						t.Error(err)
					}
				})
				w.wantTransfers(1)
			})
		})
	}
}

// A status question does not wait for a payment that is at work.
func TestCheckBesidePay(t *testing.T) {
	w := newWorld(t)
	w.chain.SetAutomine(false)
	g := w.grant("p1", w.terms(policy.RailWallet))
	paid := make(chan error)
	within(t, 20*time.Second, func(ctx context.Context) {
		go func() {
			_, err := w.rail(policy.RailWallet).Pay(ctx, g, payments.Job{Purchase: "p1"})
			paid <- err
		}()
		for w.faults.count("eth_getTransactionReceipt") == 0 && ctx.Err() == nil {
			runtime.Gosched()
		}
		if o, err := w.rail(policy.RailWallet).Check(ctx, "p1"); err != nil || o.Status != payments.NotYet {
			t.Errorf("outcome %+v, %v", o, err)
		}
		w.chain.SetAutomine(true)
		if err := <-paid; err != nil {
			t.Error(err)
		}
	})
	if o, err := w.rail(policy.RailWallet).Check(t.Context(), "p1"); err != nil || o.Status != payments.Paid {
		t.Errorf("outcome %+v, %v", o, err)
	}
}

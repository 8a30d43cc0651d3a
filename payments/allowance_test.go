// SPDX-License-Identifier: Apache-2.0

package payments_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/big"
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
	"github.com/agentd-project/agentd/sandbox/contracts"
)

func amountOf(n uint64) money.Amount { return money.FromUint64(n) }

// lockSelector begins the calldata of a lock.
func lockSelector(t testing.TB) string {
	t.Helper()
	escrow, err := contracts.Escrow()
	if err != nil {
		t.Fatal(err)
	}
	return common.Bytes2Hex(escrow.ABI.Methods["lock"].ID)
}

// payLock pays a purchase until that is decided, as the market does.
func payLock(t testing.TB, w *world, g policy.Grant) (payments.Evidence, error) {
	t.Helper()
	for range 20 {
		var (
			e   payments.Evidence
			err error
		)
		within(t, 30*time.Second, func(ctx context.Context) {
			e, err = w.rail(policy.RailEscrow).Pay(ctx, g, payments.Job{Purchase: g.Purchase()})
		})
		if err == nil || refusalOf(err) != "" {
			return e, err
		}
		if strings.Contains(err.Error(), "SECRET") {
			t.Errorf("error tells what it must not: %v", err)
		}
	}
	t.Error("never decided")
	return payments.Evidence{}, nil
}

// A process that dies after any of its calls, done or not, locks once after its
// restart and leaves no allowance.
func TestLockAfterDeathAtEveryCall(t *testing.T) {
	for _, done := range []bool{false, true} {
		for at := range 32 {
			t.Run(fmt.Sprintf("call %d, done %t", at, done), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					dieAt(t, w, w.grant("p1", w.lockTerms("p1")), at, done)
					w.restart()
					if _, err := payLock(t, w, w.regrant("p1")); err != nil {
						t.Errorf("after restart: %v", err)
					}
					w.wantLocks(1)
				})
			})
		}
	}
}

// dieAt pays until the process has made so many calls.
func dieAt(t testing.TB, w *world, g policy.Grant, at int, done bool) {
	t.Helper()
	ctx, die := context.WithTimeout(context.Background(), 30*time.Second)
	defer die()
	total := 0
	w.faults.set(func(string, int, string) fault {
		if total++; total <= at {
			return none
		}
		die()
		if done {
			return lost
		}
		return refused
	})
	defer w.faults.set(nil)
	if _, err := w.rail(policy.RailEscrow).Pay(ctx, g, payments.Job{Purchase: g.Purchase()}); refusalOf(err) != "" {
		t.Errorf("dying was taken for a refusal: %v", err)
	}
}

// Whatever happens to a call, the purchase is locked exactly once, or not at all
// and then provably so; no allowance is left either way.
func TestLockUnderEveryFault(t *testing.T) {
	methods := []string{"eth_chainId", "eth_getBlockByNumber", "eth_call", "eth_getCode", "eth_estimateGas", "eth_getBalance",
		"eth_getTransactionCount", "eth_sendRawTransaction", "eth_getTransactionReceipt"}
	kinds := map[string]fault{"answer lost": lost, "refused": refused, "502 after processing": lostTo502, "garbage": garbage, "hangs": hang}
	for _, method := range methods {
		for name, kind := range kinds {
			for _, from := range []int{0, 2} {
				t.Run(fmt.Sprintf("%s/%s from %d", method, name, from), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) { lockUnder(t, method, kind, from) })
				})
			}
		}
	}
}

func lockUnder(t *testing.T, method string, kind fault, from int) {
	w := newWorld(t)
	g := w.grant("p1", w.lockTerms("p1"))
	w.faults.set(func(m string, n int, _ string) fault {
		if m == method && n >= from && n < from+2 {
			return kind
		}
		return none
	})
	_, err := payLock(t, w, g)
	w.faults.set(nil)
	if err != nil {
		w.wantLocks(0)
		return
	}
	w.wantLocks(1)
}

// untilLock pays a purchase and dies before its lock is signed, with its
// allowance standing.
func untilLock(t testing.TB, w *world, g policy.Grant) {
	t.Helper()
	ctx, die := context.WithTimeout(context.Background(), 30*time.Second)
	defer die()
	selector := lockSelector(t)
	w.faults.answer = func(method string, params json.RawMessage) any {
		if method == "eth_estimateGas" && strings.Contains(string(params), selector) {
			die()
		}
		return nil
	}
	defer func() { w.faults.answer = nil }()
	if _, err := w.rail(policy.RailEscrow).Pay(ctx, g, payments.Job{Purchase: g.Purchase()}); refusalOf(err) != "" {
		t.Errorf("dying was taken for a refusal: %v", err)
	}
	if w.allowance() != price {
		t.Fatalf("the allowance is %s", w.allowance())
	}
}

// Two purchases that a restart interleaves do not take each other's allowance.
func TestInterleavedLocks(t *testing.T) {
	tests := []struct {
		name   string
		amount uint64 // of the second purchase
		before func(t *testing.T, w *world, first policy.Grant)
	}{
		{"the first had approved", 10_000, func(t *testing.T, w *world, g policy.Grant) { untilLock(t, w, g) }},
		{"the first had approved another amount", 7_000, func(t *testing.T, w *world, g policy.Grant) { untilLock(t, w, g) }},
		{"the first's approval is under way", 10_000, func(_ *testing.T, w *world, g policy.Grant) { stall(w, g, "") }},
		{"the first's approval is under way, of another amount", 7_000, func(_ *testing.T, w *world, g policy.Grant) { stall(w, g, "") }},
		{"the first's lock is under way", 10_000, func(t *testing.T, w *world, g policy.Grant) { stall(w, g, lockSelector(t)) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { interleave(t, tt.amount, tt.before) })
		})
	}
}

func interleave(t *testing.T, amount uint64, before func(t *testing.T, w *world, first policy.Grant)) {
	w := newWorld(t)
	second := w.lockTerms("p2")
	second.Amount = amountOf(amount)
	before(t, w, w.grant("p1", w.lockTerms("p1")))
	w.restart()
	g2 := w.grant("p2", second)
	both := make(chan error, 2)
	go func() { _, err := payLock(t, w, g2); both <- err }()
	go func() { _, err := payLock(t, w, w.regrant("p1")); both <- err }()
	for range 2 {
		if err := <-both; err != nil {
			t.Error(err)
		}
	}
	for id, want := range map[policy.PurchaseID]payments.CustodyState{"p1": payments.CustodyLocked, "p2": payments.CustodyLocked} {
		if c := w.custody(id, policy.RailEscrow); c.State != want {
			t.Errorf("%s is %s", id, c.State)
		}
	}
	held, err := w.chain.BalanceOf(t.Context(), chain.EscrowAddress)
	if want := 10_000 + int64(amount); err != nil || held.Int64() != want {
		t.Errorf("the contract holds %s, %v, want %d", held, err, want)
	}
	if a := w.allowance(); !a.IsZero() {
		t.Errorf("an allowance of %s stands", a)
	}
}

// stall pays until a transaction whose calldata holds the selector, or any, has
// been sent but not mined, and forgets it then.
func stall(w *world, g policy.Grant, selector string) {
	w.t.Helper()
	if selector == "" {
		w.chain.SetAutomine(false)
	}
	ctx, die := context.WithTimeout(context.Background(), 30*time.Second)
	defer die()
	sentOnce := false
	w.faults.answer = func(method string, params json.RawMessage) any {
		if selector != "" && method == "eth_estimateGas" && strings.Contains(string(params), selector) {
			w.chain.SetAutomine(false)
		}
		if method == "eth_sendRawTransaction" && strings.Contains(string(params), selector) {
			sentOnce = true
		}
		if sentOnce && method == "eth_getTransactionReceipt" {
			die()
		}
		return nil
	}
	_, err := w.rail(policy.RailEscrow).Pay(ctx, g, payments.Job{Purchase: g.Purchase()})
	w.faults.answer = nil
	if err == nil || refusalOf(err) != "" {
		w.t.Errorf("stalled payment: %v", err)
	}
	open, err := w.ledger.OpenAttempts(context.Background(), chain.CAIP2ID, w.wallet.Address())
	if err != nil || len(open) != 1 {
		w.t.Fatalf("%d attempts are open, %v", len(open), err)
	}
	w.chain.(*chain.Memory).Drop(common.HexToHash(open[0].Hash))
	w.chain.SetAutomine(true)
}

// A lock that is refused after the approval has the allowance taken back first,
// also by the process after the one that approved.
func TestRefusedAfterApproval(t *testing.T) {
	tests := []struct {
		name   string
		change func(t *testing.T, w *world)
		reason policy.Reason
	}{
		{"the deadline passed", func(_ *testing.T, w *world) { w.pass(30 * time.Minute) }, policy.ReasonDeadlinePassed},
		{"its time has come", func(_ *testing.T, w *world) { w.pass(2 * time.Hour) }, policy.ReasonLockExpired},
		{"the tokens are gone", func(t *testing.T, w *world) {
			if _, err := w.chain.Settle(t.Context(), signOutside(t, w, keeper, big.NewInt(1_000_000))); err != nil {
				t.Fatal(err)
			}
		}, policy.ReasonTransferReverted},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			terms := w.lockTerms("p1")
			terms.Deadline = w.now().Add(20 * time.Minute)
			untilLock(t, w, w.grant("p1", terms))
			tt.change(t, w)
			w.restart()
			if o, err := w.rail(policy.RailEscrow).Check(t.Context(), "p1"); err != nil || o.Status != payments.NotYet {
				t.Errorf("with an allowance: %+v, %v", o, err)
			}
			if _, err := payLock(t, w, w.regrant("p1")); refusalOf(err) != tt.reason {
				t.Errorf("error %v, want %s", err, tt.reason)
			}
			if a := w.allowance(); !a.IsZero() {
				t.Errorf("an allowance of %s stands", a)
			}
			if o, err := w.rail(policy.RailEscrow).Check(t.Context(), "p1"); err != nil || o.Status != payments.NotPaid {
				t.Errorf("without one: %+v, %v", o, err)
			}
		})
	}
}

// While the allowance cannot be taken back nothing is said to be refused.
func TestRefusalWaitsForTheAllowance(t *testing.T) {
	w := newWorld(t)
	terms := w.lockTerms("p1")
	terms.Deadline = w.now().Add(20 * time.Minute)
	untilLock(t, w, w.grant("p1", terms))
	w.pass(30 * time.Minute)
	w.config.Gas.MaxFeePerGas = amountOf(1)
	w.restart()
	if _, err := w.rail(policy.RailEscrow).Pay(t.Context(), w.regrant("p1"), payments.Job{Purchase: "p1"}); err == nil || refusalOf(err) != "" {
		t.Errorf("refused with an allowance: %v", err)
	}
	w.config.Gas.MaxFeePerGas = amountOf(100e9)
	w.restart()
	if _, err := payLock(t, w, w.regrant("p1")); refusalOf(err) != policy.ReasonDeadlinePassed {
		t.Errorf("error %v", err)
	}
	w.wantLocks(0)
}

// A lock that a final block holds as failed is refused, with its allowance back.
func TestRevertedLock(t *testing.T) {
	w := newWorld(t)
	g := w.grant("p1", w.lockTerms("p1"))
	stall(w, g, lockSelector(t))
	if _, err := w.chain.Settle(t.Context(), signOutside(t, w, keeper, big.NewInt(1_000_000))); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := payLock(t, w, g); refusalOf(err) != policy.ReasonTransferReverted {
			t.Errorf("error %v", err)
		}
		if a := w.allowance(); !a.IsZero() {
			t.Errorf("an allowance of %s stands", a)
		}
	}
	if o, err := w.rail(policy.RailEscrow).Check(t.Context(), "p1"); err != nil || o.Status != payments.NotPaid || o.Reason != policy.ReasonTransferReverted {
		t.Errorf("outcome %+v, %v", o, err)
	}
	attempts, err := w.ledger.Attempts(t.Context(), "p1")
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]ledger.AttemptStatus{}
	for _, a := range attempts {
		kinds[a.Kind] = a.Status
	}
	if kinds[evm.AttemptLock] != ledger.AttemptFailed || kinds[evm.AttemptRevoke] != ledger.AttemptFinal {
		t.Errorf("attempts %v", kinds)
	}
}

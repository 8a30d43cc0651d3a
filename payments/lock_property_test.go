// SPDX-License-Identifier: Apache-2.0

package payments_test

import (
	"flag"
	"fmt"
	"math/big"
	"testing"
	"testing/synctest"

	"github.com/ethereum/go-ethereum/common"
	"pgregory.net/rapid"

	"github.com/agentd-project/agentd/payments"
	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/sandbox/chain"
)

// plannedStep is one thing that happens: the process is restarted, the node
// forgets, or a purchase is paid by a process that dies after some calls.
type plannedStep struct {
	restart, forget, mined, done bool
	purchase, call               int
}

func drawStep(rt *rapid.T) plannedStep {
	kind := rapid.IntRange(0, 5).Draw(rt, "step")
	return plannedStep{
		restart: kind == 0, forget: kind == 1,
		mined: rapid.Bool().Draw(rt, "mined"), done: rapid.Bool().Draw(rt, "done"),
		purchase: rapid.IntRange(0, 2).Draw(rt, "purchase"), call: rapid.IntRange(0, 30).Draw(rt, "call"),
	}
}

// Whatever order several purchases are paid in, wherever the process dies, and
// whatever the node forgets, each locks exactly once and no allowance is left.
func TestLocksInAnyOrder(t *testing.T) {
	// Each check opens a ledger several times: a fifth of the usual number, unless
	// more are asked for.
	if checks := flag.Lookup("rapid.checks"); checks.Value.String() == checks.DefValue {
		if err := checks.Value.Set("20"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = checks.Value.Set(checks.DefValue) })
	}
	rapid.Check(t, func(rt *rapid.T) {
		amounts := rapid.SliceOfN(rapid.SampledFrom([]uint64{10_000, 7_000}), 3, 3).Draw(rt, "amounts")
		steps := rapid.SliceOfN(rapid.Custom(drawStep), 1, 6).Draw(rt, "steps")
		var faults []string
		synctest.Test(t, func(t *testing.T) { faults = locksInAnyOrder(t, amounts, steps) })
		if len(faults) > 0 {
			rt.Fatal(faults)
		}
	})
}

// locksInAnyOrder returns what is wrong in the end.
func locksInAnyOrder(t *testing.T, amounts []uint64, steps []plannedStep) (faults []string) {
	w := newWorld(t)
	total := new(big.Int)
	var ids []policy.PurchaseID
	for i, amount := range amounts {
		id := policy.PurchaseID(fmt.Sprint("p", i))
		terms := w.lockTerms(id)
		terms.Amount = amountOf(amount)
		total.Add(total, terms.Amount.Big())
		w.grant(id, terms)
		ids = append(ids, id)
	}
	for _, s := range steps {
		switch {
		case s.restart:
			w.restart()
		case s.forget:
			w.forget()
		default:
			w.chain.SetAutomine(s.mined)
			dieAt(t, w, w.regrant(ids[s.purchase]), s.call, s.done)
		}
	}
	w.restart()
	w.chain.SetAutomine(true)
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	decided := make(chan error, len(ids))
	for _, id := range ids {
		go func() { _, err := payLock(t, w, w.regrant(id)); decided <- err }()
	}
	for range ids {
		if err := <-decided; err != nil {
			fault("not locked: %v", err)
		}
	}
	all, err := w.chain.Transfers(t.Context(), 0)
	if err != nil || len(all) != len(ids) {
		fault("%d transfers, want one per purchase: %+v, %v", len(all), all, err)
	}
	held, err := w.chain.BalanceOf(t.Context(), chain.EscrowAddress)
	if err != nil || held.Cmp(total) != 0 {
		fault("the contract holds %s, want %d, %v", held, total, err)
	}
	if a := w.allowance(); !a.IsZero() {
		fault("an allowance of %s stands", a)
	}
	for _, id := range ids {
		if c := w.custody(id, policy.RailEscrow); c.State != payments.CustodyLocked {
			fault("%s is %s", id, c.State)
		}
	}
	return faults
}

// forget has the node drop everything that is not mined.
func (w *world) forget() {
	w.t.Helper()
	open, err := w.ledger.OpenAttempts(w.t.Context(), chain.CAIP2ID, w.wallet.Address())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, a := range open {
		w.chain.(*chain.Memory).Drop(common.HexToHash(a.Hash))
	}
}

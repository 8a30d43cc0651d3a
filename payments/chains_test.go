// SPDX-License-Identifier: Apache-2.0

package payments_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agentd-project/agentd/payments"
	"github.com/agentd-project/agentd/payments/evm"
	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/sandbox/chain"
)

// The same on a real EVM with the compiled token: transfer, authorisation, its
// settlement, and what the chain says afterwards.
func TestOnARealEVM(t *testing.T) {
	c, err := chain.NewSimulated(chain.Config{Accounts: []chain.Account{account()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("close chain: %v", err)
		}
	})
	w := worldOn(t, c)
	within(t, 60*time.Second, func(ctx context.Context) {
		if err := w.evm.VerifyStart(ctx); err != nil {
			t.Fatal(err)
		}
		for _, rail := range []string{policy.RailWallet, policy.RailUSDTTransfer} {
			id := policy.PurchaseID(rail)
			if err := w.rail(rail).Ready(ctx, w.terms(rail)); err != nil {
				t.Fatal(err)
			}
			e, err := w.rail(rail).Pay(ctx, w.grant(id, w.terms(rail)), payments.Job{Purchase: id})
			if err != nil {
				t.Fatal(err)
			}
			if o, err := w.rail(rail).Check(ctx, id); err != nil || o.Status != payments.Paid || o.Ref != e.TxHash {
				t.Errorf("%s: %+v, %v", rail, o, err)
			}
		}
		r := w.rail(policy.RailX402)
		e, err := r.Pay(ctx, w.grant("x", w.terms(policy.RailX402)), payments.Job{Purchase: "x", Challenge: challenge(t, nil)})
		if err != nil {
			t.Fatal(err)
		}
		if o, err := r.Check(ctx, "x"); err != nil || o.Status != payments.NotYet {
			t.Errorf("before: %+v, %v", o, err)
		}
		tx, err := settleHeader(t, w, e.PaymentSignature)
		if err != nil {
			t.Fatal(err)
		}
		if o, err := r.Check(ctx, "x"); err != nil || o.Status != payments.Paid || o.Ref != tx.Hex() {
			t.Errorf("after: %+v, %v", o, err)
		}
		if _, err := settleHeader(t, w, e.PaymentSignature); err == nil {
			t.Error("settled twice")
		}
		final, err := w.evm.FinalHead(ctx)
		if err != nil {
			t.Fatal(err)
		}
		own, err := w.evm.TransfersFrom(ctx, chain.TokenAddress, w.wallet.Address(), 0, final.Number)
		if err != nil || len(own) != 3 {
			t.Errorf("own transfers %+v, %v", own, err)
		}
	})
	w.wantTransfers(3)
}

// In fake time, with blocks of two seconds and three confirmations, through an
// outage of the endpoint of an hour.
func TestTransferThroughAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := chain.NewMemory(chain.Config{Accounts: []chain.Account{account()}, BlockTime: 2 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		w := worldOn(t, c)
		w.config.Final, w.config.Poll, w.config.Resend, w.config.Timeout = evm.Final{Confirmations: 3}, 0, 0, 0
		w.restart()
		g := w.grant("p1", w.terms(policy.RailWallet))
		begin := time.Now()
		w.faults.set(func(method string, _ int, _ string) fault {
			switch {
			case method == "eth_sendRawTransaction" && time.Since(begin) < time.Minute:
				return lost
			case method == "eth_getTransactionReceipt" && time.Since(begin) < time.Hour:
				return hang
			}
			return none
		})
		within(t, 2*time.Hour, func(ctx context.Context) {
			if _, err := w.rail(policy.RailWallet).Pay(ctx, g, payments.Job{Purchase: "p1"}); err != nil {
				t.Error(err)
			}
		})
		if d := time.Since(begin); d < time.Hour || d > time.Hour+time.Minute {
			t.Errorf("took %s", d)
		}
		if n := w.faults.count("eth_getTransactionReceipt"); n > 500 {
			t.Errorf("asked %d times in an hour without answers", n)
		}
		w.wantTransfers(1)
	})
}

func TestSet(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{policy.RailNotRequired, policy.RailWallet, policy.RailUSDTTransfer, policy.RailEscrow, policy.RailOnchainEscrow, policy.RailX402} {
		if _, ok := w.set.Rail(name); !ok || w.set.Human(name) {
			t.Errorf("%s: no rail, or one for a person", name)
		}
	}
	for _, name := range []string{"offchain-record", "external", "vault-stripe", "mpp", "xvv42", "something-new", ""} {
		if _, ok := w.set.Rail(name); ok || !w.set.Human(name) {
			t.Errorf("%s: a rail, or not one for a person", name)
		}
	}
	if _, err := payments.NewSet(payments.SetConfig{}); err == nil {
		t.Error("a set without wallet and ledger")
	}
	if _, err := payments.NewSet(payments.SetConfig{Wallet: w.wallet, Ledger: w.ledger, Chains: []*evm.Chain{w.evm, w.evm}}); err == nil {
		t.Error("one chain twice: two nonce lanes")
	}
}

func TestFreeRail(t *testing.T) {
	w := newWorld(t)
	r := w.rail(policy.RailNotRequired)
	if err := r.Ready(t.Context(), policy.Terms{Rail: policy.RailNotRequired}); err != nil {
		t.Error(err)
	}
	if err := r.Ready(t.Context(), w.terms(policy.RailNotRequired)); refusalOf(err) != policy.ReasonPriceOnFreeRail {
		t.Errorf("a price: %v", err)
	}
	if e, err := r.Pay(t.Context(), policy.Grant{}, payments.Job{Purchase: "p1"}); err != nil || e.Rail != policy.RailNotRequired {
		t.Errorf("%+v, %v", e, err)
	}
	if _, err := r.Pay(t.Context(), w.grant("p1", w.terms(policy.RailWallet)), payments.Job{Purchase: "p1"}); refusalOf(err) != policy.ReasonPriceOnFreeRail {
		t.Errorf("a grant: %v", err)
	}
}

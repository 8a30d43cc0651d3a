// SPDX-License-Identifier: Apache-2.0

package payments_test

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/payments"
	"github.com/agentd-project/agentd/payments/evm"
	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/sandbox/chain"
)

// emptyLedger puts a ledger in place that knows of no payment, as an old backup does.
func (w *world) emptyLedger() {
	w.t.Helper()
	w.stop()
	w.path = filepath.Join(w.t.TempDir(), "older.db")
	w.start()
}

// pay has a rail pay a purchase.
func (w *world) pay(id policy.PurchaseID, rail string) payments.Evidence {
	w.t.Helper()
	job := payments.Job{Purchase: id}
	if rail == policy.RailX402 {
		job.Challenge = challenge(w.t, nil)
	}
	e, err := w.rail(rail).Pay(context.Background(), w.grant(id, w.terms(rail)), job)
	if err != nil {
		w.t.Fatal(err)
	}
	return e
}

// A transfer that an older ledger does not know is found by what it pays.
func TestForgottenTransfer(t *testing.T) {
	elsewhere := common.HexToAddress("0x00000000000000000000000000000000000000e1")
	for _, tt := range []struct {
		name   string
		change func(w *world, paid common.Hash, t *policy.Terms)
		want   bool
	}{
		{name: "the same payment", want: true},
		{name: "the payee is not known yet", change: func(_ *world, _ common.Hash, t *policy.Terms) { t.Payee = common.Address{} }, want: true},
		{name: "the amount is not known yet", change: func(_ *world, _ common.Hash, t *policy.Terms) { t.Amount = money.Amount{} }, want: true},
		{name: "another payee", change: func(_ *world, _ common.Hash, t *policy.Terms) { t.Payee = elsewhere }},
		{name: "another amount", change: func(_ *world, _ common.Hash, t *policy.Terms) { t.Amount = money.FromUint64(1) }},
		{name: "into an escrow", change: func(_ *world, _ common.Hash, t *policy.Terms) { t.Escrow, t.Lock = chain.EscrowAddress, true }},
		{name: "an operator answers for it", change: func(w *world, paid common.Hash, _ *policy.Terms) {
			err := w.ledger.Accept(context.Background(), ledger.Settlement{Purchase: ledger.ForeignID(paid.Hex(), 0), Amount: price, Chain: chain.CAIP2ID,
				Token: chain.TokenAddress, Payee: seller, Ref: paid.Hex(), At: time.Now()}, "operator")
			if err != nil {
				w.t.Fatal(err)
			}
		}},
		{name: "an endpoint that counts too low hides nothing", change: func(w *world, _ common.Hash, _ *policy.Terms) {
			low := 1
			w.faults.mu.Lock()
			defer w.faults.mu.Unlock()
			w.faults.answer = func(method string, _ json.RawMessage) any {
				if method == "eth_getTransactionCount" && low > 0 {
					low--
					return "0x0"
				}
				return nil
			}
		}, want: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			paid := common.HexToHash(w.pay("p1", policy.RailWallet).TxHash)
			w.emptyLedger()
			terms := w.terms(policy.RailWallet)
			if tt.change != nil {
				tt.change(w, paid, &terms)
			}
			if err := w.set.Forgotten(t.Context(), "p1", terms); errors.Is(err, evm.ErrForgotten) != tt.want || (err != nil) != tt.want {
				t.Errorf("got %v, want forgotten %t", err, tt.want)
			}
		})
	}
}

// An authorisation that an older ledger does not know may be used until the longest
// one that this process did not sign has ended.
func TestForgottenAuthorization(t *testing.T) {
	at := time.Now()
	w := newWorldAt(t, func() time.Time { return at })
	e := w.pay("p1", policy.RailX402)
	w.pay("p2", policy.RailX402)
	w.emptyLedger()
	terms := w.terms(policy.RailX402)
	wants := func(when string, id policy.PurchaseID, unknown, forgotten bool) {
		t.Helper()
		if err := w.set.Forgotten(t.Context(), id, terms); (err != nil) != unknown || errors.Is(err, evm.ErrForgotten) != forgotten {
			t.Errorf("%s: got %v, want an error %t, forgotten %t", when, err, unknown, forgotten)
		}
	}
	wants("unused, and still good", "p1", true, false)
	if _, err := settleHeader(t, w, e.PaymentSignature); err != nil {
		t.Fatal(err)
	}
	wants("used", "p1", true, true)
	at = at.Add(policy.DefaultMaxAuthorization + time.Second)
	wants("over by our clock alone", "p2", true, false)
	w.pay("p3", policy.RailWallet) // makes a block
	wants("unused, and over", "p2", false, false)
	wants("used long ago", "p1", true, true)
}

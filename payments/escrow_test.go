// SPDX-License-Identifier: Apache-2.0

package payments_test

import (
	"context"
	"crypto/ecdsa"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/payments"
	"github.com/agentd-project/agentd/payments/evm"
	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/sandbox/chain"
	"github.com/agentd-project/agentd/sandbox/contracts"
	"github.com/agentd-project/agentd/wallet"
)

// lockTerms are the terms of a lock in the contract for an hour.
func (w *world) lockTerms(id policy.PurchaseID) policy.Terms {
	t := w.terms(policy.RailEscrow)
	t.Escrow, t.Lock = chain.EscrowAddress, true
	t.Order, t.RefundFrom = crypto.Keccak256Hash([]byte("ord_"+id)), w.now().Add(time.Hour).Truncate(time.Second)
	return t
}

func (w *world) custodian(rail string) payments.Custodian {
	w.t.Helper()
	c, ok := w.rail(rail).(payments.Custodian)
	if !ok {
		w.t.Fatalf("%s is no custodian", rail)
	}
	return c
}

// custody asks where a purchase's value is; no refund is taken by another.
func (w *world) custody(id policy.PurchaseID, rail string) payments.Custody {
	w.t.Helper()
	c, err := w.custodian(rail).Custody(context.Background(), id, func(string) (bool, error) { return false, nil })
	if err != nil {
		w.t.Errorf("custody of %s: %v", id, err)
	}
	return c
}

// allowance asks the chain itself what the contract may take from us.
func (w *world) allowance() money.Amount {
	w.t.Helper()
	client, err := chain.Dial(w.chain.Handler())
	if err != nil {
		w.t.Fatal(err)
	}
	defer client.Close()
	token, err := contracts.TestToken()
	if err != nil {
		w.t.Fatal(err)
	}
	input, err := token.ABI.Pack("allowance", w.wallet.Address(), chain.EscrowAddress)
	if err != nil {
		w.t.Fatal(err)
	}
	to := chain.TokenAddress
	out, err := client.CallContract(context.Background(), ethereum.CallMsg{To: &to, Data: input}, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	a, err := money.FromBig(new(big.Int).SetBytes(out))
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

// wantLocks wants so many locks of the price and no allowance beside them.
func (w *world) wantLocks(n int) {
	w.t.Helper()
	all, err := w.chain.Transfers(context.Background(), 0)
	if err != nil {
		w.t.Fatal(err)
	}
	locked := 0
	for _, tr := range all {
		if tr.From != w.wallet.Address() {
			continue
		}
		if locked++; tr.To != chain.EscrowAddress || tr.Value.Cmp(price.Big()) != 0 {
			w.t.Errorf("moved %s to %s", tr.Value, tr.To)
		}
	}
	if locked != n {
		w.t.Errorf("%d locks, want %d", locked, n)
	}
	if a := w.allowance(); !a.IsZero() {
		w.t.Errorf("an allowance of %s stands", a)
	}
}

// sendAs sends a transaction from a key of the test's own.
func (w *world) sendAs(key *ecdsa.PrivateKey, to common.Address, input []byte) {
	w.t.Helper()
	ctx := context.Background()
	client, err := chain.Dial(w.chain.Handler())
	if err != nil {
		w.t.Fatal(err)
	}
	defer client.Close()
	nonce, err := client.PendingNonceAt(ctx, crypto.PubkeyToAddress(key.PublicKey))
	if err != nil {
		w.t.Fatal(err)
	}
	id := new(big.Int).SetUint64(chain.ChainID)
	tx, err := types.SignNewTx(key, types.LatestSignerForChainID(id), &types.DynamicFeeTx{
		ChainID: id, Nonce: nonce, Gas: 200_000, GasTipCap: big.NewInt(1e9), GasFeeCap: big.NewInt(50e9), To: &to, Data: input,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	if err := client.SendTransaction(ctx, tx); err != nil {
		w.t.Fatal(err)
	}
	for range 400 {
		if r, err := w.chain.Receipt(ctx, tx.Hash()); err == nil && r != nil {
			if r.Status != types.ReceiptStatusSuccessful {
				w.t.Fatalf("transaction to %s failed", to)
			}
			return
		}
		if err := w.chain.Mine(ctx); err != nil {
			w.t.Fatal(err)
		}
	}
	w.t.Fatal("not mined")
}

func (w *world) sameEvidence(a, b payments.Evidence) {
	w.t.Helper()
	if !a.At.Equal(b.At) {
		w.t.Errorf("at %s, then %s", a.At, b.At)
	}
	if b.At = a.At; a != b {
		w.t.Errorf("evidence %+v, then %+v", a, b)
	}
}

func TestEscrowTransferPays(t *testing.T) {
	for _, name := range []string{policy.RailEscrow, policy.RailOnchainEscrow} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			terms := w.terms(name)
			if err := w.rail(name).Ready(t.Context(), terms); err != nil {
				t.Errorf("escrow not known yet: %v", err)
			}
			terms.Escrow = keeper
			within(t, 20*time.Second, func(ctx context.Context) {
				if err := w.rail(name).Ready(ctx, terms); err != nil {
					t.Fatal(err)
				}
				e, err := w.rail(name).Pay(ctx, w.grant("p1", terms), payments.Job{Purchase: "p1"})
				if err != nil || e.Escrow != keeper || e.Payee != seller || e.Amount != price {
					t.Fatalf("%+v, %v", e, err)
				}
				all, err := w.chain.Transfers(ctx, 0)
				if err != nil || len(all) != 1 || all[0].To != keeper || all[0].Tx.Hex() != e.TxHash {
					t.Errorf("%+v, %v", all, err)
				}
				if c := w.custody("p1", name); c != (payments.Custody{State: payments.CustodyPaid}) {
					t.Errorf("custody %+v", c)
				}
				if _, err := w.custodian(name).Release(ctx, w.regrant("p1")); err != nil {
					t.Errorf("release of a plain transfer: %v", err)
				}
				if _, err := w.custodian(name).Reclaim(ctx, w.regrant("p1")); err == nil {
					t.Error("reclaimed a plain transfer")
				}
			})
		})
	}
}

func TestLockPays(t *testing.T) {
	for name, make := range map[string]func(testing.TB) *world{"memory": newWorld, "evm": newSimulatedWorld} {
		t.Run(name, func(t *testing.T) {
			w := make(t)
			rail := w.rail(policy.RailOnchainEscrow)
			terms := w.lockTerms("p1")
			terms.Rail = policy.RailOnchainEscrow
			within(t, 60*time.Second, func(ctx context.Context) {
				if err := rail.Ready(ctx, terms); err != nil {
					t.Fatal(err)
				}
				g := w.grant("p1", terms)
				if o, err := rail.Check(ctx, "p1"); err != nil || o != (payments.Outcome{Status: payments.NotPaid}) {
					t.Errorf("before: %+v, %v", o, err)
				}
				e, err := rail.Pay(ctx, g, payments.Job{Purchase: "p1"})
				if err != nil || e.Rail != policy.RailOnchainEscrow || e.Escrow != chain.EscrowAddress || e.Payee != seller || e.Amount != price || e.Symbol != "USDC" {
					t.Fatalf("%+v, %v", e, err)
				}
				w.wantLocks(1)
				again, err := rail.Pay(ctx, g, payments.Job{Purchase: "p1"})
				if err != nil {
					t.Fatal(err)
				}
				w.sameEvidence(e, again)
				w.wantLocks(1)
				if o, err := rail.Check(ctx, "p1"); err != nil || o.Status != payments.Paid || o.Ref != e.TxHash || o.Block != e.Block {
					t.Errorf("%+v, %v", o, err)
				}
				if c := w.custody("p1", policy.RailOnchainEscrow); c != (payments.Custody{State: payments.CustodyLocked}) {
					t.Errorf("custody %+v", c)
				}
				for range 2 {
					if _, err := w.custodian(policy.RailOnchainEscrow).Release(ctx, g); err != nil {
						t.Errorf("release: %v", err)
					}
				}
				got := w.received()
				if len(got) != 1 || got[0].Value.Cmp(price.Big()) != 0 {
					t.Fatalf("the payee got %+v", got)
				}
				if c := w.custody("p1", policy.RailOnchainEscrow); c.State != payments.CustodyReleased || c.Ref != got[0].Tx.Hex() || c.Block != got[0].Block {
					t.Errorf("custody %+v, want release %+v", c, got[0])
				}
				if c, err := w.custodian(policy.RailOnchainEscrow).Reclaim(ctx, g); err == nil {
					t.Errorf("reclaimed what was released, before its time: %+v", c)
				}
			})
		})
	}
}

func newSimulatedWorld(t testing.TB) *world {
	t.Helper()
	c, err := chain.NewSimulated(chain.Config{Accounts: []chain.Account{account()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return worldOn(t, c)
}

// A clock that a test sets.
type shifted struct{ by time.Duration }

func (s *shifted) now() time.Time { return time.Now().Add(s.by) }

func TestReclaim(t *testing.T) {
	clock := &shifted{}
	w := newWorldAt(t, clock.now)
	rail := policy.RailEscrow
	g := w.grant("p1", w.lockTerms("p1"))
	within(t, 20*time.Second, func(ctx context.Context) {
		if _, err := w.custodian(rail).Reclaim(ctx, g); err == nil {
			t.Error("reclaimed what was never locked")
		}
		if _, err := w.rail(rail).Pay(ctx, g, payments.Job{Purchase: "p1"}); err != nil {
			t.Fatal(err)
		}
		if c, err := w.custodian(rail).Reclaim(ctx, g); err == nil {
			t.Errorf("reclaimed before its time: %+v", c)
		}
		clock.by = time.Hour
		if err := w.chain.Mine(ctx); err != nil {
			t.Fatal(err)
		}
		c, err := w.custodian(rail).Reclaim(ctx, g)
		if err != nil || c.State != payments.CustodyReturned || c.Block == 0 {
			t.Fatalf("%+v, %v", c, err)
		}
		again, err := w.custodian(rail).Reclaim(ctx, g)
		if err != nil || again != c || w.custody("p1", rail) != c {
			t.Errorf("then %+v, %v, want %+v", again, err, c)
		}
		balance, err := w.chain.BalanceOf(ctx, w.wallet.Address())
		if err != nil || balance.Int64() != 1_000_000 {
			t.Errorf("balance %s, %v", balance, err)
		}
		if _, err := w.custodian(rail).Release(ctx, g); err != nil {
			t.Errorf("release of what is back: %v", err)
		}
	})
}

// The payee may give the value back at any time.
func TestRefundByThePayee(t *testing.T) {
	key, err := crypto.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	payee := crypto.PubkeyToAddress(key.PublicKey)
	w := newWorldAt(t, time.Now, chain.Account{Address: payee, Wei: big.NewInt(1e18)})
	terms := w.lockTerms("p1")
	terms.Payee = payee
	g := w.grant("p1", terms)
	within(t, 20*time.Second, func(ctx context.Context) {
		if _, err := w.rail(policy.RailEscrow).Pay(ctx, g, payments.Job{Purchase: "p1"}); err != nil {
			t.Fatal(err)
		}
		escrow, err := contracts.Escrow()
		if err != nil {
			t.Fatal(err)
		}
		input, err := escrow.ABI.Pack("refund", terms.Order)
		if err != nil {
			t.Fatal(err)
		}
		w.sendAs(key, chain.EscrowAddress, input)
		c := w.custody("p1", policy.RailEscrow)
		if c.State != payments.CustodyReturned || !strings.Contains(c.Ref, ":") {
			t.Errorf("custody %+v", c)
		}
		if _, err := w.custodian(policy.RailEscrow).Release(ctx, g); err != nil {
			t.Errorf("release: %v", err)
		}
		w.wantTransfers(0)
	})
}

// What is refused leaves nothing that could be taken.
func TestLockRefusals(t *testing.T) {
	elsewhere := common.HexToAddress("0x00000000000000000000000000000000000000e7")
	tests := []struct {
		name   string
		terms  func(*policy.Terms)
		change func(*world)
		reason policy.Reason
	}{
		{"escrow not listed", func(t *policy.Terms) { t.Escrow = elsewhere }, func(*world) {}, policy.ReasonEscrowUnknown},
		{"escrow no longer listed", nil, func(w *world) { w.escrows = nil }, policy.ReasonEscrowUnknown},
		{"another mode", nil, func(w *world) { w.escrows[0].Contract = nil }, policy.ReasonEscrowUnknown},
		{"lock where a transfer is listed", func(t *policy.Terms) { t.Escrow = keeper }, func(*world) {}, policy.ReasonEscrowUnknown},
		{"no contract there", func(t *policy.Terms) { t.Escrow = elsewhere }, func(w *world) {
			w.escrows = append(w.escrows, payments.Escrow{Chain: chain.CAIP2ID, Address: elsewhere, Contract: w.escrows[0].Contract})
		}, policy.ReasonEscrowUnknown},
		{"fee ceiling", nil, func(w *world) { w.config.Gas.MaxFeePerGas = money.FromUint64(1) }, policy.ReasonFeeCeiling},
		{"gas budget", nil, func(w *world) { w.config.Gas.PerDay = money.FromUint64(1) }, policy.ReasonGasBudget},
		{"time has come", nil, func(w *world) { w.pass(2 * time.Hour) }, policy.ReasonLockExpired},
		{"deadline", func(t *policy.Terms) { t.Deadline = time.Now().Add(time.Minute) }, func(w *world) { w.pass(2 * time.Minute) }, policy.ReasonDeadlinePassed},
		{"token not configured", nil, func(w *world) { w.config.Tokens = nil }, policy.ReasonTokenUnknown},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			clock := &shifted{}
			w := newWorldAt(t, clock.now)
			terms := w.lockTerms("p1")
			if tt.terms != nil {
				tt.terms(&terms)
			}
			g := w.grant("p1", terms)
			tt.change(w)
			w.restart()
			within(t, 20*time.Second, func(ctx context.Context) {
				if _, err := w.rail(policy.RailEscrow).Pay(ctx, g, payments.Job{Purchase: "p1"}); refusalOf(err) != tt.reason {
					t.Errorf("pay: %v, want %s", err, tt.reason)
				}
				if o, err := w.rail(policy.RailEscrow).Check(ctx, "p1"); err != nil || o.Status != payments.NotPaid {
					t.Errorf("outcome %+v, %v", o, err)
				}
			})
			w.wantLocks(0)
		})
	}
}

// pass lets time go by for everybody.
func (w *world) pass(d time.Duration) {
	w.t.Helper()
	now := w.now
	w.now = func() time.Time { return now().Add(d) }
}

func TestEscrowReadiness(t *testing.T) {
	tests := []struct {
		name   string
		change func(*world, *policy.Terms)
		reason policy.Reason
	}{
		{"a lock", func(*world, *policy.Terms) {}, ""},
		{"escrow not listed", func(_ *world, t *policy.Terms) { t.Escrow = seller }, policy.ReasonEscrowUnknown},
		{"more than there is", func(_ *world, t *policy.Terms) { t.Amount = money.FromUint64(1_000_001) }, policy.ReasonInsufficientTokens},
		{"gas budget", func(w *world, _ *policy.Terms) { w.config.Gas.PerDay = money.FromUint64(1) }, policy.ReasonGasBudget},
		{"gas for a transfer only", func(w *world, _ *policy.Terms) { w.config.Gas.PerDay = money.FromUint64(300_000e9) }, policy.ReasonGasBudget},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			terms := w.lockTerms("p1")
			tt.change(w, &terms)
			w.restart()
			if err := w.rail(policy.RailEscrow).Ready(t.Context(), terms); refusalOf(err) != tt.reason || (tt.reason == "" && err != nil) {
				t.Errorf("ready: %v, want %q", err, tt.reason)
			}
		})
	}
}

func TestEscrowListIsChecked(t *testing.T) {
	w := newWorld(t)
	for name, list := range map[string][]payments.Escrow{
		"twice":        {{Chain: chain.CAIP2ID, Address: keeper}, {Chain: chain.CAIP2ID, Address: keeper}},
		"no address":   {{Chain: chain.CAIP2ID}},
		"no interface": {{Chain: chain.CAIP2ID, Address: keeper, Contract: new(wallet.EscrowABI)}},
	} {
		if _, err := payments.NewSet(payments.SetConfig{Wallet: w.wallet, Ledger: w.ledger, Chains: []*evm.Chain{w.evm}, Escrows: list}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

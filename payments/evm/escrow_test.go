// SPDX-License-Identifier: Apache-2.0

package evm_test

import (
	"context"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/payments/evm"
	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/sandbox/chain"
	"github.com/agentd-project/agentd/wallet"
)

func (w *world) do(g policy.Grant, kinds ...string) (last evm.Receipt) {
	w.t.Helper()
	for _, kind := range kinds {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		r, err := w.sender.Send(ctx, g, escrowCall(kind))
		cancel()
		if err != nil {
			w.t.Fatalf("%s: %v", kind, err)
		}
		last = r
	}
	return last
}

func (w *world) wantAllowance(want money.Amount) {
	w.t.Helper()
	got, err := w.chain.Allowance(context.Background(), chain.TokenAddress, us, chain.EscrowAddress)
	if err != nil || got != want {
		w.t.Errorf("allowance %s, %v, want %s", got, err, want)
	}
}

func (w *world) wantTokens(account common.Address, want uint64) {
	w.t.Helper()
	got, err := w.chain.TokenBalance(context.Background(), chain.TokenAddress, account)
	if err != nil || got != money.FromUint64(want) {
		w.t.Errorf("%s has %s, %v, want %d", account, got, err, want)
	}
}

func (w *world) end(g policy.Grant) evm.EscrowEnd {
	w.t.Helper()
	abi := wallet.DefaultEscrowABI()
	end, err := w.chain.FindEscrowEnd(context.Background(), g.Escrow(), &abi, g.Order(), time.Now().Add(-24*time.Hour))
	if err != nil {
		w.t.Error(err)
	}
	return end
}

func TestLockAndRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		g := w.grant("p1", w.locked(time.Now().Add(time.Hour)))
		w.do(g, evm.AttemptApprove)
		w.wantAllowance(price)
		locked := w.do(g, evm.AttemptLock)
		w.wantAllowance(money.Amount{})
		w.wantTokens(chain.EscrowAddress, 10_000)
		if end := w.end(g); end != (evm.EscrowEnd{}) {
			t.Errorf("ended at once: %+v", end)
		}
		// Sent again, nothing is done again; an approval after the lock least of all.
		if again := w.do(g, evm.AttemptApprove, evm.AttemptLock); again != locked {
			t.Errorf("locked again: %+v", again)
		}
		w.wantAllowance(money.Amount{})
		r := w.do(g, evm.AttemptRelease, evm.AttemptRelease)
		if end := w.end(g); !end.Released || end.Refunded || end.Tx != r.Tx || end.Block != r.Block || !end.At.Equal(r.At) {
			t.Errorf("end %+v, receipt %+v", end, r)
		}
		w.wantTokens(seller, 10_000)
		if got := w.statuses("p1"); !slices.Equal(got, []string{"approve final", "lock final", "release final"}) {
			t.Errorf("attempts %v", got)
		}
		if got, _, err := w.sender.Look(t.Context(), "p1", escrowCall(evm.AttemptLock)); err != nil || got != evm.StandingDone {
			t.Errorf("lock stands %d, %v", got, err)
		}
	})
}

// A refund before its time is refused before it is signed, and made from then on.
func TestLockAndRefund(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		g := w.grant("p1", w.locked(time.Now().Add(time.Hour)))
		w.do(g, evm.AttemptApprove, evm.AttemptLock)
		if _, err := w.sender.Send(t.Context(), g, escrowCall(evm.AttemptRefund)); !errors.Is(err, evm.ErrReverted) {
			t.Errorf("before its time: %v", err)
		}
		time.Sleep(time.Hour)
		r := w.do(g, evm.AttemptRefund)
		if end := w.end(g); !end.Refunded || end.Released || end.Tx != r.Tx {
			t.Errorf("end %+v", end)
		}
		w.wantTokens(us, 1_000_000)
		w.wantTransfers(0)
	})
}

// A lock that is not there, or not open any more, is neither released nor refunded.
func TestPayoutWithoutALock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		g := w.grant("p1", w.locked(time.Now().Add(time.Hour)))
		for _, kind := range []string{evm.AttemptRelease, evm.AttemptRefund, evm.AttemptLock} {
			if _, err := w.sender.Send(t.Context(), g, escrowCall(kind)); !errors.Is(err, evm.ErrReverted) {
				t.Errorf("%s: %v", kind, err)
			}
		}
		if got := w.statuses("p1"); len(got) != 0 {
			t.Errorf("signed %v", got)
		}
		if _, err := w.sender.Send(t.Context(), g, transfer); !errors.Is(err, wallet.ErrNoGrant) {
			t.Errorf("a transfer by a grant for a lock: %v", err)
		}
		if _, err := w.sender.Send(t.Context(), g, evm.Call{Kind: evm.AttemptLock}); err == nil {
			t.Error("a lock without an interface")
		}
		if _, err := w.sender.Send(t.Context(), g, escrowCall(evm.AttemptCancel)); !errors.Is(err, wallet.ErrNoGrant) {
			t.Errorf("a cancellation as a call: %v", err)
		}
	})
}

// What stands when an approval is wanted, and what is done about it.
func TestAllowanceThatStands(t *testing.T) {
	tests := []struct {
		name   string
		stands uint64
		want   []string
	}{
		{"nothing", 0, []string{"approve final"}},
		{"another amount", 7, []string{"revoke final", "approve final"}},
		{"the amount", 10_000, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, nil)
				if tt.stands > 0 {
					w.foreignApproval(0, money.FromUint64(tt.stands))
				}
				g := w.grant("p1", w.locked(time.Now().Add(time.Hour)))
				w.do(g, evm.AttemptApprove)
				w.wantAllowance(price)
				if got := w.statuses("p1"); !slices.Equal(got, tt.want) {
					t.Errorf("attempts %v, want %v", got, tt.want)
				}
				w.do(g, evm.AttemptRevoke, evm.AttemptRevoke)
				w.wantAllowance(money.Amount{})
				// Taken back, it can be given again.
				w.do(g, evm.AttemptApprove, evm.AttemptLock)
				w.wantAllowance(money.Amount{})
				w.wantTokens(chain.EscrowAddress, 10_000)
			})
		})
	}
}

// A revocation waits for an approval that is under way, lest it stands later.
func TestRevocationWaitsForTheApproval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.mem.SetAutomine(false)
		g := w.grant("p1", w.locked(time.Now().Add(time.Hour)))
		if err := w.sendFor(3*time.Second, g, escrowCall(evm.AttemptApprove)); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		w.restart()
		w.drop("p1")
		done := w.send(t.Context(), g, escrowCall(evm.AttemptRevoke))
		time.Sleep(10 * time.Second)
		w.mem.SetAutomine(true)
		if r := <-done; r.err != nil {
			t.Fatal(r.err)
		}
		w.wantAllowance(money.Amount{})
		if got := w.statuses("p1"); !slices.Equal(got, []string{"approve final", "revoke final"}) {
			t.Errorf("attempts %v", got)
		}
	})
}

// An endpoint that has not seen the approval yet must not hide it from its revocation.
func TestRevocationOnALaggingEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, twoEndpoints)
		before, err := w.chain.Head(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		g := w.grant("p1", w.locked(time.Now().Add(time.Hour)))
		w.do(g, evm.AttemptApprove)
		// The first endpoint goes away when the allowance is asked for; the second is
		// as it was before the approval.
		lags, heads := false, 0
		w.node.set(func(host, method string, params raw) (any, any, bool) {
			newest := method == "eth_getBlockByNumber" && strings.Contains(string(params), "latest")
			if newest {
				heads++
			}
			switch {
			case host == "one.test" && heads > 1:
				lags = true
				return status(503), nil, true
			case host == "two.test" && newest:
				return map[string]any{"number": hexutil.Uint64(before.Number), "hash": before.Hash, "timestamp": "0x1"}, nil, true
			case host == "two.test" && method == "eth_call" && strings.Contains(string(params), "0xdd62ed3e"):
				return common.Hash{}.Hex(), nil, true
			}
			return nil, nil, false
		})
		if err := w.sendFor(time.Minute, g, escrowCall(evm.AttemptRevoke)); err == nil || !lags {
			t.Error("the allowance counts as taken back")
		}
		w.node.set(nil)
		w.do(g, evm.AttemptRevoke)
		w.wantAllowance(money.Amount{})
	})
}

// The lock of a purchase that was cancelled while its approval was under way.
func TestCancelledApproval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.mem.SetAutomine(false)
		g := w.grant("p1", w.locked(time.Now().Add(time.Hour)))
		done := w.send(t.Context(), g, escrowCall(evm.AttemptApprove))
		time.Sleep(3 * time.Second)
		if err := w.sender.Cancel(t.Context(), "p1"); err != nil {
			t.Fatal(err)
		}
		w.mem.SetAutomine(true)
		if r := <-done; !errors.Is(r.err, evm.ErrCancelled) {
			t.Errorf("approve: %v", r.err)
		}
		for _, kind := range []string{evm.AttemptApprove, evm.AttemptLock} {
			if _, err := w.sender.Send(t.Context(), g, escrowCall(kind)); !errors.Is(err, evm.ErrCancelled) {
				t.Errorf("%s: %v", kind, err)
			}
		}
		w.do(g, evm.AttemptRevoke)
		w.wantAllowance(money.Amount{})
		if got := w.statuses("p1"); !slices.Equal(got, []string{"approve dead", "cancel final"}) {
			t.Errorf("attempts %v", got)
		}
	})
}

// A process that ends at any call of a lock's way ends with one lock, and no
// allowance, after its restart.
func TestLockAfterDeathAtEveryCall(t *testing.T) {
	for at, died := 0, true; died; at++ {
		if at > 200 {
			t.Fatal("it never gets through")
		}
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, func(c *evm.Config) { c.Final = evm.Final{} })
			g := w.grant("p1", w.locked(time.Now().Add(time.Hour)))
			ctx, die := context.WithCancel(t.Context())
			defer die()
			total := 0
			w.node.set(func(_, _ string, _ raw) (any, any, bool) {
				if total++; total <= at {
					return nil, nil, false
				}
				die()
				return lost{}, nil, true
			})
			for _, kind := range []string{evm.AttemptApprove, evm.AttemptLock} {
				if _, err := w.sender.Send(ctx, g, escrowCall(kind)); err != nil {
					if proven(err) {
						t.Errorf("call %d: dying was taken for a proof: %v", at, err)
					}
					break
				}
			}
			died = ctx.Err() != nil
			w.node.set(nil)
			w.restart()
			w.do(g, evm.AttemptApprove, evm.AttemptLock)
			w.wantAllowance(money.Amount{})
			w.wantTokens(chain.EscrowAddress, 10_000)
			if t.Failed() {
				t.Fatalf("call %d: attempts %v", at, w.statuses("p1"))
			}
		})
	}
}

// A reverted release is signed again: it is ours to try until the contract says
// how the order ended.
func TestRevertedPayoutIsSignedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		g := w.grant("p1", w.locked(time.Now().Add(time.Hour)))
		w.do(g, evm.AttemptApprove, evm.AttemptLock)
		w.node.set(func(_, method string, _ raw) (any, any, bool) { return "0x5b68", nil, method == "eth_estimateGas" })
		if _, err := w.sender.Send(t.Context(), g, escrowCall(evm.AttemptRelease)); !errors.Is(err, evm.ErrReverted) {
			t.Errorf("out of gas: %v", err)
		}
		w.node.set(nil)
		w.do(g, evm.AttemptRelease)
		if got := w.statuses("p1"); !slices.Equal(got, []string{"approve final", "lock final", "release failed", "release final"}) {
			t.Errorf("attempts %v", got)
		}
		w.wantTransfers(1)
	})
}

// Stored bytes that are not what the grant says are not sent.
func TestStoredBytesAreHeldAgainstTheGrant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		g := w.grant("p1", nil)
		key, err := crypto.HexToECDSA(agentKey)
		if err != nil {
			t.Fatal(err)
		}
		id := new(big.Int).SetUint64(chain.ChainID)
		tx := types.MustSignNewTx(key, types.LatestSignerForChainID(id), &types.DynamicFeeTx{
			ChainID: id, Gas: 100_000, GasTipCap: big.NewInt(gwei), GasFeeCap: big.NewInt(9 * gwei), To: &chain.TokenAddress, Data: wallet.TransferCall(seller, money.FromUint64(10_001)),
		})
		bytes, err := tx.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		a := ledger.Attempt{Purchase: "p1", Kind: evm.AttemptTransfer, Chain: w.config.ID, Signer: us, Nonce: "0", Hash: tx.Hash().Hex(), Raw: bytes, Gas: 100_000}
		if _, err := w.ledger.SaveAttempt(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		before := w.node.count("eth_sendRawTransaction")
		var mismatch *wallet.GrantError
		if _, err := w.sender.Send(t.Context(), g, transfer); !errors.As(err, &mismatch) {
			t.Errorf("error %v, want a mismatch", err)
		}
		if n := w.node.count("eth_sendRawTransaction"); n != before {
			t.Error("sent all the same")
		}
	})
}

// Value comes back as a transfer of exactly the amount, each counted once.
func TestFindReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		find := func(amount money.Amount, skip func(string) (bool, error)) (evm.Return, bool) {
			t.Helper()
			r, ok, err := w.chain.FindReturn(t.Context(), chain.TokenAddress, us, seller, amount, 0, skip)
			if err != nil {
				t.Fatal(err)
			}
			return r, ok
		}
		if _, ok := find(price, nil); ok {
			t.Error("found before there was one")
		}
		first := w.do2(w.grant("p1", nil))
		second := w.do2(w.grant("p2", nil))
		r, ok := find(price, nil)
		if !ok || r.Tx != first.Tx || r.Block != first.Block || !r.At.Equal(first.At) || !strings.HasPrefix(r.Ref, first.Tx.Hex()+":") {
			t.Errorf("found %+v, want %+v", r, first)
		}
		r, ok = find(price, func(ref string) (bool, error) { return ref == r.Ref, nil })
		if !ok || r.Tx != second.Tx {
			t.Errorf("found %+v, want %+v", r, second)
		}
		if r, ok = find(money.FromUint64(9_999), nil); ok {
			t.Errorf("found %+v of another amount", r)
		}
		failed := errors.New("ledger")
		if _, _, err := w.chain.FindReturn(t.Context(), chain.TokenAddress, us, seller, price, 0, func(string) (bool, error) { return false, failed }); !errors.Is(err, failed) {
			t.Errorf("error %v", err)
		}
	})
}

func (w *world) do2(g policy.Grant) evm.Receipt {
	w.t.Helper()
	r, err := w.sender.Send(context.Background(), g, transfer)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// The same on a real EVM with the compiled token and escrow.
func TestEscrowOnARealEVM(t *testing.T) {
	c, err := chain.NewSimulated(chain.Config{BlockTime: time.Hour, Accounts: []chain.Account{{Address: us, Wei: big.NewInt(1e18), Tokens: big.NewInt(1_000_000)}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("close chain: %v", err)
		}
	})
	w := worldOn(t, chain.Transport(c.Handler()), func(c *evm.Config) { c.Final, c.Poll = evm.Final{}, 20*time.Millisecond })
	if err := w.sender.Ready(t.Context(), evm.AttemptLock, chain.TokenAddress, chain.EscrowAddress, price); err != nil {
		t.Fatal(err)
	}
	g := w.grant("p1", w.locked(time.Now().Add(time.Hour)))
	w.do(g, evm.AttemptApprove)
	w.wantAllowance(price)
	w.do(g, evm.AttemptRevoke)
	w.wantAllowance(money.Amount{})
	w.do(g, evm.AttemptApprove, evm.AttemptLock)
	w.wantAllowance(money.Amount{})
	if _, err := w.sender.Send(t.Context(), g, escrowCall(evm.AttemptRefund)); !errors.Is(err, evm.ErrReverted) {
		t.Errorf("refund before its time: %v", err)
	}
	r := w.do(g, evm.AttemptRelease)
	if end := w.end(g); !end.Released || end.Tx != r.Tx {
		t.Errorf("end %+v", end)
	}
	w.wantTokens(seller, 10_000)
}

// A search that finds nothing goes on where it ended, reads its newest page again,
// and once a day all of it.
func TestReturnIsSearchedForOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const page = 10
		w := newWorld(t, func(c *evm.Config) { c.LogPage = page })
		w.do2(w.grant("p1", nil))
		pages := func() int {
			t.Helper()
			before := w.node.count("eth_getLogs")
			if _, ok, err := w.chain.FindReturn(t.Context(), chain.TokenAddress, seller, us, price, 0, nil); ok || err != nil {
				t.Fatalf("found %t, %v", ok, err)
			}
			return w.node.count("eth_getLogs") - before
		}
		for range 20 * page {
			if err := w.mem.Mine(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if got := pages(); got < 20 {
			t.Errorf("the first time: got %d pages, want 20 at least", got)
		}
		if err := w.mem.Mine(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := pages(); got < 1 || got > 3 {
			t.Errorf("a block later: got %d pages, want 1 to 3", got)
		}
		time.Sleep(24*time.Hour + time.Second)
		if got := pages(); got < 20 {
			t.Errorf("a day later: got %d pages, want 20 at least", got)
		}
	})
}

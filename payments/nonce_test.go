// SPDX-License-Identifier: Apache-2.0

package payments_test

import (
	"context"
	"encoding/json"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/payments"
	"github.com/agentd-project/agentd/payments/evm"
	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/sandbox/chain"
)

// sendForeign sends a transaction to ourselves with the agent's key, as another
// program with the same key would.
func sendForeign(t *testing.T, w *world, nonce uint64) {
	t.Helper()
	key, err := crypto.HexToECDSA(agentKey)
	if err != nil {
		t.Fatal(err)
	}
	id, to := new(big.Int).SetUint64(chain.ChainID), w.wallet.Address()
	tx := types.MustSignNewTx(key, types.LatestSignerForChainID(id), &types.DynamicFeeTx{
		ChainID: id, Nonce: nonce, Gas: 21000, GasTipCap: big.NewInt(5e9), GasFeeCap: big.NewInt(100e9), To: &to,
	})
	c, err := chain.Dial(w.chain.Handler())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SendTransaction(t.Context(), tx); err != nil {
		t.Fatal(err)
	}
}

// displace takes the nonce of a transfer that is broadcast but not mined.
func displace(t *testing.T, w *world) (stuck ledger.Attempt) {
	t.Helper()
	w.chain.SetAutomine(false)
	within(t, 200*time.Millisecond, func(ctx context.Context) {
		_, _ = w.rail(policy.RailWallet).Pay(ctx, w.grant("p1", w.terms(policy.RailWallet)), payments.Job{Purchase: "p1"})
	})
	attempts, err := w.ledger.Attempts(t.Context(), "p1")
	if err != nil || len(attempts) != 1 {
		t.Fatalf("attempts %+v, %v", attempts, err)
	}
	w.chain.(*chain.Memory).Drop(common.HexToHash(attempts[0].Hash))
	w.chain.SetAutomine(true)
	sendForeign(t, w, 0)
	return attempts[0]
}

func TestDisplacedTransferIsSignedAgain(t *testing.T) {
	for name, blocks := range map[string]int{"in the newest block": 0, "37 blocks ago": 37} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			stuck := displace(t, w)
			for range blocks {
				if err := w.chain.Mine(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			w.restart()
			within(t, 20*time.Second, func(ctx context.Context) {
				e, err := w.rail(policy.RailWallet).Pay(ctx, w.regrant("p1"), payments.Job{Purchase: "p1"})
				if err != nil || e.TxHash == stuck.Hash {
					t.Errorf("paid with %s, %v", e.TxHash, err)
				}
			})
			w.wantTransfers(1)
			attempts, err := w.ledger.Attempts(t.Context(), "p1")
			if err != nil || len(attempts) != 2 || attempts[0].Status != ledger.AttemptDead || attempts[0].Ref == "" || attempts[1].Status != ledger.AttemptFinal {
				t.Errorf("attempts %+v, %v", attempts, err)
			}
		})
	}
}

func TestDisplacedTransferWaitsForFinality(t *testing.T) {
	w := newWorld(t)
	w.config.Final = evm.Final{Confirmations: 3}
	w.restart()
	displace(t, w)
	within(t, 400*time.Millisecond, func(ctx context.Context) {
		if _, err := w.rail(policy.RailWallet).Pay(ctx, w.regrant("p1"), payments.Job{Purchase: "p1"}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	})
	if attempts, err := w.ledger.Attempts(t.Context(), "p1"); err != nil || len(attempts) != 1 || !attempts[0].Status.Open() {
		t.Errorf("attempts %+v, %v", attempts, err)
	}
}

// An endpoint that says that the nonce is taken, and hides our receipt, must not
// get a second transfer out of us.
func TestLiesAboutNoncesSignNothing(t *testing.T) {
	tests := []struct {
		name string
		lie  func(method string, params json.RawMessage) any
	}{
		{"no receipt", func(method string, _ json.RawMessage) any {
			if method == "eth_getTransactionReceipt" {
				return json.RawMessage("null")
			}
			return nil
		}},
		{"no receipt, nonce taken", func(method string, _ json.RawMessage) any {
			switch method {
			case "eth_getTransactionReceipt":
				return json.RawMessage("null")
			case "eth_getTransactionCount":
				return "0xff"
			}
			return nil
		}},
		{"no receipt, nonce taken in a block without it", func(method string, params json.RawMessage) any {
			switch {
			case method == "eth_getTransactionReceipt":
				return json.RawMessage("null")
			case method == "eth_getTransactionCount" && strings.Contains(string(params), `"0x0"`):
				return "0x0"
			case method == "eth_getTransactionCount":
				return "0xff"
			case method == "eth_getBlockByNumber" && strings.Contains(string(params), "true"):
				return map[string]any{"transactions": []any{}}
			}
			return nil
		}},
		{"no receipt, a transaction with another signature", func(method string, params json.RawMessage) any {
			switch {
			case method == "eth_getTransactionReceipt":
				return json.RawMessage("null")
			case method == "eth_getTransactionCount" && strings.Contains(string(params), `"0x0"`):
				return "0x0"
			case method == "eth_getTransactionCount":
				return "0xff"
			case method == "eth_getBlockByNumber" && strings.Contains(string(params), "true"):
				return map[string]any{"transactions": []any{forged()}}
			}
			return nil
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			g := w.grant("p1", w.terms(policy.RailWallet))
			// The first answers are true, so that the transfer is sent and mined.
			w.faults.set(func(method string, _ int, _ string) fault {
				if method == "eth_sendRawTransaction" {
					w.faults.answer = tt.lie
					return lost
				}
				return none
			})
			within(t, 600*time.Millisecond, func(ctx context.Context) {
				if _, err := w.rail(policy.RailWallet).Pay(ctx, g, payments.Job{Purchase: "p1"}); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("error %v", err)
				}
			})
			if attempts, err := w.ledger.Attempts(t.Context(), "p1"); err != nil || len(attempts) != 1 || !attempts[0].Status.Open() {
				t.Errorf("attempts %+v, %v", attempts, err)
			}
			w.wantTransfers(1)
			w.faults.set(nil)
			w.faults.answer = nil
			w.restart()
			within(t, 20*time.Second, func(ctx context.Context) {
				if _, err := w.rail(policy.RailWallet).Pay(ctx, w.regrant("p1"), payments.Job{Purchase: "p1"}); err != nil {
					t.Error(err)
				}
			})
			w.wantTransfers(1)
		})
	}
}

// forged is a transaction that claims to be ours and is signed by another key.
func forged() map[string]any {
	key, err := crypto.HexToECDSA(strings.Repeat("3", 64))
	if err != nil {
		panic(err)
	}
	id := new(big.Int).SetUint64(chain.ChainID)
	tx := types.MustSignNewTx(key, types.LatestSignerForChainID(id), &types.DynamicFeeTx{ChainID: id, Gas: 21000, GasTipCap: big.NewInt(1), GasFeeCap: big.NewInt(1), To: &seller})
	doc, err := tx.MarshalJSON()
	if err != nil {
		panic(err)
	}
	var m map[string]any
	if err := json.Unmarshal(doc, &m); err != nil {
		panic(err)
	}
	m["from"] = account().Address.Hex()
	return m
}

// An endpoint that lags, or whose chain was replaced, gets no transaction that
// could never be mined.
func TestEndpointBehindOurOwnNonces(t *testing.T) {
	w := newWorld(t)
	within(t, 20*time.Second, func(ctx context.Context) {
		for _, id := range []policy.PurchaseID{"p1", "p2"} {
			if _, err := w.rail(policy.RailWallet).Pay(ctx, w.grant(id, w.terms(policy.RailWallet)), payments.Job{Purchase: id}); err != nil {
				t.Fatal(err)
			}
		}
		w.faults.answer = func(method string, _ json.RawMessage) any {
			if method == "eth_getTransactionCount" {
				return hexutil.Uint64(1)
			}
			return nil
		}
		g := w.grant("p3", w.terms(policy.RailWallet))
		if _, err := w.rail(policy.RailWallet).Pay(ctx, g, payments.Job{Purchase: "p3"}); evm.Classify(err) != evm.ActionAbsent || refusalOf(err) != "" {
			t.Errorf("error %v", err)
		}
		w.faults.answer = nil
		if _, err := w.rail(policy.RailWallet).Pay(ctx, g, payments.Job{Purchase: "p3"}); err != nil {
			t.Error(err)
		}
	})
	w.wantTransfers(3)
}

// A reorg takes the transfer out again before it is final; the same bytes go back in.
func TestReorgBeforeFinality(t *testing.T) {
	w := newWorld(t)
	w.config.Final = evm.Final{Confirmations: 3}
	w.restart()
	g := w.grant("p1", w.terms(policy.RailWallet))
	within(t, 300*time.Millisecond, func(ctx context.Context) {
		_, _ = w.rail(policy.RailWallet).Pay(ctx, g, payments.Job{Purchase: "p1"})
	})
	m := w.chain.(*chain.Memory)
	before, err := w.ledger.Attempts(t.Context(), "p1")
	if err != nil || before[0].Status != ledger.AttemptMined {
		t.Fatalf("attempts %+v, %v", before, err)
	}
	if err := m.Reorg(1); err != nil {
		t.Fatal(err)
	}
	m.Drop(common.HexToHash(before[0].Hash))
	w.wantTransfers(0)
	w.restart()
	done := make(chan error)
	within(t, 20*time.Second, func(ctx context.Context) {
		go func() {
			_, err := w.rail(policy.RailWallet).Pay(ctx, w.regrant("p1"), payments.Job{Purchase: "p1"})
			done <- err
		}()
		for {
			select {
			case err := <-done:
				if err != nil {
					t.Error(err)
				}
				return
			case <-time.After(20 * time.Millisecond):
				if err := m.Mine(ctx); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
	w.wantTransfers(1)
	after, err := w.ledger.Attempts(t.Context(), "p1")
	if err != nil || len(after) != 1 || after[0].Hash != before[0].Hash || after[0].Status != ledger.AttemptFinal {
		t.Errorf("attempts %+v, %v", after, err)
	}
}

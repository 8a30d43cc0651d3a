// SPDX-License-Identifier: Apache-2.0

package chain_test

import (
	"errors"
	"math/big"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/agentd-project/agentd/sandbox/chain"
)

// inBubble runs a test on a chain in memory whose clock is the bubble's.
func inBubble(t *testing.T, c chain.Config, run func(*testing.T, *world, *chain.Memory)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, openMemory, c)
		run(t, w, w.chain.(*chain.Memory))
	})
}

func TestMemoryFollowsClock(t *testing.T) {
	inBubble(t, chain.Config{BlockTime: 2 * time.Second}, func(t *testing.T, w *world, _ *chain.Memory) {
		for _, c := range []struct {
			name       string
			wait       time.Duration
			blocks     uint64
			secondsAgo int64
		}{
			{"before the first", 1999 * time.Millisecond, 0, 2},
			{"the first", time.Millisecond, 1, 0},
			{"between two", 3 * time.Second, 2, 1},
			{"ten more", 19 * time.Second, 12, 0},
			{"a day later", 24 * time.Hour, 12 + 64, 0},
		} {
			<-time.After(c.wait)
			head, err := w.chain.Head(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got := head.Number.Uint64(); got != c.blocks {
				t.Errorf("%s: got block %d, want %d", c.name, got, c.blocks)
			}
			if got := time.Now().Unix() - int64(head.Time); got != c.secondsAgo {
				t.Errorf("%s: head is %d s old, want %d", c.name, got, c.secondsAgo)
			}
		}
	})
}

func TestMemoryConfirmations(t *testing.T) {
	inBubble(t, chain.Config{}, func(t *testing.T, w *world, _ *chain.Memory) {
		tx := w.signed(t, chain.TokenAddress, pack(t, w.token, "transfer", w.payee, big.NewInt(1)), nil)
		w.send(t, tx)
		mined := w.receipt(t, tx.Hash()).BlockNumber.Uint64()
		<-time.After(2 * time.Second)
		head, err := w.chain.Head(t.Context())
		if err != nil || head.Number.Uint64()-mined+1 != 3 {
			t.Errorf("confirmations after 2 s: got head %v, %v of block %d, want 3", head.Number, err, mined)
		}
	})
}

func TestMemoryDrop(t *testing.T) {
	inBubble(t, chain.Config{BlockTime: -1}, func(t *testing.T, w *world, m *chain.Memory) {
		m.SetAutomine(false)
		tx := w.signed(t, chain.TokenAddress, pack(t, w.token, "transfer", w.payee, big.NewInt(1)), nil)
		w.send(t, tx)
		if !m.Drop(tx.Hash()) || m.Drop(tx.Hash()) {
			t.Error("drop: want true, then false")
		}
		m.SetAutomine(true)
		if r, err := m.Receipt(t.Context(), tx.Hash()); r != nil || err != nil {
			t.Errorf("receipt of a dropped transaction: got %v, %v", r, err)
		}
		w.send(t, tx)
		w.receipt(t, tx.Hash())
	})
}

func TestMemoryReorg(t *testing.T) {
	inBubble(t, chain.Config{BlockTime: -1}, func(t *testing.T, w *world, m *chain.Memory) {
		input := pack(t, w.token, "transfer", w.payee, big.NewInt(1))
		kept := w.signed(t, chain.TokenAddress, input, nil)
		w.send(t, kept)
		moved := w.signed(t, chain.TokenAddress, input, nil)
		w.send(t, moved)
		before := w.receipt(t, moved.Hash())
		if err := m.Reorg(1); err != nil {
			t.Fatal(err)
		}
		w.receipt(t, kept.Hash())
		if r, err := m.Receipt(t.Context(), moved.Hash()); r != nil || err != nil {
			t.Errorf("receipt after the reorganisation: got %v, %v, want none", r, err)
		}
		w.wantBalance(t, w.payee, 1)
		if got, err := m.Transfers(t.Context(), 0); err != nil || len(got) != 1 {
			t.Errorf("transfers: got %v, %v, want 1", got, err)
		}
		if err := m.Mine(t.Context()); err != nil {
			t.Fatal(err)
		}
		after := w.receipt(t, moved.Hash())
		if after.BlockHash == before.BlockHash || after.BlockNumber.Uint64() != before.BlockNumber.Uint64()+2 {
			t.Errorf("mined again in block %s %s, was in %s %s", after.BlockNumber, after.BlockHash, before.BlockNumber, before.BlockHash)
		}
		w.wantBalance(t, w.payee, 2)
		if err := m.Reorg(99); !errors.Is(err, chain.ErrTooDeep) {
			t.Errorf("past genesis: got %v, want ErrTooDeep", err)
		}
	})
}

func TestMemoryBaseFee(t *testing.T) {
	inBubble(t, chain.Config{BlockTime: -1}, func(t *testing.T, w *world, m *chain.Memory) {
		m.SetBaseFee(big.NewInt(100e9))
		input := pack(t, w.token, "transfer", w.payee, big.NewInt(1))
		cheap := w.signed(t, chain.TokenAddress, input, nil)
		w.send(t, cheap)
		if r, err := m.Receipt(t.Context(), cheap.Hash()); r != nil || err != nil {
			t.Errorf("below the base fee: got %v, %v, want no receipt", r, err)
		}
		bumped := w.signed(t, chain.TokenAddress, input, func(d *types.DynamicFeeTx) {
			d.Nonce, d.GasTipCap, d.GasFeeCap = 0, big.NewInt(2e9), big.NewInt(200e9)
		})
		w.send(t, bumped)
		r := w.receipt(t, bumped.Hash())
		if want := big.NewInt(102e9); r.EffectiveGasPrice.Cmp(want) != 0 {
			t.Errorf("price: got %s, want %s", r.EffectiveGasPrice, want)
		}
		w.wantBalance(t, w.payee, 1)
	})
}

// Past states are right near the newest block, where they are kept, and far
// below it, where they are made anew; reading them changes nothing, and a
// reorganisation is no way around that.
func TestMemoryPast(t *testing.T) {
	inBubble(t, chain.Config{BlockTime: -1}, func(t *testing.T, w *world, m *chain.Memory) {
		const blocks = 80
		for range blocks {
			w.send(t, w.signed(t, w.payee, nil, func(d *types.DynamicFeeTx) { d.Value, d.Gas = big.NewInt(10), 21_000 }))
		}
		past := func(name string, mined int64) {
			t.Helper()
			for number := range mined + 1 {
				got, err := w.eth.BalanceAt(t.Context(), w.payee, big.NewInt(number))
				if err != nil || got.Int64() != 10*number {
					t.Errorf("%s, block %d: got %v, %v, want %d", name, number, got, err, 10*number)
				}
			}
		}
		past("as mined", blocks)
		past("read again", blocks)
		// A call that writes on a past state leaves both that and the newest as they were.
		input := pack(t, w.token, "transfer", w.payee, big.NewInt(5))
		to := chain.TokenAddress
		for _, number := range []int64{1, blocks - 1, blocks} {
			if _, err := w.eth.CallContract(t.Context(), ethereum.CallMsg{From: w.payer, To: &to, Data: input}, big.NewInt(number)); err != nil {
				t.Errorf("call on block %d: %v", number, err)
			}
		}
		w.wantBalance(t, w.payee, 0)
		if err := m.Reorg(3); err != nil {
			t.Fatal(err)
		}
		past("below the fork", blocks-3)
		if err := m.Mine(t.Context()); err != nil {
			t.Fatal(err)
		}
		got, err := w.eth.BalanceAt(t.Context(), w.payee, nil)
		if err != nil || got.Int64() != 10*blocks {
			t.Errorf("mined again: got %v, %v, want %d", got, err, 10*blocks)
		}
		past("below the fork, later", blocks-3)
	})
}

func TestMemoryOutOfGas(t *testing.T) {
	inBubble(t, chain.Config{BlockTime: -1}, func(t *testing.T, w *world, _ *chain.Memory) {
		tx := w.signed(t, chain.TokenAddress, pack(t, w.token, "transfer", w.payee, big.NewInt(1)), func(d *types.DynamicFeeTx) { d.Gas = 30_000 })
		w.send(t, tx)
		if r := w.receipt(t, tx.Hash()); r.Status != types.ReceiptStatusFailed || r.GasUsed != 30_000 {
			t.Errorf("got status %d, gas %d, want failed, 30000", r.Status, r.GasUsed)
		}
		w.wantBalance(t, w.payee, 0)
	})
}

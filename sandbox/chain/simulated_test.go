// SPDX-License-Identifier: Apache-2.0

package chain_test

import (
	"errors"
	"io"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/ethclient"
	"go.uber.org/goleak"

	"github.com/agentd-project/agentd/sandbox/chain"
)

func TestSimulatedSocket(t *testing.T) {
	w := newWorld(t, openSimulated, chain.Config{BlockTime: -1})
	client, err := ethclient.DialContext(t.Context(), w.chain.RPCURL())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	tx := w.signed(t, chain.TokenAddress, pack(t, w.token, "transfer", w.payee, big.NewInt(5)), nil)
	if err := client.SendTransaction(t.Context(), tx); err != nil {
		t.Fatal(err)
	}
	if r, err := client.TransactionReceipt(t.Context(), tx.Hash()); err != nil || r.Status != types.ReceiptStatusSuccessful {
		t.Errorf("receipt: got %v, %v", r, err)
	}
	if !strings.HasPrefix(w.chain.RPCURL(), "http://127.0.0.1:") {
		t.Errorf("URL: got %s", w.chain.RPCURL())
	}
	res, err := http.Get(w.chain.RPCURL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET: got %s", res.Status)
	}
}

// TestSimulatedBurst sends fifty settlements at once: block time must not run away, and none may be lost.
func TestSimulatedBurst(t *testing.T) {
	w := newWorld(t, openSimulated, chain.Config{BlockTime: -1})
	const purchases = 50
	before := w.headTime(t) + 300
	hashes := make([]common.Hash, purchases)
	begin := time.Now()
	var running sync.WaitGroup
	for i := range purchases {
		a := w.authorize(t, 1, 0, before, [32]byte{byte(i + 1)})
		running.Go(func() {
			var err error
			if hashes[i], err = w.chain.Settle(t.Context(), a); err != nil {
				t.Error(err)
			}
			// Time within the protocol's rules is checked at each, not only at the end.
			head, err := w.chain.Head(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			if ahead := time.Until(time.Unix(int64(head.Time), 0)); ahead > chain.DefaultMaxAhead {
				t.Errorf("block time is %s ahead", ahead)
			}
		})
	}
	running.Wait()
	w.wantBalance(t, w.payee, purchases)
	t.Logf("%d settlements in %s", purchases, time.Since(begin))
}

func TestSimulatedPeriodicBlocks(t *testing.T) {
	w := newWorld(t, openSimulated, chain.Config{Now: time.Now})
	deadline := time.Now().Add(20 * time.Second)
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for ; ; <-ticker.C {
		head, err := w.chain.Head(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if ahead := time.Until(time.Unix(int64(head.Time), 0)); ahead > time.Second {
			t.Fatalf("block time is %s ahead", ahead)
		}
		if head.Number.Uint64() >= 3 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("block %s after 20 s, want 3", head.Number)
		}
	}
}

func TestSimulatedRefuses(t *testing.T) {
	first := openSimulated(t, chain.Config{})
	t.Cleanup(func() { _ = first.Close() })
	port := 0
	for _, digit := range first.RPCURL()[strings.LastIndex(first.RPCURL(), ":")+1:] {
		port = port*10 + int(digit-'0')
	}
	for _, c := range []struct {
		name string
		c    chain.Config
		want string
	}{
		{"port in use", chain.Config{HTTPPort: port}, "address already in use"},
		{"clock ahead", chain.Config{Now: func() time.Time { return time.Now().Add(time.Hour) }}, "off the wall clock"},
		{"clock behind", chain.Config{Now: func() time.Time { return time.Unix(0, 0) }}, "off the wall clock"},
	} {
		s, err := chain.NewSimulated(c.c)
		if err == nil {
			_ = s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", c.name, err, c.want)
		}
	}
}

func TestSimulatedClose(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	w := newWorld(t, openSimulated, chain.Config{})
	s := w.chain
	s.SetAutomine(false)
	a := w.authorize(t, 1, 0, w.headTime(t)+300, [32]byte{1})
	waiting := make(chan error, 1)
	go func() {
		_, err := s.Settle(t.Context(), a)
		waiting <- err
	}()
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := <-waiting; err == nil {
		t.Error("settle while the chain closes: got no error")
	}
	if err := s.Mine(t.Context()); !errors.Is(err, chain.ErrClosed) {
		t.Errorf("mine after close: got %v, want ErrClosed", err)
	}
	goleak.VerifyNone(t, ignore,
		// The database that the peer-to-peer layer keeps in memory lets this one go a second after it is closed.
		goleak.IgnoreTopFunction("github.com/syndtr/goleveldb/leveldb.(*DB).mpoolDrain"),
		// The library starts these once in a process.
		goleak.IgnoreTopFunction("github.com/ethereum/go-ethereum/core.(*txSenderCacher).cache"))
}

func TestTransport(t *testing.T) {
	for _, c := range []struct {
		name, method, body string
		status             int
		want               string
	}{
		{"one", "POST", `{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}`, 200, `{"jsonrpc":"2.0","id":1,"result":"0x14a34"}`},
		{"batch", "POST", ` [{"jsonrpc":"2.0","id":"a","method":"eth_chainId","params":[]}]`, 200, `[{"jsonrpc":"2.0","id":"a","result":"0x14a34"}]`},
		{"null result", "POST", `{"jsonrpc":"2.0","id":1,"method":"eth_getTransactionReceipt","params":["0x` + strings.Repeat("0", 64) + `"]}`, 200, `{"jsonrpc":"2.0","id":1,"result":null}`},
		{"empty batch", "POST", `[]`, 200, `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"empty batch"}}`},
		{"no JSON", "POST", `{`, 200, `{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"parse error"}}`},
		{"no JSON in a batch", "POST", `[{`, 200, `{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"parse error"}}`},
		{"named parameters", "POST", `{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":{}}`, 200, `{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"non-array args"}}`},
		{"no version", "POST", `{"id":1,"method":"eth_chainId"}`, 200, `{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"invalid request"}}`},
		{"GET", "GET", "", 405, "method not allowed"},
		{"too large", "POST", strings.Repeat(" ", 5<<20+1), 413, "content length too large"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hc := http.Client{Transport: chain.Transport(openMemory(t, chain.Config{}).Handler())}
				r, err := http.NewRequestWithContext(t.Context(), c.method, "http://chain.invalid", strings.NewReader(c.body))
				if err != nil {
					t.Fatal(err)
				}
				res, err := hc.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = res.Body.Close() }()
				text, err := io.ReadAll(res.Body)
				if err != nil || res.StatusCode != c.status || strings.TrimSpace(string(text)) != c.want {
					t.Errorf("got %d %s, %v, want %d %s", res.StatusCode, text, err, c.status, c.want)
				}
			})
		})
	}
}

func TestSimulatedReorg(t *testing.T) {
	w := newWorld(t, openSimulated, chain.Config{BlockTime: -1, MaxAhead: time.Minute})
	s := w.chain.(*chain.Simulated)
	input := pack(t, w.token, "transfer", w.payee, big.NewInt(1))
	kept := w.signed(t, chain.TokenAddress, input, nil)
	w.send(t, kept)
	moved := w.signed(t, chain.TokenAddress, input, nil)
	w.send(t, moved)
	before := w.receipt(t, moved.Hash())
	if err := s.Reorg(1); err != nil {
		t.Fatal(err)
	}
	w.receipt(t, kept.Hash())
	after := w.receipt(t, moved.Hash())
	if after.BlockHash == before.BlockHash {
		t.Errorf("still in block %s %s", after.BlockNumber, after.BlockHash)
	}
	w.wantBalance(t, w.payee, 2)
	if got, err := s.Transfers(t.Context(), 0); err != nil || len(got) != 2 {
		t.Errorf("transfers: got %v, %v, want 2", got, err)
	}
	if err := s.Reorg(99); !errors.Is(err, chain.ErrTooDeep) {
		t.Errorf("past genesis: got %v, want ErrTooDeep", err)
	}
}

// SPDX-License-Identifier: Apache-2.0

package evm_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/rpc"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/payments/evm"
	"github.com/agentd-project/agentd/sandbox/chain"
	"github.com/agentd-project/agentd/sandbox/contracts"
	"github.com/agentd-project/agentd/wallet"
)

// anvil is a world on an anvil process of the test's own, which mines on demand.
type anvil struct {
	*world
	rpc *rpc.Client
}

// newAnvil starts the program that AGENTD_ANVIL names; scripts/anvil.sh installs it.
func newAnvil(t *testing.T) *anvil {
	t.Helper()
	path := os.Getenv("AGENTD_ANVIL")
	if path == "" {
		t.Skip("AGENTD_ANVIL names no anvil; run scripts/anvil.sh")
	}
	url := startAnvil(t, path)
	client, err := rpc.DialContext(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	a := &anvil{rpc: client}
	a.world = worldOn(t, transport, func(c *evm.Config) {
		c.RPC = []string{url}
		c.Final, c.Poll, c.Resend, c.Replace = evm.Final{Confirmations: 3}, 20*time.Millisecond, 100*time.Millisecond, 300*time.Millisecond
	})
	a.furnish()
	return a
}

// startAnvil returns the address that the process says it listens at.
func startAnvil(t *testing.T, path string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), path, "--host", "127.0.0.1", "--port", "0", "--chain-id", "84532", "--no-mining") //nolint:gosec // the owner's choice
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	listening := regexp.MustCompile(`Listening on (127\.0\.0\.1:[0-9]+)`)
	found := make(chan string, 1)
	go func() {
		defer close(found)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if m := listening.FindStringSubmatch(lines.Text()); m != nil {
				found <- "http://" + m[1]
				break
			}
		}
		_, _ = io.Copy(io.Discard, out)
	}()
	select {
	case url, ok := <-found:
		if ok {
			return url
		}
	case <-time.After(30 * time.Second):
	}
	t.Fatal("anvil does not listen")
	return ""
}

// furnish puts the contracts where the sandbox has them and gives us coin and tokens.
func (a *anvil) furnish() {
	a.t.Helper()
	token, err := contracts.TestToken()
	if err != nil {
		a.t.Fatal(err)
	}
	escrow, err := contracts.Escrow()
	if err != nil {
		a.t.Fatal(err)
	}
	// Without its immutables the token knows no EIP-712 domain, which nothing here needs.
	a.call("anvil_setCode", chain.TokenAddress, token.DeployedBytecode)
	a.call("anvil_setCode", chain.EscrowAddress, escrow.DeployedBytecode)
	a.call("anvil_setBalance", us, "0xde0b6b3a7640000")
	a.call("anvil_setBalance", seller, "0xde0b6b3a7640000")
	a.call("anvil_impersonateAccount", seller)
	mint, err := token.ABI.Pack("mint", us, price.Big())
	if err != nil {
		a.t.Fatal(err)
	}
	a.call("eth_sendTransaction", map[string]any{"from": seller, "to": chain.TokenAddress, "data": hexutil.Bytes(mint)})
	a.mine(5) // out of reach of the tests' reorganisations
	a.wantTokens(us, 10_000)
}

func (a *anvil) call(method string, args ...any) {
	a.t.Helper()
	if err := a.rpc.CallContext(context.Background(), nil, method, args...); err != nil {
		a.t.Fatalf("%s: %v", method, err)
	}
}

func (a *anvil) mine(blocks int) {
	a.t.Helper()
	for range blocks {
		a.call("evm_mine")
	}
}

// until waits for something to become true, mining or not meanwhile.
func (a *anvil) until(what string, each func(), ok func() bool) {
	a.t.Helper()
	tick := time.NewTicker(30 * time.Millisecond)
	defer tick.Stop()
	for range 1000 {
		if ok() {
			return
		}
		<-tick.C
		if each != nil {
			each()
		}
	}
	a.t.Fatalf("in vain: %s; attempts %v, stuck %+v", what, a.statuses("p1"), a.sender.Stuck())
}

// finish mines until a call is decided.
func (a *anvil) finish(done <-chan result) (r result) {
	a.t.Helper()
	a.until("the call is decided", func() { a.mine(1) }, func() bool {
		select {
		case r = <-done:
			return true
		default:
			return false
		}
	})
	return r
}

// underWay has a transfer in the pool.
func (a *anvil) underWay(t *testing.T) <-chan result {
	t.Helper()
	done := a.send(t.Context(), a.grant("p1", nil), transfer)
	a.until("it is broadcast", nil, func() bool { return slices.Equal(a.statuses("p1"), []string{"transfer broadcast"}) })
	return done
}

// mined has the bytes in the pool, however often they were forgotten, and then in
// one block.
func (a *anvil) mined() {
	a.t.Helper()
	before := a.node.count("eth_sendRawTransaction")
	a.until("it is sent again", nil, func() bool { return a.node.count("eth_sendRawTransaction") > before })
	a.mine(1)
	a.until("it is seen mined", nil, func() bool { return slices.Equal(a.statuses("p1"), []string{"transfer mined"}) })
}

func (a *anvil) wantPaid(r result, statuses ...string) {
	a.t.Helper()
	if r.err != nil {
		a.t.Error(r.err)
	}
	if got := a.statuses("p1"); !slices.Equal(got, statuses) {
		a.t.Errorf("attempts %v, want %v", got, statuses)
	}
	a.wantTokens(us, 0)
	a.wantTokens(seller, 10_000)
}

func TestAnvilDrop(t *testing.T) {
	a := newAnvil(t)
	done := a.underWay(t)
	for range 3 {
		a.call("anvil_dropAllTransactions")
		before := a.node.count("eth_sendRawTransaction")
		a.until("it is sent again", nil, func() bool { return a.node.count("eth_sendRawTransaction") > before })
	}
	a.wantPaid(a.finish(done), "transfer final")
}

// anvil forgets the transactions of blocks that it replaces.
func TestAnvilReorg(t *testing.T) {
	a := newAnvil(t)
	done := a.underWay(t)
	for range 3 {
		a.mined()
		a.call("anvil_reorg", 2, []any{})
		a.until("it is seen to be gone", nil, func() bool { return slices.Equal(a.statuses("p1"), []string{"transfer broadcast"}) })
		a.wantTokens(seller, 0)
	}
	a.wantPaid(a.finish(done), "transfer final")
}

// The transaction moves to another block of the new branch.
func TestAnvilReorgToAnotherBlock(t *testing.T) {
	a := newAnvil(t)
	done := a.underWay(t)
	a.mined()
	first := a.attempts("p1")[0]
	a.call("anvil_reorg", 2, []any{[]any{hexutil.Bytes(first.Raw), 1}})
	r := a.finish(done)
	a.wantPaid(r, "transfer final")
	if got := a.attempts("p1")[0]; got.Ref == first.Ref || got.Hash != r.Tx.Hex() {
		t.Errorf("in block %s as before, or another transaction: %+v", got.Ref, r)
	}
}

func TestAnvilReplace(t *testing.T) {
	a := newAnvil(t)
	done := a.underWay(t)
	a.until("it is replaced", func() {
		a.call("anvil_setNextBlockBaseFeePerGas", hexutil.Uint64(20e9))
		a.mine(1)
	}, func() bool { return len(a.attempts("p1")) > 1 })
	r := a.finish(done)
	all := a.attempts("p1")
	if len(all) < 2 || all[0].Nonce != all[1].Nonce {
		t.Fatalf("attempts %v", a.statuses("p1"))
	}
	final := slices.IndexFunc(all, func(a ledger.Attempt) bool { return a.Status == ledger.AttemptFinal })
	if r.err != nil || final < 1 || all[final].Hash != r.Tx.Hex() {
		t.Errorf("%s, %v, attempts %v", r.Tx, r.err, a.statuses("p1"))
	}
	a.wantTokens(seller, 10_000)
}

func TestAnvilReplacedBySomeone(t *testing.T) {
	a := newAnvil(t)
	done := a.underWay(t)
	a.call("anvil_dropAllTransactions")
	a.call("anvil_impersonateAccount", us)
	a.call("eth_sendTransaction", map[string]any{"from": us, "to": us, "nonce": "0x0", "gas": "0x5208", "maxFeePerGas": hexutil.Uint64(50e9), "maxPriorityFeePerGas": hexutil.Uint64(30e9)})
	a.mine(4)
	// The foreign transaction of an impersonated account carries no valid signature,
	// so it is no proof: nothing is signed again on an endpoint's word.
	before := a.node.count("eth_getBlockByNumber")
	a.until("the lane is looked at", nil, func() bool { return a.node.count("eth_getBlockByNumber") > before+20 })
	if got := a.statuses("p1"); len(got) != 1 {
		t.Errorf("attempts %v", got)
	}
	a.call("anvil_reorg", 4, []any{})
	a.wantPaid(a.finish(done), "transfer final")
}

func TestAnvilCancel(t *testing.T) {
	a := newAnvil(t)
	done := a.underWay(t)
	if err := a.sender.Cancel(t.Context(), "p1"); err != nil {
		t.Fatal(err)
	}
	if r := a.finish(done); !errors.Is(r.err, evm.ErrCancelled) {
		t.Errorf("error %v, want ErrCancelled", r.err)
	}
	a.wantTokens(us, 10_000)
}

func TestAnvilEscrow(t *testing.T) {
	a := newAnvil(t)
	abi := wallet.DefaultEscrowABI()
	g := a.grant("p1", a.locked(time.Now().Add(24*time.Hour)))
	for _, kind := range []string{evm.AttemptApprove, evm.AttemptLock} {
		if r := a.finish(a.send(t.Context(), g, escrowCall(kind))); r.err != nil {
			t.Fatalf("%s: %v", kind, r.err)
		}
	}
	a.wantTokens(chain.EscrowAddress, 10_000)
	if _, err := a.sender.Send(t.Context(), g, escrowCall(evm.AttemptRefund)); !errors.Is(err, evm.ErrReverted) {
		t.Errorf("before its time: %v", err)
	}
	a.call("evm_increaseTime", 25*60*60)
	a.mine(1)
	if r := a.finish(a.send(t.Context(), g, escrowCall(evm.AttemptRefund))); r.err != nil {
		t.Fatal(r.err)
	}
	end, err := a.chain.FindEscrowEnd(t.Context(), chain.EscrowAddress, &abi, crypto.Keccak256Hash([]byte("ord_1")), time.Time{})
	if err != nil || !end.Refunded || end.Tx == (common.Hash{}) {
		t.Errorf("end %+v, %v", end, err)
	}
	a.wantTokens(us, 10_000)
}

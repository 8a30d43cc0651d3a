// SPDX-License-Identifier: Apache-2.0

package chain_test

import (
	"crypto/ecdsa"
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/rpc"
	"github.com/google/go-cmp/cmp"

	"github.com/agentd-project/agentd/sandbox/chain"
)

// pair is both chains with the same three accounts.
type pair struct {
	simulated, memory *world
	keys              []*ecdsa.PrivateKey
	addresses         []common.Address
	random            *rand.Rand
	// signed are authorizations made so far, to be replayed.
	signed [][]any
}

func newPair(t *testing.T, seed uint64) *pair {
	t.Helper()
	p := &pair{random: rand.New(rand.NewPCG(seed, seed))}
	c := chain.Config{BlockTime: -1}
	for range 3 {
		key, address := newKey(t)
		p.keys, p.addresses = append(p.keys, key), append(p.addresses, address)
		c.Accounts = append(c.Accounts, chain.Account{Address: address, Wei: big.NewInt(1e18), Tokens: big.NewInt(1000)})
	}
	p.simulated, p.memory = newWorld(t, openSimulated, c), newWorld(t, openMemory, c)
	p.simulated.chain.SetAutomine(false)
	return p
}

// outcome is what a call or a transaction did, without where and for how much gas.
type outcome struct {
	Result, Revert string
	Status         uint64
	Logs           []string
}

func pick[T any](p *pair, from []T) T { return from[p.random.IntN(len(from))] }

func (p *pair) address() common.Address {
	return pick(p, append([]common.Address{{}, chain.EscrowAddress}, append(p.addresses, p.addresses...)...))
}

func (p *pair) amount() *big.Int {
	return pick(p, []*big.Int{new(big.Int), big.NewInt(1), big.NewInt(300), big.NewInt(300), big.NewInt(2000), new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1))})
}

func (p *pair) id() [32]byte { return [32]byte{byte(p.random.IntN(6))} }

// authorization returns arguments of transferWithAuthorization, receiveWithAuthorization or cancelAuthorization, most well signed.
func (p *pair) authorization(t *testing.T, typeName string, args []any) []any {
	t.Helper()
	inner := crypto.Keccak256([]byte(typeName))
	for _, a := range args {
		switch a := a.(type) {
		case common.Address:
			inner = append(inner, common.LeftPadBytes(a[:], 32)...)
		case *big.Int:
			inner = append(inner, common.BigToHash(a).Bytes()...)
		case [32]byte:
			inner = append(inner, a[:]...)
		}
	}
	separator := p.memory.view(t, "DOMAIN_SEPARATOR")[0].([32]byte)
	key := pick(p, p.keys)
	for i, address := range p.addresses {
		if address == args[0] && p.random.IntN(8) > 0 {
			key = p.keys[i]
		}
	}
	sig, err := crypto.Sign(crypto.Keccak256([]byte("\x19\x01"), separator[:], crypto.Keccak256(inner)), key)
	if err != nil {
		t.Fatal(err)
	}
	v, r, s := sig[64]+27, [32]byte(sig[:32]), [32]byte(sig[32:64])
	switch p.random.IntN(20) {
	case 0:
		v = 0
	case 1:
		r = [32]byte{}
	case 2:
		for i := range s {
			s[i] = 0xff
		}
	}
	return append(args, v, r, s)
}

const (
	transferType = "TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
	receiveType  = "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
	cancelType   = "CancelAuthorization(address authorizer,bytes32 nonce)"
)

// call returns a random call: its contract, a name for failures and its input.
func (p *pair) call(t *testing.T) (common.Address, string, []byte) {
	t.Helper()
	token := func(method string, args ...any) (common.Address, string, []byte) {
		return chain.TokenAddress, fmt.Sprint(method, args), pack(t, p.memory.token, method, args...)
	}
	escrow := func(method string, args ...any) (common.Address, string, []byte) {
		return chain.EscrowAddress, fmt.Sprint(method, args), pack(t, p.memory.escrow, method, args...)
	}
	far := new(big.Int).Lsh(big.NewInt(1), 40)
	times := []*big.Int{new(big.Int), far, far, far}
	switch p.random.IntN(16) {
	case 0, 1:
		return token("transfer", p.address(), p.amount())
	case 2:
		return token("approve", p.address(), p.amount())
	case 3, 4:
		return token("approve", chain.EscrowAddress, big.NewInt(300))
	case 5:
		return token("transferFrom", p.address(), p.address(), p.amount())
	case 6:
		return token("mint", p.address(), p.amount())
	case 7, 8:
		args := []any{p.address(), p.address(), p.amount(), pick(p, []*big.Int{new(big.Int), new(big.Int), far}), pick(p, times), p.id()}
		p.signed = append(p.signed, p.authorization(t, transferType, args))
		return token("transferWithAuthorization", p.signed[len(p.signed)-1]...)
	case 9:
		if len(p.signed) > 0 {
			return token("transferWithAuthorization", pick(p, p.signed)...)
		}
		return token("totalSupply")
	case 10:
		return token("receiveWithAuthorization", p.authorization(t, receiveType, []any{p.address(), p.address(), big.NewInt(1), new(big.Int), far, p.id()})...)
	case 11:
		return token("cancelAuthorization", p.authorization(t, cancelType, []any{p.address(), p.id()})...)
	case 12, 13:
		deadline := pick(p, []*big.Int{new(big.Int), far, far, far, new(big.Int).Lsh(big.NewInt(1), 64)})
		return escrow("lock", p.id(), pick(p, []common.Address{chain.TokenAddress, chain.TokenAddress, chain.TokenAddress, p.addresses[0]}), p.address(),
			pick(p, []*big.Int{new(big.Int), big.NewInt(300), big.NewInt(300)}), deadline)
	case 14:
		return escrow("release", p.id())
	}
	return escrow("refund", p.id())
}

func (w *world) try(t *testing.T, from, to common.Address, input []byte) outcome {
	t.Helper()
	ret, err := w.eth.CallContract(t.Context(), ethereum.CallMsg{From: from, To: &to, Data: input}, nil)
	if err == nil {
		return outcome{Result: hexutil.Encode(ret)}
	}
	// A node leaves the data out where there is none.
	o := outcome{Revert: "0x"}
	if withData, ok := errors.AsType[rpc.DataError](err); ok && withData.ErrorData() != nil {
		o.Revert = fmt.Sprint(withData.ErrorData())
	}
	return o
}

func (w *world) do(t *testing.T, key *ecdsa.PrivateKey, to common.Address, input []byte) outcome {
	t.Helper()
	tx := w.signedBy(t, key, to, input, func(d *types.DynamicFeeTx) { d.Gas = 500_000 })
	w.send(t, tx)
	if err := w.chain.Mine(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := w.receipt(t, tx.Hash())
	o := outcome{Status: r.Status}
	for _, l := range r.Logs {
		o.Logs = append(o.Logs, fmt.Sprintf("%s %v %x", l.Address, l.Topics, l.Data))
	}
	return o
}

// TestAlike runs the same random calls on both chains. The one in memory is written by hand; the other one is the compiled contracts.
func TestAlike(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			p := newPair(t, seed)
			succeeded := 0
			for step := range 120 {
				to, name, input := p.call(t)
				i := p.random.IntN(len(p.keys))
				got, want := p.memory.try(t, p.addresses[i], to, input), p.simulated.try(t, p.addresses[i], to, input)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("step %d, call %s by %s: (-simulated +memory)\n%s", step, name, p.addresses[i], diff)
				}
				got, want = p.memory.do(t, p.keys[i], to, input), p.simulated.do(t, p.keys[i], to, input)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("step %d, transaction %s by %s: (-simulated +memory)\n%s", step, name, p.addresses[i], diff)
				}
				succeeded += int(got.Status)
			}
			if succeeded < 20 {
				t.Errorf("%d of 120 transactions succeeded: the test reaches too little", succeeded)
			}
			t.Logf("%d of 120 transactions succeeded", succeeded)
		})
	}
}

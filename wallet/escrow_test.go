// SPDX-License-Identifier: Apache-2.0

package wallet_test

import (
	"bytes"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"pgregory.net/rapid"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/sandbox/contracts"
	"github.com/agentd-project/agentd/wallet"
)

var (
	escrow   = common.HexToAddress("0x5555555555555555555555555555555555555555")
	orderID  = crypto.Keccak256Hash([]byte("ord_1"))
	refundAt = signedAt.Add(24 * time.Hour)
)

func lockTerms() policy.Terms {
	terms := transferTerms()
	terms.Rail, terms.Escrow, terms.Lock, terms.Order, terms.RefundFrom = policy.RailOnchainEscrow, escrow, true, orderID, refundAt
	return terms
}

func gasOf() wallet.Gas {
	return wallet.Gas{ChainID: 84532, Nonce: 7, Gas: 120_000, TipCap: money.FromUint64(1e9), FeeCap: money.FromUint64(3e9)}
}

func escrowCall(w *wallet.Wallet) wallet.EscrowCall {
	return wallet.EscrowCall{Gas: gasOf(), ABI: wallet.DefaultEscrowABI(), Escrow: escrow, EscrowFields: wallet.EscrowFields{
		Order: orderID, Token: usdc, Payee: payee, Payer: w.Address(), Amount: money.FromUint64(10000), Deadline: uint64(refundAt.Unix()),
	}}
}

// payout is a grant of [policy.KindPayout]: of a lock that is settled.
func payout(t *testing.T) policy.Grant {
	t.Helper()
	terms := lockTerms()
	st := &store{reservation: policy.Reservation{Purchase: "p1", Status: policy.ReservationSettled, Terms: &terms}}
	rules := &policy.Rules{Currency: "USD", PerPurchase: 5_000_000, Lifetime: 100_000_000, Payees: policy.PayeesPin}
	guard, err := policy.NewGuard(policy.GuardConfig{Rules: rules, Store: st, Clock: fixedClock(signedAt)})
	if err != nil {
		t.Fatal(err)
	}
	g, err := guard.Regrant(t.Context(), "p1")
	if err != nil || g.Kind() != policy.KindPayout {
		t.Fatalf("grant of kind %s, %v", g.Kind(), err)
	}
	return g
}

// The default interface calls and reads the sandbox's compiled contract.
func TestDefaultEscrowIsTheSandboxs(t *testing.T) {
	compiled, err := contracts.Escrow()
	if err != nil {
		t.Fatal(err)
	}
	w, abi := vectorWallet(t), wallet.DefaultEscrowABI()
	f := escrowCall(w).EscrowFields
	lock, err := compiled.ABI.Pack("lock", orderID, usdc, payee, big.NewInt(10000), big.NewInt(refundAt.Unix()))
	if err != nil {
		t.Fatal(err)
	}
	release, err := compiled.ABI.Pack("release", orderID)
	if err != nil {
		t.Fatal(err)
	}
	refund, err := compiled.ABI.Pack("refund", orderID)
	if err != nil {
		t.Fatal(err)
	}
	for name, pair := range map[string][2][]byte{
		"lock": {abi.LockCall(f), lock}, "release": {abi.ReleaseCall(f), release}, "refund": {abi.RefundCall(f), refund},
		"locked": {abi.LockedTopic().Bytes(), compiled.ABI.Events["Locked"].ID.Bytes()}, "released": {abi.ReleasedTopic().Bytes(), compiled.ABI.Events["Released"].ID.Bytes()},
		"refunded": {abi.RefundedTopic().Bytes(), compiled.ABI.Events["Refunded"].ID.Bytes()},
	} {
		if !bytes.Equal(pair[0], pair[1]) {
			t.Errorf("%s: %x, want %x", name, pair[0], pair[1])
		}
	}
	if got, err := abi.ReadLock(lock); err != nil || got.Order != orderID || got.Token != usdc || got.Payee != payee || got.Amount != f.Amount || got.Deadline != f.Deadline {
		t.Errorf("read %+v, %v", got, err)
	}
	for _, data := range [][]byte{nil, release, lock[:len(lock)-1], append(bytes.Clone(lock), 0), bytes.Replace(lock, payee[:], append([]byte{1}, payee[:19]...), 1)[:len(lock)-32]} {
		if got, err := abi.ReadLock(data); err == nil {
			t.Errorf("%x was read as %+v", data, got)
		}
	}
	if _, released, err := abi.ReadPayout(release); err != nil || !released {
		t.Errorf("release was read as released=%t, %v", released, err)
	}
	if _, released, err := abi.ReadPayout(refund); err != nil || released {
		t.Errorf("refund was read as released=%t, %v", released, err)
	}
}

func TestEscrowABIRefusals(t *testing.T) {
	tests := []struct {
		name   string
		change func(*wallet.EscrowText)
		// names is what the error names; "" where the text is accepted.
		names string
	}{
		{"default", func(*wallet.EscrowText) {}, ""},
		{"another order of arguments, keyword and semicolon", func(e *wallet.EscrowText) {
			e.Lock = "function deposit(address payee,  uint256 amount, bytes32 order);"
		}, ""},
		{"payer and a short deadline", func(e *wallet.EscrowText) {
			e.Lock = "open(bytes32 order, address payer, address payee, uint256 amount, uint64 deadline)"
		}, ""},
		{"release that repeats the terms", func(e *wallet.EscrowText) { e.Release = "pay(bytes32 order, address payee, uint256 amount)" }, ""},
		{"event with more arguments", func(e *wallet.EscrowText) { e.Released = "Paid(bytes32 indexed order, uint256 fee, bool early)" }, ""},
		{"unknown argument", func(e *wallet.EscrowText) {
			e.Lock = "lock(bytes32 order, address payee, uint256 amount, address arbiter)"
		}, `"arbiter"`},
		{"order of the wrong type", func(e *wallet.EscrowText) { e.Release = "release(uint256 order)" }, `"order"`},
		{"amount of the wrong type", func(e *wallet.EscrowText) { e.Lock = "lock(bytes32 order, address payee, uint128 amount)" }, `"amount"`},
		{"alias of a type", func(e *wallet.EscrowText) { e.Lock = "lock(bytes32 order, address payee, uint amount)" }, `"amount"`},
		{"no payee", func(e *wallet.EscrowText) { e.Lock = "lock(bytes32 order, uint256 amount)" }, `"payee"`},
		{"no amount", func(e *wallet.EscrowText) { e.Lock = "lock(bytes32 order, address payee)" }, `"amount"`},
		{"no order", func(e *wallet.EscrowText) { e.Refund = "refund(address payee)" }, `"order"`},
		{"an argument twice", func(e *wallet.EscrowText) { e.Refund = "refund(bytes32 order, address payee, address payee)" }, `"payee"`},
		{"an argument without a name", func(e *wallet.EscrowText) { e.Refund = "refund(bytes32)" }, `"bytes32"`},
		{"indexed in a method", func(e *wallet.EscrowText) { e.Refund = "refund(bytes32 indexed order)" }, `"order"`},
		{"a tuple", func(e *wallet.EscrowText) { e.Lock = "lock((bytes32 order) x)" }, "argument"},
		{"no arguments", func(e *wallet.EscrowText) { e.Release = "release()" }, "release"},
		{"empty", func(e *wallet.EscrowText) { e.Refunded = "" }, "refunded"},
		{"order not indexed", func(e *wallet.EscrowText) { e.Released = "Released(bytes32 order)" }, "indexed order"},
		{"order not first", func(e *wallet.EscrowText) { e.Released = "Released(address indexed payee, bytes32 indexed order)" }, "indexed order"},
		{"event with an alias of a type", func(e *wallet.EscrowText) { e.Released = "Released(bytes32 indexed order, uint fee)" }, `"fee"`},
		{"one event for both ends", func(e *wallet.EscrowText) { e.Refunded = e.Released }, "are one"},
		{"one method for both ends", func(e *wallet.EscrowText) { e.Refund = e.Release }, "are one"},
		{"endless", func(e *wallet.EscrowText) { e.Refund = "refund(bytes32 order" + strings.Repeat(" ", 1000) + ")" }, "refund"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := wallet.DefaultEscrowText()
			tt.change(&text)
			abi, err := wallet.ParseEscrowABI(text)
			if tt.names == "" {
				if err != nil || !abi.Valid() {
					t.Errorf("refused: %v", err)
				}
				return
			}
			if !errors.Is(err, wallet.ErrEscrowABI) || !strings.Contains(err.Error(), tt.names) || abi.Valid() {
				t.Errorf("error %v, want one that names %s", err, tt.names)
			}
		})
	}
}

// What a method packs it reads back, whatever its arguments and their order.
func TestEscrowFieldsRoundTrip(t *testing.T) {
	words := map[string]string{"order": "bytes32 order", "token": "address token", "payee": "address payee", "payer": "address payer", "amount": "uint256 amount", "deadline": "uint64 deadline"}
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.Permutation([]string{"order", "token", "payee", "payer", "amount", "deadline"}).Draw(t, "arguments")
		var args []string
		for _, name := range names {
			if name == "order" || name == "payee" || name == "amount" || rapid.Bool().Draw(t, name) {
				args = append(args, words[name])
			}
		}
		text := wallet.DefaultEscrowText()
		text.Lock = "lock(" + strings.Join(args, ", ") + ")"
		abi, err := wallet.ParseEscrowABI(text)
		if err != nil {
			t.Fatal(err)
		}
		address := func(name string) common.Address {
			return common.BytesToAddress(rapid.SliceOfN(rapid.Byte(), 20, 20).Draw(t, name))
		}
		f := wallet.EscrowFields{
			Order: common.BytesToHash(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "order id")), Token: address("token"), Payee: address("payee"), Payer: address("payer"),
			Amount: money.FromUint64(rapid.Uint64().Draw(t, "amount")), Deadline: rapid.Uint64().Draw(t, "deadline"),
		}
		got, err := abi.ReadLock(abi.LockCall(f))
		if err != nil {
			t.Fatal(err)
		}
		want := f
		for name, zero := range map[string]func(){"token": func() { want.Token = common.Address{} }, "payer": func() { want.Payer = common.Address{} }, "deadline": func() { want.Deadline = 0 }} {
			if !strings.Contains(text.Lock, words[name]) {
				zero()
			}
		}
		if got != want {
			t.Errorf("read %+v, want %+v", got, want)
		}
	})
}

func TestEscrowCallsMustEqualTheGrant(t *testing.T) {
	w := vectorWallet(t)
	granted := grantFor(t, signedAt, lockTerms())
	signers := map[string]func(policy.Grant, wallet.EscrowCall) (wallet.Signed, error){"lock": w.SignLock, "release": w.SignRelease, "refund": w.SignRefund}
	tests := []struct {
		name   string
		change func(*wallet.EscrowCall)
		field  string
	}{
		{"as granted", func(*wallet.EscrowCall) {}, ""},
		{"chain", func(c *wallet.EscrowCall) { c.Gas.ChainID = 1 }, "chain"},
		{"tip above the cap", func(c *wallet.EscrowCall) { c.Gas.TipCap = money.FromUint64(3e9 + 1) }, "fee"},
		{"interface", func(c *wallet.EscrowCall) { c.ABI = wallet.EscrowABI{} }, "escrow"},
		{"escrow", func(c *wallet.EscrowCall) { c.Escrow = other }, "payee"},
		{"the payee as escrow", func(c *wallet.EscrowCall) { c.Escrow = payee }, "payee"},
		{"order", func(c *wallet.EscrowCall) { c.Order[0]++ }, "order"},
		{"token", func(c *wallet.EscrowCall) { c.Token = other }, "token"},
		{"payee", func(c *wallet.EscrowCall) { c.Payee = other }, "payee"},
		{"payer", func(c *wallet.EscrowCall) { c.Payer = other }, "signer"},
		{"one unit more", func(c *wallet.EscrowCall) { c.Amount = money.FromUint64(10001) }, "amount"},
		{"one second later", func(c *wallet.EscrowCall) { c.Deadline++ }, "deadline"},
	}
	for _, tt := range tests {
		for name, sign := range signers {
			t.Run(name+" "+tt.name, func(t *testing.T) {
				c := escrowCall(w)
				tt.change(&c)
				signed, err := sign(granted, c)
				if tt.field == "" {
					if err != nil || len(signed.Raw) == 0 {
						t.Errorf("not signed: %v", err)
					}
					return
				}
				var mismatch *wallet.GrantError
				if !errors.As(err, &mismatch) || mismatch.Field != tt.field || signed.Raw != nil {
					t.Errorf("error %v, want a mismatch of %s", err, tt.field)
				}
			})
		}
	}
}

// Which kind of grant admits what.
func TestKindsOfGrant(t *testing.T) {
	w := vectorWallet(t)
	approve := wallet.Approve{Gas: gasOf(), Token: usdc, Spender: escrow, Amount: money.FromUint64(10000)}
	revoke := approve
	revoke.Amount = money.Amount{}
	c := escrowCall(w)
	sign := map[string]func(policy.Grant) error{
		"transfer": func(g policy.Grant) error {
			tr := transfer()
			tr.To = g.Receiver()
			_, err := w.SignTransfer(g, tr)
			return err
		},
		"approve": func(g policy.Grant) error { _, err := w.SignApprove(g, approve); return err },
		"revoke":  func(g policy.Grant) error { _, err := w.SignApprove(g, revoke); return err },
		"lock":    func(g policy.Grant) error { _, err := w.SignLock(g, c); return err },
		"release": func(g policy.Grant) error { _, err := w.SignRelease(g, c); return err },
		"refund":  func(g policy.Grant) error { _, err := w.SignRefund(g, c); return err },
	}
	listed := lockTerms()
	listed.Lock, listed.Order, listed.RefundFrom = false, common.Hash{}, time.Time{}
	grants := []struct {
		name   string
		grant  policy.Grant
		admits []string
	}{
		{"none", policy.Grant{}, nil},
		{"transfer to the payee", grantFor(t, signedAt, transferTerms()), []string{"transfer"}},
		{"transfer to an escrow", grantFor(t, signedAt, listed), []string{"transfer"}},
		{"authorisation", grantFor(t, signedAt, x402Terms()), nil},
		{"lock", grantFor(t, signedAt, lockTerms()), []string{"approve", "revoke", "lock", "release", "refund"}},
		{"payout", payout(t), []string{"revoke", "release", "refund"}},
	}
	for _, tt := range grants {
		t.Run(tt.name, func(t *testing.T) {
			for name, do := range sign {
				want := false
				for _, admitted := range tt.admits {
					want = want || admitted == name
				}
				if err := do(tt.grant); (err == nil) != want {
					t.Errorf("%s: error %v, want it admitted: %t", name, err, want)
				}
			}
		})
	}
}

func TestApproveMustEqualTheGrant(t *testing.T) {
	w := vectorWallet(t)
	granted := grantFor(t, signedAt, lockTerms())
	tests := []struct {
		name   string
		change func(*wallet.Approve)
		field  string
	}{
		{"chain", func(a *wallet.Approve) { a.Gas.ChainID = 1 }, "chain"},
		{"token", func(a *wallet.Approve) { a.Token = other }, "token"},
		{"spender", func(a *wallet.Approve) { a.Spender = other }, "payee"},
		{"the payee as spender", func(a *wallet.Approve) { a.Spender = payee }, "payee"},
		{"one unit more", func(a *wallet.Approve) { a.Amount = money.FromUint64(10001) }, "amount"},
		{"one unit less", func(a *wallet.Approve) { a.Amount = money.FromUint64(9999) }, "amount"},
		{"revocation for another", func(a *wallet.Approve) { a.Spender, a.Amount = other, money.Amount{} }, "payee"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := wallet.Approve{Gas: gasOf(), Token: usdc, Spender: escrow, Amount: money.FromUint64(10000)}
			tt.change(&a)
			signed, err := w.SignApprove(granted, a)
			var mismatch *wallet.GrantError
			if !errors.As(err, &mismatch) || mismatch.Field != tt.field || signed.Raw != nil {
				t.Errorf("error %v, want a mismatch of %s", err, tt.field)
			}
		})
	}
}

// A cancellation moves nothing: whatever is asked, it is a transfer of no coin to
// ourselves without data.
func TestCancelMovesNothing(t *testing.T) {
	w := vectorWallet(t)
	signed, err := w.SignCancel(gasOf())
	if err != nil {
		t.Fatal(err)
	}
	tx := new(types.Transaction)
	if err := tx.UnmarshalBinary(signed.Raw); err != nil {
		t.Fatal(err)
	}
	if *tx.To() != w.Address() || tx.Value().Sign() != 0 || len(tx.Data()) != 0 || tx.Nonce() != 7 || tx.Hash() != signed.Hash {
		t.Errorf("transaction %+v", tx)
	}
	dear := gasOf()
	dear.TipCap = money.FromUint64(3e9 + 1)
	for name, gas := range map[string]wallet.Gas{"no chain": {FeeCap: money.FromUint64(1)}, "no fee": {ChainID: 1}, "tip above the cap": dear} {
		var mismatch *wallet.GrantError
		if _, err := w.SignCancel(gas); !errors.As(err, &mismatch) || mismatch.Field != "fee" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

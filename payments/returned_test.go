// SPDX-License-Identifier: Apache-2.0

package payments_test

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"math/big"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/agentd-project/agentd/payments"
	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/sandbox/chain"
	"github.com/agentd-project/agentd/sandbox/contracts"
	"github.com/agentd-project/agentd/wallet"
)

// seat is somebody else with a key and coin for gas.
type seat struct {
	key     *ecdsa.PrivateKey
	address common.Address
}

func newSeat(t testing.TB) (seat, chain.Account) {
	t.Helper()
	key, err := crypto.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	s := seat{key, crypto.PubkeyToAddress(key.PublicKey)}
	return s, chain.Account{Address: s.address, Wei: big.NewInt(1e18), Tokens: big.NewInt(100_000)}
}

// callToken calls the token as somebody.
func (w *world) callToken(key *ecdsa.PrivateKey, method string, args ...any) {
	w.t.Helper()
	token, err := contracts.TestToken()
	if err != nil {
		w.t.Fatal(err)
	}
	input, err := token.ABI.Pack(method, args...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.sendAs(key, chain.TokenAddress, input)
}

// paidBy pays a purchase to a receiver on a rail, finally.
func paidBy(t testing.TB, w *world, rail string, id policy.PurchaseID, payee common.Address) {
	t.Helper()
	terms := w.terms(rail)
	terms.Payee = payee
	if rail == policy.RailEscrow {
		terms.Payee, terms.Escrow = seller, payee
	}
	job := payments.Job{Purchase: id, Challenge: challenge(t, func(e map[string]any) { e["payTo"] = payee.Hex() })}
	within(t, 20*time.Second, func(ctx context.Context) {
		e, err := w.rail(rail).Pay(ctx, w.grant(id, terms), job)
		if err != nil {
			t.Fatal(err)
		}
		if rail == policy.RailX402 {
			if _, err := settleHeader(t, w, e.PaymentSignature); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// A refund is a transfer of exactly the amount, from who received it, after the
// payment, that is no other purchase's.
func TestReturned(t *testing.T) {
	tests := []struct {
		name string
		back func(w *world, payee, other seat)
		want payments.CustodyState
	}{
		{"nothing", func(*world, seat, seat) {}, payments.CustodyPaid},
		{"the amount", func(w *world, payee, _ seat) {
			w.callToken(payee.key, "transfer", w.wallet.Address(), price.Big())
		}, payments.CustodyReturned},
		{"less", func(w *world, payee, _ seat) {
			w.callToken(payee.key, "transfer", w.wallet.Address(), big.NewInt(9_999))
		}, payments.CustodyPaid},
		{"more", func(w *world, payee, _ seat) {
			w.callToken(payee.key, "transfer", w.wallet.Address(), big.NewInt(10_001))
		}, payments.CustodyPaid},
		{"in two parts", func(w *world, payee, _ seat) {
			w.callToken(payee.key, "transfer", w.wallet.Address(), big.NewInt(5_000))
			w.callToken(payee.key, "transfer", w.wallet.Address(), big.NewInt(5_000))
		}, payments.CustodyPaid},
		{"from somebody else", func(w *world, _, other seat) {
			w.callToken(other.key, "transfer", w.wallet.Address(), price.Big())
		}, payments.CustodyPaid},
		{"to somebody else", func(w *world, payee, other seat) {
			w.callToken(payee.key, "transfer", other.address, price.Big())
		}, payments.CustodyPaid},
	}
	for _, rail := range []string{policy.RailWallet, policy.RailUSDTTransfer, policy.RailX402, policy.RailEscrow} {
		for _, tt := range tests {
			t.Run(rail+"/"+tt.name, func(t *testing.T) {
				t.Parallel()
				payee, funded := newSeat(t)
				other, alsoFunded := newSeat(t)
				w := newWorldAt(t, time.Now, funded, alsoFunded)
				w.escrows = append(w.escrows, payments.Escrow{Chain: chain.CAIP2ID, Address: payee.address})
				w.restart()
				// What came before the payment is no refund of it.
				w.callToken(payee.key, "transfer", w.wallet.Address(), price.Big())
				paidBy(t, w, rail, "p1", payee.address)
				tt.back(w, payee, other)
				w.restart()
				if c := w.custody("p1", rail); c.State != tt.want || (c.Ref != "") != (tt.want == payments.CustodyReturned) {
					t.Errorf("custody %+v, want %s", c, tt.want)
				}
			})
		}
	}
}

// Of two equal purchases each refund counts for one.
func TestReturnedOnce(t *testing.T) {
	payee, funded := newSeat(t)
	w := newWorldAt(t, time.Now, funded)
	paidBy(t, w, policy.RailWallet, "p1", payee.address)
	paidBy(t, w, policy.RailX402, "p2", payee.address)
	refs := map[string]bool{}
	taken := func(ref string) (bool, error) { return refs[ref], nil }
	ask := func(rail string, id policy.PurchaseID) payments.CustodyState {
		t.Helper()
		c, err := w.custodian(rail).Custody(t.Context(), id, taken)
		if err != nil {
			t.Fatal(err)
		}
		if c.State == payments.CustodyReturned {
			refs[c.Ref] = true
		}
		return c.State
	}
	w.callToken(payee.key, "transfer", w.wallet.Address(), price.Big())
	if got := ask(policy.RailX402, "p2"); got != payments.CustodyReturned {
		t.Errorf("p2 is %s", got)
	}
	if got := ask(policy.RailWallet, "p1"); got != payments.CustodyPaid {
		t.Errorf("p1 is %s, by the refund of p2", got)
	}
	w.callToken(payee.key, "transfer", w.wallet.Address(), price.Big())
	if got := ask(policy.RailWallet, "p1"); got != payments.CustodyReturned {
		t.Errorf("p1 is %s after its own refund", got)
	}
}

func TestCustodyCannotTell(t *testing.T) {
	payee, funded := newSeat(t)
	w := newWorldAt(t, time.Now, funded)
	nobody := func(string) (bool, error) { return false, nil }
	for _, rail := range []string{policy.RailWallet, policy.RailX402, policy.RailEscrow} {
		if c, err := w.custodian(rail).Custody(t.Context(), "never", nobody); err == nil {
			t.Errorf("%s: custody of what was never paid: %+v", rail, c)
		}
	}
	paidBy(t, w, policy.RailWallet, "p1", payee.address)
	w.callToken(payee.key, "transfer", w.wallet.Address(), price.Big())
	broken := errors.New("ledger")
	if _, err := w.custodian(policy.RailWallet).Custody(t.Context(), "p1", func(string) (bool, error) { return false, broken }); !errors.Is(err, broken) {
		t.Errorf("error %v, want the ledger's", err)
	}
	w.faults.set(func(method string, _ int, _ string) fault {
		if method == "eth_getLogs" {
			return refused
		}
		return none
	})
	if c, err := w.custodian(policy.RailWallet).Custody(t.Context(), "p1", nobody); err == nil {
		t.Errorf("custody without logs: %+v", c)
	}
}

// The same purchase signs again until a later deadline, under the same nonce.
func TestX402Renewal(t *testing.T) {
	clock := &shifted{}
	w := newWorldAt(t, clock.now)
	terms := w.terms(policy.RailX402)
	terms.Deadline = w.now().Add(time.Minute)
	job := payments.Job{Purchase: "p1", Challenge: challenge(t, nil)}
	first, err := w.rail(policy.RailX402).Pay(t.Context(), w.grant("p1", terms), job)
	if err != nil {
		t.Fatal(err)
	}
	clock.by = 2 * time.Minute
	if err := w.chain.Mine(t.Context()); err != nil {
		t.Fatal(err)
	}
	if o, err := w.rail(policy.RailX402).Check(t.Context(), "p1"); err != nil || o.Status != payments.NotPaid {
		t.Fatalf("outcome %+v, %v", o, err)
	}
	if _, err := w.rail(policy.RailX402).Pay(t.Context(), w.regrant("p1"), job); refusalOf(err) != policy.ReasonDeadlinePassed {
		t.Errorf("under the old grant: %v", err)
	}
	terms.Deadline = w.now().Add(time.Minute)
	second, err := w.rail(policy.RailX402).Pay(t.Context(), w.again("p1", terms), job)
	if err != nil || !second.ValidBefore.After(first.ValidBefore) || second.PaymentSignature == first.PaymentSignature {
		t.Fatalf("second %+v, %v", second, err)
	}
	if o, err := w.rail(policy.RailX402).Check(t.Context(), "p1"); err != nil || o.Status != payments.NotYet {
		t.Errorf("outcome %+v, %v", o, err)
	}
	changed := terms
	changed.Amount = amountOf(9_000)
	if v := w.ask("p1", changed); v.Allowed() {
		t.Error("another amount was granted")
	}
	if _, err := settleHeader(t, w, second.PaymentSignature); err != nil {
		t.Fatal(err)
	}
	if o, err := w.rail(policy.RailX402).Check(t.Context(), "p1"); err != nil || o.Status != payments.Paid {
		t.Errorf("outcome %+v, %v", o, err)
	}
	w.wantTransfers(1)
}

// again has the guard decide on a purchase that it granted before.
func (w *world) again(id policy.PurchaseID, t policy.Terms) policy.Grant {
	w.t.Helper()
	g, v, err := w.guard.Grant(context.Background(), request(id, t), t)
	if err != nil || !v.Allowed() {
		w.t.Fatalf("grant again: %+v, %v", v, err)
	}
	return g
}

func (w *world) ask(id policy.PurchaseID, t policy.Terms) policy.Verdict {
	w.t.Helper()
	_, v, err := w.guard.Grant(context.Background(), request(id, t), t)
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

// An authorisation whose nonce the owner cancelled is dead for good.
func TestX402Cancelled(t *testing.T) {
	payer, funded := newSeat(t)
	w := newWorldAt(t, time.Now, funded)
	var err error
	if w.wallet, err = wallet.FromPrivateKey([]byte(common.Bytes2Hex(crypto.FromECDSA(payer.key)))); err != nil {
		t.Fatal(err)
	}
	w.restart()
	job := payments.Job{Purchase: "p1", Challenge: challenge(t, nil)}
	g := w.grant("p1", w.terms(policy.RailX402))
	if _, err := w.rail(policy.RailX402).Pay(t.Context(), g, job); err != nil {
		t.Fatal(err)
	}
	attempts, err := w.ledger.Attempts(t.Context(), "p1")
	if err != nil || len(attempts) != 1 {
		t.Fatalf("%+v, %v", attempts, err)
	}
	nonce := common.HexToHash(attempts[0].Nonce)
	w.callToken(payer.key, "cancelAuthorization", cancellation(t, payer, nonce)...)
	o, err := w.rail(policy.RailX402).Check(t.Context(), "p1")
	if err != nil || o.Status != payments.NotPaid || o.Reason != policy.ReasonAuthorizationUnused || o.Ref == "" {
		t.Errorf("outcome %+v, %v", o, err)
	}
	if _, err := w.rail(policy.RailX402).Pay(t.Context(), g, job); refusalOf(err) != policy.ReasonAuthorizationUnused {
		t.Errorf("signed again under a nonce that can pay nothing: %v", err)
	}
	w.wantTransfers(0)
}

// cancellation returns the arguments of cancelAuthorization.
func cancellation(t testing.TB, payer seat, nonce [32]byte) []any {
	t.Helper()
	hash := crypto.Keccak256
	id := common.LeftPadBytes(new(big.Int).SetUint64(chain.ChainID).Bytes(), 32)
	domain := hash(hash([]byte("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")),
		hash([]byte(chain.TokenName)), hash([]byte(chain.TokenVersion)), id, common.LeftPadBytes(chain.TokenAddress.Bytes(), 32))
	message := hash(hash([]byte("CancelAuthorization(address authorizer,bytes32 nonce)")), common.LeftPadBytes(payer.address.Bytes(), 32), nonce[:])
	signature, err := crypto.Sign(hash([]byte("\x19\x01"), domain, message), payer.key)
	if err != nil {
		t.Fatal(err)
	}
	return []any{payer.address, nonce, signature[64] + 27, [32]byte(signature[:32]), [32]byte(signature[32:64])}
}

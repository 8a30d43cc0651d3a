// SPDX-License-Identifier: Apache-2.0

package payments_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/common/math"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/signer/core/apitypes"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/payments"
	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/sandbox/chain"
)

// challenge is a good challenge, its entry changed by change.
func challenge(t testing.TB, change func(entry map[string]any)) *payments.Challenge {
	t.Helper()
	entry := map[string]any{
		"scheme": "exact", "network": chain.CAIP2ID, "amount": price.String(), "asset": chain.TokenAddress.Hex(),
		"payTo": seller.Hex(), "maxTimeoutSeconds": 300, "extra": map[string]any{"name": "USDC", "version": "2"},
	}
	if change != nil {
		change(entry)
	}
	doc, err := json.Marshal(map[string]any{"x402Version": 2, "accepts": []any{entry}, "resource": map[string]any{"url": "https://provider.test/api"}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := payments.ParseChallenge(json.RawMessage(fmt.Sprintf(`{"paymentRequest":{"paymentRequired":%q}}`, base64.StdEncoding.EncodeToString(doc))))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// settleHeader does what a facilitator does with a header.
func settleHeader(t testing.TB, w *world, header string) (common.Hash, error) {
	t.Helper()
	doc, err := base64.StdEncoding.DecodeString(header)
	if err != nil {
		t.Fatal(err)
	}
	var p struct {
		Payload struct {
			Signature     hexutil.Bytes
			Authorization struct {
				From, To                       common.Address
				Value, ValidAfter, ValidBefore string
				Nonce                          common.Hash
			}
		}
	}
	if err := json.Unmarshal(doc, &p); err != nil {
		t.Fatal(err)
	}
	number := func(s string) *big.Int {
		n, ok := new(big.Int).SetString(s, 10)
		if !ok {
			t.Fatalf("%q is no number", s)
		}
		return n
	}
	a := p.Payload.Authorization
	return w.chain.Settle(t.Context(), chain.Authorization{
		From: a.From, To: a.To, Value: number(a.Value), ValidAfter: number(a.ValidAfter), ValidBefore: number(a.ValidBefore),
		Nonce: a.Nonce, Signature: p.Payload.Signature,
	})
}

// signOutside signs an authorisation with the agent's key, but not by our code.
func signOutside(t testing.TB, w *world, to common.Address, value *big.Int) chain.Authorization {
	t.Helper()
	key, err := crypto.HexToECDSA(agentKey)
	if err != nil {
		t.Fatal(err)
	}
	a := chain.Authorization{From: w.wallet.Address(), To: to, Value: value, ValidAfter: new(big.Int), ValidBefore: big.NewInt(1 << 40), Nonce: [32]byte{1}}
	digest, _, err := apitypes.TypedDataAndHash(apitypes.TypedData{
		Types: apitypes.Types{
			"EIP712Domain":              {{Name: "name", Type: "string"}, {Name: "version", Type: "string"}, {Name: "chainId", Type: "uint256"}, {Name: "verifyingContract", Type: "address"}},
			"TransferWithAuthorization": {{Name: "from", Type: "address"}, {Name: "to", Type: "address"}, {Name: "value", Type: "uint256"}, {Name: "validAfter", Type: "uint256"}, {Name: "validBefore", Type: "uint256"}, {Name: "nonce", Type: "bytes32"}},
		},
		PrimaryType: "TransferWithAuthorization",
		Domain:      apitypes.TypedDataDomain{Name: "USDC", Version: "2", VerifyingContract: chain.TokenAddress.Hex(), ChainId: (*math.HexOrDecimal256)(new(big.Int).SetUint64(chain.ChainID))},
		Message:     apitypes.TypedDataMessage{"from": a.From.Hex(), "to": to.Hex(), "value": value.String(), "validAfter": "0", "validBefore": a.ValidBefore.String(), "nonce": a.Nonce[:]},
	})
	if err != nil {
		t.Fatal(err)
	}
	if a.Signature, err = crypto.Sign(digest, key); err != nil {
		t.Fatal(err)
	}
	a.Signature[64] += 27
	return a
}

func TestX402PaysOnce(t *testing.T) {
	w := newWorld(t)
	r := w.rail(policy.RailX402)
	if err := r.Ready(t.Context(), w.terms(policy.RailX402)); err != nil {
		t.Fatal(err)
	}
	g := w.grant("p1", w.terms(policy.RailX402))
	e, err := r.Pay(t.Context(), g, payments.Job{Purchase: "p1", Challenge: challenge(t, nil)})
	if err != nil {
		t.Fatal(err)
	}
	if e.Rail != policy.RailX402 || e.TxHash != "" || e.Payer != w.wallet.Address() || e.Payee != seller || e.Amount != price || e.Decimals != 6 ||
		e.Network != chain.CAIP2ID || !strings.HasPrefix(e.PaymentReference, "x402:eip155:84532:") || len(e.PaymentReference) != len("x402:eip155:84532:")+24 {
		t.Errorf("evidence %+v", e)
	}
	if o, err := r.Check(t.Context(), "p1"); err != nil || o.Status != payments.NotYet {
		t.Errorf("before it is used: %+v, %v", o, err)
	}
	w.restart()
	r = w.rail(policy.RailX402)
	again, err := r.Pay(t.Context(), w.regrant("p1"), payments.Job{Purchase: "p1"})
	if err != nil || again != e {
		t.Errorf("after a restart: %+v, %v, want %+v", again, err, e)
	}
	tx, err := settleHeader(t, w, e.PaymentSignature)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		o, err := r.Check(t.Context(), "p1")
		if err != nil || o.Status != payments.Paid || o.Ref != tx.Hex() || o.At.Unix() != int64(w.received()[0].Time) {
			t.Errorf("after: %+v, %v, want %s", o, err, tx)
		}
	}
	if _, err := settleHeader(t, w, e.PaymentSignature); err == nil {
		t.Error("settled twice")
	}
	w.wantTransfers(1)
}

// What a final block has shown is not unsaid by an endpoint that lags, whatever the
// time.
func TestX402UsedStaysUsed(t *testing.T) {
	at := time.Now()
	w := newWorldAt(t, func() time.Time { return at })
	r := w.rail(policy.RailX402)
	if _, err := settleHeader(t, w, w.pay("p1", policy.RailX402).PaymentSignature); err != nil {
		t.Fatal(err)
	}
	if o, err := r.Check(t.Context(), "p1"); err != nil || o.Status != payments.Paid {
		t.Fatalf("got %+v, %v, want paid", o, err)
	}
	at = at.Add(time.Hour)
	w.pay("p2", policy.RailWallet) // makes a block
	w.faults.mu.Lock()
	w.faults.answer = func(method string, _ json.RawMessage) any {
		if method == "eth_call" {
			return hexutil.Bytes(make([]byte, 32))
		}
		return nil
	}
	w.faults.mu.Unlock()
	if o, err := r.Check(t.Context(), "p1"); err == nil || o.Status != payments.Unknown {
		t.Errorf("the endpoint says unused: got %+v, %v, want an error", o, err)
	}
	all, err := w.ledger.Attempts(t.Context(), "p1")
	if err != nil || len(all) != 1 {
		t.Fatalf("got %d attempts, %v, want one", len(all), err)
	}
	if all[0].Status != ledger.AttemptFinal {
		t.Errorf("got an attempt that is %s, want final", all[0].Status)
	}
}

// A new signature needs the proof that the old one is dead, and has its nonce.
func TestX402SignsAgainOnlyWhenDead(t *testing.T) {
	w := newWorld(t)
	terms := w.terms(policy.RailX402)
	g := w.grant("p1", terms)
	job := payments.Job{Purchase: "p1", Challenge: challenge(t, func(e map[string]any) { e["maxTimeoutSeconds"] = 1 })}
	first, err := w.rail(policy.RailX402).Pay(t.Context(), g, job)
	if err != nil {
		t.Fatal(err)
	}
	// The wall clock says that it is over; the chain has no block that late.
	w.now = func() time.Time { return time.Now().Add(3 * time.Second) }
	w.restart()
	r := w.rail(policy.RailX402)
	if o, err := r.Check(t.Context(), "p1"); err != nil || o.Status != payments.NotYet {
		t.Errorf("outcome %+v, %v, want not yet", o, err)
	}
	if again, err := r.Pay(t.Context(), g, job); err != nil || again != first {
		t.Errorf("signed again: %+v, %v", again, err)
	}
	// A block past validBefore.
	for deadline := time.Now().Add(10 * time.Second); ; {
		h, err := w.chain.Head(t.Context())
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("no late block: %v", err)
		}
		if int64(h.Time) >= first.ValidBefore.Unix() {
			break
		}
		if err := w.chain.Mine(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	o, err := r.Check(t.Context(), "p1")
	if err != nil || o.Status != payments.NotPaid || o.Reason != policy.ReasonAuthorizationUnused {
		t.Fatalf("outcome %+v, %v", o, err)
	}
	second, err := r.Pay(t.Context(), g, job)
	if err != nil {
		t.Fatal(err)
	}
	if second.PaymentSignature == first.PaymentSignature || !second.ValidBefore.After(first.ValidBefore) {
		t.Errorf("second evidence %+v", second)
	}
	attempts, err := w.ledger.Attempts(t.Context(), "p1")
	if err != nil || len(attempts) != 2 || attempts[0].Nonce != attempts[1].Nonce {
		t.Errorf("attempts %+v, %v", attempts, err)
	}
	if _, err := settleHeader(t, w, second.PaymentSignature); err != nil {
		t.Fatal(err)
	}
	if _, err := settleHeader(t, w, first.PaymentSignature); err == nil {
		t.Error("both settled")
	}
	w.wantTransfers(1)
	if o, err := r.Check(t.Context(), "p1"); err != nil || o.Status != payments.Paid {
		t.Errorf("outcome %+v, %v", o, err)
	}
}

func TestX402SignsOnlyWhatWasGranted(t *testing.T) {
	tests := []struct {
		name   string
		change func(map[string]any)
		reason policy.Reason
	}{
		{"chain", func(e map[string]any) { e["network"] = "eip155:8453" }, policy.ReasonChainMismatch},
		{"token", func(e map[string]any) { e["asset"] = seller.Hex() }, policy.ReasonTokenMismatch},
		{"payee", func(e map[string]any) { e["payTo"] = chain.TokenAddress.Hex() }, policy.ReasonPayeeMismatch},
		{"higher price", func(e map[string]any) { e["amount"] = "990000" }, policy.ReasonPriceChanged},
		{"lower price", func(e map[string]any) { e["amount"] = "9999" }, policy.ReasonPriceChanged},
		{"domain name", func(e map[string]any) { e["extra"] = map[string]any{"name": "USD Coin", "version": "2"} }, policy.ReasonDomainMismatch},
		{"domain version", func(e map[string]any) { e["extra"] = map[string]any{"name": "USDC", "version": "1"} }, policy.ReasonDomainMismatch},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			g := w.grant("p1", w.terms(policy.RailX402))
			_, err := w.rail(policy.RailX402).Pay(t.Context(), g, payments.Job{Purchase: "p1", Challenge: challenge(t, tt.change)})
			if refusalOf(err) != tt.reason {
				t.Errorf("error %v, want %s", err, tt.reason)
			}
			if attempts, err := w.ledger.Attempts(t.Context(), "p1"); err != nil || len(attempts) != 0 {
				t.Errorf("attempts %+v, %v", attempts, err)
			}
		})
	}
	t.Run("no challenge", func(t *testing.T) {
		w := newWorld(t)
		g := w.grant("p1", w.terms(policy.RailX402))
		if _, err := w.rail(policy.RailX402).Pay(t.Context(), g, payments.Job{Purchase: "p1"}); refusalOf(err) != policy.ReasonChallengeInvalid {
			t.Errorf("error %v", err)
		}
	})
	t.Run("no grant", func(t *testing.T) {
		w := newWorld(t)
		if _, err := w.rail(policy.RailX402).Pay(t.Context(), policy.Grant{}, payments.Job{Challenge: challenge(t, nil)}); err == nil {
			t.Error("signed")
		}
	})
}

// The end is the earliest of what the seller asks, the policy and the grant.
func TestX402ValidBefore(t *testing.T) {
	now := time.Date(2026, 11, 24, 8, 0, 0, 500, time.UTC)
	tests := []struct {
		name   string
		asked  any
		max    time.Duration
		grant  time.Duration
		lasts  time.Duration
		reason policy.Reason
	}{
		{"seller", 60, 0, 5 * time.Minute, time.Minute, ""},
		{"zero means an hour, the policy's ten minutes hold", 0, 0, 10 * time.Minute, 10 * time.Minute, ""},
		{"policy", 300, 2 * time.Minute, 5 * time.Minute, 2 * time.Minute, ""},
		{"grant", 300, 0, 90 * time.Second, 90 * time.Second, ""},
		{"a thousand years", int64(31536000000), time.Minute, 5 * time.Minute, time.Minute, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.now = func() time.Time { return now }
			w.restart()
			set, err := payments.NewSet(payments.SetConfig{
				Wallet: w.wallet, Ledger: w.ledger, Chains: chains(w), Now: w.now, MaxAuthorization: func() time.Duration { return tt.max },
			})
			if err != nil {
				t.Fatal(err)
			}
			terms := w.terms(policy.RailX402)
			terms.Deadline = now.Add(tt.grant)
			g := w.grant("p1", terms)
			r, _ := set.Rail(policy.RailX402)
			e, err := r.Pay(t.Context(), g, payments.Job{Purchase: "p1", Challenge: challenge(t, func(e map[string]any) { e["maxTimeoutSeconds"] = tt.asked })})
			if err != nil {
				t.Fatal(err)
			}
			if want := now.Add(tt.lasts).Truncate(time.Second); !e.ValidBefore.Equal(want) {
				t.Errorf("valid before %s, want %s", e.ValidBefore, want)
			}
		})
	}
}

// What the node answers must not make a used authorisation count as unused.
func TestX402CheckUnderFaults(t *testing.T) {
	w := newWorld(t)
	r := w.rail(policy.RailX402)
	e, err := r.Pay(t.Context(), w.grant("p1", w.terms(policy.RailX402)), payments.Job{Purchase: "p1", Challenge: challenge(t, nil)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := settleHeader(t, w, e.PaymentSignature); err != nil {
		t.Fatal(err)
	}
	for _, method := range []string{"eth_getBlockByNumber", "eth_call", "eth_getLogs", "eth_chainId"} {
		for name, kind := range map[string]fault{"lost": lost, "502": badGateway, "garbage": garbage, "null": empty} {
			t.Run(method+"/"+name, func(t *testing.T) {
				w.restart()
				w.faults.set(func(m string, _ int, _ string) fault {
					if m == method {
						return kind
					}
					return none
				})
				o, err := w.rail(policy.RailX402).Check(t.Context(), "p1")
				if o.Status == payments.NotPaid || (o.Status == payments.Paid) != (err == nil && o.Ref != "") {
					t.Errorf("outcome %+v, %v", o, err)
				}
				if err != nil && o.Status != payments.Unknown {
					t.Errorf("status %s with %v", o.Status, err)
				}
			})
		}
	}
	w.faults.set(nil)
	within(t, 10*time.Second, func(ctx context.Context) {
		if o, err := w.rail(policy.RailX402).Check(ctx, "p1"); err != nil || o.Status != payments.Paid {
			t.Errorf("outcome %+v, %v", o, err)
		}
	})
}

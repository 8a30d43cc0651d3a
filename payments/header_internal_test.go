// SPDX-License-Identifier: Apache-2.0

package payments

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/payments/evm"
	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/wallet"
)

type vector struct {
	PrivateKey string         `json:"privateKey"`
	Address    common.Address `json:"address"`
	X402       struct {
		UnixTime         int64           `json:"unixTime"`
		PaymentRequired  string          `json:"paymentRequired"`
		Challenge        json.RawMessage `json:"challenge"`
		Signature        string          `json:"signature"`
		PaymentSignature string          `json:"paymentSignature"`
		Decoded          string          `json:"paymentSignatureDecoded"`
		PaymentReference string          `json:"paymentReference"`
		HeaderName       string          `json:"headerName"`
	} `json:"x402"`
}

func readVector(t testing.TB) vector {
	t.Helper()
	raw, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var v vector
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// The whole header equals the one that the official SDK makes, byte for byte.
func TestHeaderEqualsTheLibrarys(t *testing.T) {
	v := readVector(t)
	c, err := ParseChallenge(json.RawMessage(fmt.Sprintf(`{"paymentRequest":{"paymentRequired":%q,"statusCode":402}}`, v.X402.PaymentRequired)))
	if err != nil {
		t.Fatal(err)
	}
	e, reason := c.Choose(func(Entry) policy.Reason { return policy.Allowed })
	if reason != policy.Allowed || e.MaxTimeout != 300*time.Second {
		t.Fatalf("entry %+v, %s", e, reason)
	}
	a := wallet.Authorization{
		ChainID: 84532, Domain: wallet.Domain{Name: e.Name, Version: e.Version}, Token: e.Asset, From: v.Address, To: e.PayTo, Value: e.Amount,
		ValidBefore: uint64(v.X402.UnixTime + 300), Nonce: [32]byte(bytes.Repeat([]byte{7}, 32)),
	}
	header := buildHeader(c, &e, &a, [65]byte(common.FromHex(v.X402.Signature)))
	if string(header) != v.X402.PaymentSignature {
		doc, _ := base64.StdEncoding.DecodeString(string(header))
		t.Errorf("header decodes to\n%s\nwant\n%s", doc, v.X402.Decoded)
	}
	if got := referenceOf(e.network, header); got != v.X402.PaymentReference {
		t.Errorf("reference %s, want %s", got, v.X402.PaymentReference)
	}
	if HeaderName != v.X402.HeaderName {
		t.Errorf("header name %s", HeaderName)
	}
	h, err := readHeader(header)
	if err != nil || h.token != e.Asset || h.payee != e.PayTo || h.amount != e.Amount || h.nonce != a.Nonce || h.network != "eip155:84532" {
		t.Errorf("read back %+v, %v", h, err)
	}
}

func TestNonceBelongsToPurchaseAndSigner(t *testing.T) {
	a, b := common.HexToAddress("0x1"), common.HexToAddress("0x2")
	nonces := map[[32]byte]bool{nonceOf(a, "p1"): true, nonceOf(a, "p2"): true, nonceOf(b, "p1"): true}
	if len(nonces) != 3 {
		t.Error("two purchases or signers share a nonce")
	}
	// Pinned: another derivation would give what is signed already a second nonce.
	if got := common.Hash(nonceOf(a, "p1")).Hex(); got != "0xcb350aaef182ff22b4a0d89671627dc02a668d17c693f2d87fa499db9611a42a" {
		t.Errorf("nonce %s", got)
	}
}

// benchStore is a ledger that keeps nothing, and a policy.Store that allows.
type benchStore struct {
	own *policy.Reservation
}

func (s *benchStore) state(q policy.Query) *policy.State {
	return &policy.State{At: q.At, LedgerVerified: true, Own: s.own}
}

func (s *benchStore) Reserve(_ context.Context, r policy.Request, q policy.Query, decide func(*policy.State) policy.Verdict) (policy.Verdict, error) {
	v := decide(s.state(q))
	s.own = &policy.Reservation{Purchase: r.Purchase, Rail: r.Rail, Value: r.Value, Status: policy.ReservationOpen}
	return v, nil
}

func (s *benchStore) Bind(_ context.Context, _ policy.PurchaseID, _ policy.Terms, _ money.Value, q policy.Query, decide func(*policy.State) policy.Verdict, _ any) (policy.Verdict, error) {
	return decide(s.state(q)), nil
}

func (s *benchStore) Reservation(context.Context, policy.PurchaseID) (policy.Reservation, error) {
	return *s.own, nil
}

func (s *benchStore) State(_ context.Context, q policy.Query) (*policy.State, error) {
	return s.state(q), nil
}

func (*benchStore) SaveAttempt(context.Context, ledger.Attempt) (int, error) { return 1, nil }

func (*benchStore) UpdateAttempt(context.Context, policy.PurchaseID, int, ledger.AttemptStatus, string) error {
	return nil
}

func (*benchStore) Attempts(context.Context, policy.PurchaseID) ([]ledger.Attempt, error) {
	return nil, nil
}

func (*benchStore) OpenAttempts(context.Context, money.ChainID, common.Address) ([]ledger.Attempt, error) {
	return nil, nil
}

func (*benchStore) Accounted(context.Context, money.ChainID, string) (bool, error) { return false, nil }

func (*benchStore) HoldsNonce(context.Context, money.ChainID, common.Address, uint64) (bool, error) {
	return true, nil
}

func (*benchStore) NextNonce(_ context.Context, _ money.ChainID, _ common.Address, count uint64) (uint64, bool, error) {
	return count, false, nil
}

func (*benchStore) AddFee(context.Context, money.ChainID, money.Amount, time.Time) error { return nil }

func (*benchStore) FeesSince(context.Context, money.ChainID, time.Time) (money.Amount, error) {
	return money.Amount{}, nil
}

type benchClock time.Time

func (c benchClock) Now() (time.Time, bool) { return time.Time(c), true }

// BenchmarkX402Header is a signed header from grant and challenge to bytes; the
// bound is 0.1 ms.
func BenchmarkX402Header(b *testing.B) {
	v := readVector(b)
	w, err := wallet.FromPrivateKey([]byte(v.PrivateKey))
	if err != nil {
		b.Fatal(err)
	}
	c, err := ParseChallenge(v.X402.Challenge)
	if err != nil {
		b.Fatal(err)
	}
	e := c.Entries()[0]
	now := time.Unix(v.X402.UnixTime, 0)
	asset := money.Asset{Chain: e.Network, Address: e.Asset, Symbol: "USDC", Decimals: 6, Currency: "USD"}
	ch, err := evm.Dial(evm.Config{ID: e.Network, RPC: []string{"http://127.0.0.1:1"}, Tokens: []evm.Token{{Asset: asset, Name: "USDC", Version: "2"}}})
	if err != nil {
		b.Fatal(err)
	}
	store := &benchStore{}
	set, err := NewSet(SetConfig{Wallet: w, Ledger: store, Chains: []*evm.Chain{ch}, Now: func() time.Time { return now }})
	if err != nil {
		b.Fatal(err)
	}
	rules := &policy.Rules{Currency: "USD", PerPurchase: 1_000_000, Lifetime: 1_000_000}
	guard, err := policy.NewGuard(policy.GuardConfig{Rules: rules, Store: store, Clock: benchClock(now)})
	if err != nil {
		b.Fatal(err)
	}
	req := policy.Request{Purchase: "01939e5e-0000-7000-8000-000000000001", Rail: policy.RailX402, Native: true, Currency: "USD", Value: 10_000, MaxPrice: 10_000, HasMaxPrice: true}
	if verdict, err := guard.Reserve(b.Context(), req); err != nil || !verdict.Allowed() {
		b.Fatal(verdict, err)
	}
	terms := policy.Terms{Rail: policy.RailX402, Chain: e.Network, Token: e.Asset, Symbol: "USDC", Decimals: 6, Payee: e.PayTo, Amount: e.Amount, Deadline: now.Add(5 * time.Minute)}
	g, verdict, err := guard.Grant(b.Context(), req, terms)
	if err != nil || !verdict.Allowed() {
		b.Fatal(verdict, err)
	}
	x := set.rails[policy.RailX402].(*x402)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := x.sign(g, c); err != nil {
			b.Fatal(err)
		}
	}
}

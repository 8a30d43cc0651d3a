// SPDX-License-Identifier: Apache-2.0

package wallet_test

import (
	"context"
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/wallet"
)

// vectors were made with the official SDK and the x402 library.
type vectors struct {
	PrivateKey string         `json:"privateKey"`
	Address    common.Address `json:"address"`
	EIP191     struct {
		Message   string `json:"message"`
		Signature string `json:"signature"`
	} `json:"eip191"`
	X402 struct {
		DomainSeparator common.Hash `json:"domainSeparator"`
		Signature       string      `json:"signature"`
	} `json:"x402"`
}

func readVectors(t testing.TB) vectors {
	t.Helper()
	raw, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func vectorWallet(t testing.TB) *wallet.Wallet {
	t.Helper()
	w, err := wallet.FromPrivateKey([]byte(readVectors(t).PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// store is a policy.Store that remembers one reservation and sums nothing.
type store struct {
	reservation policy.Reservation
}

func (s *store) state(q policy.Query) *policy.State {
	st := &policy.State{At: q.At, LedgerVerified: true, Spent: make([]money.Value, len(q.Windows)), Counts: make([]int64, len(q.Counts))}
	if s.reservation.Purchase != "" {
		own := s.reservation
		st.Own = &own
	}
	return st
}

func (s *store) Reserve(_ context.Context, req policy.Request, q policy.Query, decide func(*policy.State) policy.Verdict) (policy.Verdict, error) {
	v := decide(s.state(q))
	if v.Allowed() {
		s.reservation = policy.Reservation{
			Purchase: req.Purchase, Service: req.Service, Provider: req.Provider, Rail: req.Rail,
			Value: req.Reserves(), Status: policy.ReservationOpen, At: q.At,
		}
	}
	return v, nil
}

func (s *store) Bind(_ context.Context, _ policy.PurchaseID, t policy.Terms, value money.Value, q policy.Query, decide func(*policy.State) policy.Verdict, _ any) (policy.Verdict, error) {
	v := decide(s.state(q))
	if v.Allowed() {
		s.reservation.Terms, s.reservation.Value = &t, value
	}
	return v, nil
}

func (s *store) Reservation(context.Context, policy.PurchaseID) (policy.Reservation, error) {
	return s.reservation, nil
}

func (s *store) State(_ context.Context, q policy.Query) (*policy.State, error) {
	return s.state(q), nil
}

type fixedClock time.Time

func (c fixedClock) Now() (time.Time, bool) { return time.Time(c), true }

// grantFor has a guard grant the terms at a time.
func grantFor(t testing.TB, at time.Time, terms policy.Terms) policy.Grant {
	t.Helper()
	rules := &policy.Rules{Currency: "USD", PerPurchase: 5_000_000, Lifetime: 100_000_000, Payees: policy.PayeesPin}
	g, err := policy.NewGuard(policy.GuardConfig{Rules: rules, Store: &store{}, Clock: fixedClock(at)})
	if err != nil {
		t.Fatal(err)
	}
	req := policy.Request{
		Purchase: "01939e5e-0000-7000-8000-000000000001", Need: "n", Service: "s", Provider: "p", Rail: terms.Rail,
		Native: true, Currency: "USD", Value: 5_000_000, MaxPrice: 5_000_000, HasMaxPrice: true,
	}
	if v, err := g.Reserve(t.Context(), req); err != nil || !v.Allowed() {
		t.Fatalf("reserve: %v, %v", v, err)
	}
	grant, v, err := g.Grant(t.Context(), req, terms)
	if err != nil || !v.Allowed() {
		t.Fatalf("grant: %v, %v", v, err)
	}
	return grant
}

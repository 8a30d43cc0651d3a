// SPDX-License-Identifier: Apache-2.0

package evm

import (
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/money"
)

func TestWorstOfCountsTheDearestOfANonce(t *testing.T) {
	at := func(nonce string, fee, gas uint64) ledger.Attempt {
		return ledger.Attempt{Nonce: nonce, FeeCap: money.FromUint64(fee), Gas: gas}
	}
	tests := []struct {
		name string
		lane []ledger.Attempt
		want uint64
	}{
		{"nothing", nil, 0},
		{"two nonces", []ledger.Attempt{at("1", 10, 5), at("2", 20, 5)}, 150},
		{"a replacement", []ledger.Attempt{at("1", 10, 5), at("1", 20, 5)}, 100},
		{"a cancellation that costs less", []ledger.Attempt{at("1", 10, 100), at("1", 11, 21)}, 1000},
		{"both and another", []ledger.Attempt{at("1", 20, 5), at("1", 10, 5), at("2", 1, 1)}, 101},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := worstOf(tt.lane); err != nil || got != money.FromUint64(tt.want) {
				t.Errorf("got %s, %v, want %d", got, err, tt.want)
			}
		})
	}
	most, err := money.ParseBase("0xffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := worstOf([]ledger.Attempt{{Nonce: "1", FeeCap: most, Gas: 2}}); err == nil {
		t.Error("a cost beyond 256 bits has no error")
	}
}

// A replacement is one that every node takes and that stays below the ceiling, or
// there is none.
func TestOutbid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		amount := func(name string) money.Amount { return money.FromUint64(rapid.Uint64Range(0, 1e12).Draw(t, name)) }
		old := bid{tip: amount("old tip"), fee: amount("old fee")}
		if old.tip.Cmp(old.fee) > 0 {
			old.tip = old.fee
		}
		base, tip, ceiling := amount("base fee"), amount("tip"), amount("ceiling")
		next, decision := rebid(old, base, tip, ceiling)
		least, err := base.Add(tip)
		if err != nil {
			t.Fatal(err)
		}
		switch decision {
		case bidEnough:
			if old.fee.Cmp(least) < 0 || old.tip.Cmp(tip) < 0 {
				t.Errorf("%+v is not enough for %s and %s", old, base, tip)
			}
		case bidCeiling:
			if rule(old.fee).Cmp(ceiling.Big()) <= 0 && rule(old.tip).Cmp(ceiling.Big()) <= 0 {
				t.Errorf("%+v can be outbid below %s", old, ceiling)
			}
		case bidRaised:
			if next.fee.Big().Cmp(rule(old.fee)) < 0 || next.tip.Big().Cmp(rule(old.tip)) < 0 {
				t.Errorf("%+v does not outbid %+v", next, old)
			}
			if next.fee.Cmp(ceiling) > 0 || next.tip.Cmp(next.fee) > 0 {
				t.Errorf("%+v is above %s, or its tip above its fee", next, ceiling)
			}
			if next.fee.Cmp(least) < 0 && next.fee != ceiling {
				t.Errorf("%+v is below what is asked, %s, and not the ceiling %s", next, least, ceiling)
			}
		}
	})
}

// rule is the least that nodes take in the place of an amount: 10 % more, rounded
// up, and more than before.
func rule(a money.Amount) *big.Int {
	up := new(big.Int).Mul(a.Big(), big.NewInt(110))
	up.Add(up, big.NewInt(99)).Div(up, big.NewInt(100))
	if up.Cmp(a.Big()) <= 0 {
		up.Add(a.Big(), big.NewInt(1))
	}
	return up
}

func TestOutbidBeyond256Bits(t *testing.T) {
	most, err := money.ParseBase("0xffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff")
	if err != nil {
		t.Fatal(err)
	}
	if _, decision := outbid(bid{tip: most, fee: most}, most, most, most); decision != bidCeiling {
		t.Errorf("decision %d, want the ceiling", decision)
	}
}

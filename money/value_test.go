// SPDX-License-Identifier: Apache-2.0

package money

import (
	"errors"
	"fmt"
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

func TestParseValue(t *testing.T) {
	tests := []struct {
		text      string
		exact, up Value
		err       error // of the exact reading
	}{
		{"5.00", 5_000_000, 5_000_000, nil},
		{"0.000001", 1, 1, nil},
		{"0.0000001", 0, 1, ErrPrecision},
		{"0.0000019", 0, 2, ErrPrecision},
		{"1.0000001", 0, 1_000_001, ErrPrecision},
		{"0", 0, 0, nil},
		{"9223372036854.775807", MaxValue, MaxValue, nil},
	}
	for _, tt := range tests {
		got, err := ParseValue(tt.text)
		if !errors.Is(err, tt.err) || got != tt.exact {
			t.Errorf("ParseValue(%q): got %d, %v, want %d, %v", tt.text, got, err, tt.exact, tt.err)
		}
		if got, err := ParseValueUp(tt.text); err != nil || got != tt.up {
			t.Errorf("ParseValueUp(%q): got %d, %v, want %d", tt.text, got, err, tt.up)
		}
	}
	for _, bad := range []string{"9223372036854.775808", "1e30"} {
		if _, err := ParseValue(bad); !errors.Is(err, ErrRange) {
			t.Errorf("ParseValue(%q): got %v, want ErrRange", bad, err)
		}
	}
	for _, bad := range []string{"NaN", "-1", ""} {
		if _, err := ParseValueUp(bad); err == nil {
			t.Errorf("ParseValueUp(%q): got nil, want an error", bad)
		}
	}
}

// A token's value is never below what it is worth and never a millionth above.
func TestValueOfRoundsUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, decimals := anyAmount(t, "amount"), rapid.Uint8Range(0, MaxDecimals).Draw(t, "decimals")
		got, err := ValueOf(a, decimals)
		exact := new(big.Rat).SetFrac(new(big.Int).Mul(a.Big(), big.NewInt(1_000_000)), new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(decimals)), nil))
		if exact.Cmp(new(big.Rat).SetInt64(int64(MaxValue))) > 0 {
			if !errors.Is(err, ErrRange) {
				t.Fatalf("%s with %d decimals: got %d, %v, want ErrRange", a, decimals, got, err)
			}
			return
		}
		value := new(big.Rat).SetInt64(int64(got))
		over := new(big.Rat).Sub(value, exact)
		if err != nil || over.Sign() < 0 || over.Cmp(big.NewRat(1, 1)) >= 0 {
			t.Fatalf("%s with %d decimals: got %d, %v, want %s rounded up", a, decimals, got, err, exact.FloatString(3))
		}
	})
}

func TestAmountOf(t *testing.T) {
	if got, err := AmountOf(1_500_000, 18); err != nil || got.String() != "1500000000000000000" {
		t.Errorf("AmountOf(1.5, 18): got %s, %v", got, err)
	}
	if _, err := AmountOf(1, 2); !errors.Is(err, ErrPrecision) {
		t.Errorf("AmountOf(0.000001, 2): got %v, want ErrPrecision", err)
	}
	if _, err := AmountOf(-1, 6); !errors.Is(err, ErrNegative) {
		t.Errorf("AmountOf(-1, 6): got %v, want ErrNegative", err)
	}
}

func TestExceeds(t *testing.T) {
	tests := []struct {
		spent, more, limit Value
		want               bool
	}{
		{4, 1, 5, false},
		{4, 2, 5, true},
		{MaxValue, 1, MaxValue, true},
		{0, MaxValue, MaxValue, false},
	}
	for _, tt := range tests {
		if got := tt.spent.Exceeds(tt.more, tt.limit); got != tt.want {
			t.Errorf("%d.Exceeds(%d, %d): got %v, want %v", tt.spent, tt.more, tt.limit, got, tt.want)
		}
	}
	if _, err := MaxValue.Add(1); !errors.Is(err, ErrRange) {
		t.Errorf("MaxValue.Add(1): got %v, want ErrRange", err)
	}
}

func TestChainID(t *testing.T) {
	tests := map[ChainID]uint64{"eip155:1": 1, "eip155:3338": 3338}
	for id, want := range tests {
		if got, ok := id.EVM(); !ok || got != want {
			t.Errorf("%s: got %d, %v, want %d", id, got, ok, want)
		}
	}
	for _, id := range []ChainID{"", "eip155:", "eip155:01", "eip155:-1", "solana:mainnet", "eip155:99999999999999999999"} {
		if got, ok := id.EVM(); ok {
			t.Errorf("%q: got %d, want none", id, got)
		}
	}
}

func ExampleParse() {
	a, err := Parse("1.5", 6)
	fmt.Println(a, err)
	_, err = Parse("0.0000001", 6)
	fmt.Println(err)
	// Output:
	// 1500000 <nil>
	// more digits than the unit has: "0.0000001" has more than 6 digits after the point
}

func ExampleValueOf() {
	wei, _ := ParseBase("1000000000001")
	v, err := ValueOf(wei, 18) // a millionth and a bit: never rounded down
	fmt.Println(v, err)
	// Output: 0.000002 <nil>
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse("1.5", 6); err != nil {
			b.Fatal(err)
		}
	}
}

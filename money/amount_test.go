// SPDX-License-Identifier: Apache-2.0

package money

import (
	"errors"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParse(t *testing.T) {
	tests := []struct {
		text     string
		decimals uint8
		want     string // base units
		err      error
	}{
		{"0", 6, "0", nil},
		{"1.5", 6, "1500000", nil},
		{"0.000001", 6, "1", nil},
		{"0.0000001", 6, "", ErrPrecision},
		{"1.5000000000", 6, "1500000", nil}, // zeros are no digits
		{"15e-1", 6, "1500000", nil},
		{"1.5E+2", 6, "150000000", nil},
		{"1e-7", 6, "", ErrPrecision},
		{"0e-999", 6, "0", nil},
		{"1e9999", 6, "", ErrRange},
		{"007", 0, "7", nil},
		{"2.0", 0, "2", nil},
		{"0.5", 0, "", ErrPrecision},
		{"-0", 6, "0", nil},
		{"-0.01", 6, "", ErrNegative},
		{"", 6, "", ErrSyntax},
		{".5", 6, "", ErrSyntax},
		{"5.", 6, "", ErrSyntax},
		{"1.2.3", 6, "", ErrSyntax},
		{"NaN", 6, "", ErrSyntax},
		{"Infinity", 6, "", ErrSyntax},
		{"+1", 6, "", ErrSyntax},
		{"1,5", 6, "", ErrSyntax},
		{" 1", 6, "", ErrSyntax},
		{"0x10", 6, "", ErrSyntax},
		{"1e", 6, "", ErrSyntax},
		{"115792089237316195423570985008687907853269984665640564039457584007913129639935", 0,
			"115792089237316195423570985008687907853269984665640564039457584007913129639935", nil},
		{"115792089237316195423570985008687907853269984665640564039457584007913129639936", 0, "", ErrRange},
		{"1", MaxDecimals + 1, "", ErrRange},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			got, err := Parse(tt.text, tt.decimals)
			if !errors.Is(err, tt.err) || (err == nil && got.String() != tt.want) {
				t.Errorf("Parse(%q, %d): got %s, %v, want %s, %v", tt.text, tt.decimals, got, err, tt.want, tt.err)
			}
		})
	}
}

func TestParseBase(t *testing.T) {
	tests := []struct {
		text, want string
		err        error
	}{
		{"10000", "10000", nil},
		{"0x2710", "10000", nil},
		{"0x", "", ErrSyntax},
		{"0x-1", "", ErrSyntax},
		{"0x1_0", "", ErrSyntax},
		{"0x" + strings.Repeat("f", 65), "", ErrRange},
		{"1.5", "", ErrPrecision},
		{"-1", "", ErrNegative},
	}
	for _, tt := range tests {
		got, err := ParseBase(tt.text)
		if !errors.Is(err, tt.err) || (err == nil && got.String() != tt.want) {
			t.Errorf("ParseBase(%q): got %s, %v, want %s, %v", tt.text, got, err, tt.want, tt.err)
		}
	}
}

func anyAmount(t *rapid.T, name string) Amount {
	bytes := rapid.SliceOfN(rapid.Byte(), 0, 32).Draw(t, name)
	a, err := FromBig(new(big.Int).SetBytes(bytes))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// What is formatted reads back as the same amount, at every precision.
func TestFormatReadsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, decimals := anyAmount(t, "amount"), rapid.Uint8Range(0, MaxDecimals).Draw(t, "decimals")
		got, err := Parse(a.Format(decimals), decimals)
		if err != nil || got != a {
			t.Fatalf("%s with %d decimals: %q read back as %s, %v", a, decimals, a.Format(decimals), got, err)
		}
		text, err := a.MarshalText()
		var again Amount
		if err != nil || again.UnmarshalText(text) != nil || again != a {
			t.Fatalf("%s: marshalled as %q, read back as %s", a, text, again)
		}
	})
}

// Arithmetic agrees with big.Int, and says so when it cannot.
func TestArithmeticAgreesWithBig(t *testing.T) {
	limit := new(big.Int).Lsh(big.NewInt(1), 256)
	check := func(t *rapid.T, op string, got Amount, err error, want *big.Int) {
		fits := want.Sign() >= 0 && want.Cmp(limit) < 0
		if fits != (err == nil) || (fits && got.Big().Cmp(want) != 0) || (!fits && !errors.Is(err, ErrRange)) {
			t.Fatalf("%s: got %s, %v, want %s", op, got, err, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b, n := anyAmount(t, "a"), anyAmount(t, "b"), rapid.Uint64().Draw(t, "n")
		sum, err := a.Add(b)
		check(t, "add", sum, err, new(big.Int).Add(a.Big(), b.Big()))
		rest, err := a.Sub(b)
		check(t, "sub", rest, err, new(big.Int).Sub(a.Big(), b.Big()))
		product, err := a.Mul(n)
		check(t, "mul", product, err, new(big.Int).Mul(a.Big(), new(big.Int).SetUint64(n)))
		if a.Cmp(b) != a.Big().Cmp(b.Big()) {
			t.Fatalf("cmp of %s and %s: got %d", a, b, a.Cmp(b))
		}
	})
}

func TestScan(t *testing.T) {
	var a Amount
	for _, src := range []any{"42", []byte("42")} {
		if err := a.Scan(src); err != nil || a != FromUint64(42) {
			t.Errorf("Scan(%T): got %s, %v, want 42", src, a, err)
		}
	}
	if err := a.Scan(int64(42)); !errors.Is(err, ErrSyntax) {
		t.Errorf("Scan(int64): got %v, want ErrSyntax", err)
	}
	if v, err := a.Value(); err != nil || v != "42" {
		t.Errorf("Value: got %v, %v, want 42", v, err)
	}
}

// Foreign text never panics, costs no more than its length, and what is
// accepted says the same as big.Rat.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"1.5", "15e-1", "1e999", "-0", "NaN", "0.0000001", "1e-9999999999", strings.Repeat("9", 200)} {
		f.Add(seed, uint8(6))
	}
	f.Fuzz(func(t *testing.T, text string, decimals uint8) {
		got, err := Parse(text, decimals)
		if err != nil {
			return
		}
		want, ok := new(big.Rat).SetString(text)
		if !ok {
			t.Fatalf("accepted %q, which is no number", text)
		}
		scale := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(decimals)), nil)
		if want.Mul(want, new(big.Rat).SetInt(scale)); !want.IsInt() || want.Num().Cmp(got.Big()) != 0 {
			t.Fatalf("Parse(%q, %d): got %s, want %s", text, decimals, got, want)
		}
	})
}

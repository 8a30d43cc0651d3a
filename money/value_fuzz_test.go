// SPDX-License-Identifier: Apache-2.0

package money

import (
	"math/big"
	"testing"
)

// FuzzBase reads base units: what is accepted is a whole number of 256 bits and
// is written as it is read.
func FuzzBase(f *testing.F) {
	for _, seed := range []string{"0", "10000", "0x2710", "0x", "0x-1", "1e3", "-1", "1.0", "0X1", " 1",
		"115792089237316195423570985008687907853269984665640564039457584007913129639936"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := ParseBase(text)
		if err != nil {
			if len(err.Error()) > 400 {
				t.Fatalf("error of %d bytes", len(err.Error()))
			}
			return
		}
		if a.Big().Sign() < 0 || a.Big().BitLen() > 256 {
			t.Fatalf("%q is %s", text, a)
		}
		if hex, ok := new(big.Int).SetString(text, 0); ok && len(text) > 2 && text[:2] == "0x" && hex.Cmp(a.Big()) != 0 {
			t.Fatalf("%q: got %s, want %s", text, a, hex)
		}
		again, err := ParseBase(a.String())
		if err != nil || again != a {
			t.Fatalf("%q is %s, and that %s (%v)", text, a, again, err)
		}
		var read Amount
		if err := read.UnmarshalText([]byte(a.String())); err != nil || read != a {
			t.Fatalf("%s is read as %s (%v)", a, read, err)
		}
	})
}

// FuzzValue reads currency values: within the range, identical when written and
// read, never below what the text says, and the same as its amount of a token.
func FuzzValue(f *testing.F) {
	for _, seed := range []string{"5.00", "0.0000001", "1e-6", "9223372036854.775807", "9223372036854.775808", "1e400", "-0", "0.1e-5", "NaN"} {
		f.Add(seed, uint8(6))
		f.Add(seed, uint8(18))
	}
	f.Fuzz(func(t *testing.T, text string, decimals uint8) {
		v, err := ParseValue(text)
		up, errUp := ParseValueUp(text)
		if err != nil && errUp != nil {
			return
		}
		exact, ok := new(big.Rat).SetString(text)
		if !ok || exact.Sign() < 0 {
			t.Fatalf("accepted %q", text)
		}
		said := new(big.Rat).SetFrac(big.NewInt(int64(up)), big.NewInt(1_000_000))
		if errUp != nil || up < 0 || said.Cmp(exact) < 0 || new(big.Rat).Sub(said, exact).Cmp(big.NewRat(1, 1_000_000)) >= 0 {
			t.Fatalf("%q rounded up is %s (%v)", text, up, errUp)
		}
		if err != nil {
			return
		}
		if v != up {
			t.Fatalf("%q: %s and rounded up %s", text, v, up)
		}
		if again, err := ParseValue(v.String()); err != nil || again != v {
			t.Fatalf("%s is read as %s (%v)", v, again, err)
		}
		a, err := AmountOf(v, decimals)
		if err != nil {
			return // the token is too coarse, or the number too large for it
		}
		if back, err := ValueOf(a, decimals); err != nil || back != v {
			t.Fatalf("%s is %s of %d decimals, and that %s (%v)", v, a, decimals, back, err)
		}
	})
}

// SPDX-License-Identifier: Apache-2.0

package money

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"github.com/holiman/uint256"
)

// MaxDecimals is the largest number of decimals an asset may have: 10^77 is the
// largest power of ten that fits into a uint256.
const MaxDecimals = 77

// The branch points of parsing and arithmetic. All errors of this package wrap
// one of them.
var (
	// ErrSyntax says that a text is not a decimal number: empty, NaN, an
	// infinity, a sign alone, two points.
	ErrSyntax = errors.New("not a decimal number")
	// ErrNegative says that a number is below zero.
	ErrNegative = errors.New("negative amount")
	// ErrPrecision says that a number has more digits after the point than its unit.
	ErrPrecision = errors.New("more digits than the unit has")
	// ErrRange says that a result does not fit: above 2^256-1 base units, above
	// 2^63-1 millionths, or below zero after a subtraction.
	ErrRange = errors.New("amount out of range")
)

// Amount is a number of base units of an asset (wei, the millionth of a USDC),
// between 0 and 2^256-1. The zero value is zero. Amounts are compared with ==
// or [Amount.Cmp] and copied by assignment.
type Amount struct {
	v uint256.Int
}

// FromUint64 returns the amount of n base units.
func FromUint64(n uint64) Amount {
	return Amount{v: *uint256.NewInt(n)}
}

// FromBig returns the amount of b base units. It is an [ErrNegative] if b is
// below zero and an [ErrRange] if it exceeds 256 bits; nil is zero.
func FromBig(b *big.Int) (Amount, error) {
	if b == nil {
		return Amount{}, nil
	}
	if b.Sign() < 0 {
		return Amount{}, ErrNegative
	}
	v, over := uint256.FromBig(b)
	if over {
		return Amount{}, ErrRange
	}
	return Amount{v: *v}, nil
}

// ParseBase reads a whole number of base units, in decimal or, behind 0x, in
// hexadecimal: the spelling of rawAmount and of x402 amounts.
func ParseBase(text string) (Amount, error) {
	if hex, ok := strings.CutPrefix(text, "0x"); ok {
		b, ok := new(big.Int).SetString(hex, 16)
		if !ok || strings.ContainsAny(hex, "+-_") {
			return Amount{}, fmt.Errorf("%w: %q", ErrSyntax, clip(text))
		}
		return FromBig(b)
	}
	return Parse(text, 0)
}

// Parse reads a number of whole units from the decimal text of a JSON number or
// string and returns its base units, where one unit has 10^decimals of them:
// Parse("1.5", 6) is 1500000. Exponents are exact ("15e-1" is 1.5). Digits past
// the asset's decimals are an [ErrPrecision] unless they are zeros.
func Parse(text string, decimals uint8) (Amount, error) {
	if decimals > MaxDecimals {
		return Amount{}, fmt.Errorf("%w: %d decimals", ErrRange, decimals)
	}
	digits, exp, err := scan(text)
	if err != nil {
		return Amount{}, fmt.Errorf("%w: %q", err, clip(text))
	}
	if digits == "" {
		return Amount{}, nil
	}
	exp += int(decimals)
	if exp < 0 {
		return Amount{}, fmt.Errorf("%w: %q has more than %d digits after the point", ErrPrecision, clip(text), decimals)
	}
	if len(digits)+exp > 78 {
		return Amount{}, fmt.Errorf("%w: %q", ErrRange, clip(text))
	}
	var a Amount
	if err := a.v.SetFromDecimal(digits + strings.Repeat("0", exp)); err != nil {
		return Amount{}, fmt.Errorf("%w: %q", ErrRange, clip(text))
	}
	return a, nil
}

// scan splits a non-negative decimal number into its significant digits,
// without zeros at either end, and the power of ten they are multiplied by.
func scan(text string) (digits string, exp int, err error) {
	rest, negative := strings.CutPrefix(text, "-")
	mantissa, power, hasPower := cutExponent(rest)
	whole, frac, hasPoint := strings.Cut(mantissa, ".")
	if whole == "" || (hasPoint && frac == "") || !allDigits(whole) || !allDigits(frac) {
		return "", 0, ErrSyntax
	}
	if hasPower {
		if exp, err = parsePower(power); err != nil {
			return "", 0, err
		}
	}
	digits = strings.TrimLeft(whole+frac, "0")
	exp -= len(frac)
	trimmed := strings.TrimRight(digits, "0")
	exp += len(digits) - len(trimmed)
	if trimmed != "" && negative {
		return "", 0, ErrNegative
	}
	return trimmed, exp, nil
}

func cutExponent(s string) (mantissa, power string, found bool) {
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}

// parsePower reads an exponent of at most three digits; no amount needs more,
// and a longer one must not cost memory.
func parsePower(s string) (int, error) {
	sign := 1
	switch {
	case strings.HasPrefix(s, "-"):
		sign, s = -1, s[1:]
	case strings.HasPrefix(s, "+"):
		s = s[1:]
	}
	if s == "" || !allDigits(s) {
		return 0, ErrSyntax
	}
	if s = strings.TrimLeft(s, "0"); len(s) > 3 {
		return 0, ErrRange
	}
	n := 0
	for _, c := range s {
		n = n*10 + int(c-'0')
	}
	return sign * n, nil
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// clip keeps foreign text in an error message short.
func clip(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}

// Format returns the decimal text of a in whole units, without zeros at the
// end: FromUint64(1500000).Format(6) is "1.5".
func (a Amount) Format(decimals uint8) string {
	text := a.v.Dec()
	d := int(decimals)
	if d == 0 {
		return text
	}
	if len(text) <= d {
		text = strings.Repeat("0", d-len(text)+1) + text
	}
	whole, frac := text[:len(text)-d], strings.TrimRight(text[len(text)-d:], "0")
	if frac == "" {
		return whole
	}
	return whole + "." + frac
}

// String returns the base units in decimal.
func (a Amount) String() string { return a.v.Dec() }

// Big returns the base units as a new big.Int.
func (a Amount) Big() *big.Int { return a.v.ToBig() }

// Uint256 returns the base units as a uint256.
func (a Amount) Uint256() uint256.Int { return a.v }

// IsZero says whether a is nothing.
func (a Amount) IsZero() bool { return a.v.IsZero() }

// Cmp returns -1, 0 or +1 as a is below, equal to or above b.
func (a Amount) Cmp(b Amount) int { return a.v.Cmp(&b.v) }

// Add returns a+b, or [ErrRange] if the sum exceeds 256 bits.
func (a Amount) Add(b Amount) (Amount, error) {
	var sum Amount
	if _, over := sum.v.AddOverflow(&a.v, &b.v); over {
		return Amount{}, fmt.Errorf("%w: %s + %s", ErrRange, a, b)
	}
	return sum, nil
}

// Sub returns a-b, or [ErrRange] if b is larger than a.
func (a Amount) Sub(b Amount) (Amount, error) {
	var rest Amount
	if _, under := rest.v.SubOverflow(&a.v, &b.v); under {
		return Amount{}, fmt.Errorf("%w: %s - %s", ErrRange, a, b)
	}
	return rest, nil
}

// Mul returns a*n, or [ErrRange] if the product exceeds 256 bits.
func (a Amount) Mul(n uint64) (Amount, error) {
	var product Amount
	if _, over := product.v.MulOverflow(&a.v, uint256.NewInt(n)); over {
		return Amount{}, fmt.Errorf("%w: %s * %d", ErrRange, a, n)
	}
	return product, nil
}

// MarshalText writes the base units in decimal, as JSON string and in logs.
func (a Amount) MarshalText() ([]byte, error) { return []byte(a.v.Dec()), nil }

// UnmarshalText reads what [Amount.MarshalText] wrote.
func (a *Amount) UnmarshalText(text []byte) error {
	parsed, err := ParseBase(string(text))
	if err != nil {
		return err
	}
	*a = parsed
	return nil
}

// Value stores the amount in a database as decimal text: SQL integers are too
// small for 256 bits.
func (a Amount) Value() (driver.Value, error) { return a.v.Dec(), nil }

// Scan reads the decimal text that [Amount.Value] wrote.
func (a *Amount) Scan(src any) error {
	switch s := src.(type) {
	case string:
		return a.UnmarshalText([]byte(s))
	case []byte:
		return a.UnmarshalText(s)
	default:
		return fmt.Errorf("%w: amount stored as %T", ErrSyntax, src)
	}
}

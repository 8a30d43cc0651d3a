// SPDX-License-Identifier: Apache-2.0

package money

import (
	"fmt"
	"math"

	"github.com/holiman/uint256"
)

// ValueDecimals is the number of digits after the point that a [Value] keeps.
const ValueDecimals = 6

// Value is an amount of the policy's currency in millionths, at least zero. Its
// range of 2^63-1 millionths is some nine million million units. It fits an SQL
// integer.
type Value int64

// MaxValue is the largest value.
const MaxValue Value = math.MaxInt64

// ParseValue reads a currency value ("5.00") from the decimal text of a JSON
// number or string. More than six digits after the point are an [ErrPrecision].
func ParseValue(text string) (Value, error) {
	a, err := Parse(text, ValueDecimals)
	if err != nil {
		return 0, err
	}
	return fromUnits(a.v, text)
}

// ParseValueUp is [ParseValue] for foreign prices that may be finer than six
// digits: what is beyond is rounded up, so that a limit sees at least the price.
func ParseValueUp(text string) (Value, error) {
	digits, exp, err := scan(text)
	if err != nil {
		return 0, fmt.Errorf("%w: %q", err, clip(text))
	}
	cut := -(exp + ValueDecimals)
	if digits == "" || cut <= 0 {
		return ParseValue(text)
	}
	if cut >= len(digits) {
		return 1, nil
	}
	a, err := Parse(digits[:len(digits)-cut], 0)
	if err != nil {
		return 0, err
	}
	v, err := fromUnits(a.v, text)
	if err != nil {
		return 0, err
	}
	return v.Add(1)
}

func fromUnits(v uint256.Int, what string) (Value, error) {
	if !v.IsUint64() || v.Uint64() > math.MaxInt64 {
		return 0, fmt.Errorf("%w: %s", ErrRange, clip(what))
	}
	return Value(v.Uint64()), nil //nolint:gosec // bounded above by MaxInt64
}

// ValueOf returns what an amount of a token with the given decimals counts in
// its currency, one token to one unit, rounded up to the next millionth.
func ValueOf(a Amount, decimals uint8) (Value, error) {
	if decimals > MaxDecimals {
		return 0, fmt.Errorf("%w: %d decimals", ErrRange, decimals)
	}
	if decimals <= ValueDecimals {
		factor := pow10(ValueDecimals - decimals)
		var v uint256.Int
		if _, over := v.MulOverflow(&a.v, &factor); over {
			return 0, fmt.Errorf("%w: %s", ErrRange, a)
		}
		return fromUnits(v, a.String())
	}
	divisor := pow10(decimals - ValueDecimals)
	var quotient, rest uint256.Int
	quotient.DivMod(&a.v, &divisor, &rest)
	if !rest.IsZero() {
		quotient.AddUint64(&quotient, 1)
	}
	return fromUnits(quotient, a.String())
}

// AmountOf returns the base units of a token with the given decimals that are
// worth v; it is an [ErrPrecision] if the token is too coarse to say it.
func AmountOf(v Value, decimals uint8) (Amount, error) {
	if v < 0 {
		return Amount{}, ErrNegative
	}
	return Parse(v.String(), decimals)
}

func pow10(n uint8) uint256.Int {
	var p uint256.Int
	p.Exp(uint256.NewInt(10), uint256.NewInt(uint64(n)))
	return p
}

// Add returns v+w, or [ErrRange] if the sum does not fit.
func (v Value) Add(w Value) (Value, error) {
	if w > MaxValue-v {
		return 0, fmt.Errorf("%w: %s + %s", ErrRange, v, w)
	}
	return v + w, nil
}

// Exceeds says whether v+w is above limit; a sum that does not fit is above
// every limit. It allocates nothing.
func (v Value) Exceeds(w, limit Value) bool {
	return w > MaxValue-v || v+w > limit
}

// String returns the value in whole units with its significant digits ("2.5").
func (v Value) String() string {
	if v < 0 {
		return "-" + (-v).String()
	}
	return FromUint64(uint64(v)).Format(ValueDecimals)
}

// MarshalText writes what [Value.String] returns, as JSON string and in logs.
func (v Value) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads a decimal text of whole units.
func (v *Value) UnmarshalText(text []byte) error {
	parsed, err := ParseValue(string(text))
	if err != nil {
		return err
	}
	*v = parsed
	return nil
}

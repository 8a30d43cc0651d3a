// SPDX-License-Identifier: Apache-2.0

package orchestration

import (
	"encoding/hex"
	"math/big"
	"strings"
)

const (
	didPrefix   = "did:peaq:"
	aliasPrefix = "peaqos:machine:"
)

// IdentityRef is a reference to a machine's identity on the chain, in the form in
// which its owner wrote it. Use [ParseIdentityRef] to make one.
type IdentityRef struct {
	text  string
	value string // the decimal id, empty for the address form
}

// ParseIdentityRef accepts did:peaq:<decimal>, peaqos:machine:<decimal> and the
// older did:peaq:0x<40 hex digits>. The decimal is an id from 0 to 2^256-1
// without sign, space or leading zero. Current servers may refuse the older form.
// Anything else is a [ValidationError].
func ParseIdentityRef(text string) (IdentityRef, error) {
	rest, isDID := strings.CutPrefix(text, didPrefix)
	if address, ok := strings.CutPrefix(rest, "0x"); isDID && ok {
		if _, err := hex.DecodeString(address); err != nil || len(address) != 40 {
			return IdentityRef{}, &ValidationError{Field: "identityRef", Constraint: "must have 40 hex digits after did:peaq:0x"}
		}
		return IdentityRef{text: text}, nil
	}
	if !isDID {
		alias, ok := strings.CutPrefix(text, aliasPrefix)
		if !ok {
			return IdentityRef{}, &ValidationError{Field: "identityRef", Constraint: "must begin with did:peaq: or peaqos:machine:"}
		}
		rest = alias
	}
	if !decimalID(rest) {
		return IdentityRef{}, &ValidationError{Field: "identityRef", Constraint: "must end in a decimal from 0 to 2^256-1 without a leading zero"}
	}
	return IdentityRef{text: text, value: rest}, nil
}

// String returns the reference as it was given, which is also what is to be sent.
func (r IdentityRef) String() string { return r.text }

// IsAddress says whether the reference has the older form with an address.
func (r IdentityRef) IsAddress() bool { return r.text != "" && r.value == "" }

// Canonical returns the form did:peaq:<decimal>, in which servers answer. It is
// not known for the address form: take it from the first reply.
func (r IdentityRef) Canonical() (string, bool) {
	if r.value == "" {
		return "", false
	}
	return didPrefix + r.value, true
}

func decimalID(s string) bool {
	const maxDigits = 78 // of 2^256-1
	if s == "" || len(s) > maxDigits || s[0] == '0' && len(s) > 1 {
		return false
	}
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return false
		}
	}
	n, ok := new(big.Int).SetString(s, 10)
	return ok && n.BitLen() <= 256
}

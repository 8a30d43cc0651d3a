// SPDX-License-Identifier: Apache-2.0

package orchestration

import (
	"errors"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParseIdentityRef(t *testing.T) {
	most := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1)).String()
	over := new(big.Int).Lsh(big.NewInt(1), 256).String()
	address := "did:peaq:0x" + strings.Repeat("aB", 20)
	for text, want := range map[string]string{ // the canonical form, "address" or "" for a refusal
		"did:peaq:42":                           "did:peaq:42",
		"did:peaq:0":                            "did:peaq:0",
		"peaqos:machine:184467":                 "did:peaq:184467",
		"did:peaq:" + most:                      "did:peaq:" + most,
		"peaqos:machine:" + over:                "",
		"did:peaq:" + over:                      "",
		"did:peaq:1" + most:                     "",
		address:                                 "address",
		address + "0":                           "",
		"did:peaq:0x12":                         "",
		"did:peaq:0X" + strings.Repeat("a", 40): "",
		"did:peaq:0x" + strings.Repeat("g", 40): "",
		"peaqos:machine:0x" + strings.Repeat("a", 40): "",
		"did:peaq:":    "",
		"did:peaq:007": "",
		"did:peaq:-1":  "",
		"did:peaq:+1":  "",
		"did:peaq: 1":  "",
		"did:peaq:1 ":  "",
		"did:peaq:1.0": "",
		"did:peaq:٣":   "",
		"did:web:1":    "",
		"42":           "",
		"":             "",
	} {
		ref, err := ParseIdentityRef(text)
		canonical, known := ref.Canonical()
		switch want {
		case "":
			var invalid *ValidationError
			if !errors.As(err, &invalid) || invalid.Field != "identityRef" {
				t.Errorf("%q: got %v, want a refusal", text, err)
			}
		case "address":
			if err != nil || !ref.IsAddress() || known || ref.String() != text {
				t.Errorf("%q: got %v, %v", text, ref, err)
			}
		default:
			if err != nil || ref.IsAddress() || canonical != want || ref.String() != text {
				t.Errorf("%q: got %q (%v), want %q", text, canonical, err, want)
			}
		}
	}
}

func TestIdentityRefsOfTheSameMachineAreEqual(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := new(big.Int).SetBytes(rapid.SliceOfN(rapid.Byte(), 0, 32).Draw(t, "id")).String()
		did, err := ParseIdentityRef("did:peaq:" + n)
		if err != nil {
			t.Fatal(err)
		}
		alias, err := ParseIdentityRef("peaqos:machine:" + n)
		if err != nil {
			t.Fatal(err)
		}
		a, _ := did.Canonical()
		b, _ := alias.Canonical()
		if a != b || a != did.String() {
			t.Errorf("got %q and %q for %s", a, b, n)
		}
	})
}

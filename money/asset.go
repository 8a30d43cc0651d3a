// SPDX-License-Identifier: Apache-2.0

package money

import (
	"strconv"
	"strings"

	"github.com/ethereum/go-ethereum/common"
)

// ChainID names a chain in CAIP-2 form, such as "eip155:3338".
type ChainID string

// EVM returns the EIP-155 chain id, above 0; ok is false for a chain of another kind.
func (c ChainID) EVM() (id uint64, ok bool) {
	text, found := strings.CutPrefix(string(c), "eip155:")
	if !found || text == "" || !allDigits(text) || text[0] == '0' {
		return 0, false
	}
	id, err := strconv.ParseUint(text, 10, 64)
	return id, err == nil
}

// Asset is a token as the owner's configuration declares it. One whole token
// counts as one unit of Currency.
type Asset struct {
	Chain    ChainID
	Address  common.Address
	Symbol   string
	Decimals uint8
	Currency string
}

// ValueOf returns what an amount of the asset counts in its currency, rounded up.
func (a Asset) ValueOf(amount Amount) (Value, error) { return ValueOf(amount, a.Decimals) }

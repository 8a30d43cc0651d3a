// SPDX-License-Identifier: Apache-2.0

package config

import (
	"strings"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/money"
)

// maxTokenDecimals bounds the decimals of a token; no token in use has more
// than 24, and values of whole tokens must fit 256 bits.
const maxTokenDecimals = 36

func (l *loader) validateChains() {
	ids := make(map[money.ChainID]bool)
	names := make(map[string]bool)
	for i := range l.cfg.Chains {
		c := &l.cfg.Chains[i]
		path := at("chains", i, "")
		switch {
		case c.ID == "" && !l.faulted(path+".id"):
			l.fault(path+".id", "nothing", "a CAIP-2 chain id of the form eip155:NUMBER, such as eip155:3338", "")
		case c.ID != "" && ids[c.ID]:
			l.fault(path+".id", quote(string(c.ID))+" a second time", "each chain once", "")
		}
		ids[c.ID] = true
		if name := strings.ToLower(c.Name); name != "" {
			if names[name] {
				l.fault(path+".name", quote(c.Name)+" a second time", "each name once", "")
			}
			names[name] = true
		}
		if len(c.RPC) == 0 && !l.faulted(path+".rpc") {
			l.fault(path+".rpc", "no endpoint", "one URL or more", "")
		}
		l.validateFinal(path+".final", c.Final)
		if c.Gas.MaxFeePerGas.IsZero() && !l.faulted(path+".gas.max_fee_per_gas_gwei") {
			l.fault(path+".gas.max_fee_per_gas_gwei", "0", "a fee in gwei above 0", "")
		}
		l.validateTokens(path, c.Tokens)
		l.validateEscrows(path, c)
	}
}

func (l *loader) validateFinal(path string, f Final) {
	const most = 100_000
	switch {
	case f.Tag != "" && f.Confirmations != 0:
		l.fault(path, "confirmations and a tag", "one of the two", "")
	case f.Tag == "" && !l.faulted(path+".confirmations") && !l.faulted(path+".tag") && (f.Confirmations == 0 || f.Confirmations > most):
		l.fault(path+".confirmations", money.FromUint64(f.Confirmations).String(), "from 1 to 100000, or tag: finalized", "")
	}
}

// address records a fault for an address that is missing or zero.
func (l *loader) address(key string, a common.Address) {
	if a == (common.Address{}) && !l.faulted(key) {
		found := "nothing"
		if l.isSet(key) {
			found = "the zero address"
		}
		l.fault(key, found, "0x and 40 hexadecimal digits", "")
	}
}

func (l *loader) validateTokens(chain string, tokens []Token) {
	symbols := make(map[string]bool)
	addresses := make(map[common.Address]bool)
	for i := range tokens {
		t := &tokens[i]
		path := at(chain+".tokens", i, "")
		if l.required(path+".symbol", t.Symbol, "the token's symbol") {
			if symbols[strings.ToUpper(t.Symbol)] {
				l.fault(path+".symbol", quote(t.Symbol)+" a second time on this chain", "each symbol once", "")
			}
			symbols[strings.ToUpper(t.Symbol)] = true
		}
		l.address(path+".address", t.Address)
		if addresses[t.Address] && t.Address != (common.Address{}) {
			l.fault(path+".address", t.Address.Hex()+" a second time", "each token once", "")
		}
		addresses[t.Address] = true
		switch {
		case l.faulted(path + ".decimals"):
		case !l.isSet(path + ".decimals"):
			l.fault(path+".decimals", "nothing", "the token's decimals, which are compared with the chain's", "")
		case t.Decimals > maxTokenDecimals:
			l.fault(path+".decimals", money.FromUint64(uint64(t.Decimals)).String(), "from 0 to 36", "")
		}
		if l.required(path+".currency", t.Currency, "the currency of which one token is one unit, such as USD") &&
			l.cfg.Policy.Currency != "" && t.Currency != l.cfg.Policy.Currency {
			l.warn(path + " counts as " + t.Currency + ", which the policy's currency " + l.cfg.Policy.Currency + " does not cover: it is never paid with")
		}
		if t.LowBalanceText != "" {
			amount, err := money.Parse(t.LowBalanceText, t.Decimals)
			if err != nil {
				l.fault(path+".low_balance", quote(t.LowBalanceText), "a decimal number of tokens with at most as many digits after the point as the token has", "")
			}
			t.LowBalance = amount
		}
		if (t.EIP712.Name == "") != (t.EIP712.Version == "") {
			l.fault(path+".eip712", "a name or a version alone", "both, or neither", "")
		}
	}
}

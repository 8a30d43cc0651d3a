// SPDX-License-Identifier: Apache-2.0

package config

import (
	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/money"
)

// Chain is an EVM chain on which the daemon may pay.
type Chain struct {
	// ID is the CAIP-2 name, eip155:<decimal>.
	ID money.ChainID `yaml:"id"`
	// Name is an alias under which the Market may name the chain.
	Name string `yaml:"name"`
	// RPC are endpoints of the chain, tried in order.
	RPC   []string `yaml:"rpc" as:"url"`
	Final Final    `yaml:"final"`
	Gas   Gas      `yaml:"gas"`
	// VerifyFromBlock is where the ledger's verification starts to read.
	VerifyFromBlock uint64   `yaml:"verify_from_block"`
	Tokens          []Token  `yaml:"tokens"`
	Escrows         []Escrow `yaml:"escrows"`
}

// FinalTag is a block tag of the JSON-RPC API that names a final block.
type FinalTag string

// TagFinalized is the one tag that counts as final.
const TagFinalized FinalTag = "finalized"

// Final says when a transaction is final: at a depth in blocks, or by a tag.
type Final struct {
	// Confirmations is the depth, at least 1; zero if Tag is set.
	Confirmations uint64   `yaml:"confirmations"`
	Tag           FinalTag `yaml:"tag"`
}

// Gas bounds what transactions may cost. Amounts are wei.
type Gas struct {
	// MaxFeePerGas is the ceiling of the fee cap, from max_fee_per_gas_gwei.
	MaxFeePerGas money.Amount `yaml:"max_fee_per_gas_gwei" unit:"9"`
	// PerDay is the budget for fees over 24 hours, in the chain's coin.
	PerDay money.Amount `yaml:"per_day" unit:"18"`
	// LowBalance is the balance of the chain's coin below which a health problem is raised.
	LowBalance money.Amount `yaml:"low_balance" unit:"18"`
}

// Token is an ERC-20 token that counts as money.
type Token struct {
	Symbol   string         `yaml:"symbol"`
	Address  common.Address `yaml:"address"`
	Decimals uint8          `yaml:"decimals"`
	// Currency is the policy currency of which one token is one unit.
	Currency string `yaml:"currency"`
	// LowBalanceText is the balance in whole tokens below which a health
	// problem is raised; LowBalance is the same in base units.
	LowBalanceText string       `yaml:"low_balance"`
	LowBalance     money.Amount `yaml:"-"`
	// EIP712 is the domain of the token's signed authorisations; without it
	// the token cannot be used with x402.
	EIP712 EIP712Domain `yaml:"eip712"`
}

// Asset returns the token as money counts it.
func (t Token) Asset(chain money.ChainID) money.Asset {
	return money.Asset{Chain: chain, Address: t.Address, Symbol: t.Symbol, Decimals: t.Decimals, Currency: t.Currency}
}

// EIP712Domain is the part of an EIP-712 domain that a token chooses.
type EIP712Domain struct {
	Name    string `yaml:"name"`
	Version string `yaml:"version"`
}

// Assets returns every configured token of every chain.
func (c *Config) Assets() []money.Asset {
	var assets []money.Asset
	for i := range c.Chains {
		for _, t := range c.Chains[i].Tokens {
			assets = append(assets, t.Asset(c.Chains[i].ID))
		}
	}
	return assets
}

// ChainAliases maps every configured chain name to its id.
func (c *Config) ChainAliases() map[string]money.ChainID {
	aliases := make(map[string]money.ChainID, len(c.Chains))
	for i := range c.Chains {
		if c.Chains[i].Name != "" {
			aliases[c.Chains[i].Name] = c.Chains[i].ID
		}
	}
	return aliases
}

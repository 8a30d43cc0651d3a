// SPDX-License-Identifier: Apache-2.0

package payments

import (
	"errors"
	"fmt"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/payments/evm"
	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/wallet"
)

// SetConfig is what a [Set] is made of.
type SetConfig struct {
	// Wallet is the agent's key and Ledger keeps what it signs; both are required.
	Wallet *wallet.Wallet
	Ledger evm.Ledger
	// Chains are the configured chains.
	Chains []*evm.Chain
	// Escrows are the escrows that the owner listed; no other is paid into.
	Escrows []Escrow
	// MaxAuthorization returns the policy's longest x402 authorisation; it is asked
	// at each signature. Nil, or a result of 0, means [policy.DefaultMaxAuthorization].
	MaxAuthorization func() time.Duration
	// Now is the wall clock; nil means time.Now.
	Now func() time.Time
}

// Set holds the rails. It is safe for concurrent use.
type Set struct {
	rails   map[string]Rail
	senders map[money.ChainID]*evm.Sender
	chains  map[money.ChainID]*evm.Chain
	ledger  evm.Ledger
}

// NewSet builds every rail that needs no person: not-required, wallet,
// wdk-usdt-transfer, escrow, onchain-escrow and x402.
func NewSet(cfg SetConfig) (*Set, error) {
	if cfg.Wallet == nil || cfg.Ledger == nil {
		return nil, errors.New("payments: rails need a wallet and a ledger")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Set{rails: map[string]Rail{}, senders: map[money.ChainID]*evm.Sender{}, chains: map[money.ChainID]*evm.Chain{}, ledger: cfg.Ledger}
	for _, c := range cfg.Chains {
		if s.chains[c.ID()] != nil {
			return nil, fmt.Errorf("payments: chain %s is configured twice", c.ID())
		}
		sender, err := evm.NewSender(evm.SenderConfig{Chain: c, Wallet: cfg.Wallet, Ledger: cfg.Ledger, Now: cfg.Now})
		if err != nil {
			return nil, err
		}
		s.chains[c.ID()], s.senders[c.ID()] = c, sender
	}
	listed, err := escrowsOf(cfg.Escrows)
	if err != nil {
		return nil, err
	}
	account := held{cfg.Ledger, cfg.Wallet.Address(), listed}
	s.rails[policy.RailNotRequired] = free{}
	for _, name := range []string{policy.RailWallet, policy.RailUSDTTransfer} {
		s.rails[name] = &transfer{name: name, set: s, held: account}
	}
	for _, name := range []string{policy.RailEscrow, policy.RailOnchainEscrow} {
		s.rails[name] = &escrow{transfer: transfer{name: name, set: s, held: account}, escrows: listed, now: cfg.Now}
	}
	s.rails[policy.RailX402] = &x402{
		set: s, wallet: cfg.Wallet, ledger: cfg.Ledger, now: cfg.Now, began: cfg.Now(), maxAuthorization: cfg.MaxAuthorization, held: account,
	}
	return s, nil
}

// Rail returns the rail of a name; ok is false where there is none, because a
// person has to pay or because the rail is not built.
func (s *Set) Rail(name string) (r Rail, ok bool) {
	r, ok = s.rails[name]
	return r, ok
}

// Chain returns a configured chain.
func (s *Set) Chain(id money.ChainID) (c *evm.Chain, ok bool) {
	c, ok = s.chains[id]
	return c, ok
}

// Human says whether the rail is one on which a person pays: offchain-record,
// external, vault-stripe, mpp, xvv42 and every name that is not known.
func (s *Set) Human(name string) bool {
	_, built := s.rails[name]
	return !built
}

// token returns a configured chain, its sender and a configured token, or the
// refusal that names what is not configured.
func (s *Set) token(chain money.ChainID, address common.Address) (*evm.Chain, *evm.Sender, evm.Token, error) {
	c := s.chains[chain]
	if c == nil {
		return nil, nil, evm.Token{}, refuse(policy.ReasonChainUnknown, "chain %s is not configured", chain)
	}
	t, ok := c.Token(address)
	if !ok {
		return nil, nil, evm.Token{}, refuse(policy.ReasonTokenUnknown, "token %s is not configured on %s", address, chain)
	}
	return c, s.senders[chain], t, nil
}

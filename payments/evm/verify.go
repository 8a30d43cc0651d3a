// SPDX-License-Identifier: Apache-2.0

package evm

import (
	"context"
	"errors"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/wallet"
)

// VerifyStart holds the configuration against the chain: the chain id of each
// endpoint, the decimals of each token and, where one is configured, its EIP-712
// domain. An endpoint that does not answer or serves another chain is left out as
// long as one is right. The error wraps [ErrChainID] or [ErrToken] where the
// configuration is wrong; any other means that the chain could not be asked.
func (c *Chain) VerifyStart(ctx context.Context) error {
	if err := c.verifyEndpoints(ctx); err != nil {
		return fmt.Errorf("chain %s: %w", c.cfg.ID, err)
	}
	var faults []error
	for _, t := range c.cfg.Tokens {
		if err := c.VerifyToken(ctx, t); err != nil {
			faults = append(faults, fmt.Errorf("chain %s: token %s: %w", c.cfg.ID, t.Symbol, err))
		}
	}
	return errors.Join(faults...)
}

// VerifyEndpoints asks each endpoint for its chain id and returns one result per
// endpoint, in the configured order; nil is right.
func (c *Chain) VerifyEndpoints(ctx context.Context) []error {
	results := make([]error, len(c.endpoints))
	for i, e := range c.endpoints {
		e.verified.Store(false)
		attempt, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
		results[i] = e.verify(attempt, c.id)
		cancel()
		if errors.Is(results[i], ErrChainID) {
			c.observe(OutcomeWrongChainID)
		}
	}
	return results
}

func (c *Chain) verifyEndpoints(ctx context.Context) error {
	var faults []error
	for i, err := range c.VerifyEndpoints(ctx) {
		if err == nil {
			return nil
		}
		faults = append(faults, fmt.Errorf("endpoint %d: %w", i+1, err))
	}
	return errors.Join(faults...)
}

// VerifyToken holds one token's configuration against its contract.
func (c *Chain) VerifyToken(ctx context.Context, t Token) error {
	out, err := c.call(ctx, common.Address{}, t.Address, selDecimals, nil)
	switch {
	case Classify(err) == ActionReverted || (err == nil && len(out) == 0):
		return fmt.Errorf("%w: no token at %s", ErrToken, t.Address)
	case err != nil:
		return err
	}
	n, err := word("decimals", out)
	if err != nil {
		return err
	}
	if n.Cmp(big.NewInt(int64(t.Decimals))) != 0 {
		return fmt.Errorf("%w: decimals are %s, configured %d", ErrToken, n, t.Decimals)
	}
	if t.Name == "" {
		return nil
	}
	return c.verifyDomain(ctx, t)
}

// verifyDomain reads the domain separator or, from tokens that do not show it,
// the parts of the domain (EIP-5267).
func (c *Chain) verifyDomain(ctx context.Context, t Token) error {
	want := wallet.DomainSeparator(wallet.Domain{Name: t.Name, Version: t.Version}, c.id, t.Address)
	out, err := c.call(ctx, common.Address{}, t.Address, selSeparator, nil)
	if err == nil && len(out) == 32 {
		if common.BytesToHash(out) != want {
			return fmt.Errorf("%w: its EIP-712 domain is not name %q, version %q", ErrToken, t.Name, t.Version)
		}
		return nil
	}
	if err != nil && !answered(err) {
		return err
	}
	if out, err = c.call(ctx, common.Address{}, t.Address, selEIP712Domain, nil); err != nil && !answered(err) {
		return err
	}
	if err != nil || len(out) == 0 {
		return fmt.Errorf("%w: it shows no EIP-712 domain, configured name %q, version %q", ErrToken, t.Name, t.Version)
	}
	got, err := decodeDomain(out)
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("%w: its EIP-712 domain is not name %q, version %q", ErrToken, t.Name, t.Version)
	}
	return nil
}

// answered says whether an error is the contract's answer, not a failure to ask.
func answered(err error) bool {
	action := Classify(err)
	return action == ActionReverted || action == ActionReport
}

// decodeDomain returns the separator of the domain that eip712Domain() tells
// (EIP-5267): bytes1, string name, string version, uint256 chain id, address,
// bytes32, uint256[]. It is read by hand: nothing else in the daemon needs the
// library for it.
func decodeDomain(out []byte) (common.Hash, error) {
	name, ok1 := stringAt(out, 1)
	version, ok2 := stringAt(out, 2)
	if !ok1 || !ok2 {
		return common.Hash{}, fmt.Errorf("%w: eip712Domain answers something else", ErrToken)
	}
	chainID := new(big.Int).SetBytes(out[3*32 : 4*32])
	if !chainID.IsUint64() {
		return common.Hash{}, fmt.Errorf("%w: eip712Domain names an impossible chain id", ErrToken)
	}
	token := common.BytesToAddress(out[4*32 : 5*32])
	return wallet.DomainSeparator(wallet.Domain{Name: name, Version: version}, chainID.Uint64(), token), nil
}

// stringAt reads the ABI string whose offset is the word at an index of the seven
// words of an answer.
func stringAt(out []byte, index int) (string, bool) {
	if len(out) < 7*32 {
		return "", false
	}
	offset, ok := lengthIn(out[index*32:], len(out)-32)
	if !ok {
		return "", false
	}
	size, ok := lengthIn(out[offset:], len(out)-32-offset)
	if !ok {
		return "", false
	}
	return string(out[offset+32 : offset+32+size]), true
}

// lengthIn reads a word as a number of bytes, at most limit.
func lengthIn(word []byte, limit int) (int, bool) {
	n := new(big.Int).SetBytes(word[:32])
	if !n.IsInt64() || n.Int64() > int64(limit) {
		return 0, false
	}
	return int(n.Int64()), true
}

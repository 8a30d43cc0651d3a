// SPDX-License-Identifier: Apache-2.0

package evm

import (
	"context"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"

	"github.com/agentd-project/agentd/money"
)

var (
	selBalanceOf       = selector("balanceOf(address)")
	selDecimals        = selector("decimals()")
	selSeparator       = selector("DOMAIN_SEPARATOR()")
	selEIP712Domain    = selector("eip712Domain()")
	selAuthorization   = selector("authorizationState(address,bytes32)")
	topicTransfer      = crypto.Keccak256Hash([]byte("Transfer(address,address,uint256)"))
	topicAuthUsed      = crypto.Keccak256Hash([]byte("AuthorizationUsed(address,bytes32)"))
	topicAuthCancelled = crypto.Keccak256Hash([]byte("AuthorizationCanceled(address,bytes32)"))
)

func selector(signature string) []byte { return crypto.Keccak256([]byte(signature))[:4] }

func callData(sel []byte, words ...[]byte) []byte {
	data := append([]byte(nil), sel...)
	for _, w := range words {
		data = append(data, common.LeftPadBytes(w, 32)...)
	}
	return data
}

// call runs eth_call on a contract at a block, nil for the newest.
func (c *Chain) call(ctx context.Context, from, to common.Address, data []byte, block *big.Int) ([]byte, error) {
	var out []byte
	err := c.do(ctx, "eth_call", func(ctx context.Context, e *ethclient.Client) (err error) {
		out, err = e.CallContract(ctx, ethereum.CallMsg{From: from, To: &to, Data: data}, block)
		return err
	})
	return out, err
}

// word reads an answer of exactly one 32-byte word.
func word(method string, out []byte) (*big.Int, error) {
	if len(out) != 32 {
		return nil, &Error{Action: ActionReport, Method: method, Cause: fmt.Errorf("%w: answer of %d bytes", ErrToken, len(out))}
	}
	return new(big.Int).SetBytes(out), nil
}

// TokenBalance returns an account's balance of a token in base units.
func (c *Chain) TokenBalance(ctx context.Context, token, account common.Address) (money.Amount, error) {
	out, err := c.call(ctx, account, token, callData(selBalanceOf, account[:]), nil)
	if err != nil {
		return money.Amount{}, err
	}
	n, err := word("balanceOf", out)
	if err != nil {
		return money.Amount{}, err
	}
	return money.FromBig(n)
}

// GasBalance returns an account's balance of the chain's own coin in wei.
func (c *Chain) GasBalance(ctx context.Context, account common.Address) (money.Amount, error) {
	var wei *big.Int
	err := c.do(ctx, "eth_getBalance", func(ctx context.Context, e *ethclient.Client) (err error) {
		wei, err = e.BalanceAt(ctx, account, nil)
		return err
	})
	if err != nil {
		return money.Amount{}, err
	}
	return money.FromBig(wei)
}

// AuthorizationState says whether an EIP-3009 nonce of an account is used or
// cancelled as of a block, nil for the newest.
func (c *Chain) AuthorizationState(ctx context.Context, token, authorizer common.Address, nonce [32]byte, block *uint64) (bool, error) {
	var at *big.Int
	if block != nil {
		at = new(big.Int).SetUint64(*block)
	}
	out, err := c.call(ctx, common.Address{}, token, callData(selAuthorization, authorizer[:], nonce[:]), at)
	if err != nil {
		return false, err
	}
	n, err := word("authorizationState", out)
	if err != nil {
		return false, err
	}
	if n.Cmp(big.NewInt(1)) > 0 {
		return false, &Error{Action: ActionReport, Method: "authorizationState", Cause: fmt.Errorf("%w: answer is not a boolean", ErrToken)}
	}
	return n.Sign() == 1, nil
}

func (c *Chain) nonceAt(ctx context.Context, account common.Address, block *big.Int) (nonce uint64, err error) {
	err = c.do(ctx, "eth_getTransactionCount", func(ctx context.Context, e *ethclient.Client) (err error) {
		nonce, err = e.NonceAt(ctx, account, block)
		return err
	})
	return nonce, err
}

func (c *Chain) pendingNonce(ctx context.Context, account common.Address) (nonce uint64, err error) {
	err = c.do(ctx, "eth_getTransactionCount", func(ctx context.Context, e *ethclient.Client) (err error) {
		nonce, err = e.PendingNonceAt(ctx, account)
		return err
	})
	return nonce, err
}

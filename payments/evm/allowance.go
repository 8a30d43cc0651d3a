// SPDX-License-Identifier: Apache-2.0

package evm

import (
	"context"
	"errors"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
)

var selAllowance = selector("allowance(address,address)")

// Allowance returns what a spender may take of an owner's tokens, in base units,
// as of the newest block.
func (c *Chain) Allowance(ctx context.Context, token, owner, spender common.Address) (money.Amount, error) {
	return c.allowanceAt(ctx, token, owner, spender, nil)
}

func (c *Chain) allowanceAt(ctx context.Context, token, owner, spender common.Address, block *big.Int) (money.Amount, error) {
	out, err := c.call(ctx, owner, token, callData(selAllowance, owner[:], spender[:]), block)
	if err != nil {
		return money.Amount{}, err
	}
	n, err := word("allowance", out)
	if err != nil {
		return money.Amount{}, err
	}
	return money.FromBig(n)
}

// HoldAllowance waits until nobody else uses our allowance of a spender and
// returns what gives it up. There is one allowance per token and spender: who
// approves and locks must hold it from before the one until after the other.
func (s *Sender) HoldAllowance(ctx context.Context, spender common.Address) (release func(), err error) {
	return s.spenders.lock(ctx, spender.Hex())
}

// allow sets the allowance of the granted escrow to the granted amount or takes it
// back, if it is not that already.
func (s *Sender) allow(ctx context.Context, g policy.Grant, c Call) (Receipt, error) {
	last, known := Receipt{}, uint64(0)
	for _, kind := range []string{AttemptApprove, AttemptRevoke, AttemptLock} {
		r, err := s.finished(ctx, g, kind, c)
		if err != nil {
			return Receipt{}, err
		}
		if known = max(known, r.Block); kind == c.Kind {
			last = r
		}
		if kind == AttemptLock && c.Kind == AttemptApprove && r.Block > 0 {
			return last, nil
		}
	}
	want := money.Amount{}
	if c.Kind == AttemptApprove {
		want = g.Amount()
	}
	stands, err := s.allowanceSince(ctx, g, known)
	switch {
	case err != nil:
		return Receipt{}, err
	case stands == want:
		return last, nil
	case c.Kind == AttemptApprove && !stands.IsZero():
		// Some tokens, USDT among them, refuse to change an allowance but to nothing.
		if _, err := s.carry(ctx, g, Call{Kind: AttemptRevoke, Escrow: c.Escrow}, true); err != nil {
			return Receipt{}, err
		}
	}
	return s.carry(ctx, g, c, true)
}

// finished sees through what is under way of a kind and returns the receipt of
// the last that a final block holds, zero if there is none. A lock that reverted
// or was cancelled ends an approval and is nothing to a revocation.
func (s *Sender) finished(ctx context.Context, g policy.Grant, kind string, of Call) (Receipt, error) {
	c := Call{Kind: kind, Escrow: of.Escrow}
	f, err := s.stored(ctx, g.Purchase(), c)
	if err == nil && f == nil {
		return Receipt{}, nil
	}
	var r Receipt
	if err == nil {
		if err = f.matches(g, c); err == nil {
			r, err = s.follow(ctx, f, order{g, c})
		}
	}
	over := errors.Is(err, ErrReverted) || errors.Is(err, ErrCancelled)
	switch {
	case errors.Is(err, errDisplaced):
		return Receipt{}, nil
	case over && (of.Kind == AttemptRevoke || kind == AttemptRevoke), kind == AttemptApprove && errors.Is(err, ErrReverted):
		return Receipt{Block: r.Block}, nil
	}
	return r, err
}

// allowanceSince reads the granted escrow's allowance as of a block that is not
// before known: an endpoint that lags must not hide one that stands.
func (s *Sender) allowanceSince(ctx context.Context, g policy.Grant, known uint64) (money.Amount, error) {
	head, err := s.chain.Head(ctx)
	if err != nil {
		return money.Amount{}, err
	}
	if head.Number < known {
		return money.Amount{}, &Error{Action: ActionAbsent, Method: "eth_call", Cause: fmt.Errorf("endpoint is at block %d, before %d", head.Number, known)}
	}
	return s.chain.allowanceAt(ctx, g.Token(), s.wallet.Address(), g.Escrow(), new(big.Int).SetUint64(head.Number))
}

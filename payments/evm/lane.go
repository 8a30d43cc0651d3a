// SPDX-License-Identifier: Apache-2.0

package evm

import (
	"context"
	"fmt"
	"time"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/money"
)

// underWay returns the lane's transactions that are not decided, by nonce. What
// was replaced is left out: what replaced it is under way, and dearer.
func (s *Sender) underWay(ctx context.Context) (lane []ledger.Attempt, err error) {
	open, err := s.ledger.OpenAttempts(ctx, s.chain.ID(), s.wallet.Address())
	if err != nil {
		return nil, fmt.Errorf("read attempts: %w", err)
	}
	for _, a := range open {
		if Transaction(a.Kind) {
			lane = append(lane, a)
		}
	}
	return lane, nil
}

// worstOf returns what the lane's transactions may cost together, in wei: of each
// nonce the dearest counts, since at most one of it is mined.
func worstOf(lane []ledger.Attempt) (sum money.Amount, err error) {
	dearest := map[string]money.Amount{}
	for _, a := range lane {
		cost, err := a.FeeCap.Mul(a.Gas)
		if err != nil {
			return sum, err
		}
		if cost.Cmp(dearest[a.Nonce]) > 0 {
			dearest[a.Nonce] = cost
		}
	}
	for _, cost := range dearest {
		if sum, err = sum.Add(cost); err != nil {
			return sum, err
		}
	}
	return sum, nil
}

// afford says whether the account and the gas budget of a day bear all that the
// lane's transactions may cost.
func (s *Sender) afford(ctx context.Context, lane []ledger.Attempt) error {
	needed, err := worstOf(lane)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrGasBudget, err)
	}
	spent, err := s.ledger.FeesSince(ctx, s.chain.ID(), s.now().Add(-24*time.Hour))
	if err != nil {
		return fmt.Errorf("read fees: %w", err)
	}
	total, err := spent.Add(needed)
	if budget := s.chain.cfg.Gas.PerDay; err != nil || total.Cmp(budget) > 0 {
		return fmt.Errorf("%w: %s wei spent, %s may be needed, %s allowed", ErrGasBudget, spent, needed, budget)
	}
	balance, err := s.chain.GasBalance(ctx, s.wallet.Address())
	if err != nil {
		return err
	}
	if balance.Cmp(needed) < 0 {
		return fmt.Errorf("%w: %s wei, %s may be needed", ErrGasBalance, balance, needed)
	}
	return nil
}

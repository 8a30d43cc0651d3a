// SPDX-License-Identifier: Apache-2.0

package evm

import (
	"bytes"
	"context"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/ethclient"

	"github.com/agentd-project/agentd/money"
)

const (
	// maxGas is far above any call that is made here; an endpoint that estimates more is
	// not believed.
	maxGas = 5_000_000
	// defaultTip is the priority fee where no endpoint suggests one, in wei.
	defaultTip = 1_000_000_000
)

// price is what a transaction may cost.
type price struct {
	gas         uint64
	tip, feeCap money.Amount
}

// quote prices a call on the chain as it is now. It fails with [ErrReverted] if
// the call would not succeed and with [ErrFeeCeiling].
func (s *Sender) quote(ctx context.Context, to common.Address, data []byte, t trial) (price, error) {
	head, err := s.chain.Head(ctx)
	if err != nil {
		return price{}, err
	}
	tip, err := s.chain.tip(ctx)
	if err != nil {
		return price{}, err
	}
	p := price{tip: tip}
	ceiling := s.chain.cfg.Gas.MaxFeePerGas
	least, err := head.BaseFee.Add(tip)
	if err != nil || least.Cmp(ceiling) > 0 {
		return price{}, fmt.Errorf("%w: %s wei of base fee and %s of priority fee, %s allowed", ErrFeeCeiling, head.BaseFee, tip, ceiling)
	}
	// Twice the base fee outlasts six full blocks; the ceiling bounds it.
	p.feeCap = ceiling
	if roomy, err := least.Add(head.BaseFee); err == nil && roomy.Cmp(ceiling) < 0 {
		p.feeCap = roomy
	}
	if p.gas, err = s.chain.estimate(ctx, s.wallet.Address(), to, data, t); err != nil {
		return price{}, err
	}
	p.gas += t.more
	return p, nil
}

// trial says how a call is tried before it is signed.
type trial struct {
	// ofToken says that an answer other than true or nothing is a refusal.
	ofToken bool
	// more is gas for what follows and cannot be tried yet.
	more uint64
}

func (c *Chain) tip(ctx context.Context) (money.Amount, error) {
	var wei *big.Int
	err := c.do(ctx, "eth_maxPriorityFeePerGas", func(ctx context.Context, e *ethclient.Client) (err error) {
		wei, err = e.SuggestGasTipCap(ctx)
		return err
	})
	if ctx.Err() != nil {
		return money.Amount{}, ctx.Err()
	}
	if err == nil {
		return money.FromBig(wei)
	}
	// Not every node has the method; the default is bounded by the ceiling too.
	return money.FromUint64(defaultTip), nil
}

// estimate returns the gas limit of a call, a quarter above the estimate, once a
// trial call has succeeded. A token's empty answer is success, as USDT's is.
func (c *Chain) estimate(ctx context.Context, from, to common.Address, data []byte, t trial) (uint64, error) {
	out, err := c.call(ctx, from, to, data, nil)
	if err != nil {
		return 0, untried(err)
	}
	if t.ofToken && len(out) > 0 && !bytes.Equal(out, common.LeftPadBytes([]byte{1}, 32)) {
		return 0, fmt.Errorf("%w: the token answers the trial call with false", ErrReverted)
	}
	var gas uint64
	err = c.do(ctx, "eth_estimateGas", func(ctx context.Context, e *ethclient.Client) (err error) {
		gas, err = e.EstimateGas(ctx, ethereum.CallMsg{From: from, To: &to, Data: data})
		return err
	})
	if err != nil {
		return 0, untried(err)
	}
	if gas == 0 || gas > maxGas {
		return 0, &Error{Action: ActionReport, Method: "eth_estimateGas", Cause: fmt.Errorf("impossible estimate %d", gas)}
	}
	return gas + gas/4, nil
}

// untried makes the proof of a trial's error, if it is one, that nothing was done
// and nothing can be now.
func untried(err error) error {
	if proof := Classify(err).reaction().proof; proof != nil {
		return fmt.Errorf("%w: %w", proof, err)
	}
	return err
}

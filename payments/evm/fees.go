// SPDX-License-Identifier: Apache-2.0

package evm

import (
	"bytes"
	"context"
	"fmt"
	"math/big"
	"strconv"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/ethclient"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/wallet"
)

const (
	// maxGas is far above any token transfer; an endpoint that estimates more is
	// not believed.
	maxGas = 5_000_000
	// defaultTip is the priority fee where no endpoint suggests one, in wei.
	defaultTip = 1_000_000_000
)

// price is what a transaction may cost.
type price struct {
	gas         uint64
	tip, feeCap money.Amount
	// worst is gas * feeCap, in wei.
	worst money.Amount
}

// quote prices a transfer on the chain as it is now. It fails with [ErrReverted]
// if the transfer would not succeed and with [ErrFeeCeiling].
func (s *Sender) quote(ctx context.Context, token, to common.Address, amount money.Amount) (price, error) {
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
	if p.gas, err = s.chain.estimate(ctx, s.wallet.Address(), token, wallet.TransferCall(to, amount)); err != nil {
		return price{}, err
	}
	if p.worst, err = p.feeCap.Mul(p.gas); err != nil {
		return price{}, fmt.Errorf("%w: %w", ErrFeeCeiling, err)
	}
	return p, nil
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

// estimate returns the gas limit of a transfer, a quarter above the estimate,
// once a trial call has succeeded. An empty answer is success, as USDT's is.
func (c *Chain) estimate(ctx context.Context, from, token common.Address, data []byte) (uint64, error) {
	out, err := c.call(ctx, from, token, data, nil)
	if Classify(err) == ActionReverted {
		return 0, fmt.Errorf("%w: %w", ErrReverted, err)
	}
	if err != nil {
		return 0, err
	}
	if len(out) > 0 && !bytes.Equal(out, common.LeftPadBytes([]byte{1}, 32)) {
		return 0, fmt.Errorf("%w: the token answers the trial call with false", ErrReverted)
	}
	var gas uint64
	err = c.do(ctx, "eth_estimateGas", func(ctx context.Context, e *ethclient.Client) (err error) {
		gas, err = e.EstimateGas(ctx, ethereum.CallMsg{From: from, To: &token, Data: data})
		return err
	})
	switch action := Classify(err); {
	case action == ActionReverted:
		return 0, fmt.Errorf("%w: %w", ErrReverted, err)
	case action == ActionFund:
		return 0, fmt.Errorf("%w: %w", ErrGasBalance, err)
	case err != nil:
		return 0, err
	case gas == 0 || gas > maxGas:
		return 0, &Error{Action: ActionReport, Method: "eth_estimateGas", Cause: fmt.Errorf("impossible estimate %d", gas)}
	}
	return gas + gas/4, nil
}

// underWay returns the lane's transactions that are not decided, by nonce.
func (s *Sender) underWay(ctx context.Context) (lane []ledger.Attempt, err error) {
	open, err := s.ledger.OpenAttempts(ctx, s.chain.ID(), s.wallet.Address())
	if err != nil {
		return nil, fmt.Errorf("read attempts: %w", err)
	}
	for _, a := range open {
		if a.Kind == AttemptTransfer {
			lane = append(lane, a)
		}
	}
	return lane, nil
}

// afford says whether the account and the gas budget of a day bear a cost beside
// what is under way.
func (s *Sender) afford(ctx context.Context, worst money.Amount, lane []ledger.Attempt) error {
	needed := worst
	for _, a := range lane {
		cost, err := a.FeeCap.Mul(a.Gas)
		if err == nil {
			needed, err = needed.Add(cost)
		}
		if err != nil {
			return fmt.Errorf("%w: %w", ErrGasBudget, err)
		}
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

// Ready says whether a transfer could be sent now. It fails as [Sender.Transfer]
// does before it signs. The account must hold the amount.
func (s *Sender) Ready(ctx context.Context, token, to common.Address, amount money.Amount) error {
	p, err := s.quote(ctx, token, to, amount)
	if err != nil {
		return err
	}
	lane, err := s.underWay(ctx)
	if err != nil {
		return err
	}
	return s.afford(ctx, p.worst, lane)
}

// prepare signs the purchase's transfer under the lane's next nonce and stores
// the bytes. Nothing has left when it returns.
func (s *Sender) prepare(ctx context.Context, g policy.Grant) (*pending, error) {
	if end := g.Deadline(); !end.IsZero() && !s.now().Before(end) {
		return nil, fmt.Errorf("%w: %s", ErrLate, end.UTC().Format(time.RFC3339))
	}
	p, err := s.quote(ctx, g.Token(), g.Payee(), g.Amount())
	if err != nil {
		return nil, err
	}
	if err := s.lane.acquire(ctx); err != nil {
		return nil, err
	}
	defer s.lane.release()
	lane, err := s.underWay(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.afford(ctx, p.worst, lane); err != nil {
		return nil, err
	}
	nonce, err := s.nextNonce(ctx, lane)
	if err != nil {
		return nil, err
	}
	signed, err := s.wallet.SignTransfer(g, wallet.Transfer{
		ChainID: s.chain.id, Nonce: nonce, Gas: p.gas, TipCap: p.tip, FeeCap: p.feeCap,
		Token: g.Token(), To: g.Payee(), Amount: g.Amount(),
	})
	if err != nil {
		return nil, err
	}
	a := ledger.Attempt{
		Purchase: g.Purchase(), Kind: AttemptTransfer, Chain: s.chain.ID(), Signer: s.wallet.Address(),
		Nonce: strconv.FormatUint(nonce, 10), Hash: signed.Hash.Hex(), Raw: signed.Raw,
		FeeCap: p.feeCap, TipCap: p.tip, Gas: p.gas, Status: ledger.AttemptPrepared, Created: s.now().UTC(),
	}
	if a.Seq, err = s.ledger.SaveAttempt(ctx, a); err != nil {
		return nil, fmt.Errorf("store transfer: %w", err)
	}
	return decode(a)
}

// SPDX-License-Identifier: Apache-2.0

package evm

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/ethclient"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/money"
)

func (c *Chain) receipt(ctx context.Context, hash common.Hash) (r *types.Receipt, err error) {
	err = c.do(ctx, "eth_getTransactionReceipt", func(ctx context.Context, e *ethclient.Client) (err error) {
		r, err = e.TransactionReceipt(ctx, hash)
		return err
	})
	if err == nil && (r.TxHash != hash || r.BlockNumber == nil || !r.BlockNumber.IsUint64() || slices.Contains(r.Logs, nil)) {
		return nil, &Error{Action: ActionReport, Method: "eth_getTransactionReceipt", Cause: errors.New("receipt of another transaction, or with a log that is none")}
	}
	return r, err
}

// look asks once for the receipts of all that was signed and records what a final
// block decides. done is true once the call is final.
func (s *Sender) look(ctx context.Context, f *flight) (r Receipt, done bool, err error) {
	p, seen, err := s.receiptOf(ctx, f)
	if err != nil {
		return Receipt{}, false, err
	}
	if seen == nil {
		return Receipt{}, false, s.unmined(ctx, f)
	}
	final, err := s.chain.FinalHead(ctx)
	if Classify(err) == ActionAbsent || (err == nil && seen.BlockNumber.Uint64() > final.Number) {
		if p.Status != ledger.AttemptFinal && p.Status != ledger.AttemptFailed {
			return Receipt{}, false, s.update(ctx, p, ledger.AttemptMined, seen.BlockHash.Hex())
		}
		return Receipt{}, false, nil
	}
	if err != nil {
		return Receipt{}, false, err
	}
	// Asked again now that its block is final: before, a reorg may have moved it.
	if seen, err = s.chain.receipt(ctx, p.tx.Hash()); err != nil {
		return Receipt{}, false, err
	}
	if seen.BlockNumber.Uint64() > final.Number {
		return Receipt{}, false, nil
	}
	return s.conclude(ctx, f, p, seen)
}

// receiptOf returns the receipt of whichever bytes are mined, the newest first;
// nil if none is.
func (s *Sender) receiptOf(ctx context.Context, f *flight) (*pending, *types.Receipt, error) {
	for i := range f.signed {
		p := f.signed[len(f.signed)-1-i]
		seen, err := s.chain.receipt(ctx, p.tx.Hash())
		switch Classify(err) {
		case ActionNone:
			return p, seen, nil
		case ActionAbsent:
		default:
			return nil, nil, err
		}
	}
	return nil, nil, nil
}

// unmined records that a block which held the bytes is gone: they are sent again.
func (s *Sender) unmined(ctx context.Context, f *flight) error {
	p := f.mined()
	if p == nil {
		return nil
	}
	status := ledger.AttemptBroadcast
	if p != f.newest() && f.newest().Kind == p.Kind {
		status = ledger.AttemptReplaced
	}
	return s.update(ctx, p, status, "")
}

// conclude records a receipt in a final block.
func (s *Sender) conclude(ctx context.Context, f *flight, p *pending, seen *types.Receipt) (Receipt, bool, error) {
	block, err := s.chain.header(ctx, seen.BlockNumber)
	if err != nil {
		return Receipt{}, false, err
	}
	if block.Hash != seen.BlockHash {
		// The endpoint keeps it from a block that is gone.
		if err := s.unmined(ctx, f); err != nil {
			return Receipt{}, false, err
		}
		return Receipt{}, false, &Error{Action: ActionAbsent, Method: "eth_getTransactionReceipt", Cause: fmt.Errorf("receipt of block %s, but block %d is %s", seen.BlockHash, block.Number, block.Hash)}
	}
	if err := s.agreed(ctx, f, p, seen); err != nil {
		return Receipt{}, false, err
	}
	r := Receipt{Tx: p.tx.Hash(), Block: block.Number, At: block.Time, GasUsed: seen.GasUsed}
	if r.Fee, err = feeOf(p, seen); err != nil {
		return Receipt{}, false, err
	}
	succeeded := seen.Status == types.ReceiptStatusSuccessful
	if succeeded && !p.effectIn(seen, f.escrow) {
		return Receipt{}, false, &decidedError{fmt.Errorf("%w: %s %s", ErrNoEffect, p.Kind, p.Hash)}
	}
	status, outcome := ledger.AttemptFinal, OutcomeConfirmed
	if !succeeded {
		status, outcome = ledger.AttemptFailed, OutcomeReverted
	}
	if p.Status != ledger.AttemptFinal && p.Status != ledger.AttemptFailed {
		if err := s.bury(ctx, f, p, p.Hash); err != nil {
			return Receipt{}, false, err
		}
		// In this order a crash between the two counts the fee twice, never not at all.
		if err := s.ledger.AddFee(ctx, s.chain.ID(), r.Fee, r.At); err != nil {
			return Receipt{}, false, &storeError{fmt.Errorf("record fee of %s: %w", p.Hash, err)}
		}
		if err := s.update(ctx, p, status, seen.BlockHash.Hex()); err != nil {
			return Receipt{}, false, err
		}
		s.chain.observe(outcome)
	}
	switch {
	case p.Kind == AttemptCancel:
		// It took the nonce even if it reverted.
		return r, false, &decidedError{fmt.Errorf("%w: %s by %s", ErrCancelled, f.kind, p.Hash)}
	case !succeeded:
		return r, false, &decidedError{fmt.Errorf("%w: %s %s", ErrReverted, f.kind, p.Hash)}
	}
	return r, true, nil
}

// agreed asks the other endpoints about what a decision would rest on: that the
// winner, nil for a transaction that is not ours, was mined and nothing else was.
// What is decided already is not asked again.
func (s *Sender) agreed(ctx context.Context, f *flight, winner *pending, seen *types.Receipt) error {
	if f.decidedBy() != nil {
		return nil
	}
	for _, p := range f.signed {
		if p == winner {
			if err := s.chain.agreed(ctx, p.tx.Hash(), seen); err != nil {
				return err
			}
			continue
		}
		if err := s.chain.agreed(ctx, p.tx.Hash(), nil); err != nil {
			return err
		}
	}
	return nil
}

// bury records that everything but the winner can never be mined. It comes before
// the winner is recorded: a crash between the two leaves the question open.
func (s *Sender) bury(ctx context.Context, f *flight, winner *pending, by string) error {
	for _, p := range f.signed {
		if p == winner {
			continue
		}
		if err := s.update(ctx, p, ledger.AttemptDead, by); err != nil {
			return err
		}
	}
	return nil
}

func feeOf(p *pending, seen *types.Receipt) (money.Amount, error) {
	perGas := p.FeeCap
	if seen.EffectiveGasPrice != nil {
		var err error
		if perGas, err = money.FromBig(seen.EffectiveGasPrice); err != nil {
			return money.Amount{}, fmt.Errorf("fee of %s: %w", p.Hash, err)
		}
	}
	// More than was signed for cannot have been paid, whatever an endpoint says.
	if perGas.Cmp(p.FeeCap) > 0 {
		perGas = p.FeeCap
	}
	fee, err := perGas.Mul(min(seen.GasUsed, p.Gas))
	if err != nil {
		return money.Amount{}, fmt.Errorf("fee of %s: %w", p.Hash, err)
	}
	return fee, nil
}

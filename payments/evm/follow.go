// SPDX-License-Identifier: Apache-2.0

package evm

import (
	"context"
	"fmt"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/ethclient"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/money"
)

const (
	// firstPoll is the first interval between two looks; it doubles up to Config.Poll.
	firstPoll = 10 * time.Millisecond
	// maxPoll is what the interval grows to while no endpoint answers.
	maxPoll = 5 * time.Second
)

// follow sends stored bytes until a final block holds them or shows what took
// their nonce. It returns an error only where the transfer is decided, the ledger
// cannot be written, or ctx ends.
//
// Each answer of the endpoint leaves more than one possible world. "Already
// known" and "nonce too low" may be about our own bytes, whose answer was lost.
// A missing receipt may be a pool that forgot, a node that lags or a reorg.
// A refusal (fee, funds) does not undo an earlier acceptance elsewhere. So the
// same bytes are sent again and nothing else is signed, until a final block
// decides.
func (s *Sender) follow(ctx context.Context, p *pending) (Receipt, error) {
	wait, sent := firstPoll, time.Time{}
	if p.Status == ledger.AttemptPrepared {
		if err := s.send(ctx, p, OutcomeSent); decided(err) || (err != nil && ctx.Err() != nil) {
			return Receipt{}, err
		}
		sent = time.Now()
	}
	for {
		r, done, err := s.look(ctx, p)
		if done || decided(err) {
			return r, err
		}
		last := err
		if err == nil && p.Status != ledger.AttemptMined && time.Since(sent) >= s.chain.cfg.Resend {
			last = s.resend(ctx, p)
			if decided(last) {
				return Receipt{}, last
			}
			sent = time.Now()
		}
		limit := s.chain.cfg.Poll
		if Classify(last) == ActionFailover {
			limit = max(limit, maxPoll)
		}
		if err := sleep(ctx, wait); err != nil {
			return Receipt{}, stopped(p, err, last)
		}
		wait = min(2*wait, limit)
	}
}

// stopped says what was known when a wait ended.
func stopped(p *pending, err, last error) error {
	if last == nil {
		return fmt.Errorf("transfer %s is under way: %w", p.Hash, err)
	}
	return fmt.Errorf("transfer %s is under way: %w; last: %w", p.Hash, err, last)
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// resend sends bytes for which there is no receipt, unless it is proven that
// their nonce is taken.
func (s *Sender) resend(ctx context.Context, p *pending) error {
	err := s.send(ctx, p, OutcomeResent)
	if Classify(err) != ActionAskReceipt {
		return err
	}
	return s.displaced(ctx, p)
}

// send broadcasts stored bytes. "Known already" is success unless the nonce is
// taken, which only [Sender.displaced] can tell.
func (s *Sender) send(ctx context.Context, p *pending, outcome string) error {
	err := s.chain.do(ctx, "eth_sendRawTransaction", func(ctx context.Context, e *ethclient.Client) error {
		return e.SendTransaction(ctx, p.tx)
	})
	switch Classify(err) {
	case ActionNone, ActionAskReceipt:
		s.chain.observe(outcome)
		if p.Status != ledger.AttemptPrepared {
			return err
		}
		if e := s.update(ctx, p, ledger.AttemptBroadcast, ""); e != nil {
			return e
		}
	case ActionFailover, ActionLeave:
	default:
		s.chain.observe(OutcomeRefused)
	}
	return err
}

func (s *Sender) update(ctx context.Context, p *pending, status ledger.AttemptStatus, ref string) error {
	if err := s.ledger.UpdateAttempt(ctx, p.Purchase, p.Seq, status, ref); err != nil {
		return &storeError{fmt.Errorf("record transfer %s as %s: %w", p.Hash, status, err)}
	}
	p.Status = status
	return nil
}

// storeError is a failure of the ledger: what is not recorded is not acted on.
type storeError struct{ error }

// Unwrap returns the cause.
func (e *storeError) Unwrap() error { return e.error }

func (c *Chain) receipt(ctx context.Context, hash common.Hash) (r *types.Receipt, err error) {
	err = c.do(ctx, "eth_getTransactionReceipt", func(ctx context.Context, e *ethclient.Client) (err error) {
		r, err = e.TransactionReceipt(ctx, hash)
		return err
	})
	if err == nil && (r.TxHash != hash || r.BlockNumber == nil || !r.BlockNumber.IsUint64()) {
		return nil, &Error{Action: ActionReport, Method: "eth_getTransactionReceipt", Cause: fmt.Errorf("receipt of another transaction")}
	}
	return r, err
}

// look asks once for the receipt and records what a final block decides. done is
// true once the transfer is final.
func (s *Sender) look(ctx context.Context, p *pending) (r Receipt, done bool, err error) {
	seen, err := s.chain.receipt(ctx, p.tx.Hash())
	switch Classify(err) {
	case ActionNone:
	case ActionAbsent:
		if p.Status == ledger.AttemptMined {
			// The block that held it is gone; the bytes are sent again.
			return Receipt{}, false, s.update(ctx, p, ledger.AttemptBroadcast, "")
		}
		return Receipt{}, false, nil
	default:
		return Receipt{}, false, err
	}
	final, err := s.chain.FinalHead(ctx)
	if Classify(err) == ActionAbsent || (err == nil && seen.BlockNumber.Uint64() > final.Number) {
		if p.Status.Open() && p.Status != ledger.AttemptMined {
			err = s.update(ctx, p, ledger.AttemptMined, seen.BlockHash.Hex())
			return Receipt{}, false, err
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
	return s.conclude(ctx, p, seen)
}

// conclude records a receipt in a final block.
func (s *Sender) conclude(ctx context.Context, p *pending, seen *types.Receipt) (Receipt, bool, error) {
	block, err := s.chain.header(ctx, seen.BlockNumber)
	if err != nil {
		return Receipt{}, false, err
	}
	r := Receipt{Tx: p.tx.Hash(), Block: block.Number, At: block.Time, GasUsed: seen.GasUsed}
	if r.Fee, err = feeOf(p, seen); err != nil {
		return Receipt{}, false, err
	}
	moved := seen.Status == types.ReceiptStatusSuccessful
	if moved && !p.transferIn(seen) {
		return Receipt{}, false, &decidedError{fmt.Errorf("%w: %s", ErrNoTransfer, p.Hash)}
	}
	status, outcome := ledger.AttemptFinal, OutcomeConfirmed
	if !moved {
		status, outcome = ledger.AttemptFailed, OutcomeReverted
	}
	if p.Status.Open() {
		// In this order a crash between the two counts the fee twice, never not at all.
		if err := s.ledger.AddFee(ctx, s.chain.ID(), r.Fee, r.At); err != nil {
			return Receipt{}, false, &storeError{fmt.Errorf("record fee of %s: %w", p.Hash, err)}
		}
		if err := s.update(ctx, p, status, seen.BlockHash.Hex()); err != nil {
			return Receipt{}, false, err
		}
		s.chain.observe(outcome)
	}
	if !moved {
		return r, false, &decidedError{fmt.Errorf("%w: %s", ErrReverted, p.Hash)}
	}
	return r, true, nil
}

func feeOf(p *pending, seen *types.Receipt) (money.Amount, error) {
	perGas := p.FeeCap
	if seen.EffectiveGasPrice != nil {
		var err error
		if perGas, err = money.FromBig(seen.EffectiveGasPrice); err != nil {
			return money.Amount{}, fmt.Errorf("fee of %s: %w", p.Hash, err)
		}
	}
	fee, err := perGas.Mul(seen.GasUsed)
	if err != nil {
		return money.Amount{}, fmt.Errorf("fee of %s: %w", p.Hash, err)
	}
	return fee, nil
}

// transferIn says whether a receipt holds the Transfer event that the bytes were
// signed for.
func (p *pending) transferIn(r *types.Receipt) bool {
	amount := p.amount.Uint256()
	want := amount.Bytes32()
	from, err := types.Sender(types.LatestSignerForChainID(p.tx.ChainId()), p.tx)
	if err != nil {
		return false
	}
	for _, l := range r.Logs {
		if l.Address == p.token && len(l.Topics) == 3 && l.Topics[0] == topicTransfer &&
			l.Topics[1] == common.BytesToHash(from[:]) && l.Topics[2] == common.BytesToHash(p.to[:]) &&
			common.BytesToHash(l.Data) == common.Hash(want) && len(l.Data) == 32 {
			return true
		}
	}
	return false
}

// SPDX-License-Identifier: Apache-2.0

package evm

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/wallet"
)

// replaceBlocks is how many blocks must have passed bytes by before they are
// replaced: a chain that stands still mines nothing dearer either.
const replaceBlocks = 2

// order is what a flight is carried out for: what its replacements are signed by.
type order struct {
	grant policy.Grant
	call  Call
}

// assess looks at why bytes are not mined. Where they have waited for long enough,
// blocks came, and the chain asks for more than they offer, it replaces them.
// Otherwise it says why they are stuck, "" if they are not.
func (s *Sender) assess(ctx context.Context, f *flight, o order, w *wait) (StuckReason, error) {
	head, err := s.chain.Head(ctx)
	if err != nil {
		return "", err
	}
	if !w.seen {
		w.block, w.seen = head.Number, true
	}
	if time.Since(w.from) < s.chain.cfg.Replace {
		return w.Reason, nil
	}
	if head.Number < w.block+replaceBlocks {
		return StuckNoBlocks, nil
	}
	tip, err := s.chain.tip(ctx)
	if err != nil {
		return "", err
	}
	p := f.newest()
	next, decision := rebid(bid{tip: p.TipCap, fee: p.FeeCap}, head.BaseFee, tip, s.chain.cfg.Gas.MaxFeePerGas)
	switch decision {
	case bidCeiling:
		return StuckFeeCeiling, nil
	case bidRaised:
		return s.replace(ctx, f, o, next)
	}
	count, err := s.chain.nonceAt(ctx, s.wallet.Address(), nil)
	if err != nil {
		return "", err
	}
	if count < f.nonce {
		return StuckNonce, nil
	}
	return StuckNotMined, nil
}

// replace signs the call again under the same nonce at a higher bid, stores the
// bytes and sends them. The old bytes may still be mined instead.
func (s *Sender) replace(ctx context.Context, f *flight, o order, next bid) (StuckReason, error) {
	if err := s.lane.acquire(ctx); err != nil {
		return "", err
	}
	defer s.lane.release()
	old := f.newest()
	gas := wallet.Gas{ChainID: s.chain.id, Nonce: f.nonce, Gas: old.Gas, TipCap: next.tip, FeeCap: next.fee}
	switch err := s.affordable(ctx, gas); {
	case errors.Is(err, ErrGasBudget):
		return StuckGasBudget, nil
	case errors.Is(err, ErrGasBalance):
		return StuckGasBalance, nil
	case err != nil:
		return "", err
	}
	var (
		signed wallet.Signed
		err    error
	)
	if old.Kind == AttemptCancel {
		signed, err = s.wallet.SignCancel(gas)
	} else {
		signed, err = s.sign(o.grant, o.call, gas)
	}
	if err != nil {
		return "", err
	}
	p, err := s.save(ctx, old.Purchase, old.Kind, gas, signed)
	if err != nil {
		return "", err
	}
	f.signed = append(f.signed, p)
	s.chain.observe(OutcomeReplaced)
	if err := s.tidy(ctx, f); err != nil {
		return "", err
	}
	return "", s.send(ctx, p, OutcomeSent)
}

// tidy records as replaced what newer bytes of the same kind have replaced.
func (s *Sender) tidy(ctx context.Context, f *flight) error {
	for _, p := range f.signed[:len(f.signed)-1] {
		if p.Kind == f.newest().Kind && (p.Status == ledger.AttemptPrepared || p.Status == ledger.AttemptBroadcast) {
			if err := s.update(ctx, p, ledger.AttemptReplaced, ""); err != nil {
				return err
			}
		}
	}
	return nil
}

// affordable says whether the account and the gas budget of a day bear another
// transaction. Under a nonce that is under way only what it costs more counts.
// The lane must be held.
func (s *Sender) affordable(ctx context.Context, gas wallet.Gas) error {
	lane, err := s.underWay(ctx)
	if err != nil {
		return err
	}
	return s.afford(ctx, append(lane, laneEntry(gas)))
}

// laneEntry is what a transaction that is not signed yet would be in the lane.
func laneEntry(gas wallet.Gas) ledger.Attempt {
	return ledger.Attempt{Nonce: strconv.FormatUint(gas.Nonce, 10), FeeCap: gas.FeeCap, Gas: gas.Gas}
}

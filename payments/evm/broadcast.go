// SPDX-License-Identifier: Apache-2.0

package evm

import (
	"context"
	"fmt"

	"github.com/ethereum/go-ethereum/ethclient"

	"github.com/agentd-project/agentd/ledger"
)

// resend sends bytes for which there is no receipt, unless it is proven that
// their nonce is taken.
func (s *Sender) resend(ctx context.Context, f *flight) error {
	err := s.send(ctx, f.newest(), OutcomeResent)
	if !Classify(err).reaction().known {
		return err
	}
	return s.displaced(ctx, f)
}

// send broadcasts stored bytes. "Known already" is success unless the nonce is
// taken, which only [Sender.displaced] can tell.
func (s *Sender) send(ctx context.Context, p *pending, outcome string) error {
	err := s.chain.do(ctx, "eth_sendRawTransaction", func(ctx context.Context, e *ethclient.Client) error {
		return e.SendTransaction(ctx, p.tx)
	})
	reaction := Classify(err).reaction()
	switch {
	case err == nil, reaction.known:
		s.chain.observe(outcome)
		if p.Status != ledger.AttemptPrepared {
			return err
		}
		if e := s.update(ctx, p, ledger.AttemptBroadcast, ""); e != nil {
			return e
		}
	case reaction.refused:
		s.chain.observe(OutcomeRefused)
	}
	return err
}

func (s *Sender) update(ctx context.Context, p *pending, status ledger.AttemptStatus, ref string) error {
	if p.Status == status {
		return nil
	}
	if err := s.ledger.UpdateAttempt(ctx, p.Purchase, p.Seq, status, ref); err != nil {
		return &storeError{fmt.Errorf("record %s %s as %s: %w", p.Kind, p.Hash, status, err)}
	}
	p.Status = status
	return nil
}

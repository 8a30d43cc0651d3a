// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"time"

	"github.com/ethereum/go-ethereum/common"
)

// settle puts the authorisation of an x402 order on the chain, once. For every other order it does nothing. The lock must not be
// held.
func (m *Market) settle(ctx context.Context, o *order) error {
	m.mu.Lock()
	p := o.payment
	if p == nil || p.rail.Type != "x402" || p.paid.settled != (common.Hash{}) {
		m.mu.Unlock()
		return nil
	}
	auth, down := p.paid.auth, m.conditions.SettleDown
	m.mu.Unlock()

	var hash common.Hash
	err := errSettleDown
	if !down {
		hash, err = m.chain.Settle(ctx, auth)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	settlement := map[string]any{"status": "settled", "payerAddress": auth.From.Hex(), "response": map[string]any{"success": true,
		"transaction": hash.Hex(), "network": p.offer.Network, "payer": auth.From.Hex()}}
	if err != nil {
		settlement = map[string]any{"status": "failed", "payerAddress": auth.From.Hex(), "response": map[string]any{"success": false,
			"errorReason": err.Error(), "network": p.offer.Network, "payer": auth.From.Hex()}}
	} else {
		p.paid.settled, p.proof.TransactionHash = hash, hash.Hex()
	}
	p.proof.Metadata["paymentSettlement"], p.updated = settlement, m.now()
	m.record("market", "payment.settlement", "payment", p.id, o.machineID, map[string]any{"orderId": o.id, "settlement": settlement["status"],
		"transaction": hash.Hex()})
	return err
}

// settleLater settles after d, for a seller who takes his time. The caller holds the lock.
func (m *Market) settleLater(o *order, d time.Duration) {
	select {
	case <-m.stopped:
		return
	default:
	}
	m.tasks.Go(func() {
		if m.pause(d) {
			_ = m.settle(context.Background(), o) // it notes its own failure on the payment
		}
	})
}

// SPDX-License-Identifier: Apache-2.0

package market

import (
	"context"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/orchestration"
	"github.com/agentd-project/agentd/pairing"
	"github.com/agentd-project/agentd/policy"
)

// Escrow is one that the owner listed.
type Escrow struct {
	Chain   money.ChainID
	Address common.Address
	// Lock says that it is a contract that locks value for an order; otherwise it
	// takes plain transfers.
	Lock bool
	// RefundAfter is how long locked value waits for a delivery before it may be
	// taken back.
	RefundAfter time.Duration
}

// escrowOf finds the owner's escrow on a chain by its address, or, where the
// Market names none, the only one that is listed.
func (m *Market) escrowOf(chain money.ChainID, address string) (found Escrow, ok bool) {
	for _, e := range m.escrows {
		switch {
		case e.Chain != chain:
		case address == "" && ok:
			return Escrow{}, false // which of the two is the Market's to say
		case address == "" || strings.EqualFold(address, e.Address.Hex()):
			found, ok = e, true
		}
	}
	return found, ok
}

// setEscrow completes the terms with where the value goes. A lock's order id is
// made of the Market's order, so that the seller can find it; its time is set
// once and never moves.
func (m *Market) setEscrow(t *terms, order, address string) (policy.Reason, string) {
	e, listed := m.escrowOf(t.Chain, address)
	if !listed {
		return policy.ReasonEscrowUnknown, "the intent's escrow is " + orDefault(address, "not named")
	}
	t.Escrow, t.Lock = e.Address, e.Lock
	if e.Lock && t.RefundFrom.IsZero() {
		t.Order, t.RefundFrom = crypto.Keccak256Hash([]byte(order)), time.Now().Add(e.RefundAfter).Truncate(time.Second).UTC()
	}
	return policy.Allowed, ""
}

// lockExpired says whether locked value waited long enough, in a state in which
// nothing usable was delivered.
func (p *purchase) lockExpired(row Row) bool {
	_, leads := row.Edges[EventExpired]
	return leads && p.doc.Terms.Lock && p.doc.Committed && !time.Now().Before(p.doc.Terms.RefundFrom)
}

// handLock tells the Market which transaction put the value into escrow (POST
// …/payment/escrow-lock, idempotent once held).
func (m *Market) handLock(ctx context.Context, p *purchase) error {
	t := p.doc.Terms
	payment, err := call(ctx, m, func(s pairing.Session) (*orchestration.Payment, error) {
		return m.api.LockEscrow(ctx, s.Token, p.OrderID, orchestration.EscrowLockRequest{
			TransactionHash: p.doc.TxHash, Chain: string(t.Chain), EscrowAddress: t.Escrow.Hex()})
	})
	if err == nil {
		p.doc.PaymentStatus = string(payment.Status)
	}
	return err
}

// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"slices"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/money"
)

// What a resolution moves on the chain.
const (
	MoveNothing      = ""         // the Market's word alone
	MoveFromPayee    = "payee"    // the payee pays back by a plain transfer
	MoveFromKeeper   = "keeper"   // the keeper of the plain escrow pays back by a plain transfer
	MoveFromContract = "contract" // the payee has the escrow contract pay back
	MovePayout       = "payout"   // the keeper of the plain escrow pays the payee
)

// Resolution is how a dispute, or any payment, is ended by the seller and the Market. Its parts are independent, so that either
// may lie.
type Resolution struct {
	// Status is what the payment reads from then on: held, release_pending, released, frozen or refunded; "" leaves it.
	Status string `json:"status,omitempty"`
	// Move is one of the Move constants.
	Move string `json:"move,omitempty"`
	// Amount is moved instead of what was due, in base units.
	Amount string `json:"amount,omitempty"`
	// To gets it instead of the payer.
	To common.Address `json:"to,omitzero"`
}

// Resolve ends the payment of an order and returns the transaction that moved value, if any. The value moves first.
func (m *Market) Resolve(ctx context.Context, orderID string, r Resolution) (common.Hash, error) {
	if r.Status != "" && !slices.Contains([]string{"held", "release_pending", "released", "frozen", "refunded"}, r.Status) {
		return common.Hash{}, fmt.Errorf("sandbox: no resolution is %q", r.Status)
	}
	m.mu.Lock()
	o, known := m.orders.get(orderID)
	if !known || o.payment == nil {
		m.mu.Unlock()
		return common.Hash{}, fmt.Errorf("sandbox: no order %q with a payment", orderID)
	}
	payer, payee, id, amount := m.payerOf(o), o.service.Payee, lockID(o), o.payment.due
	m.mu.Unlock()
	if r.To != (common.Address{}) {
		payer = r.To
	}
	if r.Amount != "" {
		var err error
		if amount, err = money.ParseBase(r.Amount); err != nil {
			return common.Hash{}, fmt.Errorf("sandbox: amount: %w", err)
		}
	}
	hash, err := m.moveFor(ctx, r.Move, payer, payee, id, amount.Big())
	if err != nil {
		return hash, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.record("market", "payment.resolved", "payment", o.payment.id, o.machineID, map[string]any{"orderId": o.id, "status": r.Status,
		"move": r.Move, "amount": amount.String(), "transaction": hash.Hex()})
	if r.Status != "" {
		m.move(o, r.Status)
	}
	return hash, nil
}

// moveFor moves value as a resolution says. The lock must not be held.
func (m *Market) moveFor(ctx context.Context, move string, payer, payee common.Address, id common.Hash, value *big.Int) (common.Hash, error) {
	switch move {
	case MoveNothing:
		return common.Hash{}, nil
	case MoveFromPayee:
		return m.transferFrom(ctx, payee, payer, value)
	case MoveFromKeeper:
		return m.transferFrom(ctx, m.keeper(), payer, value)
	case MovePayout:
		return m.transferFrom(ctx, m.keeper(), payee, value)
	case MoveFromContract:
		return m.refundByPayee(ctx, payee, id)
	}
	return common.Hash{}, fmt.Errorf("sandbox: unknown move %q", move)
}

// payerOf returns who paid an order: who signed, else who was named, else the agent.
func (m *Market) payerOf(o *order) common.Address {
	p := o.payment
	if from := p.paid.auth.From; from != (common.Address{}) {
		return from
	}
	for _, named := range []string{p.proofPayer(), p.rail.PayerAddress} {
		if named != "" {
			return common.HexToAddress(named)
		}
	}
	agent, _ := AddressOf(m.opt.AgentKey) // New has read it
	return agent
}

func (p *payment) proofPayer() string {
	if p.proof == nil {
		return ""
	}
	return p.proof.PayerAddress
}

func (m *Market) controlResolve(w http.ResponseWriter, r *http.Request) {
	var said Resolution
	if err := readJSON(r, &said); err != nil {
		writeFault(w, errors.Join(errors.New("a resolution is a JSON object"), err))
		return
	}
	hash, err := m.Resolve(r.Context(), r.PathValue("id"), said)
	if err != nil {
		writeFault(w, err)
		return
	}
	reply := map[string]string{}
	if hash != (common.Hash{}) {
		reply["transactionHash"] = hash.Hex()
	}
	writeJSON(w, reply)
}

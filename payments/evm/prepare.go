// SPDX-License-Identifier: Apache-2.0

package evm

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/ethclient"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/wallet"
)

// escrowGas is more than a lock and its release or refund take together: neither
// can be tried before the allowance stands.
const escrowGas = 500_000

// Ready says whether a payment could be begun now. The kind is [AttemptTransfer],
// of an amount to a receiver, or [AttemptLock], of an amount in an escrow contract.
// It fails as [Sender.Send] does before it signs. For a transfer the account must
// hold the amount.
func (s *Sender) Ready(ctx context.Context, kind string, token, receiver common.Address, amount money.Amount) error {
	data, t := wallet.TransferCall(receiver, amount), trial{ofToken: true}
	if kind == AttemptLock {
		if err := s.chain.VerifyContract(ctx, receiver); err != nil {
			return err
		}
		// An allowance of nothing is what every token admits, whatever stands.
		data, t.more = wallet.ApproveCall(receiver, money.Amount{}), escrowGas
	}
	p, err := s.quote(ctx, token, data, t)
	if err != nil {
		return err
	}
	lane, err := s.underWay(ctx)
	if err != nil {
		return err
	}
	return s.afford(ctx, append(lane, ledger.Attempt{FeeCap: p.feeCap, Gas: p.gas}))
}

// ErrNoContract says that there is no code at the address of an escrow contract.
var ErrNoContract = errors.New("no contract at the address")

// VerifyContract says whether an address has code; the error wraps [ErrNoContract]
// if it has none. A call of an account without code succeeds and does nothing.
func (c *Chain) VerifyContract(ctx context.Context, address common.Address) error {
	var code []byte
	err := c.do(ctx, "eth_getCode", func(ctx context.Context, e *ethclient.Client) (err error) {
		code, err = e.CodeAt(ctx, address, nil)
		return err
	})
	if err == nil && len(code) == 0 {
		return fmt.Errorf("%w: %s", ErrNoContract, address)
	}
	return err
}

// prepare signs the purchase's call under the lane's next nonce and stores the
// bytes. Nothing has left when it returns.
func (s *Sender) prepare(ctx context.Context, g policy.Grant, c Call) (*flight, error) {
	if end := g.Deadline(); Pays(c.Kind) && !end.IsZero() && !s.now().Before(end) {
		return nil, fmt.Errorf("%w: %s", ErrLate, end.UTC().Format(time.RFC3339))
	}
	if c.Kind == AttemptLock {
		if err := s.chain.VerifyContract(ctx, g.Escrow()); err != nil {
			return nil, err
		}
	}
	to, data := c.target(g, s.wallet.Address())
	p, err := s.quote(ctx, to, data, trial{ofToken: to == g.Token()})
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
	nonce, err := s.nextNonce(ctx)
	if err != nil {
		return nil, err
	}
	if once(c.Kind) {
		if err := s.notForgotten(ctx, nonce, to, data); err != nil {
			return nil, err
		}
	}
	gas := wallet.Gas{ChainID: s.chain.id, Nonce: nonce, Gas: p.gas, TipCap: p.tip, FeeCap: p.feeCap}
	if err := s.afford(ctx, append(lane, laneEntry(gas))); err != nil {
		return nil, err
	}
	signed, err := s.sign(g, c, gas)
	if err != nil {
		return nil, err
	}
	stored, err := s.save(ctx, g.Purchase(), c.Kind, gas, signed)
	if err != nil {
		return nil, err
	}
	return &flight{kind: c.Kind, nonce: nonce, escrow: c.Escrow, signed: []*pending{stored}}, nil
}

// save stores signed bytes before they leave.
func (s *Sender) save(ctx context.Context, id policy.PurchaseID, kind string, gas wallet.Gas, signed wallet.Signed) (*pending, error) {
	a := ledger.Attempt{
		Purchase: id, Kind: kind, Chain: s.chain.ID(), Signer: s.wallet.Address(),
		Nonce: strconv.FormatUint(gas.Nonce, 10), Hash: signed.Hash.Hex(), Raw: signed.Raw,
		FeeCap: gas.FeeCap, TipCap: gas.TipCap, Gas: gas.Gas, Status: ledger.AttemptPrepared, Created: s.now().UTC(),
	}
	var err error
	if a.Seq, err = s.ledger.SaveAttempt(ctx, a); err != nil {
		return nil, &storeError{fmt.Errorf("store %s: %w", kind, err)}
	}
	return decode(a)
}

// SPDX-License-Identifier: Apache-2.0

package evm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/wallet"
)

// ErrForgotten says that our key made the same call before, in a transaction that
// the ledger does not know: an older copy of it was put back. Whether that one paid
// for this purchase is for a person to see; it is not signed again.
var ErrForgotten = errors.New("the same was sent before by a transaction that the ledger does not know")

// lookBehind bounds how many of the account's last transactions are looked at.
const lookBehind = 64

// forgotten are the calls that pay in transactions of our key of which the ledger
// knows nothing. While one process runs, no new ones come but those of others.
type forgotten struct {
	mu    sync.Mutex
	calls []*types.Transaction
	// next is the nonce below which the account's transactions were looked at, 0
	// before the first look; the lane guards it.
	next uint64
}

func (f *forgotten) add(tx *types.Transaction) {
	if tx.To() == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, tx)
}

// find returns the transactions that call a contract with the given data, or with
// any if data is nil.
func (f *forgotten) find(to common.Address, data []byte) (found []common.Hash) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, tx := range f.calls {
		if *tx.To() == to && (data == nil || bytes.Equal(tx.Data(), data)) {
			found = append(found, tx.Hash())
		}
	}
	return found
}

// Forgotten says whether our key made a payment under the terms in a transaction
// that the ledger does not know; the error wraps [ErrForgotten] if it did. Where
// the terms are not complete yet, any call of the token, or of the contract that
// locks, counts.
func (s *Sender) Forgotten(ctx context.Context, t policy.Terms) error {
	if err := s.lane.acquire(ctx); err != nil {
		return err
	}
	defer s.lane.release()
	next, err := s.nextNonce(ctx)
	if err != nil {
		return err
	}
	to, data := t.Token, []byte(nil)
	switch {
	case t.Lock:
		to = t.Escrow // the lock's call has what only the grant says
	case t.Receiver() != common.Address{} && !t.Amount.IsZero():
		data = wallet.TransferCall(t.Receiver(), t.Amount)
	}
	return s.notForgotten(ctx, next, to, data)
}

// notForgotten says whether a purchase's first signature may be made: nothing that
// our key sent and the ledger forgot makes the same call. The account's last
// transactions are looked at before the first signature of a process, and those
// that came since; the lane is held. What is not mined yet cannot be looked at, so
// it is waited for.
func (s *Sender) notForgotten(ctx context.Context, next uint64, to common.Address, data []byte) error {
	if s.forgotten.next == 0 { // a count that is too low would hide the newest: ask twice
		mined, err := s.chain.nonceAt(ctx, s.wallet.Address(), nil)
		if err != nil {
			return err
		}
		next = max(next, mined)
	}
	if next > s.forgotten.next {
		if err := s.lookBack(ctx, s.forgotten.next, next); err != nil {
			return err
		}
		s.forgotten.next = next
	}
	for _, tx := range s.forgotten.find(to, data) {
		// An operator may have accepted it since: then somebody answers for it.
		accepted, err := s.ledger.Accounted(ctx, s.chain.ID(), tx.Hex())
		if err != nil {
			return err
		}
		if !accepted {
			return fmt.Errorf("%w: %s", ErrForgotten, tx)
		}
	}
	return nil
}

// lookBack looks at the account's transactions with nonces from first to below next,
// the last ones only.
func (s *Sender) lookBack(ctx context.Context, first, next uint64) error {
	for n := next; n > first && next-n < lookBehind; n-- {
		held, err := s.ledger.HoldsNonce(ctx, s.chain.ID(), s.wallet.Address(), n-1)
		if err != nil {
			return fmt.Errorf("read nonces: %w", err)
		}
		if held {
			continue
		}
		tx, err := s.chain.minedTransaction(ctx, s.wallet.Address(), n-1)
		if err != nil {
			return err
		}
		s.forgotten.add(tx)
	}
	return nil
}

// minedTransaction returns the account's transaction with a nonce from a block. It
// need not be final: whatever becomes of the block, it says what our key signed.
func (c *Chain) minedTransaction(ctx context.Context, account common.Address, nonce uint64) (*types.Transaction, error) {
	head, err := c.Head(ctx)
	if err != nil {
		return nil, err
	}
	block, found, err := c.blockOfNonce(ctx, account, nonce, head.Number)
	if err != nil {
		return nil, err
	}
	if found {
		if tx, err := c.transactionIn(ctx, block, account, nonce); err != nil || tx != nil {
			return tx, err
		}
	}
	return nil, &Error{Action: ActionAbsent, Method: "eth_getTransactionCount", Cause: fmt.Errorf("the transaction of %s with nonce %d is not mined yet", account, nonce)}
}

// same says whether another transaction makes the payment that a flight was signed
// for. A cancellation of ours is no payment.
func (f *flight) same(other *types.Transaction) bool {
	for _, p := range f.signed {
		if p.Kind == AttemptCancel || other.To() == nil || p.tx.To() == nil {
			continue
		}
		if *other.To() == *p.tx.To() && bytes.Equal(other.Data(), p.tx.Data()) {
			return true
		}
	}
	return false
}

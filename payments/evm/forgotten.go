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
	"github.com/ethereum/go-ethereum/crypto"
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
	mu     sync.Mutex
	looked bool
	calls  map[common.Hash]common.Hash // of transactions, by what they call
}

func callHash(to common.Address, data []byte) common.Hash {
	return crypto.Keccak256Hash(to[:], data)
}

func (f *forgotten) add(tx *types.Transaction) {
	if tx.To() == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.calls == nil {
		f.calls = map[common.Hash]common.Hash{}
	}
	f.calls[callHash(*tx.To(), tx.Data())] = tx.Hash()
}

func (f *forgotten) find(to common.Address, data []byte) (tx common.Hash, found bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	tx, found = f.calls[callHash(to, data)]
	return tx, found
}

// notForgotten says whether a purchase's first signature may be made: nothing that
// our key sent and the ledger forgot makes the same call. The account's last
// transactions are looked at once, before the first signature of a process; the
// lane is held. What is not mined yet cannot be looked at, so it is waited for.
func (s *Sender) notForgotten(ctx context.Context, next uint64, to common.Address, data []byte) error {
	if !s.forgotten.looked {
		if err := s.lookBack(ctx, next); err != nil {
			return err
		}
		s.forgotten.looked = true
	}
	tx, found := s.forgotten.find(to, data)
	if !found {
		return nil
	}
	// An operator may have accepted it since: then somebody answers for it.
	accepted, err := s.ledger.Accounted(ctx, s.chain.ID(), tx.Hex())
	if err != nil || accepted {
		return err
	}
	return fmt.Errorf("%w: %s", ErrForgotten, tx)
}

func (s *Sender) lookBack(ctx context.Context, next uint64) error {
	for n := next; n > 0 && next-n < lookBehind; n-- {
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

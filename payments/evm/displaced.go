// SPDX-License-Identifier: Apache-2.0

package evm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/ethclient"
)

// errDisplaced says that a final block holds another transaction under the nonce
// of stored bytes, which are recorded as dead.
var errDisplaced = errors.New("nonce was taken by another transaction")

// displaced proves, if it can, that another transaction took the nonce of stored
// bytes: by that transaction itself, in a final block, signed by our key. A
// count of transactions alone is an endpoint's word, and on its word nothing is
// signed a second time. Without proof it returns nil and the wait goes on.
func (s *Sender) displaced(ctx context.Context, f *flight) error {
	final, err := s.chain.FinalHead(ctx)
	if err != nil {
		return undecided(err)
	}
	block, found, err := s.chain.blockOfNonce(ctx, s.wallet.Address(), f.nonce, final.Number)
	if err != nil || !found {
		return undecided(err)
	}
	other, err := s.chain.transactionIn(ctx, block, s.wallet.Address(), f.nonce)
	if err != nil {
		return undecided(err)
	}
	if other == nil || f.holds(other.Hash()) {
		return nil
	}
	s.forgotten.add(other)
	if once(f.kind) && f.same(other) {
		return &decidedError{fmt.Errorf("%w: %s", ErrForgotten, other.Hash())}
	}
	if err := s.agreed(ctx, f, nil, nil); err != nil {
		return err
	}
	if err := s.bury(ctx, f, nil, other.Hash().Hex()); err != nil {
		return err
	}
	s.chain.observe(OutcomeDisplaced)
	return &decidedError{fmt.Errorf("%w: %s by %s", errDisplaced, f.newest().Hash, other.Hash())}
}

// undecided lets an endpoint's error pass as "not known", except that it reports
// endpoints that do not answer.
func undecided(err error) error {
	if Classify(err) == ActionFailover || Classify(err) == ActionLeave {
		return err
	}
	return nil
}

// blockOfNonce finds the block, at or before last, in which the account's
// transaction with the nonce is: the first after which its count is above.
func (c *Chain) blockOfNonce(ctx context.Context, account common.Address, nonce, last uint64) (block uint64, found bool, err error) {
	above := func(n uint64) (bool, error) {
		count, err := c.nonceAt(ctx, account, new(big.Int).SetUint64(n))
		return count > nonce, err
	}
	ok, err := above(last)
	if err != nil || !ok {
		return 0, false, err
	}
	// The block is most likely a recent one, and old states may be pruned: widen
	// from the end, then halve.
	high, low := last, last
	for step := uint64(1); ok && low > 0; step *= 2 {
		high = low
		low -= min(step, low)
		if ok, err = above(low); err != nil {
			return 0, false, err
		}
	}
	if ok {
		return low, true, nil
	}
	for high-low > 1 {
		mid := low + (high-low)/2
		if ok, err = above(mid); err != nil {
			return 0, false, err
		}
		if ok {
			high = mid
		} else {
			low = mid
		}
	}
	return high, true, nil
}

// transactionIn returns the account's transaction with the nonce from a block,
// nil if the block has none. Its signature is checked: it is the account's. Other
// transactions are not decoded, since chains have kinds of their own.
func (c *Chain) transactionIn(ctx context.Context, number uint64, account common.Address, nonce uint64) (*types.Transaction, error) {
	var block struct {
		Transactions []json.RawMessage `json:"transactions"`
	}
	err := c.do(ctx, "eth_getBlockByNumber", func(ctx context.Context, e *ethclient.Client) error {
		return e.Client().CallContext(ctx, &block, "eth_getBlockByNumber", hexutil.EncodeUint64(number), true)
	})
	if err != nil {
		return nil, err
	}
	for _, raw := range block.Transactions {
		var head struct {
			From  common.Address `json:"from"`
			Nonce hexutil.Uint64 `json:"nonce"`
		}
		if json.Unmarshal(raw, &head) != nil || head.From != account || uint64(head.Nonce) != nonce {
			continue
		}
		tx := new(types.Transaction)
		if err := tx.UnmarshalJSON(raw); err != nil {
			return nil, &Error{Action: ActionReport, Method: "eth_getBlockByNumber", Cause: fmt.Errorf("transaction: %w", err)}
		}
		signer, err := types.Sender(types.LatestSignerForChainID(new(big.Int).SetUint64(c.id)), tx)
		if err != nil || signer != account || tx.Nonce() != nonce {
			return nil, &Error{Action: ActionReport, Method: "eth_getBlockByNumber", Cause: errors.New("transaction is not signed by its sender")}
		}
		return tx, nil
	}
	return nil, nil
}

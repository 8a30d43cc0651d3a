// SPDX-License-Identifier: Apache-2.0

package evm

import (
	"context"
	"errors"
	"math/big"
	"slices"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/ethclient"
)

// maxPages bounds how far back one search reads.
const maxPages = 2000

// scan reads the logs of a contract that have one of the topics at each position,
// in pages, the oldest first, until each says that it is enough.
func (c *Chain) scan(ctx context.Context, contract common.Address, topics [][]common.Hash, from, to uint64, each func(types.Log) (enough bool, err error)) error {
	for next, size := from, c.cfg.LogPage; next <= to; {
		last := min(next+size-1, to)
		logs, err := c.logs(ctx, contract, topics, next, last)
		if Classify(err) == ActionSplit && size > 1 {
			size /= 2
			continue
		}
		if err != nil {
			return err
		}
		for _, l := range logs {
			if l.BlockNumber < next || l.BlockNumber > last || !fits(l, contract, topics) {
				continue
			}
			if enough, err := each(l); enough || err != nil {
				return err
			}
		}
		next = last + 1
	}
	return nil
}

func (c *Chain) logs(ctx context.Context, token common.Address, topics [][]common.Hash, from, to uint64) (logs []types.Log, err error) {
	err = c.do(ctx, "eth_getLogs", func(ctx context.Context, e *ethclient.Client) (err error) {
		logs, err = e.FilterLogs(ctx, ethereum.FilterQuery{
			FromBlock: new(big.Int).SetUint64(from), ToBlock: new(big.Int).SetUint64(to),
			Addresses: []common.Address{token}, Topics: topics,
		})
		return err
	})
	return logs, err
}

// AuthorizationEnd is how the nonce of an EIP-3009 authorisation was consumed.
type AuthorizationEnd struct {
	// Used says that value moved; otherwise the nonce was cancelled.
	Used  bool
	Tx    common.Hash
	Block uint64
	At    time.Time
}

// ErrNoEvent says that the event of a consumed authorisation was not found.
var ErrNoEvent = errors.New("authorisation is consumed, but its event was not found")

// FindAuthorization looks, from head backwards, for the event that consumed a
// nonce. It reads no further back than since and fails with [ErrNoEvent].
func (c *Chain) FindAuthorization(ctx context.Context, token, authorizer common.Address, nonce [32]byte, since time.Time, head Head) (AuthorizationEnd, error) {
	topics := [][]common.Hash{{topicAuthUsed, topicAuthCancelled}, {common.BytesToHash(authorizer[:])}, {nonce}}
	l, block, err := c.findBack(ctx, token, topics, since, head)
	if err != nil {
		return AuthorizationEnd{}, err
	}
	if l == nil {
		return AuthorizationEnd{}, ErrNoEvent
	}
	return AuthorizationEnd{Used: l.Topics[0] == topicAuthUsed, Tx: l.TxHash, Block: l.BlockNumber, At: block.Time}, nil
}

// AuthorizationIn returns how a transaction consumed the nonce, by its receipt; ok
// is false if it did not, or is in no block up to last.
func (c *Chain) AuthorizationIn(ctx context.Context, tx common.Hash, token, authorizer common.Address, nonce [32]byte, last uint64) (end AuthorizationEnd, ok bool, err error) {
	r, err := c.receipt(ctx, tx)
	if Classify(err) == ActionAbsent || (err == nil && r.BlockNumber.Uint64() > last) {
		return AuthorizationEnd{}, false, nil
	}
	if err != nil {
		return AuthorizationEnd{}, false, err
	}
	topics := [][]common.Hash{{topicAuthUsed, topicAuthCancelled}, {common.BytesToHash(authorizer[:])}, {nonce}}
	for _, l := range r.Logs {
		if fits(*l, token, topics) {
			block, err := c.header(ctx, r.BlockNumber)
			return AuthorizationEnd{Used: l.Topics[0] == topicAuthUsed, Tx: tx, Block: block.Number, At: block.Time}, err == nil, err
		}
	}
	return AuthorizationEnd{}, false, nil
}

// findBack returns the last log of a contract that has one of the topics at each
// position, and its block, reading pages from head backwards, no further than
// since; nil if there is none.
func (c *Chain) findBack(ctx context.Context, contract common.Address, topics [][]common.Hash, since time.Time, head Head) (*types.Log, Head, error) {
	last, size := head.Number, c.cfg.LogPage
	for range maxPages {
		first := last - min(size-1, last)
		logs, err := c.logs(ctx, contract, topics, first, last)
		if Classify(err) == ActionSplit && size > 1 {
			size /= 2
			continue
		}
		if err != nil {
			return nil, Head{}, err
		}
		for _, l := range slices.Backward(logs) {
			if l.BlockNumber < first || l.BlockNumber > last || !fits(l, contract, topics) {
				continue
			}
			block, err := c.blockAt(ctx, l.BlockNumber, head)
			return &l, block, err
		}
		if first == 0 {
			break
		}
		edge, err := c.header(ctx, new(big.Int).SetUint64(first))
		if err != nil {
			return nil, Head{}, err
		}
		if edge.Time.Before(since) {
			break
		}
		last = first - 1
	}
	return nil, Head{}, nil
}

// fits says whether a log is what was asked for: an endpoint may answer more.
func fits(l types.Log, contract common.Address, topics [][]common.Hash) bool {
	if l.Removed || l.Address != contract || len(l.Topics) < len(topics) {
		return false
	}
	for i, wanted := range topics {
		if len(wanted) > 0 && !slices.Contains(wanted, l.Topics[i]) { // none is any
			return false
		}
	}
	return true
}

// blockAt returns a block, which is often the head that was just read.
func (c *Chain) blockAt(ctx context.Context, number uint64, head Head) (Head, error) {
	if number == head.Number {
		return head, nil
	}
	return c.header(ctx, new(big.Int).SetUint64(number))
}

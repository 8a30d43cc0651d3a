// SPDX-License-Identifier: Apache-2.0

package evm

import (
	"context"
	"errors"
	"math/big"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/ethclient"

	"github.com/agentd-project/agentd/money"
)

// maxPages bounds how far back one search reads.
const maxPages = 2000

// OwnTransfer is a transfer of a token from an account.
type OwnTransfer struct {
	Tx     common.Hash
	Block  uint64
	Index  uint
	To     common.Address
	Amount money.Amount
}

// OwnTransfers returns the transfers of a token from an account in blocks from
// fromBlock on that are final, the oldest first.
func (c *Chain) OwnTransfers(ctx context.Context, token, from common.Address, fromBlock uint64) ([]OwnTransfer, error) {
	final, err := c.FinalHead(ctx)
	if err != nil {
		return nil, err
	}
	topics := [][]common.Hash{{topicTransfer}, {common.BytesToHash(from[:])}}
	var found []OwnTransfer
	for next, size := fromBlock, c.cfg.LogPage; next <= final.Number; {
		last := min(next+size-1, final.Number)
		logs, err := c.logs(ctx, token, topics, next, last)
		if Classify(err) == ActionSplit && size > 1 {
			size /= 2
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, l := range logs {
			if l.Removed || len(l.Topics) != 3 || len(l.Data) != 32 || l.Topics[1] != topics[1][0] || l.Address != token {
				continue
			}
			amount, err := money.FromBig(new(big.Int).SetBytes(l.Data))
			if err != nil {
				return nil, err
			}
			found = append(found, OwnTransfer{Tx: l.TxHash, Block: l.BlockNumber, Index: l.Index, To: common.BytesToAddress(l.Topics[2][12:]), Amount: amount})
		}
		next = last + 1
	}
	return found, nil
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
	last, size := head.Number, c.cfg.LogPage
	for range maxPages {
		first := last - min(size-1, last)
		logs, err := c.logs(ctx, token, topics, first, last)
		if Classify(err) == ActionSplit && size > 1 {
			size /= 2
			continue
		}
		if err != nil {
			return AuthorizationEnd{}, err
		}
		for _, l := range logs {
			if l.Removed || l.Address != token || len(l.Topics) != 3 || l.Topics[1] != topics[1][0] || l.Topics[2] != topics[2][0] {
				continue
			}
			block, err := c.blockAt(ctx, l.BlockNumber, head)
			if err != nil {
				return AuthorizationEnd{}, err
			}
			return AuthorizationEnd{Used: l.Topics[0] == topicAuthUsed, Tx: l.TxHash, Block: l.BlockNumber, At: block.Time}, nil
		}
		if first == 0 {
			break
		}
		edge, err := c.header(ctx, new(big.Int).SetUint64(first))
		if err != nil {
			return AuthorizationEnd{}, err
		}
		if edge.Time.Before(since) {
			break
		}
		last = first - 1
	}
	return AuthorizationEnd{}, ErrNoEvent
}

// blockAt returns a block, which is often the head that was just read.
func (c *Chain) blockAt(ctx context.Context, number uint64, head Head) (Head, error) {
	if number == head.Number {
		return head, nil
	}
	return c.header(ctx, new(big.Int).SetUint64(number))
}

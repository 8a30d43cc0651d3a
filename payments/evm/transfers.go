// SPDX-License-Identifier: Apache-2.0

package evm

import (
	"context"
	"math/big"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/agentd-project/agentd/money"
)

// Transfer is one transfer of a token, as a log of the chain tells it.
type Transfer struct {
	Tx       common.Hash
	Block    uint64
	Index    uint
	From, To common.Address
	Amount   money.Amount
}

// TransfersFrom returns the transfers of a token from an account in the blocks
// from first to last, which must be final, the oldest first.
func (c *Chain) TransfersFrom(ctx context.Context, token, from common.Address, first, last uint64) ([]Transfer, error) {
	return c.transfers(ctx, token, [][]common.Hash{{topicTransfer}, {common.BytesToHash(from[:])}}, first, last)
}

// TransfersTo returns the transfers of a token to an account, like TransfersFrom.
func (c *Chain) TransfersTo(ctx context.Context, token, to common.Address, first, last uint64) ([]Transfer, error) {
	return c.transfers(ctx, token, [][]common.Hash{{topicTransfer}, {}, {common.BytesToHash(to[:])}}, first, last)
}

func (c *Chain) transfers(ctx context.Context, token common.Address, topics [][]common.Hash, first, last uint64) (found []Transfer, err error) {
	err = c.scan(ctx, token, topics, first, last, func(l types.Log) (bool, error) {
		if len(l.Topics) != 3 || len(l.Data) != 32 {
			return false, nil
		}
		amount, err := money.FromBig(new(big.Int).SetBytes(l.Data))
		found = append(found, Transfer{
			Tx: l.TxHash, Block: l.BlockNumber, Index: l.Index,
			From: common.BytesToAddress(l.Topics[1][12:]), To: common.BytesToAddress(l.Topics[2][12:]), Amount: amount,
		})
		return false, err
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// TimeOf returns the time of a block.
func (c *Chain) TimeOf(ctx context.Context, block uint64) (time.Time, error) {
	head, err := c.header(ctx, new(big.Int).SetUint64(block))
	return head.Time, err
}

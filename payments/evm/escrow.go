// SPDX-License-Identifier: Apache-2.0

package evm

import (
	"context"
	"fmt"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/wallet"
)

// EscrowEnd is how an escrow contract ended an order. Both false: it has not, as
// far as final blocks say.
type EscrowEnd struct {
	Released, Refunded bool
	Tx                 common.Hash
	Block              uint64
	At                 time.Time
}

// FindEscrowEnd looks, from the newest final block backwards, for the event by
// which a contract released or refunded an order, whoever made it. It reads no
// further back than since; without an event the end is zero.
func (c *Chain) FindEscrowEnd(ctx context.Context, escrow common.Address, abi *wallet.EscrowABI, order common.Hash, since time.Time) (EscrowEnd, error) {
	final, err := c.FinalHead(ctx)
	if Classify(err) == ActionAbsent {
		return EscrowEnd{}, nil
	}
	if err != nil {
		return EscrowEnd{}, err
	}
	topics := [][]common.Hash{{abi.ReleasedTopic(), abi.RefundedTopic()}, {order}}
	l, block, err := c.findBack(ctx, escrow, topics, since, final)
	if err != nil || l == nil {
		return EscrowEnd{}, err
	}
	released := l.Topics[0] == abi.ReleasedTopic()
	return EscrowEnd{Released: released, Refunded: !released, Tx: l.TxHash, Block: l.BlockNumber, At: block.Time}, nil
}

// Return is a transfer that brought value back.
type Return struct {
	// Ref names the transfer among all of the chain: "<transaction>:<log index>".
	Ref   string
	Tx    common.Hash
	Block uint64
	At    time.Time
}

// FindReturn looks for the first transfer of exactly an amount of a token between
// two accounts, in final blocks from fromBlock on, that skip does not know; ok is
// false if there is none. A nil skip knows none.
func (c *Chain) FindReturn(ctx context.Context, token, from, to common.Address, amount money.Amount, fromBlock uint64, skip func(ref string) (bool, error)) (r Return, ok bool, err error) {
	final, err := c.FinalHead(ctx)
	if Classify(err) == ActionAbsent {
		return Return{}, false, nil
	}
	if err != nil {
		return Return{}, false, err
	}
	v := amount.Uint256()
	want := v.Bytes32()
	topics := [][]common.Hash{{topicTransfer}, {common.BytesToHash(from[:])}, {common.BytesToHash(to[:])}}
	err = c.scan(ctx, token, topics, fromBlock, final.Number, func(l types.Log) (bool, error) {
		ref := fmt.Sprintf("%s:%d", l.TxHash.Hex(), l.Index)
		if len(l.Data) != 32 || common.Hash(l.Data) != common.Hash(want) {
			return false, nil
		}
		if skip != nil {
			if known, err := skip(ref); known || err != nil {
				return false, err
			}
		}
		r, ok = Return{Ref: ref, Tx: l.TxHash, Block: l.BlockNumber}, true
		return true, nil
	})
	if err != nil || !ok {
		return Return{}, false, err
	}
	block, err := c.blockAt(ctx, r.Block, final)
	if err != nil {
		return Return{}, false, err
	}
	r.At = block.Time
	return r, true, nil
}

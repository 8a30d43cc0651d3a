// SPDX-License-Identifier: Apache-2.0

package evm

import (
	"context"
	"time"

	"github.com/ethereum/go-ethereum/common"

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

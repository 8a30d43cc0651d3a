// SPDX-License-Identifier: Apache-2.0

package evm

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/agentd-project/agentd/money"
)

// Return is a transfer that brought value back.
type Return struct {
	// Ref names the transfer among all of the chain: "<transaction>:<log index>".
	Ref   string
	Tx    common.Hash
	Block uint64
	At    time.Time
}

// search is what a return is looked for by.
type search struct {
	token, from, to common.Address
	amount          money.Amount
	fromBlock       uint64
}

// searched remembers up to which block a search found nothing, so that one that
// goes on for weeks does not read the same blocks every time. What an endpoint left
// out of its answer must not stay hidden for ever: the newest page is read again
// each time, and all of it once a day.
type searched struct {
	mu    sync.Mutex
	began time.Time
	next  map[search]uint64
}

func (s *searched) from(q search) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next == nil || time.Since(s.began) > 24*time.Hour {
		s.began, s.next = time.Now(), map[search]uint64{}
	}
	return max(q.fromBlock, s.next[q])
}

func (s *searched) nothing(q search, next uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next[q] = next
}

// FindReturn looks for the first transfer of exactly an amount of a token between
// two accounts, in final blocks from fromBlock on, that skip does not know; ok is
// false if there is none. A nil skip knows none; what it knows once it knows for
// ever.
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
	q := search{token, from, to, amount, fromBlock}
	err = c.scan(ctx, token, topics, c.searched.from(q), final.Number, func(l types.Log) (bool, error) {
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
	if err != nil {
		return Return{}, false, err
	}
	if !ok {
		c.searched.nothing(q, final.Number-min(final.Number, c.cfg.LogPage))
		return Return{}, false, nil
	}
	block, err := c.blockAt(ctx, r.Block, final)
	if err != nil {
		return Return{}, false, err
	}
	r.At = block.Time
	return r, true, nil
}

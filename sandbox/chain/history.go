// SPDX-License-Identifier: Apache-2.0

package chain

import (
	"encoding/json"
	"math/big"
	"slices"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/params"
	"github.com/ethereum/go-ethereum/trie"
)

// gasLimit is the gas limit of each in-memory block.
const gasLimit = 60_000_000

// block is a mined block with what its transactions left.
type block struct {
	*types.Block
	receipts types.Receipts
	// text is the block as JSON without its transactions, once it was asked for.
	text json.RawMessage
}

// place says where a transaction is.
type place struct {
	block uint64
	index int
}

// history is the in-memory chain's blocks from genesis on and the index of their transactions.
type history struct {
	config *params.ChainConfig
	blocks []block
	placed map[common.Hash]place
	// busy are the numbers of the blocks with transactions: most have none, and what reads the past looks at these alone.
	busy []uint64
}

func newHistory(config *params.ChainConfig, seconds uint64) *history {
	h := &history{config: config, placed: map[common.Hash]place{}}
	h.blocks = []block{{Block: types.NewBlock(&types.Header{
		Number: new(big.Int), Time: seconds, Difficulty: new(big.Int), GasLimit: gasLimit, BaseFee: big.NewInt(params.InitialBaseFee),
	}, nil, nil, trie.NewStackTrie(nil))}}
	return h
}

func (h *history) head() block { return h.blocks[len(h.blocks)-1] }

// at returns a block by number.
func (h *history) at(number uint64) (block, bool) {
	if number >= uint64(len(h.blocks)) {
		return block{}, false
	}
	return h.blocks[number], true
}

// byHash returns a block by hash.
func (h *history) byHash(hash common.Hash) (block, bool) {
	for i := len(h.blocks) - 1; i >= 0; i-- {
		if h.blocks[i].Hash() == hash {
			return h.blocks[i], true
		}
	}
	return block{}, false
}

// append seals a block and stamps its receipts and logs with where they are.
func (h *history) append(header *types.Header, txs types.Transactions, receipts types.Receipts) {
	sealed := types.NewBlock(header, &types.Body{Transactions: txs}, receipts, trie.NewStackTrie(nil))
	number, logIndex := sealed.NumberU64(), uint(0)
	for i, r := range receipts {
		r.BlockHash, r.BlockNumber, r.TransactionIndex = sealed.Hash(), sealed.Number(), uint(i) //nolint:gosec // an index
		for _, l := range r.Logs {
			l.BlockHash, l.BlockNumber, l.BlockTimestamp = sealed.Hash(), number, sealed.Time()
			l.TxHash, l.TxIndex, l.Index = r.TxHash, r.TransactionIndex, logIndex
			logIndex++
		}
		h.placed[r.TxHash] = place{number, i}
	}
	h.blocks = append(h.blocks, block{Block: sealed, receipts: receipts})
	if len(txs) > 0 {
		h.busy = append(h.busy, number)
	}
}

// between returns the blocks with transactions from one number to another, both included, the oldest first.
func (h *history) between(from, to uint64) []block {
	first, _ := slices.BinarySearch(h.busy, from)
	var found []block
	for _, n := range h.busy[first:] {
		if n > to {
			break
		}
		found = append(found, h.blocks[n])
	}
	return found
}

// cut removes the newest blocks and returns their transactions, oldest first.
func (h *history) cut(depth int) types.Transactions {
	from := len(h.blocks) - depth
	var txs types.Transactions
	for _, b := range h.blocks[from:] {
		for _, tx := range b.Transactions() {
			delete(h.placed, tx.Hash())
			txs = append(txs, tx)
		}
	}
	h.blocks = h.blocks[:from:from]
	first, _ := slices.BinarySearch(h.busy, uint64(from)) //nolint:gosec // an index
	h.busy = h.busy[:first]
	return txs
}

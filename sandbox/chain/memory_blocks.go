// SPDX-License-Identifier: Apache-2.0

package chain

import (
	"encoding/json"
	"math/big"
	"slices"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/common/math"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/eth/filters"
	"github.com/ethereum/go-ethereum/rpc"
)

// maxFeeHistory bounds eth_feeHistory, as a node does.
const maxFeeHistory = 1024

func (m *Memory) getBlock(params []json.RawMessage) (any, error) {
	n, err := required[rpc.BlockNumber](params, 0)
	if err != nil {
		return nil, err
	}
	full, err := optional(params, 1, false)
	if err != nil {
		return nil, err
	}
	if n == rpc.PendingBlockNumber {
		return merge(m.next(m.now()), map[string]any{"hash": nil, "transactions": []common.Hash{}, "uncles": []common.Hash{}})
	}
	b, ok := m.history.at(m.number(n))
	if !ok {
		return nil, nil //nolint:nilnil // JSON-RPC's null
	}
	if full {
		return m.blockJSON(b, full)
	}
	kept := &m.history.blocks[b.NumberU64()]
	if kept.text == nil {
		body, err := m.blockJSON(b, full)
		if err != nil {
			return nil, err
		}
		if kept.text, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	return kept.text, nil
}

func (m *Memory) getBlockByHash(params []json.RawMessage) (any, error) {
	hash, err := required[common.Hash](params, 0)
	if err != nil {
		return nil, err
	}
	full, err := optional(params, 1, false)
	if err != nil {
		return nil, err
	}
	b, ok := m.history.byHash(hash)
	if !ok {
		return nil, nil //nolint:nilnil // JSON-RPC's null
	}
	return m.blockJSON(b, full)
}

func (m *Memory) blockJSON(b block, full bool) (any, error) {
	txs := make([]any, 0, len(b.Transactions()))
	for i, tx := range b.Transactions() {
		if !full {
			txs = append(txs, tx.Hash())
			continue
		}
		one, err := m.transactionJSON(tx, &b, i)
		if err != nil {
			return nil, err
		}
		txs = append(txs, one)
	}
	return merge(b.Header(), map[string]any{
		"transactions": txs, "uncles": []common.Hash{}, "size": hexutil.Uint64(b.Size()), "totalDifficulty": (*hexutil.Big)(new(big.Int)),
	})
}

// transactionJSON is a transaction with its place, or with none where b is nil.
func (m *Memory) transactionJSON(tx *types.Transaction, b *block, index int) (any, error) {
	from, err := types.Sender(m.pool.signer, tx)
	if err != nil {
		return nil, err
	}
	more := map[string]any{"from": from, "gasPrice": (*hexutil.Big)(tx.GasFeeCap()), "blockHash": nil, "blockNumber": nil, "transactionIndex": nil}
	if b != nil {
		more["gasPrice"] = (*hexutil.Big)(effectivePrice(tx, b.BaseFee()))
		more["blockHash"] = b.Hash()
		more["blockNumber"] = hexutil.Uint64(b.NumberU64())
		more["transactionIndex"] = hexutil.Uint64(index) //nolint:gosec // an index
	}
	return merge(tx, more)
}

func (m *Memory) getTransaction(params []json.RawMessage) (any, error) {
	hash, err := required[common.Hash](params, 0)
	if err != nil {
		return nil, err
	}
	if p, ok := m.history.placed[hash]; ok {
		b, _ := m.history.at(p.block)
		return m.transactionJSON(b.Transactions()[p.index], &b, p.index)
	}
	if one, ok := m.pool.find(hash); ok {
		return m.transactionJSON(one.tx, nil, 0)
	}
	return nil, nil //nolint:nilnil // JSON-RPC's null
}

func (m *Memory) getReceipt(params []json.RawMessage) (any, error) {
	hash, err := required[common.Hash](params, 0)
	if err != nil {
		return nil, err
	}
	p, ok := m.history.placed[hash]
	if !ok {
		return nil, nil //nolint:nilnil // JSON-RPC's null
	}
	b, _ := m.history.at(p.block)
	return m.receiptJSON(b, p.index)
}

func (m *Memory) getBlockReceipts(params []json.RawMessage) (any, error) {
	ref, err := required[rpc.BlockNumberOrHash](params, 0)
	if err != nil {
		return nil, err
	}
	var b block
	var ok bool
	if hash, byHash := ref.Hash(); byHash {
		b, ok = m.history.byHash(hash)
	} else if n, byNumber := ref.Number(); byNumber {
		b, ok = m.history.at(m.number(n))
	}
	if !ok {
		return nil, nil //nolint:nilnil // JSON-RPC's null
	}
	all := make([]any, 0, len(b.receipts))
	for i := range b.receipts {
		one, err := m.receiptJSON(b, i)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

func (m *Memory) receiptJSON(b block, index int) (any, error) {
	tx := b.Transactions()[index]
	from, err := types.Sender(m.pool.signer, tx)
	if err != nil {
		return nil, err
	}
	r := *b.receipts[index]
	if r.Logs == nil {
		r.Logs = []*types.Log{}
	}
	return merge(&r, map[string]any{"from": from, "to": tx.To(), "contractAddress": nil})
}

func (m *Memory) getLogs(params []json.RawMessage) (any, error) {
	q, err := required[filters.FilterCriteria](params, 0)
	if err != nil {
		return nil, err
	}
	head := m.history.head().NumberU64()
	bound := func(n *big.Int) uint64 {
		if n == nil {
			return head
		}
		return min(m.number(rpc.BlockNumber(n.Int64())), head+1)
	}
	from, to := bound(q.FromBlock), min(bound(q.ToBlock), head)
	if q.BlockHash != nil {
		b, ok := m.history.byHash(*q.BlockHash)
		if !ok {
			return nil, &rpcError{code: codeServer, message: "unknown block"}
		}
		from, to = b.NumberU64(), b.NumberU64()
	} else if q.FromBlock != nil && q.ToBlock != nil && bound(q.FromBlock) > bound(q.ToBlock) {
		return nil, &rpcError{code: codeInvalidParams, message: "invalid block range params"}
	}
	found := []*types.Log{}
	for _, b := range m.history.between(from, to) {
		for _, r := range b.receipts {
			for _, l := range r.Logs {
				if matches(l, q.Addresses, q.Topics) {
					found = append(found, l)
				}
			}
		}
	}
	return found, nil
}

// matches reports whether a log is of one of the addresses and has, at each position, one of the topics; an empty list matches all.
func matches(l *types.Log, addresses []common.Address, topics [][]common.Hash) bool {
	if len(addresses) > 0 && !slices.Contains(addresses, l.Address) || len(topics) > len(l.Topics) {
		return false
	}
	for i, wanted := range topics {
		if len(wanted) > 0 && !slices.Contains(wanted, l.Topics[i]) {
			return false
		}
	}
	return true
}

type feeHistory struct {
	OldestBlock  hexutil.Uint64   `json:"oldestBlock"`
	BaseFee      []*hexutil.Big   `json:"baseFeePerGas"`
	GasUsedRatio []float64        `json:"gasUsedRatio"`
	Reward       [][]*hexutil.Big `json:"reward,omitempty"`
}

func (m *Memory) feeHistory(params []json.RawMessage) (any, error) {
	count, err := required[math.HexOrDecimal64](params, 0)
	if err != nil {
		return nil, err
	}
	newest, err := required[rpc.BlockNumber](params, 1)
	if err != nil {
		return nil, err
	}
	percentiles, err := optional(params, 2, []float64(nil))
	if err != nil {
		return nil, err
	}
	last := min(m.number(newest), m.history.head().NumberU64())
	n := min(uint64(count), maxFeeHistory, last+1)
	out := feeHistory{OldestBlock: hexutil.Uint64(last + 1 - n), BaseFee: []*hexutil.Big{}, GasUsedRatio: []float64{}}
	for _, b := range m.history.blocks[last+1-n : last+1] {
		out.BaseFee = append(out.BaseFee, (*hexutil.Big)(b.BaseFee()))
		out.GasUsedRatio = append(out.GasUsedRatio, float64(b.GasUsed())/float64(b.GasLimit()))
		if len(percentiles) > 0 {
			out.Reward = append(out.Reward, rewards(b, percentiles))
		}
	}
	next := m.nextBaseFee()
	if b, ok := m.history.at(last + 1); ok {
		next = b.BaseFee()
	}
	out.BaseFee = append(out.BaseFee, (*hexutil.Big)(next))
	return out, nil
}

// rewards returns the tips that a block's transactions paid at these percentiles, each counted once, or zeros for an empty block.
func rewards(b block, percentiles []float64) []*hexutil.Big {
	var tips []*big.Int
	for _, tx := range b.Transactions() {
		tips = append(tips, new(big.Int).Sub(effectivePrice(tx, b.BaseFee()), b.BaseFee()))
	}
	slices.SortFunc(tips, (*big.Int).Cmp)
	out := make([]*hexutil.Big, 0, len(percentiles))
	for _, p := range percentiles {
		if len(tips) == 0 {
			out = append(out, (*hexutil.Big)(new(big.Int)))
			continue
		}
		i := int(float64(len(tips)-1) * min(max(p, 0), 100) / 100)
		out = append(out, (*hexutil.Big)(tips[min(max(i, 0), len(tips)-1)]))
	}
	return out
}

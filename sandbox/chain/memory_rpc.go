// SPDX-License-Identifier: Apache-2.0

package chain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/rpc"
)

// dispatch answers one call. Blocks that are due are made first.
func (m *Memory) dispatch(_ context.Context, method string, params []json.RawMessage) (any, error) {
	run, ok := memoryMethods[method]
	if method == "eth_subscribe" || method == "eth_unsubscribe" {
		return nil, &rpcError{code: codeNoMethod, message: "notifications not supported"}
	}
	if !ok {
		return nil, noMethod(method)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.catchUp()
	return run(m, params)
}

// memoryMethods is what the in-memory chain answers.
var memoryMethods = map[string]func(*Memory, []json.RawMessage) (any, error){
	"web3_clientVersion":        constant("agentd-sandbox/memory"),
	"net_version":               constant(fmt.Sprint(ChainID)),
	"net_listening":             constant(true),
	"eth_chainId":               constant(hexutil.Uint64(ChainID)),
	"eth_syncing":               constant(false),
	"eth_accounts":              constant([]common.Address{}),
	"eth_maxPriorityFeePerGas":  constant((*hexutil.Big)(tip)),
	"eth_gasPrice":              (*Memory).gasPrice,
	"eth_feeHistory":            (*Memory).feeHistory,
	"eth_blockNumber":           (*Memory).blockNumber,
	"eth_getBlockByNumber":      (*Memory).getBlock,
	"eth_getBlockByHash":        (*Memory).getBlockByHash,
	"eth_getBlockReceipts":      (*Memory).getBlockReceipts,
	"eth_getTransactionByHash":  (*Memory).getTransaction,
	"eth_getTransactionReceipt": (*Memory).getReceipt,
	"eth_getTransactionCount":   (*Memory).getNonce,
	"eth_getBalance":            (*Memory).getBalance,
	"eth_getCode":               (*Memory).getCode,
	"eth_getLogs":               (*Memory).getLogs,
	"eth_call":                  (*Memory).call,
	"eth_estimateGas":           (*Memory).estimateGas,
	"eth_sendRawTransaction":    (*Memory).sendRaw,
}

func constant(result any) func(*Memory, []json.RawMessage) (any, error) {
	return func(*Memory, []json.RawMessage) (any, error) { return result, nil }
}

func (m *Memory) blockNumber([]json.RawMessage) (any, error) {
	return hexutil.Uint64(m.history.head().NumberU64()), nil
}

// number resolves a tag or a number. A pending block is the one after the head.
func (m *Memory) number(n rpc.BlockNumber) uint64 {
	head := m.history.head().NumberU64()
	switch n {
	case rpc.LatestBlockNumber, rpc.SafeBlockNumber:
		return head
	case rpc.PendingBlockNumber:
		return head + 1
	case rpc.FinalizedBlockNumber:
		return finalized(head)
	case rpc.EarliestBlockNumber:
		return 0
	}
	return uint64(n) //nolint:gosec // the tags are the only negative numbers
}

// errNoBlock is a node's answer where a block that was asked for is not there.
var errNoBlock = &rpcError{code: codeServer, message: "header not found"}

// at runs a function on the state after a block, and the header whose time and fee a call there sees. What the function writes is
// taken back.
func (m *Memory) at(ref rpc.BlockNumberOrHash, run func(*ledger, *types.Header) error) error {
	number, pending := uint64(0), false
	if hash, ok := ref.Hash(); ok {
		b, found := m.history.byHash(hash)
		if !found {
			return errNoBlock
		}
		number = b.NumberU64()
	} else if n, ok := ref.Number(); ok {
		number, pending = m.number(n), n == rpc.PendingBlockNumber
	}
	head := m.history.head().NumberU64()
	switch {
	case pending:
		header := m.next(m.now())
		mark := m.state.mark()
		defer func() { m.state.revert(mark) }()
		for _, one := range m.pool.ready(m.state, header.BaseFee) {
			m.apply(m.state, header, one)
		}
		return run(m.state, header)
	case number == head:
		mark := m.state.mark()
		defer func() { m.state.revert(mark) }()
		return run(m.state, m.history.head().Header())
	case number < head:
		b, _ := m.history.at(number)
		if back := head - number; back <= uint64(len(m.state.kept)) {
			return m.state.before(int(back), func() error { return run(m.state, b.Header()) }) //nolint:gosec // at most keptBlocks
		}
		return run(m.replay(number), b.Header())
	}
	return errNoBlock
}

func (m *Memory) getBalance(params []json.RawMessage) (any, error) {
	account, err := required[common.Address](params, 0)
	if err != nil {
		return nil, err
	}
	ref, err := reference(params, 1)
	if err != nil {
		return nil, err
	}
	var balance *hexutil.Big
	err = m.at(ref, func(l *ledger, _ *types.Header) error {
		balance = (*hexutil.Big)(orZero(l.wei[account]))
		return nil
	})
	return balance, err
}

func (m *Memory) getNonce(params []json.RawMessage) (any, error) {
	account, err := required[common.Address](params, 0)
	if err != nil {
		return nil, err
	}
	ref, err := reference(params, 1)
	if err != nil {
		return nil, err
	}
	if n, ok := ref.Number(); ok && n == rpc.PendingBlockNumber {
		// As a node: also those that wait for a lower base fee.
		return hexutil.Uint64(m.pool.nextNonce(m.state, account)), nil
	} else if ok && m.number(n) < m.history.head().NumberU64() {
		return hexutil.Uint64(m.pastNonce(account, m.number(n))), nil
	}
	var nonce hexutil.Uint64
	err = m.at(ref, func(l *ledger, _ *types.Header) error {
		nonce = hexutil.Uint64(l.nonces[account])
		return nil
	})
	return nonce, err
}

// pastNonce is an account's nonce after a block: one above that of its last transaction.
func (m *Memory) pastNonce(account common.Address, number uint64) uint64 {
	for _, b := range slices.Backward(m.history.between(1, number)) {
		for _, tx := range slices.Backward(b.Transactions()) {
			if from, err := types.Sender(m.pool.signer, tx); err == nil && from == account {
				return tx.Nonce() + 1
			}
		}
	}
	return 0
}

func (m *Memory) getCode(params []json.RawMessage) (any, error) {
	account, err := required[common.Address](params, 0)
	if err != nil {
		return nil, err
	}
	if _, ok := m.machine.contracts[account]; ok {
		// An invalid instruction: there is code, and nothing to read in it.
		return hexutil.Bytes{0xfe}, nil
	}
	return hexutil.Bytes{}, nil
}

// simulate runs a call on a past, the newest or the pending state.
func (m *Memory) simulate(params []json.RawMessage) (ret []byte, gas uint64, err error) {
	args, err := required[callArgs](params, 0)
	if err != nil {
		return nil, 0, err
	}
	ref, err := reference(params, 1)
	if err != nil {
		return nil, 0, err
	}
	if args.To == nil {
		return nil, 0, fmt.Errorf("contract creation: %w", errUnsupported)
	}
	err = m.at(ref, func(l *ledger, header *types.Header) error {
		var runErr error
		ret, _, gas, runErr = m.machine.run(l, header.Time, args.from(), *args.To, args.value(), args.input())
		return runErr
	})
	if refused, ok := errors.AsType[*revertError](err); ok {
		return nil, 0, &rpcError{code: codeReverted, message: err.Error(), data: hexutil.Encode(refused.data)}
	}
	return ret, gas + intrinsicGas(args.input()), err
}

func (m *Memory) call(params []json.RawMessage) (any, error) {
	ret, _, err := m.simulate(params)
	return hexutil.Bytes(ret), err
}

func (m *Memory) estimateGas(params []json.RawMessage) (any, error) {
	_, gas, err := m.simulate(params)
	return hexutil.Uint64(gas), err
}

func (m *Memory) sendRaw(params []json.RawMessage) (any, error) {
	raw, err := required[hexutil.Bytes](params, 0)
	if err != nil {
		return nil, err
	}
	tx := new(types.Transaction)
	if err := tx.UnmarshalBinary(raw); err != nil {
		return nil, err
	}
	if err := m.pool.add(m.state, tx); err != nil {
		return nil, err
	}
	m.mineReady()
	return tx.Hash(), nil
}

func (m *Memory) gasPrice([]json.RawMessage) (any, error) {
	return (*hexutil.Big)(new(big.Int).Add(m.nextBaseFee(), tip)), nil
}

// SPDX-License-Identifier: Apache-2.0

package chain

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/consensus/misc/eip1559"
	"github.com/ethereum/go-ethereum/core/types"
)

// maxCatchUp bounds how many empty blocks are made at once after the clock jumped. Those before are left out, as if nobody had mined.
const maxCatchUp = 64

// ErrTooDeep says that a reorganisation would replace genesis.
var ErrTooDeep = errors.New("reorganisation reaches genesis")

// Memory is a small chain without an EVM, sockets or goroutines: it moves only when it is called, so it works in a synctest bubble.
// Ether, the token and the escrow behave as on Simulated, but gas is a fixed price for each method, state roots are empty and
// contracts cannot be created. Blocks may share a second. Its methods may be called concurrently.
type Memory struct {
	*settler
	now      func() time.Time
	interval time.Duration
	accounts []Account
	machine  *machine
	endpoint endpoint

	mu      sync.Mutex
	state   *ledger
	history *history
	pool    *pool
	held    bool
	last    time.Time
	fork    byte
	baseFee *big.Int
}

var _ Chain = (*Memory)(nil)

// NewMemory makes a chain. It never fails for want of a resource outside the process.
func NewMemory(c Config) (*Memory, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.BlockTime == 0 {
		c.BlockTime = DefaultBlockTime
	}
	key, facilitator, err := newFacilitator(c.Random)
	if err != nil {
		return nil, err
	}
	m := &Memory{now: c.Now, interval: c.BlockTime, accounts: append([]Account{facilitator}, c.Accounts...), pool: newPool(), last: c.Now()}
	m.endpoint = endpoint{m}
	if m.machine, err = newMachine(); err != nil {
		return nil, err
	}
	client, err := Dial(m.endpoint)
	if err != nil {
		return nil, err
	}
	if m.settler, err = newSettler(client, key); err != nil {
		return nil, err
	}
	m.state = newLedger(m.accounts)
	m.history = newHistory(chainConfig(), unix(m.last)-1)
	return m, nil
}

// unix returns a time in Unix seconds, zero where it is before 1970.
func unix(t time.Time) uint64 {
	return uint64(max(t.Unix(), 1)) //nolint:gosec // positive
}

// RPCURL returns "": there is no socket.
func (m *Memory) RPCURL() string { return "" }

// Handler returns the JSON-RPC endpoint.
func (m *Memory) Handler() http.Handler { return m.endpoint }

// Close does nothing: nothing runs.
func (m *Memory) Close() error { return nil }

// Mine makes one block now.
func (m *Memory) Mine(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mine(m.now())
	return nil
}

// SetAutomine says whether blocks are made without Mine. It is on from the start; switching it on mines what waits.
func (m *Memory) SetAutomine(on bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.catchUp()
	m.held, m.last = !on, m.now()
	m.mineReady()
}

// SetBaseFee sets the base fee of the next block, in wei a gas. Later blocks follow from it by EIP-1559.
func (m *Memory) SetBaseFee(wei *big.Int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.baseFee = new(big.Int).Set(wei)
}

// Drop removes a waiting transaction from the pool, as a node may, and reports whether it was there.
func (m *Memory) Drop(tx common.Hash) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.pool.drop(tx)
}

// Reorg replaces the newest blocks by empty ones, and one more. Their transactions wait in the pool again, for the next block. It
// returns ErrTooDeep where genesis is among them.
func (m *Memory) Reorg(depth uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.catchUp()
	if depth >= uint64(len(m.history.blocks)) {
		return fmt.Errorf("replace %d blocks: %w", depth, ErrTooDeep)
	}
	replaced := int(depth) //nolint:gosec // below the number of blocks
	txs := m.history.cut(replaced)
	m.state = m.replay(m.history.head().NumberU64())
	m.fork++
	for range replaced + 1 {
		m.seal(m.now(), nil)
	}
	for _, tx := range txs {
		if from, err := types.Sender(m.pool.signer, tx); err == nil {
			m.pool.put(from, tx)
		}
	}
	return nil
}

// replay returns the state after a block, by running all blocks from genesis.
func (m *Memory) replay(number uint64) *ledger {
	l := newLedger(m.accounts)
	for _, b := range m.history.between(1, number) {
		for _, tx := range b.Transactions() {
			if from, err := types.Sender(m.pool.signer, tx); err == nil {
				m.apply(l, b.Header(), pooled{tx: tx, from: from})
			}
		}
	}
	l.forget()
	return l
}

// catchUp makes the blocks that were due since the last call.
func (m *Memory) catchUp() {
	if m.held || m.interval <= 0 {
		return
	}
	missed := int64(m.now().Sub(m.last) / m.interval)
	if missed > maxCatchUp {
		m.last = m.last.Add(time.Duration(missed-maxCatchUp) * m.interval)
		missed = maxCatchUp
	}
	for range missed {
		m.mine(m.last.Add(m.interval))
	}
}

// mineReady makes a block where one has something to take and mining is not held.
func (m *Memory) mineReady() {
	if !m.held && len(m.pool.ready(m.state, m.nextBaseFee())) > 0 {
		m.mine(m.now())
	}
}

// mine makes one block of what is ready.
func (m *Memory) mine(at time.Time) {
	m.seal(at, m.pool.ready(m.state, m.nextBaseFee()))
	m.pool.prune(m.state)
	m.last = at
	m.blocks.made()
}

func (m *Memory) nextBaseFee() *big.Int {
	if m.baseFee != nil {
		return m.baseFee
	}
	return eip1559.CalcBaseFee(m.history.config, m.history.head().Header())
}

// next returns the header of a block on top of the newest one.
func (m *Memory) next(at time.Time) *types.Header {
	parent := m.history.head()
	return &types.Header{
		ParentHash: parent.Hash(),
		Number:     new(big.Int).Add(parent.Number(), big.NewInt(1)),
		Time:       max(unix(at), parent.Time()),
		Difficulty: new(big.Int),
		GasLimit:   gasLimit,
		BaseFee:    m.nextBaseFee(),
		Extra:      []byte{m.fork},
	}
}

// seal appends a block of these transactions. What does not fit waits for the next one.
func (m *Memory) seal(at time.Time, ready []pooled) {
	header := m.next(at)
	var txs types.Transactions
	var receipts types.Receipts
	for _, one := range ready {
		if header.GasUsed+one.tx.Gas() > gasLimit {
			break
		}
		r := m.apply(m.state, header, one)
		header.GasUsed += r.GasUsed
		r.CumulativeGasUsed = header.GasUsed
		txs, receipts = append(txs, one.tx), append(receipts, r)
	}
	m.state.keep()
	m.history.append(header, txs, receipts)
	m.baseFee = nil
}

// apply runs a transaction and returns its receipt. A failed one costs its gas all the same.
func (m *Memory) apply(l *ledger, header *types.Header, one pooled) *types.Receipt {
	tx, need := one.tx, intrinsicGas(one.tx.Data())
	put(l, l.nonces, one.from, tx.Nonce()+1)
	r := &types.Receipt{Type: tx.Type(), TxHash: tx.Hash(), Status: types.ReceiptStatusSuccessful}
	mark := l.mark()
	_, logs, gas, err := m.machine.run(l, header.Time, one.from, *tx.To(), tx.Value(), tx.Data())
	r.GasUsed, r.Logs = need+gas, logs
	if err != nil || r.GasUsed > tx.Gas() {
		l.revert(mark)
		r.Status, r.Logs = types.ReceiptStatusFailed, nil
		r.GasUsed = min(r.GasUsed, tx.Gas())
	}
	r.EffectiveGasPrice = effectivePrice(tx, header.BaseFee)
	l.add(l.wei, one.from, new(big.Int).Neg(new(big.Int).Mul(r.EffectiveGasPrice, new(big.Int).SetUint64(r.GasUsed))))
	r.Bloom = types.CreateBloom(r)
	return r
}

// effectivePrice returns what a transaction pays for a gas, in wei.
func effectivePrice(tx *types.Transaction, baseFee *big.Int) *big.Int {
	price := new(big.Int).Add(baseFee, tx.GasTipCap())
	if price.Cmp(tx.GasFeeCap()) > 0 {
		return tx.GasFeeCap()
	}
	return price
}

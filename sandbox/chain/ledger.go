// SPDX-License-Identifier: Apache-2.0

package chain

import (
	"math/big"
	"slices"

	"github.com/ethereum/go-ethereum/common"
)

// authorization names an EIP-3009 nonce of an account.
type authorization struct {
	from  common.Address
	nonce [32]byte
}

// allowance names an ERC-20 allowance.
type allowance struct {
	owner, spender common.Address
}

// orderState has the values of the contract's enum.
type orderState uint8

const (
	orderNone orderState = iota
	orderLocked
	orderReleased
	orderRefunded
)

// order is what the escrow holds under an order id.
type order struct {
	payer, payee, token common.Address
	amount              *big.Int
	deadline            uint64
	state               orderState
}

// ledger is the in-memory chain's state. Every write goes through put, so that a call that reverts leaves nothing behind. The
// numbers in it are never changed in place.
type ledger struct {
	wei        map[common.Address]*big.Int
	nonces     map[common.Address]uint64
	tokens     map[common.Address]*big.Int
	allowances map[allowance]*big.Int
	used       map[authorization]bool
	orders     map[[32]byte]order
	// undo takes back what is not kept yet. Each of these functions changes an entry for what it was and remembers what it now is, so
	// that calling it once more redoes the write.
	undo []func()
	// kept are those of the newest blocks, the newest last.
	kept [][]func()
}

// keptBlocks is how many blocks back a state is reached without running all blocks from genesis. Clients read as of a block that was
// the newest a moment ago.
const keptBlocks = 64

func newLedger(accounts []Account) *ledger {
	l := &ledger{
		wei:        map[common.Address]*big.Int{},
		nonces:     map[common.Address]uint64{},
		tokens:     map[common.Address]*big.Int{},
		allowances: map[allowance]*big.Int{},
		used:       map[authorization]bool{},
		orders:     map[[32]byte]order{},
	}
	for _, a := range accounts {
		l.wei[a.Address] = new(big.Int).Add(orZero(l.wei[a.Address]), orZero(a.Wei))
		l.tokens[a.Address] = new(big.Int).Add(orZero(l.tokens[a.Address]), orZero(a.Tokens))
	}
	return l
}

// put writes one entry and notes how to take it back.
func put[K comparable, V any](l *ledger, m map[K]V, key K, value V) {
	old, had := m[key]
	l.undo = append(l.undo, func() {
		now, has := m[key]
		if had {
			m[key] = old
		} else {
			delete(m, key)
		}
		old, had = now, has
	})
	m[key] = value
}

// mark returns a point that revert goes back to.
func (l *ledger) mark() int { return len(l.undo) }

// revert takes back what was written since a mark.
func (l *ledger) revert(mark int) {
	for i := len(l.undo) - 1; i >= mark; i-- {
		l.undo[i]()
	}
	l.undo = l.undo[:mark]
}

// keep ends a block: what was written since the last one stays.
func (l *ledger) keep() {
	l.kept = append(l.kept, l.undo)
	if len(l.kept) > keptBlocks {
		l.kept = slices.Delete(l.kept, 0, 1)
	}
	l.undo = nil
}

// forget keeps what was written, as of no block.
func (l *ledger) forget() { l.undo, l.kept = nil, nil }

// before runs a function on the state that many blocks ago, which are kept. What it writes is taken back.
func (l *ledger) before(blocks int, run func() error) error {
	newer := l.kept[len(l.kept)-blocks:]
	for _, b := range slices.Backward(newer) {
		for _, swap := range slices.Backward(b) {
			swap()
		}
	}
	defer func() {
		for _, b := range newer {
			for _, swap := range b {
				swap()
			}
		}
	}()
	mark := l.mark()
	defer func() { l.revert(mark) }()
	return run()
}

// add changes a balance by a signed amount.
func (l *ledger) add(m map[common.Address]*big.Int, account common.Address, amount *big.Int) {
	put(l, m, account, new(big.Int).Add(orZero(m[account]), amount))
}

// move takes an amount from one account to another. The caller has checked that it is there.
func (l *ledger) move(m map[common.Address]*big.Int, from, to common.Address, amount *big.Int) {
	l.add(m, from, new(big.Int).Neg(amount))
	l.add(m, to, amount)
}

// supply returns the sum of all token balances.
func (l *ledger) supply() *big.Int {
	sum := new(big.Int)
	for _, n := range l.tokens {
		sum.Add(sum, n)
	}
	return sum
}

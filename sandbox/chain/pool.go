// SPDX-License-Identifier: Apache-2.0

package chain

import (
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/txpool"
	"github.com/ethereum/go-ethereum/core/types"
)

// priceBump is how much higher, in percent, both fees of a replacement must be.
const priceBump = 10

// errUnsupported says what the in-memory chain does not do.
var errUnsupported = errors.New("not supported by the in-memory chain")

// pooled is a transaction that waits, in the order of arrival.
type pooled struct {
	tx    *types.Transaction
	from  common.Address
	order uint64
}

// pool holds the transactions that wait for a block, by account and nonce. It refuses what a node refuses, in the node's words.
type pool struct {
	signer  types.Signer
	waiting map[common.Address]map[uint64]pooled
	arrived uint64
}

func newPool() *pool {
	return &pool{signer: types.LatestSignerForChainID(new(big.Int).SetUint64(ChainID)), waiting: map[common.Address]map[uint64]pooled{}}
}

// find returns a waiting transaction.
func (p *pool) find(hash common.Hash) (pooled, bool) {
	for _, lane := range p.waiting {
		for _, one := range lane {
			if one.tx.Hash() == hash {
				return one, true
			}
		}
	}
	return pooled{}, false
}

// drop forgets a waiting transaction and reports whether it was there.
func (p *pool) drop(hash common.Hash) bool {
	one, ok := p.find(hash)
	if ok {
		p.remove(one)
	}
	return ok
}

func (p *pool) remove(one pooled) {
	delete(p.waiting[one.from], one.tx.Nonce())
	if len(p.waiting[one.from]) == 0 {
		delete(p.waiting, one.from)
	}
}

// add takes a transaction in, or says why not.
func (p *pool) add(l *ledger, tx *types.Transaction) error {
	if tx.Type() > types.DynamicFeeTxType || tx.To() == nil {
		return fmt.Errorf("transaction type %d or contract creation: %w", tx.Type(), errUnsupported)
	}
	if _, known := p.find(tx.Hash()); known {
		return txpool.ErrAlreadyKnown
	}
	if tx.GasFeeCapIntCmp(tx.GasTipCap()) < 0 {
		return fmt.Errorf("%w: maxPriorityFeePerGas: %s, maxFeePerGas: %s", core.ErrTipAboveFeeCap, tx.GasTipCap(), tx.GasFeeCap())
	}
	from, err := types.Sender(p.signer, tx)
	if err != nil {
		return fmt.Errorf("%w: %w", txpool.ErrInvalidSender, err)
	}
	if need := intrinsicGas(tx.Data()); tx.Gas() < need {
		return fmt.Errorf("%w: gas %d, minimum needed %d", core.ErrIntrinsicGas, tx.Gas(), need)
	}
	if tx.Gas() > gasLimit {
		return txpool.ErrGasLimit
	}
	if next := l.nonces[from]; tx.Nonce() < next {
		return fmt.Errorf("%w: next nonce %d, tx nonce %d", core.ErrNonceTooLow, next, tx.Nonce())
	}
	if err := p.afford(l, from, tx); err != nil {
		return err
	}
	if old, ok := p.waiting[from][tx.Nonce()]; ok && !outbids(old.tx, tx) {
		return txpool.ErrReplaceUnderpriced
	}
	p.put(from, tx)
	return nil
}

func (p *pool) put(from common.Address, tx *types.Transaction) {
	if p.waiting[from] == nil {
		p.waiting[from] = map[uint64]pooled{}
	}
	p.arrived++
	p.waiting[from][tx.Nonce()] = pooled{tx, from, p.arrived}
}

// afford refuses a transaction that the account could not pay together with those that wait.
func (p *pool) afford(l *ledger, from common.Address, tx *types.Transaction) error {
	balance, cost := orZero(l.wei[from]), tx.Cost()
	if balance.Cmp(cost) < 0 {
		return fmt.Errorf("%w: balance %s, tx cost %s, overshot %s", core.ErrInsufficientFunds, balance, cost, new(big.Int).Sub(cost, balance))
	}
	queued := new(big.Int)
	for nonce, one := range p.waiting[from] {
		if nonce != tx.Nonce() {
			queued.Add(queued, one.tx.Cost())
		}
	}
	total := new(big.Int).Add(queued, cost)
	if balance.Cmp(total) < 0 {
		return fmt.Errorf("%w: balance %s, queued cost %s, tx cost %s, overshot %s", core.ErrInsufficientFunds, balance, queued, cost, new(big.Int).Sub(total, balance))
	}
	return nil
}

// outbids reports whether both fees of a replacement are higher by the bump.
func outbids(old, replacement *types.Transaction) bool {
	raised := func(fee *big.Int) *big.Int {
		return new(big.Int).Div(new(big.Int).Mul(fee, big.NewInt(100+priceBump)), big.NewInt(100))
	}
	return replacement.GasFeeCapIntCmp(raised(old.GasFeeCap())) >= 0 && replacement.GasTipCapIntCmp(raised(old.GasTipCap())) >= 0 &&
		replacement.GasFeeCapCmp(old) > 0 && replacement.GasTipCapCmp(old) > 0
}

// ready returns the transactions that a block at this base fee takes, in the order of arrival, each after those with lower nonces.
func (p *pool) ready(l *ledger, baseFee *big.Int) []pooled {
	var lanes [][]pooled
	for from, lane := range p.waiting {
		var run []pooled
		for nonce := l.nonces[from]; ; nonce++ {
			one, ok := lane[nonce]
			if !ok || one.tx.GasFeeCapIntCmp(baseFee) < 0 {
				break
			}
			run = append(run, one)
		}
		if len(run) > 0 {
			lanes = append(lanes, run)
		}
	}
	var out []pooled
	for len(lanes) > 0 {
		first := slices.MinFunc(lanes, func(a, b []pooled) int { return compareOrder(a[0], b[0]) })
		i := slices.IndexFunc(lanes, func(lane []pooled) bool { return lane[0].order == first[0].order })
		out = append(out, first[0])
		if lanes[i] = first[1:]; len(lanes[i]) == 0 {
			lanes = slices.Delete(lanes, i, i+1)
		}
	}
	return out
}

func compareOrder(a, b pooled) int {
	if a.order < b.order {
		return -1
	}
	return 1
}

// prune forgets what a new block made impossible: used nonces.
func (p *pool) prune(l *ledger) {
	for from, lane := range p.waiting {
		next := l.nonces[from]
		maps.DeleteFunc(lane, func(nonce uint64, _ pooled) bool { return nonce < next })
		if len(lane) == 0 {
			delete(p.waiting, from)
		}
	}
}

// nextNonce returns the nonce after those that wait without a gap.
func (p *pool) nextNonce(l *ledger, from common.Address) uint64 {
	nonce := l.nonces[from]
	for {
		if _, ok := p.waiting[from][nonce]; !ok {
			return nonce
		}
		nonce++
	}
}

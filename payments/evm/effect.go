// SPDX-License-Identifier: Apache-2.0

package evm

import (
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/wallet"
)

// effectIn says whether the receipt of a transaction that succeeded shows what
// its bytes were signed for. An approval needs no event: tokens differ there, and
// the lock after it is tried before it is signed.
func (p *pending) effectIn(r *types.Receipt, escrow *wallet.EscrowABI) bool {
	switch p.Kind {
	case AttemptTransfer:
		to, amount, err := readTokenCall(p.tx.Data(), wallet.TransferCall)
		return err == nil && movedIn(r, p.tx.To(), p.from, to, amount)
	case AttemptLock:
		f, err := escrow.ReadLock(p.tx.Data())
		if err != nil || !eventIn(r, *p.tx.To(), escrow.LockedTopic(), f.Order) {
			return false
		}
		token := &f.Token
		if f.Token == (common.Address{}) {
			// The method does not take it: the contract knows one token only.
			token = nil
		}
		return movedIn(r, token, p.from, *p.tx.To(), f.Amount)
	case AttemptRelease, AttemptRefund:
		f, released, err := escrow.ReadPayout(p.tx.Data())
		topic := escrow.RefundedTopic()
		if released {
			topic = escrow.ReleasedTopic()
		}
		return err == nil && released == (p.Kind == AttemptRelease) && eventIn(r, *p.tx.To(), topic, f.Order)
	}
	return true
}

// movedIn says whether a receipt holds the Transfer event of exactly an amount of
// a token, of any token if nil.
func movedIn(r *types.Receipt, token *common.Address, from, to common.Address, amount money.Amount) bool {
	v := amount.Uint256()
	want := v.Bytes32()
	for _, l := range r.Logs {
		if (token == nil || l.Address == *token) && len(l.Topics) == 3 && l.Topics[0] == topicTransfer &&
			l.Topics[1] == common.BytesToHash(from[:]) && l.Topics[2] == common.BytesToHash(to[:]) &&
			len(l.Data) == 32 && common.Hash(l.Data) == common.Hash(want) {
			return true
		}
	}
	return false
}

// eventIn says whether a receipt holds a contract's event about an order.
func eventIn(r *types.Receipt, contract common.Address, topic, order common.Hash) bool {
	for _, l := range r.Logs {
		if l.Address == contract && len(l.Topics) >= 2 && l.Topics[0] == topic && l.Topics[1] == order {
			return true
		}
	}
	return false
}

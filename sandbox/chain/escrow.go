// SPDX-License-Identifier: Apache-2.0

package chain

import (
	"math/big"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
)

// escrowContract is Escrow in Go: the same results, events and errors.
type escrowContract struct {
	abi   abi.ABI
	token tokenContract
}

func escrowMethods(e escrowContract) map[string]method {
	return map[string]method{
		"lock":    {gasEscrowLock, e.lock},
		"release": {gasEscrowPayout, e.release},
		"refund":  {gasEscrowPayout, e.refund},
		"orders":  {gasView, e.orders},
	}
}

func (e escrowContract) lock(f *frame, args []any) ([]any, error) {
	id, token, payee := args[0].([32]byte), args[1].(common.Address), args[2].(common.Address)
	amount, deadline := args[3].(*big.Int), args[4].(*big.Int)
	if f.orders[id].state != orderNone {
		return nil, refuse(e.abi, "OrderExists", id)
	}
	late := deadline.Cmp(new(big.Int).SetUint64(f.time)) <= 0 || deadline.Cmp(maxDeadline) > 0
	if payee == (common.Address{}) || amount.Sign() == 0 || late {
		return nil, refuse(e.abi, "InvalidTerms")
	}
	if token != TokenAddress {
		// The compiled contract calls it and finds no code there.
		return nil, &revertError{}
	}
	if allowed := orZero(f.allowances[allowance{f.from, EscrowAddress}]); allowed.Cmp(amount) != 0 {
		return nil, refuse(e.abi, "InexactAllowance", allowed, amount)
	}
	put(f.ledger, f.orders, id, order{f.from, payee, token, amount, deadline.Uint64(), orderLocked})
	topics := []common.Hash{id, addressTopic(f.from), addressTopic(payee)}
	if err := f.emit(EscrowAddress, e.abi.Events["Locked"], topics, token, amount, deadline); err != nil {
		return nil, err
	}
	return nil, e.token.spend(f, EscrowAddress, f.from, EscrowAddress, amount)
}

func (e escrowContract) release(f *frame, args []any) ([]any, error) {
	id := args[0].([32]byte)
	o := f.orders[id]
	if o.state != orderLocked {
		return nil, refuse(e.abi, "OrderNotLocked", id)
	}
	if f.from != o.payer {
		return nil, refuse(e.abi, "NotPermitted", f.from)
	}
	return nil, e.pay(f, id, o, orderReleased, "Released", o.payee)
}

func (e escrowContract) refund(f *frame, args []any) ([]any, error) {
	id := args[0].([32]byte)
	o := f.orders[id]
	if o.state != orderLocked {
		return nil, refuse(e.abi, "OrderNotLocked", id)
	}
	if f.from != o.payee && (f.from != o.payer || f.time < o.deadline) {
		return nil, refuse(e.abi, "NotPermitted", f.from)
	}
	return nil, e.pay(f, id, o, orderRefunded, "Refunded", o.payer)
}

func (e escrowContract) pay(f *frame, id [32]byte, o order, state orderState, event string, to common.Address) error {
	o.state = state
	put(f.ledger, f.orders, id, o)
	if err := f.emit(EscrowAddress, e.abi.Events[event], []common.Hash{id, addressTopic(to)}, o.amount); err != nil {
		return err
	}
	return e.token.move(f, EscrowAddress, to, o.amount)
}

func (e escrowContract) orders(f *frame, args []any) ([]any, error) {
	o := f.orders[args[0].([32]byte)]
	return []any{o.payer, o.payee, o.token, orZero(o.amount), o.deadline, uint8(o.state)}, nil
}

// SPDX-License-Identifier: Apache-2.0

package config

import (
	"time"

	"github.com/ethereum/go-ethereum/common"
)

const (
	// minRefundAfter is a time in which a lock can be mined at all.
	minRefundAfter = 10 * time.Second
	maxRefundAfter = 365 * day
	// shortRefund is a time in which few sellers deliver and are released.
	shortRefund = 10 * time.Minute
)

func (l *loader) validateEscrows(chain string, c *Chain) {
	seen := make(map[common.Address]bool)
	for i := range c.Escrows {
		e := &c.Escrows[i]
		path := at(chain+".escrows", i, "")
		key := path + ".address"
		l.address(key, e.Address)
		if seen[e.Address] && e.Address != (common.Address{}) {
			l.fault(key, e.Address.Hex()+" a second time", "each escrow once", "")
		}
		seen[e.Address] = true
		for _, t := range c.Tokens {
			if t.Address == e.Address && e.Address != (common.Address{}) {
				l.fault(key, "the address of the token "+t.Symbol, "the escrow's own address", "")
			}
		}
		if e.Mode == EscrowTransfer {
			for _, name := range []string{"refund_after", "contract"} {
				if l.isSet(path+"."+name) && !l.faulted(path+".mode") {
					l.fault(path+"."+name, "a key of mode contract", "mode: contract, or without this key", "")
				}
			}
			continue
		}
		l.validateContract(path, e)
	}
}

func (l *loader) validateContract(path string, e *Escrow) {
	key := path + ".refund_after"
	l.between(key, e.RefundAfter, minRefundAfter, maxRefundAfter)
	switch {
	case e.RefundAfter%time.Second != 0 && !l.faulted(key):
		l.fault(key, Span(e.RefundAfter), "whole seconds", "")
	case e.RefundAfter < shortRefund && !l.faulted(key):
		l.warn(key + " is " + Span(e.RefundAfter) + ": what is not delivered and released within it is taken back")
	}
}

// SPDX-License-Identifier: Apache-2.0

package config

import (
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/wallet"
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
	l.validateInterface(path+".contract", e.Contract)
}

// validateInterface holds each configured signature, and then all together,
// against what is known of an escrow contract.
func (l *loader) validateInterface(path string, i EscrowInterface) {
	const allowed = "a signature like the built-in one, whose arguments are named order, token, payee, payer, amount or deadline"
	sound := true
	for _, part := range []struct {
		name  string
		alone EscrowInterface
	}{
		{"lock", EscrowInterface{Lock: i.Lock}},
		{"release", EscrowInterface{Release: i.Release}},
		{"refund", EscrowInterface{Refund: i.Refund}},
		{"locked", EscrowInterface{Locked: i.Locked}},
		{"released", EscrowInterface{Released: i.Released}},
		{"refunded", EscrowInterface{Refunded: i.Refunded}},
	} {
		if _, err := wallet.ParseEscrowABI(part.alone.Text()); err != nil {
			sound = false
			l.fault(path+"."+part.name, clause(err), allowed, "")
		}
	}
	if _, err := wallet.ParseEscrowABI(i.Text()); sound && err != nil {
		l.fault(path, clause(err), "six signatures that differ", "")
	}
}

// clause takes off what every error about an interface begins with.
func clause(err error) string {
	return strings.TrimPrefix(err.Error(), wallet.ErrEscrowABI.Error()+": ")
}

// SPDX-License-Identifier: Apache-2.0

package evm

import (
	"github.com/holiman/uint256"

	"github.com/agentd-project/agentd/money"
)

// bump is by how much, in percent, nodes want both fees of a replacement raised.
const bump = 10

// bid is what a transaction offers per gas, in wei.
type bid struct{ tip, fee money.Amount }

// outcome of a decision about a bid.
type verdict int

const (
	// bidEnough: the chain does not ask for more.
	bidEnough verdict = iota
	// bidRaised: the new bid is what to sign.
	bidRaised
	// bidCeiling: the chain asks for more, and no replacement that a node takes is
	// within the ceiling.
	bidCeiling
)

// raised returns the amount raised by the bump, rounded up. It is false where that
// does not fit.
func raised(a money.Amount) (money.Amount, bool) {
	v := a.Uint256()
	var more uint256.Int
	if _, over := more.MulOverflow(&v, uint256.NewInt(100+bump)); over {
		return money.Amount{}, false
	}
	more.AddUint64(&more, 99)
	more.Div(&more, uint256.NewInt(100))
	if more.Eq(&v) {
		more.AddUint64(&more, 1) // a replacement of nothing must offer something
	}
	up, err := money.FromBig(more.ToBig())
	return up, err == nil
}

// asks says whether a chain with this base fee and usual tip leaves a bid waiting.
func asks(base, tip money.Amount, b bid) bool {
	least, err := base.Add(tip)
	return err != nil || b.fee.Cmp(least) < 0 || b.tip.Cmp(tip) < 0
}

// outbid returns the least bid that replaces another one by the rules of nodes
// (at least 10 % on both fees, rounded up), or a higher one that the chain asks
// for, never above the ceiling.
func outbid(old bid, base, tip, ceiling money.Amount) (bid, verdict) {
	minTip, ok1 := raised(old.tip)
	minFee, ok2 := raised(old.fee)
	if !ok1 || !ok2 {
		return bid{}, bidCeiling
	}
	next := bid{tip: larger(minTip, tip), fee: minFee}
	roomy, err := base.Mul(2)
	if err == nil {
		roomy, err = roomy.Add(next.tip)
	}
	if err != nil || roomy.Cmp(ceiling) > 0 {
		roomy = ceiling
	}
	next.fee = larger(next.fee, roomy)
	if next.tip.Cmp(next.fee) > 0 {
		next.tip = larger(minTip, next.fee)
		next.fee = larger(next.fee, next.tip)
	}
	if next.fee.Cmp(ceiling) > 0 {
		return bid{}, bidCeiling
	}
	return next, bidRaised
}

// rebid decides whether bytes that wait are replaced, and by what.
func rebid(old bid, base, tip, ceiling money.Amount) (bid, verdict) {
	if !asks(base, tip, old) {
		return bid{}, bidEnough
	}
	return outbid(old, base, tip, ceiling)
}

func larger(a, b money.Amount) money.Amount {
	if a.Cmp(b) < 0 {
		return b
	}
	return a
}

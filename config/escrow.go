// SPDX-License-Identifier: Apache-2.0

package config

import (
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/wallet"
)

// EscrowMode is how funds go into an escrow.
type EscrowMode string

// The modes of an escrow.
const (
	// EscrowTransfer sends a plain ERC-20 transfer to the escrow's address; whoever
	// keeps the escrow pays it out or back.
	EscrowTransfer EscrowMode = "transfer"
	// EscrowContract locks the funds in a contract, which pays them out or back when
	// the payer says so.
	EscrowContract EscrowMode = "contract"
)

// Escrow is an address that may hold funds until a purchase is confirmed.
type Escrow struct {
	Address common.Address `yaml:"address"`
	Mode    EscrowMode     `yaml:"mode"`
	// RefundAfter is how long locked funds wait for a release before they are taken
	// back, in whole seconds; contract mode only.
	RefundAfter time.Duration `yaml:"refund_after"`
	// Contract is the contract's interface; contract mode only.
	Contract EscrowInterface `yaml:"contract"`
}

// EscrowInterface is the part of an escrow contract that is used, as human-readable
// signatures whose argument names say which argument is which. An empty one is
// the signature of the built-in interface.
type EscrowInterface struct {
	Lock     string `yaml:"lock"`
	Release  string `yaml:"release"`
	Refund   string `yaml:"refund"`
	Locked   string `yaml:"locked"`
	Released string `yaml:"released"`
	Refunded string `yaml:"refunded"`
}

func (e *Escrow) setDefaults() {
	e.Mode = EscrowTransfer
	e.RefundAfter = day
}

// Text returns the interface with what is not configured as built in.
func (i EscrowInterface) Text() wallet.EscrowText {
	t := wallet.DefaultEscrowText()
	for _, part := range []struct {
		configured string
		into       *string
	}{
		{i.Lock, &t.Lock}, {i.Release, &t.Release}, {i.Refund, &t.Refund},
		{i.Locked, &t.Locked}, {i.Released, &t.Released}, {i.Refunded, &t.Refunded},
	} {
		if part.configured != "" {
			*part.into = part.configured
		}
	}
	return t
}

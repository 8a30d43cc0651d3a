// SPDX-License-Identifier: Apache-2.0

package evm

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/agentd-project/agentd/money"
)

// The defaults of a [Config].
const (
	DefaultPoll    = 250 * time.Millisecond
	DefaultTimeout = 10 * time.Second
	DefaultResend  = 15 * time.Second
	DefaultReplace = 45 * time.Second
	DefaultLogPage = 2000
)

// TagFinalized makes the chain's own "finalized" block the measure of finality.
const TagFinalized = "finalized"

// Final says when a block counts as final.
type Final struct {
	// Confirmations is the number of blocks, the block itself included, after which
	// it is final; 0 counts as 1. Ignored with a Tag.
	Confirmations uint64
	// Tag is "" or [TagFinalized].
	Tag string
}

// Gas bounds what is paid for transactions, in wei. Zero allows nothing.
type Gas struct {
	// MaxFeePerGas is the highest fee cap that is signed.
	MaxFeePerGas money.Amount
	// PerDay is the most that is spent in 24 hours.
	PerDay money.Amount
}

// Token is a token contract with its EIP-712 domain.
type Token struct {
	money.Asset
	// Name and Version are the EIP-712 domain; an empty Name says that the token
	// has no EIP-3009 authorisations.
	Name, Version string
}

// Config is what a [Chain] is made of.
type Config struct {
	// ID is the CAIP-2 id, of kind eip155.
	ID money.ChainID
	// Name is for messages.
	Name string
	// RPC lists the endpoints, the preferred one first. They may hold credentials
	// and appear in no message.
	RPC []string
	// HTTPClient does the requests; nil means a new one. Redirects are refused and
	// bodies bounded whatever it says.
	HTTPClient *http.Client
	Final      Final
	Gas        Gas
	Tokens     []Token
	// Poll is the longest interval between two looks for a receipt. Default 250 ms.
	Poll time.Duration
	// Timeout bounds one request. Default 10 s.
	Timeout time.Duration
	// Resend is the interval after which bytes without a receipt are sent again.
	// Default 15 s.
	Resend time.Duration
	// Replace is how long bytes wait to be mined, while blocks come and ask for more
	// than they offer, before they are replaced. Default 45 s.
	Replace time.Duration
	// LogPage is the most blocks that one eth_getLogs asks for. Default 2000.
	LogPage uint64
	// Observe is told what became of each transaction and request, one of
	// [Outcomes]; nil means nobody is.
	Observe func(chain money.ChainID, outcome string)
}

// The outcomes that Observe is told.
const (
	OutcomeSent         = "sent"
	OutcomeResent       = "resent"
	OutcomeConfirmed    = "confirmed"
	OutcomeReverted     = "reverted"
	OutcomeDisplaced    = "displaced"
	OutcomeReplaced     = "replaced"
	OutcomeCancelling   = "cancelling"
	OutcomeDisagree     = "endpoints_disagree"
	OutcomeRefused      = "refused"
	OutcomeFailover     = "failover"
	OutcomeWrongChainID = "wrong_chain_id"
)

// Outcomes returns every outcome that Observe is told, a closed set.
func Outcomes() []string {
	return []string{
		OutcomeSent, OutcomeResent, OutcomeReplaced, OutcomeCancelling, OutcomeConfirmed, OutcomeReverted, OutcomeDisplaced,
		OutcomeRefused, OutcomeFailover, OutcomeWrongChainID, OutcomeDisagree,
	}
}

func (c *Config) validate() error {
	var faults []error
	if _, ok := c.ID.EVM(); !ok {
		faults = append(faults, fmt.Errorf("chain id %q is not eip155:<number>", c.ID))
	}
	if len(c.RPC) == 0 {
		faults = append(faults, errors.New("no RPC endpoint"))
	}
	for i, raw := range c.RPC {
		u, err := url.Parse(raw)
		if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			faults = append(faults, fmt.Errorf("RPC endpoint %d is not an http or https URL", i+1))
		}
	}
	if c.Final.Tag != "" && c.Final.Tag != TagFinalized {
		faults = append(faults, fmt.Errorf("final tag %q is not %q", c.Final.Tag, TagFinalized))
	}
	return errors.Join(faults...)
}

func (c *Config) setDefaults() {
	c.Final.Confirmations = max(c.Final.Confirmations, 1)
	if c.Poll <= 0 {
		c.Poll = DefaultPoll
	}
	if c.Timeout <= 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Resend <= 0 {
		c.Resend = DefaultResend
	}
	if c.Replace <= 0 {
		c.Replace = DefaultReplace
	}
	if c.LogPage == 0 {
		c.LogPage = DefaultLogPage
	}
	if c.Observe == nil {
		c.Observe = func(money.ChainID, string) {}
	}
}

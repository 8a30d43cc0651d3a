// SPDX-License-Identifier: Apache-2.0

package config

import (
	"time"

	"github.com/agentd-project/agentd/money"
)

// Policy is what the owner allows; [Config.PolicyRules] compiles it for the guard.
type Policy struct {
	Currency    string      `yaml:"currency"`
	PerPurchase money.Value `yaml:"per_purchase"`
	// Lifetime limits everything ever spent; zero is no such limit.
	Lifetime   money.Value  `yaml:"lifetime"`
	Windows    []Window     `yaml:"windows"`
	Count      []CountLimit `yaml:"count"`
	QuietHours []QuietHours `yaml:"quiet_hours"`
	Approval   Approval     `yaml:"approval"`
	Payees     PayeeMode    `yaml:"payees"`
	// MaxAuthorization is the longest life of an x402 authorisation.
	MaxAuthorization time.Duration `yaml:"max_authorization"`
	Allow            Lists         `yaml:"allow"`
	Deny             Lists         `yaml:"deny"`
	// Expires is the instant from which nothing is bought any more: a date means
	// its first second in UTC. The zero time is never.
	Expires time.Time `yaml:"expires"`
}

// Calendar names a calendar window in UTC.
type Calendar string

// The calendar windows; the empty one is rolling.
const (
	CalendarNone  Calendar = ""
	CalendarDay   Calendar = "day"
	CalendarMonth Calendar = "month"
)

// Window limits what is spent over a rolling time, or within a UTC day or month.
type Window struct {
	Over     time.Duration `yaml:"over"`
	Calendar Calendar      `yaml:"calendar"`
	Limit    money.Value   `yaml:"limit"`
}

// CountLimit limits the number of purchases over a rolling time.
type CountLimit struct {
	Over  time.Duration `yaml:"over"`
	Limit int64         `yaml:"limit"`
}

// QuietHours is a daily span without purchases, in minutes after midnight UTC;
// it may run over midnight. From is inside, To is not.
type QuietHours struct {
	From, To int
}

// Approval says from which price on a person is asked.
type Approval struct {
	// Above is the price that still needs no approval; nil asks for none.
	Above *money.Value `yaml:"above"`
	// TTL is how long an approval is waited for.
	TTL time.Duration `yaml:"ttl"`
}

// PayeeMode says how a payee becomes known.
type PayeeMode string

// The payee modes.
const (
	// PayeesList pays only addresses of allow.payees.
	PayeesList PayeeMode = "list"
	// PayeesPin pays, per provider, only the payee of its first payment.
	PayeesPin PayeeMode = "pin"
	// PayeesApprove is pin with a person's word before the first payment.
	PayeesApprove PayeeMode = "approve"
)

// Rail is the name of a way to pay.
type Rail string

// Rails lists the rails that the Market names.
func Rails() []Rail {
	return []Rail{
		"not-required", "wallet", "wdk-usdt-transfer", "x402", "escrow", "onchain-escrow",
		"offchain-record", "external", "vault-stripe", "mpp", "xvv42",
	}
}

// Lists are what a policy allows or denies; an empty allow list allows all, and
// deny wins.
type Lists struct {
	Rails        []Rail   `yaml:"rails"`
	ServiceTypes []string `yaml:"service_types"`
	Services     []string `yaml:"services"`
	Skills       []string `yaml:"skills"`
	Providers    []string `yaml:"providers"`
	Operations   []string `yaml:"operations"`
	// Tokens are symbols or addresses.
	Tokens []string `yaml:"tokens"`
	// Payees are addresses.
	Payees []string `yaml:"payees"`
}

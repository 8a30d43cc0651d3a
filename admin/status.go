// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"time"

	"github.com/agentd-project/agentd/money"
)

// Severity says how bad a [Problem] is.
type Severity string

// The severities.
const (
	// SeverityInfo is what the operator asked for or should merely know.
	SeverityInfo Severity = "info"
	// SeverityWarning needs attention some time; buying goes on.
	SeverityWarning Severity = "warning"
	// SeverityError stops buying, or a part of it.
	SeverityError Severity = "error"
)

// Problem is something that is wrong now.
type Problem struct {
	// Code is a stable name, such as pairing_revoked.
	Code     string   `json:"code"`
	Severity Severity `json:"severity"`
	// Text is one sentence that says what is wrong.
	Text string `json:"text"`
	// Next is one sentence that says what the operator does.
	Next  string    `json:"next"`
	Since time.Time `json:"since"`
}

// Status is the daemon at one moment.
type Status struct {
	Version string    `json:"version"`
	Started time.Time `json:"started"`
	// Now is the daemon's clock; ClockTrusted says whether it agrees with the
	// chains' and the Market's.
	Now          time.Time `json:"now"`
	ClockTrusted bool      `json:"clockTrusted"`
	// Mode is buy or observe.
	Mode   string `json:"mode"`
	Paused bool   `json:"paused"`
	// Live says that the parts are up, Ready that the daemon can buy;
	// NotReady says why it cannot.
	Live     bool     `json:"live"`
	Ready    bool     `json:"ready"`
	NotReady []string `json:"notReady,omitempty"`

	Machine   Machine    `json:"machine"`
	Pairing   Pairing    `json:"pairing"`
	Heartbeat Heartbeat  `json:"heartbeat"`
	Budget    Budget     `json:"budget"`
	Balances  []Balance  `json:"balances"`
	Open      []Purchase `json:"openPurchases"`
	Needs     []Need     `json:"needs"`
	Problems  []Problem  `json:"problems"`
}

// Machine is the machine's record at the Market, as last read.
type Machine struct {
	ID string `json:"id,omitempty"`
	// Identity is the canonical DID, once known.
	Identity string `json:"identity,omitempty"`
	// Status is the Market's word: draft, active, degraded, blocked, archived;
	// empty while unknown.
	Status string `json:"status,omitempty"`
	// Agent is the id of the machine's agent that sends heartbeats.
	Agent string `json:"agent,omitempty"`
}

// Pairing is the agent's pairing, without its token.
type Pairing struct {
	ID string `json:"id,omitempty"`
	// Status is active, paused, revoked, or missing while there is none.
	Status   string `json:"status"`
	Machine  string `json:"machine,omitempty"`
	Address  string `json:"address"`
	Provider string `json:"provider,omitempty"`
	Role     string `json:"role,omitempty"`
	// SessionExpires is when the session's token ends; zero while there is none.
	SessionExpires time.Time `json:"sessionExpires,omitzero"`
	// NextRotation is when a new session is asked for.
	NextRotation time.Time `json:"nextRotation,omitzero"`
	// Problem says in one sentence why there is no usable session; empty if there is.
	Problem string `json:"problem,omitempty"`
}

// Heartbeat is the last report of the machine's runtime endpoints.
type Heartbeat struct {
	// Enabled is false if no endpoint is configured.
	Enabled bool `json:"enabled"`
	// Last is the last heartbeat that the Market accepted; zero if none was.
	Last      time.Time  `json:"last,omitzero"`
	Error     string     `json:"error,omitempty"`
	Endpoints []Endpoint `json:"endpoints,omitempty"`
}

// Endpoint is one runtime endpoint as last probed.
type Endpoint struct {
	ProviderKey string `json:"providerKey"`
	URL         string `json:"url"`
	Up          bool   `json:"up"`
	// Status is the Market's word: active, degraded or unreachable.
	Status string `json:"status,omitempty"`
	Error  string `json:"error,omitempty"`
}

// Budget is what the policy leaves.
type Budget struct {
	Currency    string      `json:"currency"`
	PerPurchase money.Value `json:"perPurchase"`
	Windows     []Window    `json:"windows"`
	// Counts are the limits on the number of purchases.
	Counts []Count `json:"counts,omitempty"`
	// Expires is when the policy ends; zero is never.
	Expires time.Time `json:"expires,omitzero"`
}

// Window is one spending limit. Used counts what is settled and what is reserved.
type Window struct {
	// Name is the window as the configuration spells it: 24h, day, month, lifetime.
	Name  string      `json:"name"`
	Limit money.Value `json:"limit"`
	Used  money.Value `json:"used"`
	Left  money.Value `json:"left"`
}

// Count is one limit on the number of purchases.
type Count struct {
	Name  string `json:"name"`
	Limit int64  `json:"limit"`
	Used  int64  `json:"used"`
}

// Balance is what the agent's address holds of one asset.
type Balance struct {
	Chain string `json:"chain"`
	// Asset is the token's symbol, or gas for the chain's own coin.
	Asset   string `json:"asset"`
	Address string `json:"address"`
	// Amount is in whole units; empty while it could not be read.
	Amount string `json:"amount,omitempty"`
	Low    bool   `json:"low,omitempty"`
	// At is when it was read.
	At    time.Time `json:"at,omitzero"`
	Error string    `json:"error,omitempty"`
}

// Need is a configured need and when it is bought next.
type Need struct {
	Name     string `json:"name"`
	Schedule string `json:"schedule,omitempty"`
	// Next is the next scheduled time; zero if it has no schedule.
	Next time.Time `json:"next,omitzero"`
	// Last is the last purchase's start, LastOutcome its state.
	Last        time.Time `json:"last,omitzero"`
	LastOutcome string    `json:"lastOutcome,omitempty"`
}

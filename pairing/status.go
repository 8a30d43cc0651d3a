// SPDX-License-Identifier: Apache-2.0

package pairing

import (
	"encoding/json"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/policy"
)

// The standings of [Status].
const (
	// StandingUnknown is before the Market was first asked.
	StandingUnknown = "unknown"
	// StandingMissing is while there is no pairing.
	StandingMissing = "missing"
	// StandingActive, StandingPaused and StandingRevoked are the Market's words.
	StandingActive  = "active"
	StandingPaused  = "paused"
	StandingRevoked = "revoked"
)

// Status describes the pairing, without its token.
type Status struct {
	// Standing is one of the Standing constants.
	Standing             string
	MachineID, PairingID string
	Address              common.Address
	Provider, Role       string
	// Expires is when the session in use ends, zero while there is none;
	// Rotates is when it is replaced, Next when the Market is asked next.
	Expires, Rotates, Next time.Time
	// Usable says that there is a session now.
	Usable bool
	// Reason says why there is none and waiting is pointless; empty otherwise.
	Reason policy.Reason
	// Err is what the last pass ended with, nil if it went well.
	Err error
	// Contended says that the Market keeps refusing tokens that are new.
	Contended bool
	// ServerPolicy is the delegation policy and the account policies as JSON,
	// nil before they were read, and PolicyRead when they were.
	ServerPolicy json.RawMessage
	PolicyRead   time.Time
}

func (s *Service) statusLocked() Status {
	st := Status{
		Standing: s.standing, MachineID: s.rec.MachineID, PairingID: s.rec.PairingID, Address: s.Wallet.Address(),
		Provider: s.Settings.Provider, Role: s.Settings.Role, Next: s.next, Err: s.lastErr,
		Contended: s.refusals >= contendedAfter, PolicyRead: s.readAt,
	}
	if s.blocked != nil {
		st.Reason = s.blocked.Reason
		if st.Err == nil {
			st.Err = s.blocked.Err
		}
	}
	if s.current != nil {
		st.Expires, st.Rotates = s.current.Expires, s.current.rotateAt
		st.Usable = s.usable(time.Now()) && s.blocked == nil
	}
	if s.rec.Server != nil {
		if text, err := json.Marshal(s.rec.Server); err == nil {
			st.ServerPolicy = text
		}
	}
	return st
}

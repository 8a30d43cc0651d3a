// SPDX-License-Identifier: Apache-2.0

package pairing

import (
	"cmp"
	"slices"
	"strings"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/orchestration"
)

// binding is what makes a pairing ours: machine, key, provider, role and, if
// the owner configured one, DID.
type binding struct {
	MachineID string         `json:"machineId"`
	Address   common.Address `json:"address"`
	Provider  string         `json:"provider"`
	Role      string         `json:"role"`
	DID       string         `json:"did,omitempty"`
}

// owns says whether a pairing of the list is ours.
func (b binding) owns(p orchestration.Pairing) bool {
	return p.MachineID == b.MachineID &&
		common.IsHexAddress(p.AgentAddress) && common.HexToAddress(p.AgentAddress) == b.Address &&
		p.AgentProvider == b.Provider && p.AgentRole == b.Role &&
		(b.DID == "" || strings.EqualFold(p.AgentDID, b.DID))
}

// standing is what the Market's list says of our pairing.
type standing int

const (
	standingNone standing = iota
	standingRevoked
	standingPaused
	standingActive
)

func standingOf(status orchestration.PairingStatus) standing {
	switch status {
	case orchestration.PairingActive:
		return standingActive
	case orchestration.PairingRevoked:
		return standingRevoked
	default:
		// A status that we do not know is one that we may not use.
		return standingPaused
	}
}

// pick chooses among the pairings of the list that are ours: an active one
// before a paused one before a revoked one, the one we know before others, then
// the newest.
func pick(all []orchestration.Pairing, b binding, known string) (*orchestration.Pairing, standing) {
	var own []orchestration.Pairing
	for _, p := range all {
		if b.owns(p) {
			own = append(own, p)
		}
	}
	if len(own) == 0 {
		return nil, standingNone
	}
	isKnown := func(p orchestration.Pairing) int {
		if p.ID == known {
			return 1
		}
		return 0
	}
	best := slices.MaxFunc(own, func(x, y orchestration.Pairing) int {
		return cmp.Or(
			cmp.Compare(standingOf(x.Status), standingOf(y.Status)),
			cmp.Compare(isKnown(x), isKnown(y)),
			cmp.Compare(x.CreatedAt, y.CreatedAt),
			cmp.Compare(x.ID, y.ID),
		)
	})
	return &best, standingOf(best.Status)
}

// verdict is what to do about what was found.
type verdict int

const (
	verdictUse verdict = iota
	verdictCreate
	verdictWait   // paused
	verdictRefuse // revoked
)

// decide says what follows from the list and from what we remember. operator
// says that a person asked for a new pairing just now.
//
// A pairing that we knew and that the list no longer shows counts as revoked:
// the Market may drop revoked ones from the list, and undoing the owner's kill
// switch is the worse mistake. A remembered revocation is lifted by a person, or
// by another active pairing, which only a person can have made.
func decide(rec record, found *orchestration.Pairing, st standing, operator bool) verdict {
	switch st {
	case standingActive:
		if rec.Revoked && found.ID == rec.PairingID && !operator {
			return verdictRefuse
		}
		return verdictUse
	case standingPaused:
		if rec.Revoked && found.ID == rec.PairingID && !operator {
			return verdictRefuse
		}
		return verdictWait
	case standingRevoked:
		if operator {
			return verdictCreate
		}
		return verdictRefuse
	default:
		if operator || (rec.PairingID == "" && !rec.Revoked) {
			return verdictCreate
		}
		return verdictRefuse
	}
}

// ownDID returns the DID that a challenge for this pairing names: the owner's,
// or the pairing's own one, but not the one that the server derives by itself.
func ownDID(configured string, p *orchestration.Pairing, address common.Address) string {
	if configured != "" || p == nil || p.AgentDID == "" {
		return configured
	}
	if strings.EqualFold(p.AgentDID, "did:pkh:eip155:1:"+address.Hex()) {
		return ""
	}
	return p.AgentDID
}

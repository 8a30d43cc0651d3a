// SPDX-License-Identifier: Apache-2.0

package wallet

import (
	"strings"

	"github.com/ethereum/go-ethereum/common"
)

// identities is every name that a challenge may use for our machine and agent.
type identities struct {
	machineID string
	// owner is the identity as asked for and canonical its canonical form, "" for
	// the address form, whose canonical form only the server knows.
	owner, canonical string
	// server is the identity in the reply.
	server string
	// wantDID is the agent's DID as asked for and agentDID the one in force: what
	// was asked for or, where nothing was, the reply's.
	wantDID, agentDID string
	address           common.Address
}

func identitiesOf(want ChallengeWant, got ChallengeReply) identities {
	ids := identities{machineID: want.MachineID, owner: want.IdentityRef, canonical: canonical(want.IdentityRef),
		server: got.IdentityRef, wantDID: want.DID, agentDID: want.DID, address: want.Address}
	if ids.agentDID == "" {
		ids.agentDID = got.DID
	}
	return ids
}

// canonical returns did:peaq:<decimal> for both decimal forms and "" otherwise.
func canonical(ref string) string {
	n, ok := strings.CutPrefix(ref, "did:peaq:")
	if !ok {
		n, ok = strings.CutPrefix(ref, "peaqos:machine:")
	}
	if !ok || n == "" || len(n) > 78 || strings.Trim(n, "0123456789") != "" {
		return ""
	}
	return "did:peaq:" + n
}

// acceptsReply says whether the reply's identity may stand for the one asked
// for: the same canonical form, or any decimal one where that is not known yet.
func (ids identities) acceptsReply(ref string) bool {
	if ids.canonical != "" {
		return canonical(ref) == ids.canonical
	}
	return (ids.owner != "" && strings.EqualFold(ref, ids.owner)) || canonical(ref) != ""
}

// acceptsAgentDID says whether a DID is the agent's own: the one asked for or,
// where none was, one that the server made of our address.
func (ids identities) acceptsAgentDID(did string) bool {
	if ids.wantDID != "" {
		return strings.EqualFold(did, ids.wantDID)
	}
	return containsToken(did, ids.address.Hex())
}

func (ids identities) acceptsDID(did string) bool {
	if c := canonical(strings.ToLower(did)); c != "" && (c == ids.canonical || c == canonical(ids.server)) {
		return true
	}
	if ids.owner != "" && strings.EqualFold(did, ids.owner) {
		return true
	}
	return ids.agentDID != "" && strings.EqualFold(did, ids.agentDID)
}

func (ids identities) acceptsAddress(a common.Address) bool {
	if a == ids.address {
		return true
	}
	for _, name := range []string{ids.owner, ids.agentDID} {
		if name != "" && containsToken(name, a.Hex()) {
			return true
		}
	}
	return false
}

// names lists what we asked about by name. The server's own claim counts only
// where we have no better name: it must not be able to name another machine.
func (ids identities) names() []string {
	decimal := ids.canonical
	if decimal == "" && (ids.machineID == "" || ids.owner != "") {
		decimal = canonical(ids.server)
	}
	names := []string{ids.machineID, ids.owner, decimal}
	if n, ok := strings.CutPrefix(decimal, "did:peaq:"); ok {
		names = append(names, "peaqos:machine:"+n)
	}
	return names
}

func (ids identities) namedIn(text string) bool {
	for _, name := range ids.names() {
		if containsToken(text, name) {
			return true
		}
	}
	return false
}

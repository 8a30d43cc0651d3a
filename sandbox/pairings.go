// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"
)

// pairing lets an agent buy for a machine.
type pairing struct {
	id, machineID    string
	address          common.Address
	did              string
	provider, role   string
	description      string
	status           string
	policy           delegation
	policyRevision   int // so that a policy which comes back does not bring its old token back
	created, updated time.Time
	verification     verification
	session          session
}

// session is the newest token of a pairing; the zero session accepts none.
type session struct {
	id, tokenID, lastFour string
	issued, expires       time.Time
}

type verification struct {
	Method             string `json:"method"`
	SignerAddress      string `json:"signerAddress"`
	VerifiedAt         string `json:"verifiedAt"`
	ChallengeExpiresAt string `json:"challengeExpiresAt"`
}

// pairingRecord is a pairing on the wire. The token is there on create and session alone.
type pairingRecord struct {
	ID               string       `json:"id"`
	MachineID        string       `json:"machineId"`
	AgentAddress     string       `json:"agentAddress"`
	AgentDID         string       `json:"agentDid"`
	AgentProvider    string       `json:"agentProvider"`
	AgentRole        string       `json:"agentRole"`
	Description      string       `json:"description"`
	Status           string       `json:"status"`
	HasAuthToken     bool         `json:"hasAuthToken"`
	TokenLastFour    *string      `json:"tokenLastFour"`
	DelegationPolicy delegation   `json:"delegationPolicy"`
	Verification     verification `json:"verification"`
	SessionID        *string      `json:"sessionId"`
	SessionTokenID   *string      `json:"sessionTokenId"`
	SessionIssuedAt  *string      `json:"sessionIssuedAt"`
	SessionExpiresAt *string      `json:"sessionExpiresAt"`
	CreatedAt        string       `json:"createdAt"`
	UpdatedAt        string       `json:"updatedAt"`
	PairingToken     string       `json:"pairingToken,omitempty"`
}

func (p *pairing) record(token string) pairingRecord {
	r := pairingRecord{ID: p.id, MachineID: p.machineID, AgentAddress: p.address.Hex(), AgentDID: p.did, AgentProvider: p.provider,
		AgentRole: p.role, Description: p.description, Status: p.status, DelegationPolicy: p.policy, Verification: p.verification,
		CreatedAt: stamp(p.created), UpdatedAt: stamp(p.updated), PairingToken: token}
	if s := p.session; s.id != "" {
		issued, expires := stamp(s.issued), stamp(s.expires)
		r.HasAuthToken, r.TokenLastFour, r.SessionID, r.SessionTokenID = true, &s.lastFour, &s.id, &s.tokenID
		r.SessionIssuedAt, r.SessionExpiresAt = &issued, &expires
	}
	return r
}

func (p *pairing) policyHash() string {
	text, err := json.Marshal(p.policy)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(fmt.Appendf(text, "#%d", p.policyRevision))
	return hex.EncodeToString(sum[:])
}

func (p *pairing) binding(identity string) binding {
	return binding{machineID: p.machineID, identity: identity, address: p.address.Hex(), did: p.did, provider: p.provider, role: p.role}
}

// pairingBody is what the pairing calls take.
type pairingBody struct {
	AgentAddress     *string         `json:"agentAddress"`
	AgentProvider    *string         `json:"agentProvider"`
	AgentRole        *string         `json:"agentRole"`
	AgentDID         *string         `json:"agentDid"`
	AgentProof       *signedProof    `json:"agentProof"`
	Description      *string         `json:"description"`
	Status           *string         `json:"status"`
	DelegationPolicy *delegationBody `json:"delegationPolicy"`
}

var didPKH = regexp.MustCompile(`^did:pkh:eip155:([1-9][0-9]*):(0x[0-9a-fA-F]{40})$`)

// agentOf reads who wants to be paired, with the address and the DID in their normal form.
func (b pairingBody) agentOf() (*pairing, error) {
	p := &pairing{status: "active"}
	address := ""
	setIf(&address, b.AgentAddress)
	setIf(&p.provider, b.AgentProvider)
	setIf(&p.role, b.AgentRole)
	setIf(&p.description, b.Description)
	if err := blank([2]string{"agentProvider", p.provider}, [2]string{"agentRole", p.role}); err != nil {
		return nil, err
	}
	var err error
	if p.address, err = parseAddress("agentAddress", address); err != nil {
		return nil, err
	}
	p.did = "did:pkh:eip155:1:" + p.address.Hex()
	if b.AgentDID != nil && *b.AgentDID != "" {
		match := didPKH.FindStringSubmatch(*b.AgentDID)
		if match == nil || common.HexToAddress(match[2]) != p.address {
			return nil, invalid("agentDid must be did:pkh:eip155:<chain>:<agentAddress>")
		}
		p.did = "did:pkh:eip155:" + match[1] + ":" + p.address.Hex()
	}
	return p, nil
}

func parseAddress(member, text string) (common.Address, error) {
	if !strings.HasPrefix(text, "0x") || !common.IsHexAddress(text) {
		return common.Address{}, invalid("%s must be an address, 0x and 40 hex digits", member)
	}
	return common.HexToAddress(text), nil
}

// pairable returns the machine of a pairing call and the decoded body.
func (m *Market) pairable(c *call) (*machine, pairingBody, error) {
	var body pairingBody
	if m.conditions.PairingDown {
		return nil, body, refuse(codePairingUnavailable, "pairings cannot be issued now")
	}
	record, err := m.activeMachine(c.path("machineId"))
	if err != nil {
		return nil, body, err
	}
	return record, body, c.decode(&body)
}

func (m *Market) challengePairing(c *call) (answer, error) {
	record, body, err := m.pairable(c)
	if err != nil {
		return answer{}, err
	}
	p, err := body.agentOf()
	if err != nil {
		return answer{}, err
	}
	p.machineID = record.ID
	ch := m.newChallenge(p.binding(record.IdentityRef),
		"peaqOS Machine Markets agent pairing challenge",
		"Machine: "+record.ID, "Identity: "+record.IdentityRef, "Agent address: "+p.address.Hex(), "Agent DID: "+p.did,
		"Provider: "+p.provider, "Role: "+p.role)
	return created(map[string]string{
		"challengeId": ch.id, "machineId": record.ID, "machineIdentityRef": record.IdentityRef, "agentAddress": p.address.Hex(),
		"agentDid": p.did, "agentProvider": p.provider, "agentRole": p.role, "message": ch.message, "expiresAt": stamp(ch.expires),
		"verificationMethod": "eip191",
	})
}

// prove checks that the agent of a pairing signed a challenge that is about this very pairing.
func (m *Market) prove(p *pairing, identity string, proof *signedProof) error {
	if proof == nil {
		return refuse(codePairingProofRequired, "agentProof is missing")
	}
	ch, signer, fault := m.verify(*proof, p.binding(identity))
	switch {
	case fault == proofExpired:
		return refuse(codePairingProofExpired, "the pairing challenge is past its expiry")
	case fault == proofInvalid || signer != p.address:
		return refuse(codePairingProofInvalid, "the agent proof is not agentAddress's signature of an unused challenge for this pairing")
	}
	ch.used = true
	p.verification = verification{Method: "eip191", SignerAddress: signer.Hex(), VerifiedAt: stamp(m.now()), ChallengeExpiresAt: stamp(ch.expires)}
	return nil
}

func (m *Market) createPairing(c *call) (answer, error) {
	record, body, err := m.pairable(c)
	if err != nil {
		return answer{}, err
	}
	p, err := body.agentOf()
	if err != nil {
		return answer{}, err
	}
	p.machineID = record.ID
	if p.policy, err = body.DelegationPolicy.read(); err != nil {
		return answer{}, err
	}
	if err := m.prove(p, record.IdentityRef, body.AgentProof); err != nil {
		return answer{}, err
	}
	p.id, p.created, p.updated = m.ids.next("pair"), m.now(), m.now()
	token, err := m.issue(p)
	if err != nil {
		return answer{}, err
	}
	m.pairings.put(p.id, p)
	m.record("owner", "pairing.created", "agent-pairing", p.id, p.machineID, map[string]any{"agentAddress": p.address.Hex()})
	return created(p.record(token))
}

func (m *Market) pairingOf(c *call) (*pairing, error) {
	p, known := m.pairings.get(c.path("pairingId"))
	if !known || p.machineID != c.path("machineId") {
		return nil, notFound("pairing", c.path("pairingId"))
	}
	return p, nil
}

func (m *Market) createSession(c *call) (answer, error) {
	record, body, err := m.pairable(c)
	if err != nil {
		return answer{}, err
	}
	p, err := m.pairingOf(c)
	if err != nil {
		return answer{}, err
	}
	if p.status != "active" {
		return answer{}, refuse(codePairingInactive, "the pairing is %s", p.status)
	}
	if err := m.prove(p, record.IdentityRef, body.AgentProof); err != nil {
		return answer{}, err
	}
	token, err := m.issue(p)
	if err != nil {
		return answer{}, err
	}
	p.updated = m.now()
	m.record("agent", "pairing.session", "agent-pairing", p.id, p.machineID, map[string]any{"sessionId": p.session.id})
	return created(p.record(token))
}

func (m *Market) listPairings(c *call) (answer, error) {
	id := c.path("machineId")
	if _, known := m.machines.get(id); !known {
		return answer{}, notFound("machine", id)
	}
	shown := []pairingRecord{}
	for _, p := range m.pairings.all() {
		if p.machineID == id {
			shown = append(shown, p.record(""))
		}
	}
	reply, err := page(c.query, shown, func(r pairingRecord) string { return r.ID })
	return answer{200, reply}, err
}

func (m *Market) updatePairing(c *call) (answer, error) {
	p, err := m.pairingOf(c)
	if err != nil {
		return answer{}, err
	}
	var body pairingBody
	if err := c.decode(&body); err != nil {
		return answer{}, err
	}
	if p.status == "revoked" {
		return answer{}, refuse(codePairingInactive, "the pairing is revoked")
	}
	changed := *p
	setIf(&changed.provider, body.AgentProvider)
	setIf(&changed.role, body.AgentRole)
	setIf(&changed.description, body.Description)
	setIf(&changed.status, body.Status)
	if err := blank([2]string{"agentProvider", changed.provider}, [2]string{"agentRole", changed.role}); err != nil {
		return answer{}, err
	}
	if !slices.Contains([]string{"active", "paused", "revoked"}, changed.status) {
		return answer{}, invalid("status %q is not one of a pairing", clip(changed.status, 20))
	}
	if body.DelegationPolicy != nil {
		if changed.policy, err = body.DelegationPolicy.read(); err != nil {
			return answer{}, err
		}
		changed.policyRevision++
	}
	changed.updated = m.now()
	*p = changed
	m.record("owner", "pairing.updated", "agent-pairing", p.id, p.machineID, map[string]any{"status": p.status, "policyRevision": p.policyRevision})
	return okItem(p.record(""))
}

func (m *Market) revokePairing(c *call) (answer, error) {
	p, err := m.pairingOf(c)
	if err != nil {
		return answer{}, err
	}
	p.status, p.session, p.updated = "revoked", session{}, m.now()
	m.record("owner", "pairing.revoked", "agent-pairing", p.id, p.machineID, nil)
	return noContent()
}

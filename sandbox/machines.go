// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"slices"
	"strings"
)

// machine is a record as it is stored and sent.
type machine struct {
	ID             string            `json:"id"`
	DisplayName    string            `json:"displayName"`
	Status         string            `json:"status"`
	OwnerID        string            `json:"ownerId"`
	MachineType    string            `json:"machineType"`
	RuntimeProfile string            `json:"runtimeProfile"`
	Capabilities   []string          `json:"capabilities"`
	Labels         map[string]string `json:"labels"`
	PolicyIDs      []string          `json:"policyIds"`
	SkillKeys      []string          `json:"skillKeys"`
	IdentityRef    string            `json:"identityRef"`
	IdentityProof  identityProof     `json:"identityProof"`
	CreatedAt      string            `json:"createdAt"`
	UpdatedAt      string            `json:"updatedAt"`
}

type identityProof struct {
	Method              string   `json:"method"`
	IdentityRef         string   `json:"identityRef"`
	SignerAddress       string   `json:"signerAddress"`
	ChallengeID         string   `json:"challengeId"`
	VerifiedAt          string   `json:"verifiedAt"`
	ChallengeExpiresAt  string   `json:"challengeExpiresAt"`
	ControllerAddresses []string `json:"controllerAddresses"`
	ResolutionSource    string   `json:"resolutionSource"`
}

// machineBody is what create and update take; an absent member is nil.
type machineBody struct {
	DisplayName    *string           `json:"displayName"`
	Status         *string           `json:"status"`
	OwnerID        *string           `json:"ownerId"`
	MachineType    *string           `json:"machineType"`
	RuntimeProfile *string           `json:"runtimeProfile"`
	Capabilities   []string          `json:"capabilities"`
	Labels         map[string]string `json:"labels"`
	PolicyIDs      []string          `json:"policyIds"`
	SkillKeys      []string          `json:"skillKeys"`
	IdentityRef    *string           `json:"identityRef"`
	IdentityProof  *signedProof      `json:"identityProof"`
}

func (b machineBody) apply(to *machine) {
	setIf(&to.DisplayName, b.DisplayName)
	setIf(&to.Status, b.Status)
	setIf(&to.OwnerID, b.OwnerID)
	setIf(&to.MachineType, b.MachineType)
	setIf(&to.RuntimeProfile, b.RuntimeProfile)
	if b.Capabilities != nil {
		to.Capabilities = b.Capabilities
	}
	if b.Labels != nil {
		to.Labels = b.Labels
	}
	if b.PolicyIDs != nil {
		to.PolicyIDs = b.PolicyIDs
	}
	if b.SkillKeys != nil {
		to.SkillKeys = b.SkillKeys
	}
}

func setIf(to *string, from *string) {
	if from != nil {
		*to = *from
	}
}

// blank names the first of the members that has nothing but space.
func blank(members ...[2]string) error {
	for _, m := range members {
		if strings.TrimSpace(m[1]) == "" {
			return invalid("%s must not be blank", m[0])
		}
	}
	return nil
}

func (r *machine) complete() error {
	return blank([2]string{"displayName", r.DisplayName}, [2]string{"ownerId", r.OwnerID},
		[2]string{"machineType", r.MachineType}, [2]string{"runtimeProfile", r.RuntimeProfile})
}

func (m *Market) createMachine(c *call) (answer, error) {
	var body machineBody
	if err := c.decode(&body); err != nil {
		return answer{}, err
	}
	now := stamp(m.now())
	body.Status = nil
	record := &machine{Status: "draft", Capabilities: []string{}, Labels: map[string]string{}, PolicyIDs: []string{}, SkillKeys: []string{},
		CreatedAt: now, UpdatedAt: now}
	body.apply(record)
	if err := record.complete(); err != nil {
		return answer{}, err
	}
	if body.IdentityRef == nil {
		return answer{}, invalid("identityRef is missing")
	}
	identity, err := m.resolve(*body.IdentityRef)
	if err != nil {
		return answer{}, err
	}
	proof, commit, err := m.proveIdentity(identity, body.IdentityProof)
	if err != nil {
		return answer{}, err
	}
	for _, other := range m.machines.all() {
		if other.IdentityRef == identity.ref() && other.Status != "archived" {
			return answer{}, refuse(codeIdentityExists, "the identity is registered as %s", other.ID)
		}
	}
	commit()
	record.ID, record.IdentityRef, record.IdentityProof = m.ids.next("mach"), identity.ref(), proof
	m.machines.put(record.ID, record)
	m.record("owner", "machine.created", "machine", record.ID, record.ID, map[string]any{"identityRef": record.IdentityRef})
	return created(record)
}

// verified says whether the identity of a machine still resolves to the controller that proved it.
func (m *Market) verified(record *machine) error {
	identity, err := m.resolve(record.IdentityRef)
	if err != nil {
		if m.conditions.IdentityDown {
			return err
		}
		return refuse(codeMachineNotActivated, "the machine's identity no longer resolves")
	}
	if !slices.Contains(identity.controllerTexts(), record.IdentityProof.SignerAddress) {
		return refuse(codeMachineNotActivated, "the machine's proof is not by a controller of its identity any more")
	}
	return nil
}

// activeMachine returns a machine that may act: active, with an identity that resolves. A look-up that fails is not held against
// it: the last answer stands.
func (m *Market) activeMachine(id string) (*machine, error) {
	record, known := m.machines.get(id)
	if !known {
		return nil, notFound("machine", id)
	}
	if record.Status != "active" {
		return nil, refuse(codeMachineNotActive, "the machine is %s", record.Status)
	}
	if !m.conditions.IdentityDown {
		if err := m.verified(record); err != nil {
			return nil, err
		}
	}
	return record, nil
}

func (m *Market) listMachines(c *call) (answer, error) {
	if m.conditions.IdentityDown {
		return answer{}, refuse(codeIdentityUnavailable, "the identity look-up failed")
	}
	shown := []*machine{}
	for _, record := range m.machines.all() {
		if record.Status != "archived" && m.verified(record) == nil {
			shown = append(shown, record)
		}
	}
	reply, err := page(c.query, shown, func(r *machine) string { return r.ID })
	return answer{200, reply}, err
}

func (m *Market) getMachine(c *call) (answer, error) {
	record, known := m.machines.get(c.path("machineId"))
	if !known {
		return answer{}, notFound("machine", c.path("machineId"))
	}
	if err := m.verified(record); err != nil && record.Status != "archived" {
		return answer{}, err
	}
	return okItem(record)
}

func (m *Market) updateMachine(c *call) (answer, error) {
	record, known := m.machines.get(c.path("machineId"))
	if !known {
		return answer{}, notFound("machine", c.path("machineId"))
	}
	if record.Status == "archived" {
		return answer{}, refuse(codeMachineNotActive, "the machine is archived")
	}
	var body machineBody
	if err := c.decode(&body); err != nil {
		return answer{}, err
	}
	if body.IdentityRef != nil {
		if err := m.sameIdentity(record, *body.IdentityRef); err != nil {
			return answer{}, err
		}
	}
	changed := *record
	body.apply(&changed)
	if err := changed.complete(); err != nil {
		return answer{}, err
	}
	if !slices.Contains([]string{"draft", "active", "degraded", "blocked"}, changed.Status) {
		return answer{}, invalid("status %q is not one that a machine can be given", clip(changed.Status, 20))
	}
	commit := func() {}
	if body.IdentityProof != nil {
		identity, err := m.resolve(record.IdentityRef)
		if err != nil {
			return answer{}, err
		}
		if changed.IdentityProof, commit, err = m.proveIdentity(identity, body.IdentityProof); err != nil {
			return answer{}, err
		}
	}
	if changed.Status == "active" {
		if err := m.verified(&changed); err != nil {
			return answer{}, err
		}
	}
	commit()
	changed.UpdatedAt = stamp(m.now())
	*record = changed
	m.record("owner", "machine.updated", "machine", record.ID, record.ID, map[string]any{"status": record.Status})
	return okItem(changed)
}

func (m *Market) sameIdentity(record *machine, ref string) error {
	number, address, err := m.parseRef(ref)
	if err != nil {
		return err
	}
	for _, i := range m.identities {
		if i.ref() == record.IdentityRef && (number != nil && i.Number.Cmp(number) == 0 || number == nil && i.Address == address) {
			return nil
		}
	}
	return refuse(codeIdentityImmutable, "the identity of a machine cannot be changed")
}

func (m *Market) archiveMachine(c *call) (answer, error) {
	record, known := m.machines.get(c.path("machineId"))
	if !known {
		return answer{}, notFound("machine", c.path("machineId"))
	}
	record.Status, record.UpdatedAt = "archived", stamp(m.now())
	m.record("owner", "machine.archived", "machine", record.ID, record.ID, nil)
	return noContent()
}

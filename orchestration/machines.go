// SPDX-License-Identifier: Apache-2.0

package orchestration

import (
	"context"
	"encoding/json"
	"iter"
)

// IdentityChallenge is a text that a controller of a machine identity signs, byte
// for byte, by EIP-191. It lives some minutes and serves once.
type IdentityChallenge struct {
	ChallengeID         string             `json:"challengeId" need:"text"`
	IdentityRef         string             `json:"identityRef" need:"text"`
	Message             string             `json:"message" need:"text"`
	ExpiresAt           Timestamp          `json:"expiresAt" need:"text"`
	VerificationMethod  VerificationMethod `json:"verificationMethod" need:"text"`
	ControllerAddresses []string           `json:"controllerAddresses" need:"value"`
	Raw                 json.RawMessage    `json:"-"`
}

// Proof is a signed challenge: of a machine identity or of an agent.
type Proof struct {
	ChallengeID string `json:"challengeId"`
	Signature   string `json:"signature"`
}

// Machine is a machine record.
type Machine struct {
	ID             string            `json:"id" need:"text"`
	DisplayName    string            `json:"displayName" need:"value"`
	Status         MachineStatus     `json:"status" need:"text"`
	OwnerID        string            `json:"ownerId" need:"value"`
	MachineType    string            `json:"machineType" need:"value"`
	RuntimeProfile string            `json:"runtimeProfile" need:"value"`
	Capabilities   []string          `json:"capabilities"`
	Labels         map[string]string `json:"labels"`
	PolicyIDs      []string          `json:"policyIds"`
	SkillKeys      []string          `json:"skillKeys"`
	CreatedAt      Timestamp         `json:"createdAt" need:"value"`
	UpdatedAt      Timestamp         `json:"updatedAt" need:"value"`
	// IdentityRef is the canonical DID of the machine. It is always there on the
	// reply to a creation, elsewhere it may be empty.
	IdentityRef   string           `json:"identityRef"`
	IdentityProof *IdentityBinding `json:"identityProof"`
	Raw           json.RawMessage  `json:"-"`
}

// IdentityBinding is the stored proof of a machine's identity.
type IdentityBinding struct {
	Method              VerificationMethod `json:"method" need:"value"`
	IdentityRef         string             `json:"identityRef" need:"value"`
	SignerAddress       string             `json:"signerAddress" need:"value"`
	ChallengeID         string             `json:"challengeId" need:"value"`
	VerifiedAt          Timestamp          `json:"verifiedAt" need:"value"`
	ChallengeExpiresAt  Timestamp          `json:"challengeExpiresAt" need:"value"`
	ControllerAddresses []string           `json:"controllerAddresses"`
	ResolutionSource    string             `json:"resolutionSource" need:"value"`
}

// CreateMachineRequest registers a machine. The members without omitzero are
// required by the API.
type CreateMachineRequest struct {
	DisplayName    string            `json:"displayName"`
	OwnerID        string            `json:"ownerId"`
	MachineType    string            `json:"machineType"`
	RuntimeProfile string            `json:"runtimeProfile"`
	IdentityRef    string            `json:"identityRef"`
	IdentityProof  Proof             `json:"identityProof"`
	Capabilities   []string          `json:"capabilities,omitzero"`
	Labels         map[string]string `json:"labels,omitzero"`
	PolicyIDs      []string          `json:"policyIds,omitzero"`
	SkillKeys      []string          `json:"skillKeys,omitzero"`
}

// UpdateMachineRequest changes the members that are set; nil and empty ones stay
// as they are on the server.
type UpdateMachineRequest struct {
	DisplayName    string            `json:"displayName,omitzero"`
	Status         MachineStatus     `json:"status,omitzero"`
	OwnerID        string            `json:"ownerId,omitzero"`
	MachineType    string            `json:"machineType,omitzero"`
	RuntimeProfile string            `json:"runtimeProfile,omitzero"`
	IdentityRef    string            `json:"identityRef,omitzero"`
	IdentityProof  *Proof            `json:"identityProof,omitzero"`
	Capabilities   []string          `json:"capabilities,omitzero"`
	Labels         map[string]string `json:"labels,omitzero"`
	PolicyIDs      []string          `json:"policyIds,omitzero"`
	SkillKeys      []string          `json:"skillKeys,omitzero"`
}

// createdMachine is a Machine whose identity has to be there.
type createdMachine struct {
	Machine
	Identity string `json:"identityRef" need:"text"`
}

// CreateIdentityChallenge asks for a text to be signed by a controller of the
// identity (POST /machine-identity/challenges). The reference is sent as it is;
// see [ParseIdentityRef].
func (c *Client) CreateIdentityChallenge(ctx context.Context, identityRef string) (*IdentityChallenge, error) {
	if err := notBlank("identityRef", identityRef); err != nil {
		return nil, err
	}
	body := struct {
		IdentityRef string `json:"identityRef"`
	}{identityRef}
	return item[IdentityChallenge](ctx, c, request{op: opCreateIdentityChallenge, path: joinPath("machine-identity", "challenges"), body: body})
}

// ListMachines returns one page of the machines whose identity still resolves
// (GET /machines).
func (c *Client) ListMachines(ctx context.Context, o ListOptions) (*Page[Machine], error) {
	return pageQuery[Machine](ctx, c, request{op: opListMachines, path: joinPath("machines")}, o)
}

// Machines yields the machines of all pages, from the one that o names.
func (c *Client) Machines(ctx context.Context, o ListOptions) iter.Seq2[Machine, error] {
	return walk(opListMachines, o, func(o ListOptions) (*Page[Machine], error) { return c.ListMachines(ctx, o) })
}

// CreateMachine registers a machine as a draft (POST /machines). It is not
// idempotent: a second one fails with [CodeMachineIdentityExists].
func (c *Client) CreateMachine(ctx context.Context, r CreateMachineRequest) (*Machine, error) {
	err := notBlank("displayName", r.DisplayName, "ownerId", r.OwnerID, "machineType", r.MachineType,
		"runtimeProfile", r.RuntimeProfile, "identityRef", r.IdentityRef,
		"identityProof.challengeId", r.IdentityProof.ChallengeID, "identityProof.signature", r.IdentityProof.Signature)
	if err != nil {
		return nil, err
	}
	m, err := item[createdMachine](ctx, c, request{op: opCreateMachine, path: joinPath("machines"), body: r})
	if err != nil {
		return nil, err
	}
	return &m.Machine, nil
}

// GetMachine returns a machine record (GET /machines/{machineId}).
func (c *Client) GetMachine(ctx context.Context, machineID string) (*Machine, error) {
	if err := notBlank("machineId", machineID); err != nil {
		return nil, err
	}
	return item[Machine](ctx, c, request{op: opGetMachine, path: joinPath("machines", machineID)})
}

// UpdateMachine changes a machine record (PATCH /machines/{machineId}). With the
// status active it activates the machine.
func (c *Client) UpdateMachine(ctx context.Context, machineID string, r UpdateMachineRequest) (*Machine, error) {
	if err := notBlank("machineId", machineID); err != nil {
		return nil, err
	}
	return item[Machine](ctx, c, request{op: opUpdateMachine, path: joinPath("machines", machineID), body: r})
}

// ArchiveMachine archives a machine record (DELETE /machines/{machineId}).
func (c *Client) ArchiveMachine(ctx context.Context, machineID string) error {
	if err := notBlank("machineId", machineID); err != nil {
		return err
	}
	return c.call(ctx, request{op: opArchiveMachine, path: joinPath("machines", machineID)}, nil)
}

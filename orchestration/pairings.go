// SPDX-License-Identifier: Apache-2.0

package orchestration

import (
	"context"
	"encoding/json"
	"iter"
)

// PairingChallenge is a text that the agent's key signs by EIP-191 to pair with a
// machine or to get a fresh session. It names everything that it binds.
type PairingChallenge struct {
	ChallengeID        string             `json:"challengeId" need:"text"`
	MachineID          string             `json:"machineId" need:"text"`
	MachineIdentityRef string             `json:"machineIdentityRef" need:"text"`
	AgentAddress       string             `json:"agentAddress" need:"text"`
	AgentDID           string             `json:"agentDid" need:"text"`
	AgentProvider      string             `json:"agentProvider" need:"text"`
	AgentRole          string             `json:"agentRole" need:"text"`
	Message            string             `json:"message" need:"text"`
	ExpiresAt          Timestamp          `json:"expiresAt" need:"text"`
	VerificationMethod VerificationMethod `json:"verificationMethod" need:"text"`
	Raw                json.RawMessage    `json:"-"`
}

// Pairing is the permission of an agent to buy for a machine.
type Pairing struct {
	ID               string               `json:"id" need:"text"`
	MachineID        string               `json:"machineId" need:"text"`
	AgentAddress     string               `json:"agentAddress" need:"value"`
	AgentProvider    string               `json:"agentProvider" need:"value"`
	AgentRole        string               `json:"agentRole" need:"value"`
	Status           PairingStatus        `json:"status" need:"text"`
	HasAuthToken     bool                 `json:"hasAuthToken" need:"value"`
	DelegationPolicy DelegationPolicy     `json:"delegationPolicy" need:"value"`
	CreatedAt        Timestamp            `json:"createdAt" need:"value"`
	UpdatedAt        Timestamp            `json:"updatedAt" need:"value"`
	Description      string               `json:"description"`
	TokenLastFour    string               `json:"tokenLastFour"`
	AgentDID         string               `json:"agentDid"`
	Verification     *PairingVerification `json:"verification"`
	SessionID        string               `json:"sessionId"`
	SessionTokenID   string               `json:"sessionTokenId"`
	SessionIssuedAt  Timestamp            `json:"sessionIssuedAt"`
	SessionExpiresAt Timestamp            `json:"sessionExpiresAt"`
	Raw              json.RawMessage      `json:"-"`
}

// IssuedPairing is a pairing with its fresh token, which is shown only once.
type IssuedPairing struct {
	Pairing
	PairingToken Secret `json:"pairingToken" need:"text"`
}

// fault refuses a token that could not be sent: it would stand in the way until
// the next rotation.
func (p *IssuedPairing) fault() *shapeFault {
	if !headerSafe(p.PairingToken) {
		return &shapeFault{member: "pairingToken", problem: "is not one line of visible ASCII characters"}
	}
	return nil
}

// PairingVerification says when and by whom the pairing was signed.
type PairingVerification struct {
	Method             VerificationMethod `json:"method" need:"value"`
	SignerAddress      string             `json:"signerAddress" need:"value"`
	VerifiedAt         Timestamp          `json:"verifiedAt" need:"value"`
	ChallengeExpiresAt Timestamp          `json:"challengeExpiresAt" need:"value"`
}

// DelegationPolicy is what the server enforces for a pairing. In a request a nil
// list is left out, an empty one is sent; both mean no restriction. An empty
// limit is no limit. Limits are decimal numbers in whole units of Currency.
type DelegationPolicy struct {
	AllowedSkillKeys    []string    `json:"allowedSkillKeys,omitzero"`
	DeniedSkillKeys     []string    `json:"deniedSkillKeys,omitzero"`
	AllowedServiceIDs   []string    `json:"allowedServiceIds,omitzero"`
	DeniedServiceIDs    []string    `json:"deniedServiceIds,omitzero"`
	PerTransactionLimit json.Number `json:"perTransactionLimit,omitzero"`
	DailySpendLimit     json.Number `json:"dailySpendLimit,omitzero"`
	Currency            string      `json:"currency,omitzero"`
}

// PairingChallengeRequest names the agent that wants to pair. Without AgentDID
// the server derives one from the address.
type PairingChallengeRequest struct {
	AgentAddress  string `json:"agentAddress"`
	AgentProvider string `json:"agentProvider"`
	AgentRole     string `json:"agentRole"`
	AgentDID      string `json:"agentDid,omitzero"`
}

// CreatePairingRequest repeats what the challenge was asked for, with the proof.
type CreatePairingRequest struct {
	AgentAddress     string            `json:"agentAddress"`
	AgentProvider    string            `json:"agentProvider"`
	AgentRole        string            `json:"agentRole"`
	AgentProof       Proof             `json:"agentProof"`
	AgentDID         string            `json:"agentDid,omitzero"`
	Description      string            `json:"description,omitzero"`
	DelegationPolicy *DelegationPolicy `json:"delegationPolicy,omitzero"`
}

// UpdatePairingRequest changes the members that are set. A policy replaces the
// stored one and makes the live token unusable.
type UpdatePairingRequest struct {
	AgentProvider    string            `json:"agentProvider,omitzero"`
	AgentRole        string            `json:"agentRole,omitzero"`
	Description      *string           `json:"description,omitzero"`
	Status           PairingStatus     `json:"status,omitzero"`
	DelegationPolicy *DelegationPolicy `json:"delegationPolicy,omitzero"`
}

// CreatePairingChallenge asks for a text to be signed by the agent
// (POST /machines/{machineId}/agent-pairings/challenges).
func (c *Client) CreatePairingChallenge(ctx context.Context, machineID string, r PairingChallengeRequest) (*PairingChallenge, error) {
	err := notBlank("machineId", machineID, "agentAddress", r.AgentAddress, "agentProvider", r.AgentProvider, "agentRole", r.AgentRole)
	if err != nil {
		return nil, err
	}
	return item[PairingChallenge](ctx, c, request{op: opCreatePairingChallenge, path: joinPath("machines", machineID, "agent-pairings", "challenges"), body: r})
}

// ListPairings returns one page of a machine's pairings, never with a token
// (GET /machines/{machineId}/agent-pairings).
func (c *Client) ListPairings(ctx context.Context, machineID string, o ListOptions) (*Page[Pairing], error) {
	if err := notBlank("machineId", machineID); err != nil {
		return nil, err
	}
	return pageQuery[Pairing](ctx, c, request{op: opListPairings, path: joinPath("machines", machineID, "agent-pairings")}, o)
}

// Pairings yields the pairings of all pages, from the one that o names.
func (c *Client) Pairings(ctx context.Context, machineID string, o ListOptions) iter.Seq2[Pairing, error] {
	return walk(opListPairings, o, func(o ListOptions) (*Page[Pairing], error) { return c.ListPairings(ctx, machineID, o) })
}

// CreatePairing pairs an agent with a machine and returns the token, once
// (POST /machines/{machineId}/agent-pairings).
func (c *Client) CreatePairing(ctx context.Context, machineID string, r CreatePairingRequest) (*IssuedPairing, error) {
	err := notBlank("machineId", machineID, "agentAddress", r.AgentAddress, "agentProvider", r.AgentProvider, "agentRole", r.AgentRole,
		"agentProof.challengeId", r.AgentProof.ChallengeID, "agentProof.signature", r.AgentProof.Signature)
	if err != nil {
		return nil, err
	}
	return item[IssuedPairing](ctx, c, request{op: opCreatePairing, path: joinPath("machines", machineID, "agent-pairings"), body: r})
}

// CreatePairingSession returns a fresh token of an active pairing, once
// (POST /machines/{machineId}/agent-pairings/{pairingId}/sessions). The old token
// stops to work.
func (c *Client) CreatePairingSession(ctx context.Context, machineID, pairingID string, proof Proof) (*IssuedPairing, error) {
	err := notBlank("machineId", machineID, "pairingId", pairingID,
		"agentProof.challengeId", proof.ChallengeID, "agentProof.signature", proof.Signature)
	if err != nil {
		return nil, err
	}
	body := struct {
		AgentProof Proof `json:"agentProof"`
	}{proof}
	return item[IssuedPairing](ctx, c, request{op: opCreatePairingSession, path: joinPath("machines", machineID, "agent-pairings", pairingID, "sessions"), body: body})
}

// UpdatePairing changes a pairing
// (PATCH /machines/{machineId}/agent-pairings/{pairingId}).
func (c *Client) UpdatePairing(ctx context.Context, machineID, pairingID string, r UpdatePairingRequest) (*Pairing, error) {
	if err := notBlank("machineId", machineID, "pairingId", pairingID); err != nil {
		return nil, err
	}
	return item[Pairing](ctx, c, request{op: opUpdatePairing, path: joinPath("machines", machineID, "agent-pairings", pairingID), body: r})
}

// RevokePairing ends a pairing for good
// (DELETE /machines/{machineId}/agent-pairings/{pairingId}).
func (c *Client) RevokePairing(ctx context.Context, machineID, pairingID string) error {
	if err := notBlank("machineId", machineID, "pairingId", pairingID); err != nil {
		return err
	}
	return c.call(ctx, request{op: opRevokePairing, path: joinPath("machines", machineID, "agent-pairings", pairingID)}, nil)
}

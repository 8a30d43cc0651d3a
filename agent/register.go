// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/agentd-project/agentd/orchestration"
	"github.com/agentd-project/agentd/wallet"
)

// registryAPI is what finding and registering a machine needs of the Market.
type registryAPI interface {
	// Machines yields the records whose identity still resolves.
	Machines(ctx context.Context, o orchestration.ListOptions) iter.Seq2[orchestration.Machine, error]
	// CreateIdentityChallenge asks for the text that proves an identity.
	CreateIdentityChallenge(ctx context.Context, identityRef string) (*orchestration.IdentityChallenge, error)
	// CreateMachine registers a draft; a second one of the same identity fails.
	CreateMachine(ctx context.Context, r orchestration.CreateMachineRequest) (*orchestration.Machine, error)
}

var (
	// errNoRecord says that the Market has no record of the machine and that none
	// is to be made.
	errNoRecord = errors.New("the Market has no record of the machine")
	// errNotController says that the configured key does not control the identity.
	errNotController = errors.New("the identity key is not a controller of the identity")
)

// findOrRegister looks the machine's record up by its identity and registers it
// if it has none and the owner wants that. An answer to the creation that was
// lost is found by the look-up of the next pass.
func (m *machine) findOrRegister(ctx context.Context) (*orchestration.Machine, error) {
	if m.cfg.IdentityRef == "" {
		return nil, errNoRecord
	}
	did := canonicalOf(m.cfg.IdentityRef)
	if did != "" {
		record, err := m.find(ctx, did)
		if record != nil || err != nil {
			return record, err
		}
	}
	if m.cfg.Register == nil && did != "" {
		return nil, errNoRecord
	}
	challenge, proof, err := m.prove(ctx)
	if orchestration.Classify(err) == orchestration.ActionRechallenge {
		challenge, proof, err = m.prove(ctx)
	}
	if err != nil {
		return nil, err
	}
	if did == "" {
		// The older address form: only now is the canonical form known.
		record, err := m.find(ctx, challenge.IdentityRef)
		if record != nil || err != nil {
			return record, err
		}
		if m.cfg.Register == nil {
			return nil, errNoRecord
		}
	}
	return m.register(ctx, challenge.IdentityRef, proof)
}

// find reads the list of machines for an identity.
func (m *machine) find(ctx context.Context, did string) (*orchestration.Machine, error) {
	for record, err := range m.api.Machines(ctx, orchestration.ListOptions{}) {
		if err != nil {
			return nil, fmt.Errorf("look the machine up by its identity: %w", err)
		}
		if strings.EqualFold(record.IdentityRef, did) && record.Status != orchestration.MachineArchived {
			m.log.Info("machine found by its identity", zap.String("machine_id", record.ID), zap.String("identity", did))
			return &record, nil
		}
	}
	return nil, nil
}

// prove gets the identity challenge, checks it, and signs it with the key that
// controls the identity.
func (m *machine) prove(ctx context.Context) (*orchestration.IdentityChallenge, orchestration.Proof, error) {
	var none orchestration.Proof
	key, err := m.identity()
	if err != nil {
		return nil, none, fmt.Errorf("open the identity key: %w", err)
	}
	c, err := m.api.CreateIdentityChallenge(ctx, m.cfg.IdentityRef)
	if err != nil {
		return nil, none, fmt.Errorf("get an identity challenge: %w", err)
	}
	controls := slices.ContainsFunc(c.ControllerAddresses, func(a string) bool { return strings.EqualFold(a, key.Address().Hex()) })
	if !controls {
		return nil, none, fmt.Errorf("%s: %w", key.Address().Hex(), errNotController)
	}
	expires, err := c.ExpiresAt.Time()
	if err != nil {
		return nil, none, fmt.Errorf("read the identity challenge: %w", err)
	}
	checked, err := wallet.CheckChallenge(
		wallet.ChallengeWant{IdentityRef: m.cfg.IdentityRef, Address: key.Address()},
		wallet.ChallengeReply{IdentityRef: c.IdentityRef, Message: c.Message, ExpiresAt: expires}, m.now())
	if err != nil {
		return nil, none, err
	}
	signature, err := key.SignChallenge(checked)
	if err != nil {
		return nil, none, err
	}
	return c, orchestration.Proof{ChallengeID: c.ChallengeID, Signature: signature}, nil
}

// register creates the record. Where the identity has one already, that is
// taken over.
func (m *machine) register(ctx context.Context, did string, proof orchestration.Proof) (*orchestration.Machine, error) {
	r := m.cfg.Register
	record, err := m.api.CreateMachine(ctx, orchestration.CreateMachineRequest{
		DisplayName: r.DisplayName, OwnerID: r.OwnerID, MachineType: r.MachineType, RuntimeProfile: r.RuntimeProfile,
		IdentityRef: m.cfg.IdentityRef, IdentityProof: proof, Capabilities: r.Capabilities, Labels: r.Labels,
	})
	if err == nil {
		m.log.Info("machine registered", zap.String("machine_id", record.ID), zap.String("identity", record.IdentityRef))
		return record, nil
	}
	if orchestration.Classify(err) == orchestration.ActionRegistration || orchestration.Ambiguous(err) {
		found, findErr := m.find(ctx, did)
		if found != nil || findErr != nil {
			return found, findErr
		}
	}
	return nil, fmt.Errorf("register the machine: %w", err)
}

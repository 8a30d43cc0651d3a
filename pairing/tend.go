// SPDX-License-Identifier: Apache-2.0

package pairing

import (
	"context"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/agentd-project/agentd/orchestration"
	"github.com/agentd-project/agentd/policy"
)

// maxOwn bounds how many of our own pairings are compared at a time.
const maxOwn = 32

// pass does one round: read the list, act on what it says, renew the session if
// that is due.
func (s *Service) pass(ctx context.Context, o order) error {
	ctx, cancel := context.WithTimeout(ctx, passLimit)
	defer cancel()
	machineID, identity := s.Machine()
	if machineID == "" {
		return errNoMachine
	}
	b := s.want(machineID)
	if s.rec.binding != b {
		s.adopt(record{binding: b})
	}
	if o == orderRevoke {
		return s.revoke(ctx)
	}
	if o == orderCreate {
		rec := s.rec
		rec.Revoked, rec.Revoking = false, ""
		if err := s.save(rec); err != nil {
			return err
		}
	}
	if s.rec.Revoking != "" {
		return s.finishRevoking(ctx)
	}
	found, st, err := s.find(ctx, b)
	if err != nil {
		return err
	}
	s.note(found, st)
	switch decide(s.rec, found, st, o == orderCreate) {
	case verdictWait:
		return &Unavailable{Reason: policy.ReasonPairingPaused}
	case verdictRefuse:
		return s.refuse(found)
	case verdictCreate:
		return s.create(ctx, b, identity)
	default:
		return s.use(ctx, found, identity, o)
	}
}

// adopt starts a record for another binding. It reaches the disk with the first
// thing worth keeping.
func (s *Service) adopt(rec record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rec, s.current, s.standing = rec, nil, StandingUnknown
}

// find reads the machine's pairings and picks ours.
func (s *Service) find(ctx context.Context, b binding) (*orchestration.Pairing, standing, error) {
	var own []orchestration.Pairing
	for p, err := range s.API.Pairings(ctx, b.MachineID, orchestration.ListOptions{}) {
		if err != nil {
			return nil, standingNone, fmt.Errorf("read the machine's pairings: %w", err)
		}
		if !b.owns(p) {
			continue // a list may be long and its records large: what is not ours is not kept
		}
		if p.Raw, own = nil, append(own, p); len(own) > maxOwn {
			best, _ := pick(own, b, s.rec.PairingID)
			own = []orchestration.Pairing{*best}
		}
	}
	found, st := pick(own, b, s.rec.PairingID)
	return found, st, nil
}

// note keeps what the list said for the status.
func (s *Service) note(found *orchestration.Pairing, st standing) {
	names := map[standing]string{
		standingNone: StandingMissing, standingRevoked: StandingRevoked, standingPaused: StandingPaused, standingActive: StandingActive,
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.standing = names[st]
	if found == nil && s.rec.PairingID != "" {
		s.standing = StandingRevoked
	}
}

// refuse remembers a revocation before it is reported, so that a restart with
// another answer from the Market does not undo it.
func (s *Service) refuse(found *orchestration.Pairing) error {
	if !s.rec.Revoked {
		rec := s.rec
		rec.Revoked, rec.Token = true, ""
		if found != nil {
			rec.PairingID = found.ID
		}
		if err := s.save(rec); err != nil {
			return err
		}
		s.Logger.Error("pairing was revoked", zap.String("pairing_id", rec.PairingID), zap.String("machine_id", rec.MachineID))
	}
	return revokedError(nil)
}

// use takes an active pairing: its policies first, then the session if one is
// due.
func (s *Service) use(ctx context.Context, p *orchestration.Pairing, identity string, o order) error {
	rec := s.rec
	if rec.PairingID != p.ID || rec.Revoked {
		rec.PairingID, rec.Revoked, rec.Token = p.ID, false, ""
		s.drop()
		if err := s.save(rec); err != nil {
			return err
		}
		s.Logger.Info("taking over pairing", zap.String("pairing_id", p.ID), zap.String("machine_id", p.MachineID))
	}
	pushed, err := s.readPolicies(ctx, p)
	if err != nil {
		return err
	}
	if !pushed && o == orderTend && !s.due(time.Now()) {
		return nil
	}
	return s.rotate(ctx, p, identity)
}

// drop forgets the session in use.
func (s *Service) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = nil
}

// due says whether a new session is needed now.
func (s *Service) due(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current == nil || s.current.Token == s.stale || !now.Before(s.current.rotateAt)
}

// readPolicies re-reads what the server's policies say, pushes ours if that
// tightens them, and hands the result to the guard. It says whether a policy was
// pushed, which makes the live token unusable.
func (s *Service) readPolicies(ctx context.Context, p *orchestration.Pairing) (pushed bool, err error) {
	delegation := p.DelegationPolicy
	if s.Settings.Push != nil {
		want, differs := s.Settings.Push.tighten(delegation)
		if differs {
			updated, err := s.API.UpdatePairing(ctx, p.MachineID, p.ID, orchestration.UpdatePairingRequest{DelegationPolicy: &want})
			switch action := orchestration.Classify(err); {
			case err == nil:
				delegation, pushed = updated.DelegationPolicy, true
				s.Logger.Info("policy pushed", zap.String("pairing_id", p.ID))
			case action == orchestration.ActionOurFault || action == orchestration.ActionRefusedByPolicy:
				// The guard holds the owner's rules anyway; the push is a second fence.
				s.Logger.Warn("policy not pushed", zap.String("pairing_id", p.ID), zap.Error(err))
			default:
				return false, fmt.Errorf("push the policy: %w", err)
			}
		}
	}
	account, err := s.accountPolicies(ctx, p.MachineID)
	if err != nil {
		if s.rec.Server == nil {
			return pushed, err
		}
		s.Logger.Warn("account policies not read, keeping those of the last time", zap.Error(err))
		account = s.rec.Server.Account
	}
	s.setServer(serverPolicy{Delegation: delegation, Account: account})
	return pushed, nil
}

func (s *Service) setServer(p serverPolicy) {
	s.Guard.SetRemote(p.remote())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readAt = time.Now().UTC()
	s.rec.Server, s.rec.ServerAt = &p, s.readAt
}

// accountPolicies reads the account policies that the machine's record names.
func (s *Service) accountPolicies(ctx context.Context, machineID string) ([]orchestration.Policy, error) {
	m, err := s.API.GetMachine(ctx, machineID)
	if err != nil {
		return nil, fmt.Errorf("read the machine's policy ids: %w", err)
	}
	if len(m.PolicyIDs) == 0 {
		return nil, nil
	}
	var named []orchestration.Policy
	for p, err := range s.API.Policies(ctx) {
		if err != nil {
			return nil, fmt.Errorf("read the account's policies: %w", err)
		}
		if slices.Contains(m.PolicyIDs, p.ID) {
			named = append(named, p)
		}
	}
	return named, nil
}

// rotate gets a new session of an active pairing.
func (s *Service) rotate(ctx context.Context, p *orchestration.Pairing, identity string) error {
	if err := s.calmDown(ctx); err != nil {
		return err
	}
	did := ownDID(s.Settings.AgentDID, p, s.Wallet.Address())
	err := s.proven(ctx, s.rec.binding, did, identity, func(proof orchestration.Proof) (*orchestration.IssuedPairing, error) {
		return s.API.CreatePairingSession(ctx, p.MachineID, p.ID, proof)
	})
	s.observe(OutcomeRotated, err)
	if err != nil {
		return fmt.Errorf("get a new pairing session: %w", err)
	}
	return nil
}

// create pairs for the first time, or at an operator's command.
func (s *Service) create(ctx context.Context, b binding, identity string) error {
	r := orchestration.CreatePairingRequest{
		AgentAddress: b.Address.Hex(), AgentProvider: b.Provider, AgentRole: b.Role, AgentDID: b.DID, Description: s.Settings.Description,
	}
	if s.Settings.Push != nil {
		if p, differs := s.Settings.Push.tighten(orchestration.DelegationPolicy{}); differs {
			r.DelegationPolicy = &p
		}
	}
	account, err := s.accountPolicies(ctx, b.MachineID)
	if err != nil {
		return err
	}
	s.setServer(serverPolicy{Account: account})
	err = s.proven(ctx, b, b.DID, identity, func(proof orchestration.Proof) (*orchestration.IssuedPairing, error) {
		r.AgentProof = proof
		return s.API.CreatePairing(ctx, b.MachineID, r)
	})
	s.observe(OutcomeCreated, err)
	if err != nil {
		return fmt.Errorf("create the pairing: %w", err)
	}
	return nil
}

func (s *Service) observe(good Outcome, err error) {
	if err != nil {
		good = OutcomeFailed
	}
	s.Observe(good)
}

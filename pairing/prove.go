// SPDX-License-Identifier: Apache-2.0

package pairing

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/agentd-project/agentd/orchestration"
	"github.com/agentd-project/agentd/wallet"
)

// calmDown waits before another rotation when new tokens keep being refused: two
// clients of one pairing would otherwise rotate each other out without pause.
func (s *Service) calmDown(ctx context.Context) error {
	s.mu.Lock()
	n := s.refusals
	s.mu.Unlock()
	if n < contendedAfter {
		return nil
	}
	timer := time.NewTimer(min(time.Second<<min(n-contendedAfter, 6), time.Minute))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// proven gets a challenge, checks and signs it, redeems the proof for a token,
// stores that and puts it to use. A proof that came too late is made once more.
func (s *Service) proven(ctx context.Context, b binding, did, identity string, redeem func(orchestration.Proof) (*orchestration.IssuedPairing, error)) error {
	if err := s.Store.Writable(); err != nil {
		return &storeError{err}
	}
	issued, err := s.attempt(ctx, b, did, identity, redeem)
	if orchestration.Classify(err) == orchestration.ActionRechallenge {
		issued, err = s.attempt(ctx, b, did, identity, redeem)
	}
	if err != nil {
		return err
	}
	return s.install(b, issued)
}

func (s *Service) attempt(ctx context.Context, b binding, did, identity string, redeem func(orchestration.Proof) (*orchestration.IssuedPairing, error)) (*orchestration.IssuedPairing, error) {
	c, err := s.API.CreatePairingChallenge(ctx, b.MachineID, orchestration.PairingChallengeRequest{
		AgentAddress: b.Address.Hex(), AgentProvider: b.Provider, AgentRole: b.Role, AgentDID: did,
	})
	if err != nil {
		return nil, fmt.Errorf("get a pairing challenge: %w", err)
	}
	expires, err := c.ExpiresAt.Time()
	if err != nil {
		return nil, fmt.Errorf("read the pairing challenge: %w", err)
	}
	checked, err := wallet.CheckChallenge(
		wallet.ChallengeWant{MachineID: b.MachineID, IdentityRef: identity, Address: b.Address, Provider: b.Provider, Role: b.Role, DID: did, Pairing: true},
		wallet.ChallengeReply{
			MachineID: c.MachineID, IdentityRef: c.MachineIdentityRef, Address: c.AgentAddress, Provider: c.AgentProvider,
			Role: c.AgentRole, DID: c.AgentDID, Message: c.Message, ExpiresAt: expires,
		}, s.Now())
	if err != nil {
		return nil, err
	}
	signature, err := s.Wallet.SignChallenge(checked)
	if err != nil {
		return nil, err
	}
	return redeem(orchestration.Proof{ChallengeID: c.ChallengeID, Signature: signature})
}

// install stores a new session, then uses it: a token that is not on disk would
// be lost with the process while the old one is dead already.
func (s *Service) install(b binding, issued *orchestration.IssuedPairing) error {
	if !b.owns(issued.Pairing) {
		return errors.New("the Market answered with another pairing than ours")
	}
	now := time.Now()
	lasts := life(times{issued: issued.SessionIssuedAt, expires: issued.SessionExpiresAt, token: issued.PairingToken.Reveal()}, now)
	rec := s.rec
	rec.binding, rec.PairingID, rec.Revoked = b, issued.ID, false
	rec.Token, rec.Received, rec.Expires = issued.PairingToken.Reveal(), now.UTC(), now.Add(lasts).UTC()
	server := serverPolicy{Delegation: issued.DelegationPolicy}
	if rec.Server != nil {
		server.Account = rec.Server.Account
	}
	rec.Server, rec.ServerAt = &server, now.UTC()
	if err := s.save(rec); err != nil {
		return err
	}
	s.Guard.SetRemote(server.remote())
	s.mu.Lock()
	s.current = &current{
		Session:  Session{Token: issued.PairingToken, PairingID: issued.ID, MachineID: b.MachineID, Expires: now.Add(lasts)},
		from:     now,
		rotateAt: now.Add(rotateAfter(lasts, s.Chance())),
	}
	s.standing = StandingActive
	s.mu.Unlock()
	s.Logger.Info("pairing session started", zap.String("pairing_id", issued.ID), zap.String("machine_id", b.MachineID), zap.Float64("life_seconds", lasts.Seconds()))
	return nil
}

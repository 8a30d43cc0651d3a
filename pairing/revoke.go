// SPDX-License-Identifier: Apache-2.0

package pairing

import (
	"context"
	"fmt"

	"go.uber.org/zap"

	"github.com/agentd-project/agentd/orchestration"
	"github.com/agentd-project/agentd/policy"
)

// revoke remembers that the operator revoked the pairing, then tells the Market.
func (s *Service) revoke(ctx context.Context) error {
	rec := s.rec
	if rec.PairingID == "" {
		found, st, err := s.find(ctx, rec.binding)
		if err != nil {
			return err
		}
		if st == standingNone {
			return &Unavailable{Reason: policy.ReasonPairingMissing}
		}
		rec.PairingID = found.ID
	}
	rec.Revoked, rec.Revoking, rec.Token = true, rec.PairingID, ""
	if err := s.save(rec); err != nil {
		return err
	}
	s.drop()
	return s.finishRevoking(ctx)
}

// finishRevoking tells the Market of a revocation until it has heard.
func (s *Service) finishRevoking(ctx context.Context) error {
	err := s.API.RevokePairing(ctx, s.rec.MachineID, s.rec.Revoking)
	if err != nil && codeOf(err) != orchestration.CodeNotFound {
		return revokedError(fmt.Errorf("the Market was not told of the revocation yet: %w", err))
	}
	rec := s.rec
	rec.Revoking = ""
	if err := s.save(rec); err != nil {
		return err
	}
	s.mu.Lock()
	s.standing = StandingRevoked
	s.mu.Unlock()
	s.Logger.Warn("pairing revoked by the operator", zap.String("pairing_id", rec.PairingID))
	return revokedError(nil)
}

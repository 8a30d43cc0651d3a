// SPDX-License-Identifier: Apache-2.0

package pairing

import (
	"errors"
	"fmt"
	"time"

	"github.com/agentd-project/agentd/orchestration"
)

// recordFile is the name of the pairing's record in the store.
const recordFile = "pairing"

// record is what survives a restart. The token is in it: the server shows it
// only once.
type record struct {
	binding
	PairingID string `json:"pairingId,omitempty"`
	Token     string `json:"token,omitempty"`
	// Received and Expires are by the local clock.
	Received time.Time `json:"received,omitzero"`
	Expires  time.Time `json:"expires,omitzero"`
	// Revoked says that anyone revoked the pairing: none is created any more
	// without an operator's command.
	Revoked bool `json:"revoked,omitempty"`
	// Revoking is a pairing that the operator revoked and the Market was not yet
	// told of.
	Revoking string `json:"revoking,omitempty"`
	// Server is what the Market's policies said when they were last read.
	Server   *serverPolicy `json:"server,omitempty"`
	ServerAt time.Time     `json:"serverAt,omitzero"`
}

// want returns the binding that the configuration asks for.
func (s *Service) want(machineID string) binding {
	return binding{
		MachineID: machineID, Address: s.Wallet.Address(), Provider: s.Settings.Provider,
		Role: s.Settings.Role, DID: s.Settings.AgentDID,
	}
}

// restore takes up what was stored. A record of another key, provider or role
// is left alone until the Market has named the machine.
func (s *Service) restore() error {
	var rec record
	err := s.Store.Load(recordFile, &rec)
	switch {
	case errors.Is(err, ErrNoRecord):
		return nil
	case err != nil:
		// Not knowing whether the pairing was revoked, none may be created.
		return fmt.Errorf("pairing: %w", err)
	}
	if rec.binding != s.want(rec.MachineID) {
		return nil
	}
	s.rec = rec
	if rec.Server != nil {
		s.Guard.SetRemote(rec.Server.remote())
		s.readAt = rec.ServerAt
	}
	if rec.Revoked {
		s.standing = StandingRevoked
		s.blocked = revokedError(nil)
		return nil
	}
	now := time.Now()
	if rec.Token == "" || !now.Before(rec.Expires) || now.Before(rec.Received.Add(-time.Minute)) {
		return nil // expired, or the clock has run backwards and says nothing
	}
	s.standing = StandingActive
	s.current = &current{
		Session: Session{Token: orchestration.Secret(rec.Token), PairingID: rec.PairingID, MachineID: rec.MachineID, Expires: rec.Expires},
		from:    rec.Received,
	}
	s.current.rotateAt = rec.Received.Add(rotateAfter(rec.Expires.Sub(rec.Received), s.Chance()))
	return nil
}

// save stores a changed record, then adopts it: what is in memory is on disk.
func (s *Service) save(rec record) error {
	if err := s.Store.Save(recordFile, rec); err != nil {
		return &storeError{err}
	}
	s.mu.Lock()
	s.rec = rec
	s.mu.Unlock()
	return nil
}

// storeError says that the state directory does not take what must be kept.
type storeError struct{ err error }

func (e *storeError) Error() string { return e.err.Error() }
func (e *storeError) Unwrap() error { return e.err }

// IsStorage says whether an error of a [Status] means that tokens cannot be
// stored here.
func IsStorage(err error) bool {
	var se *storeError
	return errors.As(err, &se)
}

// SPDX-License-Identifier: Apache-2.0

package pairing

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"go.uber.org/zap"

	"github.com/agentd-project/agentd/orchestration"
	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/wallet"
)

// API is what the service calls at the Market. [orchestration.Client] is one.
type API interface {
	// GetMachine tells which account policies apply to the machine.
	GetMachine(ctx context.Context, machineID string) (*orchestration.Machine, error)
	// Policies yields the account's policies.
	Policies(ctx context.Context) iter.Seq2[orchestration.Policy, error]
	// Pairings yields the machine's pairings.
	Pairings(ctx context.Context, machineID string, o orchestration.ListOptions) iter.Seq2[orchestration.Pairing, error]
	// CreatePairingChallenge asks for the text to sign.
	CreatePairingChallenge(ctx context.Context, machineID string, r orchestration.PairingChallengeRequest) (*orchestration.PairingChallenge, error)
	// CreatePairing pairs and returns the first session's token.
	CreatePairing(ctx context.Context, machineID string, r orchestration.CreatePairingRequest) (*orchestration.IssuedPairing, error)
	// CreatePairingSession returns the token of a new session.
	CreatePairingSession(ctx context.Context, machineID, pairingID string, proof orchestration.Proof) (*orchestration.IssuedPairing, error)
	// UpdatePairing replaces the delegation policy.
	UpdatePairing(ctx context.Context, machineID, pairingID string, r orchestration.UpdatePairingRequest) (*orchestration.Pairing, error)
	// RevokePairing ends a pairing for good.
	RevokePairing(ctx context.Context, machineID, pairingID string) error
}

// Signer is the agent's key. [wallet.Wallet] is one.
type Signer interface {
	// Address is the address that is paired.
	Address() common.Address
	// SignChallenge signs what [wallet.CheckChallenge] let pass.
	SignChallenge(c wallet.Challenge) (string, error)
}

// RemoteSetter takes the server's policies. [policy.Guard] is one.
type RemoteSetter interface {
	// SetRemote replaces what the server's policies add to the owner's.
	SetRemote(r policy.Remote)
}

// Settings are the owner's wishes for the pairing.
type Settings struct {
	Provider, Role string
	Description    string
	// AgentDID is sent with challenges; empty lets the server derive one.
	AgentDID string
	// Push tightens the server's delegation policy; nil leaves it alone.
	Push *Push
}

// Outcome is how an attempt to get a session ended, for metrics.
type Outcome string

// The outcomes of a rotation.
const (
	OutcomeRotated Outcome = "rotated"
	OutcomeCreated Outcome = "created"
	OutcomeFailed  Outcome = "failed"
)

// Config is what a [Service] needs. API, Wallet, Machine, Store, Guard, Logger
// and the settings' provider and role are required.
type Config struct {
	API    API
	Wallet Signer
	// Machine returns the machine's id and its canonical identity, both empty
	// while they are not known; see [Service.Wake].
	Machine  func() (id, identity string)
	Store    *FileStore
	Guard    RemoteSetter
	Settings Settings
	Logger   *zap.Logger
	// Now is the time by which a challenge's expiry is judged; nil is the wall
	// clock.
	Now func() time.Time
	// Chance returns a number from 0 up to 1 that spreads the waits; nil draws one.
	// A simulation gives its own, so that it can be replayed.
	Chance func() float64
	// Observe is told how each attempt to get a session ended; nil tells nobody.
	Observe func(Outcome)
	// Changed is told after each pass what there is; nil tells nobody. It must
	// not call back.
	Changed func(Status)
	// Beat is told within which time the service shows its next sign of life;
	// nil tells nobody.
	Beat func(within time.Duration)
}

func (c *Config) check() error {
	switch {
	case c.API == nil, c.Wallet == nil, c.Machine == nil, c.Store == nil, c.Guard == nil, c.Logger == nil:
		return errors.New("pairing: a dependency is missing")
	case c.Settings.Provider == "" || c.Settings.Role == "":
		return errors.New("pairing: provider and role are required")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Chance == nil {
		c.Chance = chance
	}
	if c.Observe == nil {
		c.Observe = func(Outcome) {}
	}
	if c.Changed == nil {
		c.Changed = func(Status) {}
	}
	if c.Beat == nil {
		c.Beat = func(time.Duration) {}
	}
	return nil
}

// Service keeps one pairing alive. All its work is done by [Service.Run], in
// one goroutine; every other method waits for it or reads what it left.
type Service struct {
	Config
	wake     chan struct{}
	commands chan command
	refusals int // new tokens refused in a row

	mu       sync.Mutex
	rec      record
	current  *current
	stale    orchestration.Secret // the token that the Market refused
	blocked  *Unavailable
	lastErr  error
	next     time.Time // the next pass
	readAt   time.Time // the server's policies
	standing string
	changed  chan struct{} // closed when any of the above changes
}

// current is the session in use.
type current struct {
	Session
	from     time.Time
	rotateAt time.Time
}

// New returns the service; it does nothing before [Service.Run]. A session that
// was stored and has not expired is used from the start, so that a restart needs
// no network.
func New(c Config) (*Service, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	s := &Service{
		Config: c, wake: make(chan struct{}, 1), commands: make(chan command), changed: make(chan struct{}),
		standing: StandingUnknown,
	}
	if err := s.restore(); err != nil {
		return nil, err
	}
	return s, nil
}

// String returns the part's name.
func (s *Service) String() string { return "pairing" }

// Wake asks for a pass now: the machine became known, or its state changed.
func (s *Service) Wake() {
	select {
	case s.wake <- struct{}{}:
	default: // one is pending already
	}
}

// Token returns a live session. It waits for one until ctx ends, or returns an
// [*Unavailable] where waiting is pointless.
func (s *Service) Token(ctx context.Context) (Session, error) {
	for {
		session, changed, err := s.peek()
		if session != nil || err != nil {
			if err != nil {
				return Session{}, err
			}
			return *session, nil
		}
		select {
		case <-ctx.Done():
			return Session{}, s.waited(ctx.Err())
		case <-changed:
		}
	}
}

// peek returns the session, or why there is none, or what to wait for.
func (s *Service) peek() (*Session, <-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	usable := s.usable(time.Now())
	if s.blocked != nil && (!usable || outlaws(s.blocked.Reason)) {
		return nil, nil, s.blocked
	}
	if usable {
		session := s.current.Session
		return &session, nil, nil
	}
	return nil, s.changed, nil
}

// outlaws says whether a reason forbids the session in use too, instead of the
// next one only.
func outlaws(r policy.Reason) bool {
	return r == policy.ReasonPairingPaused || r == policy.ReasonPairingRevoked || r == policy.ReasonMachineInactive
}

// usable says whether there is a session that the Market should accept.
func (s *Service) usable(now time.Time) bool {
	return s.current != nil && s.current.Token != s.stale && now.Before(s.current.Expires)
}

func (s *Service) waited(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lastErr != nil {
		return fmt.Errorf("wait for a pairing session: %w (last attempt: %v)", err, s.lastErr) //nolint:errorlint // the caller branches on its own context only
	}
	return fmt.Errorf("wait for a pairing session: %w", err)
}

// Rejected is told that the Market refused a session's token (AGENT_AUTH_*) or
// its pairing (AGENT_PAIRING_INACTIVE, AGENT_PAIRING_REQUIRED). It returns the
// session to repeat the call with, once: the one that has replaced it already,
// or a new one after the pairing's status was read.
func (s *Service) Rejected(ctx context.Context, used Session) (Session, error) {
	if s.markStale(used) {
		s.Wake()
	}
	return s.Token(ctx)
}

func (s *Service) markStale(used Session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == nil || s.current.Token != used.Token || s.stale == used.Token {
		return false
	}
	s.stale = used.Token
	if time.Since(s.current.from) < contendedWithin {
		s.refusals++
	} else {
		s.refusals = 0
	}
	return true
}

// Status returns what there is, from memory.
func (s *Service) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.statusLocked()
}

// announce wakes those who wait and tells the observer.
func (s *Service) announce() {
	s.mu.Lock()
	close(s.changed)
	s.changed = make(chan struct{})
	st := s.statusLocked()
	s.mu.Unlock()
	s.Changed(st)
}

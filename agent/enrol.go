// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/agentd-project/agentd/config"
	"github.com/agentd-project/agentd/orchestration"
	"github.com/agentd-project/agentd/pairing"
)

// agentRecordFile is the name of the machine agent's record in the store.
const agentRecordFile = "machine-agent"

// defaultAgentLabel names the machine agent where the owner gave no label: our
// own agents are found again by it.
const defaultAgentLabel = "agentd"

// mendEvery is how often a refused token may lead to a new enrolment.
const mendEvery = time.Hour

// agentAPI is what enrolling a machine agent needs of the Market.
type agentAPI interface {
	// Agents yields the machine's agents.
	Agents(ctx context.Context, machineID string) iter.Seq2[orchestration.MachineAgent, error]
	// EnrollAgent enrols one and returns its token, once.
	EnrollAgent(ctx context.Context, machineID string, r orchestration.EnrollAgentRequest) (*orchestration.MachineAgent, error)
	// RevokeAgent revokes one.
	RevokeAgent(ctx context.Context, machineID, agentID string) error
}

// agentRecord is what survives a restart of the machine agent: its token is
// shown only once.
type agentRecord struct {
	MachineID string   `json:"machineId"`
	Label     string   `json:"label"`
	AgentID   string   `json:"agentId,omitempty"`
	Token     string   `json:"token,omitempty"`
	Allowed   []string `json:"allowedProviderKeys,omitempty"`
	// Enrolling is set from before the Market is asked until the answer is
	// stored: found after a crash, what was enrolled meanwhile has a lost token.
	Enrolling bool `json:"enrolling,omitempty"`
	// Replaced is an agent whose successor is stored and which is still to be
	// revoked.
	Replaced string `json:"replaced,omitempty"`
	// Revoked says that somebody revoked the agent: none is enrolled any more
	// without an operator.
	Revoked bool `json:"revoked,omitempty"`
}

// credentials are what a heartbeat needs.
type credentials struct {
	agentID string
	token   orchestration.Secret
}

// errAgentRevoked says that somebody revoked the machine agent.
var errAgentRevoked = errors.New("the machine agent was revoked")

// enrolment gives the machine one agent and keeps its token. Its methods are
// called by one loop; [enrolment.current] is safe elsewhere.
type enrolment struct {
	api     agentAPI
	store   *pairing.FileStore
	cfg     config.MachineAgent
	allowed []string // provider keys
	log     *zap.Logger
	mended  time.Time // when a refused token last led to a new enrolment

	mu  sync.Mutex
	rec agentRecord
}

func (e *enrolment) label() string {
	if e.cfg.Label != "" {
		return e.cfg.Label
	}
	return defaultAgentLabel
}

// configured says that the owner enrolled the agent; it is then only used.
func (e *enrolment) configured() bool { return e.cfg.ID != "" }

// restore reads the stored record.
func (e *enrolment) restore() error {
	var rec agentRecord
	if err := e.store.Load(agentRecordFile, &rec); err != nil && !errors.Is(err, pairing.ErrNoRecord) {
		return fmt.Errorf("machine agent: %w", err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.rec = rec
	return nil
}

// current returns the agent's id, empty while there is none.
func (e *enrolment) current() string {
	if e.configured() {
		return e.cfg.ID
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.rec.AgentID
}

func (e *enrolment) record() agentRecord {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.rec
}

// save stores a record, then adopts it.
func (e *enrolment) save(rec agentRecord) error {
	if err := e.store.Save(agentRecordFile, rec); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.rec = rec
	return nil
}

// ensure returns the credentials of the machine's agent and enrols it if there
// is none, if its token is lost, or if it may serve fewer providers than are
// configured now.
func (e *enrolment) ensure(ctx context.Context, machineID string) (credentials, error) {
	if e.configured() {
		token, err := config.ReadSecret(e.cfg.TokenFile)
		if err != nil {
			return credentials{}, fmt.Errorf("machine agent: %w", err)
		}
		return credentials{agentID: e.cfg.ID, token: orchestration.Secret(token.Reveal())}, nil
	}
	rec := e.record()
	if rec.MachineID != machineID || rec.Label != e.label() {
		// Another label is an operator's word that a new agent is wanted.
		rec = agentRecord{MachineID: machineID, Label: e.label()}
	}
	switch {
	case rec.Revoked:
		return credentials{}, errAgentRevoked
	case rec.Token != "" && !e.wider(rec):
		if rec.Replaced != "" {
			e.retire(ctx, rec)
		}
		return credentials{agentID: rec.AgentID, token: orchestration.Secret(rec.Token)}, nil
	}
	return e.enrol(ctx, rec)
}

// wider says whether the agent may serve fewer providers than it should.
func (e *enrolment) wider(rec agentRecord) bool {
	return slices.ContainsFunc(e.allowed, func(key string) bool { return !slices.Contains(rec.Allowed, key) })
}

// enrol asks for a new agent. The intent is stored first, the token before it is
// used, and an agent that this one replaces is revoked last.
func (e *enrolment) enrol(ctx context.Context, rec agentRecord) (credentials, error) {
	var none credentials
	if err := e.store.Writable(); err != nil {
		return none, err
	}
	if rec.Token == "" {
		if err := e.clearLost(ctx, rec); err != nil {
			return none, err
		}
	}
	old := rec
	rec.Enrolling = true
	if err := e.save(rec); err != nil {
		return none, err
	}
	made, err := e.api.EnrollAgent(ctx, rec.MachineID, orchestration.EnrollAgentRequest{Label: e.label(), AllowedProviderKeys: e.allowed})
	if err != nil {
		return none, fmt.Errorf("enrol the machine agent: %w", err)
	}
	if made.ProvisioningToken == "" {
		return none, errors.New("enrol the machine agent: the answer has no token")
	}
	rec = agentRecord{MachineID: rec.MachineID, Label: rec.Label, AgentID: made.ID, Token: made.ProvisioningToken.Reveal(), Allowed: e.allowed}
	if old.Token != "" {
		rec.Replaced = old.AgentID
	}
	if err := e.save(rec); err != nil {
		return none, err
	}
	e.log.Info("machine agent enrolled", zap.String("agent_id", made.ID), zap.String("machine_id", rec.MachineID))
	if rec.Replaced != "" {
		e.retire(ctx, rec)
	}
	return credentials{agentID: rec.AgentID, token: made.ProvisioningToken}, nil
}

// clearLost revokes the agents of our label whose token nobody has: of an
// enrolment whose answer was lost, or of a state directory that was. If the list
// shows ours and every one of them revoked, the owner did that, and none is
// enrolled; but not if the revocations are our own, in the midst of an enrolment.
func (e *enrolment) clearLost(ctx context.Context, rec agentRecord) error {
	var live []string
	revoked := false
	for a, err := range e.api.Agents(ctx, rec.MachineID) {
		switch {
		case err != nil:
			return fmt.Errorf("read the machine's agents: %w", err)
		case a.Label != e.label() && a.ID != rec.AgentID:
		case a.Status == orchestration.AgentRevoked:
			revoked = true
		default:
			live = append(live, a.ID)
		}
	}
	if revoked && len(live) == 0 && !rec.Enrolling {
		rec.Revoked = true
		if err := e.save(rec); err != nil {
			return err
		}
		return errAgentRevoked
	}
	if len(live) == 0 {
		return nil
	}
	rec.Enrolling = true // so that our own revocations are not taken for the owner's
	if err := e.save(rec); err != nil {
		return err
	}
	for _, id := range live {
		e.log.Warn("revoking machine agent whose token is lost", zap.String("agent_id", id))
		if err := e.revoke(ctx, rec.MachineID, id); err != nil {
			return err
		}
	}
	return nil
}

func (e *enrolment) revoke(ctx context.Context, machineID, agentID string) error {
	err := e.api.RevokeAgent(ctx, machineID, agentID)
	if err != nil && codeOf(err) != orchestration.CodeNotFound {
		return fmt.Errorf("revoke a machine agent: %w", err)
	}
	return nil
}

// retire revokes the agent that was replaced; it is tried again with the next
// heartbeat.
func (e *enrolment) retire(ctx context.Context, rec agentRecord) {
	if err := e.revoke(ctx, rec.MachineID, rec.Replaced); err != nil {
		e.log.Warn("replaced machine agent not revoked yet", zap.String("agent_id", rec.Replaced), zap.Error(err))
		return
	}
	rec.Replaced = ""
	if err := e.save(rec); err != nil {
		e.log.Warn("machine agent's record not stored", zap.Error(err))
	}
}

// refused looks into a heartbeat that the Market refused: a revoked agent is
// remembered as such, one whose token does not fit is enrolled anew by the next
// pass. It returns the error to report.
func (e *enrolment) refused(ctx context.Context, err error) error {
	code := codeOf(err)
	rec := e.record()
	switch code {
	case orchestration.CodeAgentPairingInactive:
	case orchestration.CodeAgentAuthInvalid, orchestration.CodeAgentAuthRequired, orchestration.CodeNotFound:
		if e.configured() {
			return err
		}
		status, listErr := e.statusOf(ctx, rec)
		if listErr != nil {
			return errors.Join(err, listErr)
		}
		if status == orchestration.AgentActive || status == orchestration.AgentProvisioned {
			return e.mend(err, func(r *agentRecord) { r.Token = "" })
		}
	case orchestration.CodeAgentPolicyDenied:
		if e.configured() {
			return err
		}
		return e.mend(err, func(r *agentRecord) { r.Allowed = nil }) // the Market knows better what it allows
	default:
		return err
	}
	if e.configured() {
		return fmt.Errorf("%w: %w", errAgentRevoked, err)
	}
	rec.Revoked, rec.Token = true, ""
	return errors.Join(errAgentRevoked, err, e.save(rec))
}

// mend changes the record so that the next pass enrols anew, at most once in
// mendEvery: a Market that refuses every agent must not be flooded with new ones.
func (e *enrolment) mend(err error, change func(*agentRecord)) error {
	if !e.mended.IsZero() && time.Since(e.mended) < mendEvery {
		return err
	}
	e.mended = time.Now()
	rec := e.record()
	change(&rec)
	return errors.Join(err, e.save(rec))
}

// statusOf returns the agent's status in the Market's list, empty if it is not
// there: a record that is gone counts as revoked.
func (e *enrolment) statusOf(ctx context.Context, rec agentRecord) (orchestration.AgentStatus, error) {
	for a, err := range e.api.Agents(ctx, rec.MachineID) {
		if err != nil {
			return "", fmt.Errorf("read the machine's agents: %w", err)
		}
		if a.ID == rec.AgentID {
			return a.Status, nil
		}
	}
	return "", nil
}

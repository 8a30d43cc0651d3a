// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/agentd-project/agentd/config"
	"github.com/agentd-project/agentd/orchestration"
	"github.com/agentd-project/agentd/wallet"
)

// The meta keys under which the ledger remembers the machine.
const (
	metaMachineID       = "machine.id"
	metaMachineIdentity = "machine.identity"
	metaMachineRef      = "machine.ref" // the configured reference that the two belong to
)

const (
	pollMachineActive   = 5 * time.Minute
	pollMachineInactive = 30 * time.Second
)

// machineAPI is what the machine's record needs of the Market.
type machineAPI interface {
	registryAPI
	// GetMachine reads the record.
	GetMachine(ctx context.Context, machineID string) (*orchestration.Machine, error)
	// UpdateMachine activates it.
	UpdateMachine(ctx context.Context, machineID string, r orchestration.UpdateMachineRequest) (*orchestration.Machine, error)
}

// metaStore remembers small texts that are no secrets. The ledger is one.
type metaStore interface {
	Meta(ctx context.Context, key string) (value string, ok bool, err error)
	SetMeta(ctx context.Context, key, value string) error
}

// machine knows the machine's record at the Market: finds it, registers it if
// the owner says so, and watches its state. Its pass is a loop's.
type machine struct {
	api      machineAPI
	meta     metaStore
	cfg      config.Machine
	identity func() (*wallet.Wallet, error) // opens the key that controls the identity
	now      func() time.Time
	health   *health
	log      *zap.Logger
	changed  func() // told when id or status changed

	mu     sync.Mutex
	id     string
	did    string // canonical
	status orchestration.MachineStatus
}

// restore takes up what the ledger remembers, so that a restart does not need
// the Market to name the machine. The configuration wins over it.
func (m *machine) restore(ctx context.Context) error {
	id, err := m.remembered(ctx, metaMachineID)
	if err != nil {
		return err
	}
	did, err := m.remembered(ctx, metaMachineIdentity)
	if err != nil {
		return err
	}
	ref, err := m.remembered(ctx, metaMachineRef)
	if err != nil {
		return err
	}
	if (m.cfg.ID != "" && m.cfg.ID != id) || ref != m.cfg.IdentityRef {
		id, did = m.cfg.ID, ""
	}
	if did == "" {
		did = canonicalOf(m.cfg.IdentityRef)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.id, m.did = id, did
	return nil
}

func (m *machine) remembered(ctx context.Context, key string) (string, error) {
	value, _, err := m.meta.Meta(ctx, key)
	if err != nil {
		return "", fmt.Errorf("read what is known of the machine: %w", err)
	}
	return value, nil
}

// canonicalOf returns the canonical form of a reference, or "" where only the
// server knows it.
func canonicalOf(ref string) string {
	parsed, err := orchestration.ParseIdentityRef(ref)
	if err != nil {
		return ""
	}
	did, _ := parsed.Canonical()
	return did
}

// known returns the machine's id and canonical identity, empty while they are
// not known.
func (m *machine) known() (id, did string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.id, m.did
}

// state returns what is known, for the status.
func (m *machine) state() (id, did string, status orchestration.MachineStatus) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.id, m.did, m.status
}

// active says whether the record was active when it was last read.
func (m *machine) active() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.status == orchestration.MachineActive
}

// pause returns the interval after a good pass.
func (m *machine) pause() time.Duration {
	if m.active() {
		return pollMachineActive
	}
	return pollMachineInactive
}

// pass finds the record, reads it, and activates it if that is configured.
func (m *machine) pass(ctx context.Context) error {
	err := m.look(ctx)
	m.report(err)
	return err
}

func (m *machine) look(ctx context.Context) error {
	id, _ := m.known()
	if id == "" {
		record, err := m.findOrRegister(ctx)
		if err != nil {
			return err
		}
		if err := m.take(ctx, record); err != nil {
			return err
		}
		id = record.ID
	}
	record, err := m.api.GetMachine(ctx, id)
	if err != nil {
		return fmt.Errorf("read the machine's record: %w", err)
	}
	if err := m.take(ctx, record); err != nil {
		return err
	}
	if record.Status == orchestration.MachineDraft && m.cfg.Register != nil {
		m.log.Info("activating machine", zap.String("machine_id", id))
		record, err = m.api.UpdateMachine(ctx, id, orchestration.UpdateMachineRequest{Status: orchestration.MachineActive})
		if err != nil {
			return fmt.Errorf("activate the machine: %w", err)
		}
		return m.take(ctx, record)
	}
	return nil
}

// errOtherIdentity says that a record is of another machine than the
// configuration's.
var errOtherIdentity = errors.New("the record has another identity than the configuration")

// take adopts a record: remembered first, then used.
func (m *machine) take(ctx context.Context, record *orchestration.Machine) error {
	want := canonicalOf(m.cfg.IdentityRef)
	if want != "" && record.IdentityRef != "" && !strings.EqualFold(record.IdentityRef, want) {
		return fmt.Errorf("machine %s: %w", record.ID, errOtherIdentity)
	}
	id, did, status := m.state()
	if record.IdentityRef != "" {
		did = record.IdentityRef
	}
	if record.ID != id || did != m.did {
		for _, kv := range [][2]string{{metaMachineRef, m.cfg.IdentityRef}, {metaMachineIdentity, did}, {metaMachineID, record.ID}} {
			if err := m.meta.SetMeta(ctx, kv[0], kv[1]); err != nil {
				return fmt.Errorf("remember the machine: %w", err)
			}
		}
	}
	m.mu.Lock()
	m.id, m.did, m.status = record.ID, did, record.Status
	m.mu.Unlock()
	if record.Status != orchestration.MachineActive {
		// At once, not at the end of the pass: it may yet take a while.
		m.health.raise(problemMachineInactive, "status "+string(record.Status))
	}
	if record.ID != id || record.Status != status {
		m.log.Info("machine record read", zap.String("machine_id", record.ID), zap.String("identity", did), zap.String("status", string(record.Status)))
		m.changed()
	}
	return nil
}

// report turns the outcome of a pass into problems.
func (m *machine) report(err error) {
	code := codeOf(err)
	_, _, status := m.state()
	unknown := code == orchestration.CodeNotFound || errors.Is(err, errNoRecord)
	identity := identityFault(err)
	inactive := code == orchestration.CodeMachineNotActivated || code == orchestration.CodeMachineNotActive ||
		(err == nil && status != orchestration.MachineActive)
	m.health.set(problemMachineUnknown, unknown, detailOf(err))
	m.health.set(problemIdentity, identity, detailOf(err))
	if err == nil || inactive {
		detail := "status " + string(status)
		if err != nil {
			detail = err.Error()
		}
		m.health.set(problemMachineInactive, inactive, detail)
	}
}

// identityFault says whether an error is about the proof of the identity, which
// only the owner can mend.
func identityFault(err error) bool {
	var ce *wallet.ChallengeError
	switch codeOf(err) {
	case orchestration.CodeMachineIdentityProofInvalid, orchestration.CodeMachineIdentityImmutable:
		return true
	}
	return errors.Is(err, errOtherIdentity) || errors.Is(err, errNotController) || errors.As(err, &ce)
}

func codeOf(err error) orchestration.Code {
	var api *orchestration.APIError
	if errors.As(err, &api) {
		return api.Code
	}
	return ""
}

func detailOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

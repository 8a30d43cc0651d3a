// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/agentd-project/agentd/config"
	"github.com/agentd-project/agentd/orchestration"
)

// idleHeartbeat is the interval where no endpoint is configured: only what is
// left of earlier ones is looked for.
const idleHeartbeat = time.Hour

// heartbeatAPI is what reporting endpoints needs of the Market.
type heartbeatAPI interface {
	// Heartbeat reports the endpoints that are up.
	Heartbeat(ctx context.Context, r orchestration.HeartbeatRequest) (*orchestration.Heartbeat, error)
	// RuntimeEndpoints yields the machine's endpoints.
	RuntimeEndpoints(ctx context.Context, machineID string, o orchestration.ListOptions) iter.Seq2[orchestration.RuntimeEndpoint, error]
	// DeleteRuntimeEndpoint removes one.
	DeleteRuntimeEndpoint(ctx context.Context, machineID, providerKey string) error
}

// heartbeat probes the machine's runtime endpoints and reports those that are
// up. Its pass is a loop's.
type heartbeat struct {
	api       heartbeatAPI
	enrolment *enrolment
	machine   *machine
	probes    *http.Client
	endpoints []endpoint
	interval  time.Duration
	lease     time.Duration
	health    *health
	log       *zap.Logger
	observe   func(outcome string, endpoints []probe)

	woken   chan struct{}
	cleaned bool // endpoints that are no longer configured are removed

	mu   sync.Mutex
	last heartbeatState
}

// heartbeatState is the last heartbeat, for the status.
type heartbeatState struct {
	accepted time.Time
	err      error
	probes   []probe
	answers  map[string]orchestration.EndpointOutcome
	lease    time.Duration // as granted
}

// The outcomes of a heartbeat, for the metric.
const (
	heartbeatOK      = "ok"
	heartbeatFailed  = "failed"
	heartbeatRefused = "refused"
	heartbeatNone    = "nothing_up"
)

func heartbeatOutcomes() []string {
	return []string{heartbeatOK, heartbeatFailed, heartbeatRefused, heartbeatNone}
}

func (h *heartbeat) state() heartbeatState {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last
}

// pause returns the interval: the configured one, at most a third of the lease
// that the Market grants.
func (h *heartbeat) pause() time.Duration {
	if len(h.endpoints) == 0 {
		return idleHeartbeat
	}
	if lease := h.state().lease; lease > 0 {
		return min(h.interval, lease/3)
	}
	return h.interval
}

// pass makes one heartbeat.
func (h *heartbeat) pass(ctx context.Context) error {
	if !h.machine.active() {
		return nil // there is a problem for that already
	}
	if len(h.endpoints) == 0 {
		return h.cleanUp(ctx)
	}
	probes := probeAll(ctx, h.probes, h.endpoints)
	h.noteProbes(probes)
	outcome, err := h.beat(ctx, probes)
	h.mu.Lock()
	h.last.err = err
	h.mu.Unlock()
	h.observe(outcome, probes)
	h.report(err)
	return err
}

func (h *heartbeat) noteProbes(probes []probe) {
	h.mu.Lock()
	h.last.probes = probes
	h.mu.Unlock()
	for _, p := range probes {
		if p.err != nil {
			h.health.raiseFor(problemEndpoint, p.endpoint.providerKey, p.err.Error())
			continue
		}
		h.health.clearFor(problemEndpoint, p.endpoint.providerKey)
	}
}

// beat enrols if need be and reports what is up. With nothing up there is
// nothing that may be reported, and the lease runs out as it should.
func (h *heartbeat) beat(ctx context.Context, probes []probe) (outcome string, err error) {
	id, _ := h.machine.known()
	who, err := h.enrolment.ensure(ctx, id)
	if err != nil {
		return heartbeatFailed, err
	}
	request := orchestration.HeartbeatRequest{MachineID: id, AgentID: who.agentID, Token: who.token, LeaseTTLSeconds: int(h.lease / time.Second)}
	for _, p := range probes {
		if p.err != nil {
			continue
		}
		entry, err := p.endpoint.entry()
		if err != nil {
			return heartbeatFailed, err
		}
		request.Endpoints = append(request.Endpoints, entry)
	}
	if len(request.Endpoints) == 0 {
		return heartbeatNone, nil
	}
	reply, err := h.api.Heartbeat(ctx, request)
	if err != nil {
		if orchestration.Classify(err) != orchestration.ActionWait {
			return heartbeatRefused, h.enrolment.refused(ctx, err)
		}
		return heartbeatFailed, fmt.Errorf("heartbeat: %w", err)
	}
	h.accept(reply)
	if err := h.cleanUp(ctx); err != nil {
		h.log.Warn("endpoints that are no longer configured not removed yet", zap.Error(err))
	}
	return heartbeatOK, nil
}

// accept keeps what the Market said of each endpoint.
func (h *heartbeat) accept(reply *orchestration.Heartbeat) {
	answers := make(map[string]orchestration.EndpointOutcome, len(reply.Endpoints))
	for _, e := range reply.Endpoints {
		answers[strings.ToLower(e.ProviderKey)] = e
		if e.Status == orchestration.EndpointUnreachable {
			h.log.Warn("the Market cannot reach an endpoint", zap.String("provider_key", e.ProviderKey), zap.String("detail", e.HealthError))
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last.accepted, h.last.answers = time.Now().UTC(), answers
	h.last.lease = time.Duration(reply.LeaseTTLSeconds) * time.Second
}

// report turns the outcome of a pass into problems.
func (h *heartbeat) report(err error) {
	revoked := errors.Is(err, errAgentRevoked)
	enrolled := h.enrolment.current() != ""
	h.health.set(problemAgentRevoked, revoked, detailOf(err))
	h.health.set(problemEnrolment, err != nil && !revoked && !enrolled, detailOf(err))
	h.health.set(problemHeartbeat, err != nil && !revoked && enrolled, detailOf(err))
}

// cleanUp removes the endpoints that our agent reported and that are no longer
// configured, once per start.
func (h *heartbeat) cleanUp(ctx context.Context) error {
	agentID := h.enrolment.current()
	if h.cleaned || agentID == "" {
		return nil
	}
	id, _ := h.machine.known()
	var old []string
	for e, err := range h.api.RuntimeEndpoints(ctx, id, orchestration.ListOptions{}) {
		if err != nil {
			return fmt.Errorf("read the machine's endpoints: %w", err)
		}
		ours := e.Source == orchestration.SourceAgent && e.AgentID == agentID
		wanted := slices.ContainsFunc(h.endpoints, func(c endpoint) bool { return strings.EqualFold(c.providerKey, e.ProviderKey) })
		if ours && !wanted {
			old = append(old, e.ProviderKey)
		}
	}
	for _, key := range old {
		if err := h.api.DeleteRuntimeEndpoint(ctx, id, key); err != nil && codeOf(err) != orchestration.CodeNotFound {
			return fmt.Errorf("remove an endpoint: %w", err)
		}
		h.log.Info("endpoint removed that is no longer configured", zap.String("provider_key", key))
	}
	h.cleaned = true
	return nil
}

// endpointsOf converts the configured endpoints.
func endpointsOf(all []config.Endpoint) []endpoint {
	out := make([]endpoint, 0, len(all))
	for _, e := range all {
		out = append(out, endpoint{
			providerKey: strings.ToLower(e.ProviderKey), url: e.URL, probePath: e.ProbePath, scope: string(e.NetworkScope),
			label: e.Label, modelAlias: e.ModelAlias, authType: string(e.Auth.Type), tokenFile: e.Auth.TokenFile,
		})
	}
	return out
}

// entry is the endpoint as a heartbeat reports it.
func (e endpoint) entry() (orchestration.HeartbeatEndpoint, error) {
	token, err := e.token()
	if err != nil {
		return orchestration.HeartbeatEndpoint{}, err
	}
	return orchestration.HeartbeatEndpoint{
		ProviderKey: e.providerKey, EndpointBaseURL: e.url, Label: e.label, AuthType: orchestration.EndpointAuth(e.authType),
		AuthToken: orchestration.Secret(token), ModelAlias: e.modelAlias, NetworkScope: orchestration.NetworkScope(e.scope), ProbePath: e.probePath,
	}, nil
}

// allowedKeys are the provider keys that the agent is enrolled for.
func allowedKeys(cfg *config.Config) []string {
	keys := slices.Clone(cfg.Machine.Agent.AllowedProviderKeys)
	if len(keys) == 0 {
		for _, e := range cfg.Heartbeat.Endpoints {
			keys = append(keys, e.ProviderKey)
		}
	}
	for i := range keys {
		keys[i] = strings.ToLower(keys[i])
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

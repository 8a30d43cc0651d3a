// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/agentd-project/agentd/orchestration"
	"github.com/agentd-project/agentd/sandbox"
)

// agents returns the ids of the machine's agents by status.
func (w *world) agents(machineID string) map[orchestration.AgentStatus][]string {
	w.t.Helper()
	out := map[orchestration.AgentStatus][]string{}
	for a, err := range w.owner.Agents(w.t.Context(), machineID) {
		if err != nil {
			w.t.Fatal(err)
		}
		out[a.Status] = append(out[a.Status], a.ID)
	}
	return out
}

func (w *world) endpoints(machineID string) []string {
	w.t.Helper()
	var keys []string
	for e, err := range w.owner.RuntimeEndpoints(w.t.Context(), machineID, orchestration.ListOptions{}) {
		if err != nil {
			w.t.Fatal(err)
		}
		keys = append(keys, e.ProviderKey)
	}
	return keys
}

func TestHeartbeats(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		d := w.start(w.config())
		d.ready(time.Minute)
		before := w.market.Calls("heartbeat")
		time.Sleep(10 * time.Minute)
		if got := w.market.Calls("heartbeat") - before; got < 18 || got > 23 {
			t.Errorf("%d heartbeats in 10 minutes, want about 20", got)
		}
		s := d.status()
		if len(s.Heartbeat.Endpoints) != 1 || !s.Heartbeat.Endpoints[0].Up || s.Heartbeat.Endpoints[0].Status != "active" {
			t.Errorf("endpoints %+v, want one that is up and active", s.Heartbeat.Endpoints)
		}

		w.runtime.Store(http.StatusServiceUnavailable)
		time.Sleep(time.Minute)
		before = w.market.Calls("heartbeat")
		time.Sleep(5 * time.Minute)
		if got := w.market.Calls("heartbeat") - before; got != 0 {
			t.Errorf("%d heartbeats with nothing up, want 0", got)
		}
		if !slices.Contains(d.problems(), problemEndpoint) || !d.status().Ready {
			t.Errorf("problems %v, ready %v; want %s, and buying goes on", d.problems(), d.status().Ready, problemEndpoint)
		}
		w.runtime.Store(http.StatusUnauthorized) // it is up, and wants another token
		time.Sleep(time.Minute)
		if got := d.problems(); len(got) != 0 {
			t.Errorf("problems %v, want none", got)
		}
	})
}

func TestEnrolmentSurvives(t *testing.T) {
	tests := []struct {
		name   string
		before func(t *testing.T, w *world)
		// between runs between two daemons; nil means one daemon only.
		between func(t *testing.T, w *world, agentID string)
		config  string
		same    bool // the second daemon keeps the agent
		revoked int
	}{
		{name: "a lost answer", before: func(_ *testing.T, w *world) { w.inject("agent-enroll", sandbox.FaultDropAfter) }, revoked: 1},
		{name: "an answer that is not JSON", before: func(_ *testing.T, w *world) { w.inject("agent-enroll", sandbox.FaultNotJSON) }, revoked: 1},
		{name: "a refused connection", before: func(_ *testing.T, w *world) { w.inject("agent-enroll", sandbox.FaultRefuse) }},
		{name: "a restart", between: func(*testing.T, *world, string) {}, same: true},
		{name: "a lost record", between: func(t *testing.T, w *world, _ string) {
			if err := os.Remove(filepath.Join(w.dir, "state", agentRecordFile+".json")); err != nil {
				t.Fatal(err)
			}
		}, revoked: 1},
		{name: "more providers", between: func(*testing.T, *world, string) {}, revoked: 1,
			config: "heartbeat: {interval: 30s, lease: 90s, endpoints: [{provider_key: qvac, url: \"http://127.0.0.2:8000\"}, {provider_key: other, url: \"http://127.0.0.2:8001\"}]}"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, nil)
				if tt.before != nil {
					tt.before(t, w)
				}
				d := w.start(w.config())
				d.ready(time.Minute)
				time.Sleep(2 * time.Minute)
				first := d.status().Machine
				if tt.between != nil {
					d.stop()
					tt.between(t, w, first.Agent)
					var settings []string
					if tt.config != "" {
						settings = append(settings, tt.config)
					}
					d = w.start(w.config(settings...))
					time.Sleep(2 * time.Minute)
				}
				got := w.agents(first.ID)
				if len(got[orchestration.AgentActive]) != 1 || len(got[orchestration.AgentRevoked]) != tt.revoked || len(got[orchestration.AgentProvisioned]) != 0 {
					t.Errorf("agents %v, want one active and %d revoked", got, tt.revoked)
				}
				if now := d.status().Machine.Agent; tt.between != nil && (now == first.Agent) != tt.same {
					t.Errorf("agent %s after %s, want the same: %v", now, first.Agent, tt.same)
				}
				if s := d.status(); s.Heartbeat.Error != "" || s.Heartbeat.Last.IsZero() {
					t.Errorf("heartbeat %+v", s.Heartbeat)
				}
			})
		})
	}
}

func TestRevokedAgentIsNotEnrolledAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		cfg := w.config()
		d := w.start(cfg)
		d.ready(time.Minute)
		time.Sleep(time.Minute)
		m := d.status().Machine
		if err := w.owner.RevokeAgent(t.Context(), m.ID, m.Agent); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		check := func(when string) {
			t.Helper()
			if !slices.Contains(d.problems(), problemAgentRevoked) || !d.status().Ready {
				t.Errorf("%s: problems %v, ready %v; want %s, and buying goes on", when, d.problems(), d.status().Ready, problemAgentRevoked)
			}
			if got := w.market.Calls("agent-enroll"); got != 1 {
				t.Errorf("%s: enrolled %d times, want once", when, got)
			}
		}
		check("at once")
		d.stop()
		d = w.start(cfg)
		time.Sleep(10 * time.Minute)
		check("after a restart")
		d.stop()
		if err := os.Remove(filepath.Join(w.dir, "state", agentRecordFile+".json")); err != nil {
			t.Fatal(err)
		}
		d = w.start(cfg)
		time.Sleep(10 * time.Minute)
		check("with its record lost")
		d.stop()

		d = w.start(w.config("machine: {id: " + m.ID + ", agent: {label: dock-7-new}}"))
		time.Sleep(2 * time.Minute)
		if got := w.agents(m.ID)[orchestration.AgentActive]; len(got) != 1 {
			t.Errorf("active agents %v after the operator changed the label, want one", got)
		}
	})
}

func TestConfiguredAgent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		d := w.start(w.config("heartbeat: {interval: 30s}"))
		d.ready(time.Minute)
		id := d.status().Machine.ID
		d.stop()
		made, err := w.owner.EnrollAgent(t.Context(), id, orchestration.EnrollAgentRequest{Label: "by hand", AllowedProviderKeys: []string{"qvac"}})
		if err != nil {
			t.Fatal(err)
		}
		token := filepath.Join(w.dir, "agent-token")
		if err := os.WriteFile(token, []byte(made.ProvisioningToken.Reveal()+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		d = w.start(w.config("machine: {id: " + id + ", agent: {id: " + made.ID + ", token_file: " + token + "}}"))
		time.Sleep(2 * time.Minute)
		if s := d.status(); s.Machine.Agent != made.ID || s.Heartbeat.Last.IsZero() || w.market.Calls("agent-enroll") != 1 {
			t.Errorf("agent %s, heartbeat %+v, %d enrolments", s.Machine.Agent, s.Heartbeat, w.market.Calls("agent-enroll"))
		}
	})
}

func TestOldEndpointsAreRemoved(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		two := "heartbeat: {interval: 30s, lease: 90s, endpoints: [{provider_key: qvac, url: \"http://127.0.0.2:8000\"}, {provider_key: other, url: \"http://127.0.0.2:8001\"}]}"
		d := w.start(w.config(two))
		d.ready(time.Minute)
		time.Sleep(time.Minute)
		id := d.status().Machine.ID
		if _, err := w.owner.PutRuntimeEndpoint(t.Context(), id, "manual", orchestration.PutRuntimeEndpointRequest{EndpointBaseURL: "http://10.0.0.1"}); err != nil {
			t.Fatal(err)
		}
		d.stop()
		d = w.start(w.config()) // qvac alone
		time.Sleep(2 * time.Minute)
		got := w.endpoints(id)
		slices.Sort(got)
		if want := []string{"manual", "qvac"}; !slices.Equal(got, want) {
			t.Errorf("endpoints %v, want %v: ours that is gone is removed, the owner's stays", got, want)
		}
		d.stop()
		w.start(w.config("heartbeat: {interval: 30s}"))
		time.Sleep(2 * time.Minute)
		if got, want := w.endpoints(id), []string{"manual"}; !slices.Equal(got, want) {
			t.Errorf("endpoints %v with none configured, want %v", got, want)
		}
	})
}

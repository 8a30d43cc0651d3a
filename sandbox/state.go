// SPDX-License-Identifier: Apache-2.0

package sandbox

import "net/http"

type readinessCheck struct {
	Name    string `json:"name"`
	Status  string `json:"status"`
	Message string `json:"message,omitempty"`
}

type readinessReply struct {
	Status string            `json:"status"`
	Checks []readinessCheck  `json:"checks"`
	Error  map[string]string `json:"error,omitempty"`
}

func (m *Market) health(*call) (answer, error) { return ok(map[string]bool{"ok": true}) }

// readiness answers 503 with the checks and an error object beside them when the market is not ready.
func (m *Market) readiness(*call) (answer, error) {
	reply := readinessReply{Status: "ready", Checks: []readinessCheck{}}
	for _, probe := range []struct {
		name string
		down bool
	}{
		{"market", m.conditions.NotReady}, {"identity", m.conditions.IdentityDown}, {"pairing", m.conditions.PairingDown},
		{"payment-rpc", m.conditions.RPCDown},
	} {
		status := "pass"
		if probe.down {
			status, reply.Status = "fail", "not_ready"
		}
		reply.Checks = append(reply.Checks, readinessCheck{Name: probe.name, Status: status})
	}
	if reply.Status == "ready" {
		return ok(reply)
	}
	reply.Error = map[string]string{"code": "NOT_READY", "message": "the market is not ready"}
	return answer{http.StatusServiceUnavailable, reply}, nil
}

// SPDX-License-Identifier: Apache-2.0

package orchestration

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
)

// Readiness is the state of the service and of its parts.
type Readiness struct {
	Status ReadinessStatus `json:"status" need:"text"`
	Checks []Check         `json:"checks"`
	Raw    json.RawMessage `json:"-"`
}

// Check is one part of a [Readiness].
type Check struct {
	Name    string      `json:"name" need:"present"`
	Status  CheckStatus `json:"status" need:"present"`
	Message string      `json:"message"`
}

type healthReply struct {
	OK bool `json:"ok" need:"value"`
}

func (h *healthReply) fault() *shapeFault {
	if h.OK {
		return nil
	}
	return &shapeFault{member: "ok", problem: "is not true"}
}

// Health asks whether the service is alive (GET /health, without credentials). A
// server that has it at the host root only, as the reference page shows it, is
// asked there after a 404. The error is nil only if the answer was ok.
func (c *Client) Health(ctx context.Context) error {
	err := c.call(ctx, request{op: opHealth, path: joinPath("health")}, &healthReply{})
	var api *APIError
	if errors.As(err, &api) && api.Status == http.StatusNotFound {
		return c.call(ctx, request{op: opHealth, path: "/health", hostRoot: true}, &healthReply{})
	}
	return err
}

// Readiness asks for the state of the service's parts (GET /readiness, without
// credentials). A service that is not ready answers with HTTP 503: that is a
// normal reply with the status not_ready here, not an error, as long as it
// carries a status.
func (c *Client) Readiness(ctx context.Context) (*Readiness, error) {
	var r Readiness
	if err := c.call(ctx, request{op: opReadiness, path: joinPath("readiness"), accept: http.StatusServiceUnavailable}, &r); err != nil {
		return nil, err
	}
	return &r, nil
}

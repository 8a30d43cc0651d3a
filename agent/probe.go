// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/agentd-project/agentd/config"
)

const (
	// probeLimit is the time that a local runtime has to answer.
	probeLimit = 3 * time.Second
	// maxProbeBody bounds what is read of an answer.
	maxProbeBody = 64 << 10
)

// endpoint is one local runtime that the machine offers.
type endpoint struct {
	providerKey string // lower case, as the Market keeps it
	url         string
	probePath   string
	scope       string
	label       string
	modelAlias  string
	authType    string // none, bearer or api-key
	tokenFile   string
}

// probe is what one look at an endpoint found: nil if it answered.
type probe struct {
	endpoint endpoint
	err      error
}

// probeAll looks at every endpoint at the same time.
func probeAll(ctx context.Context, client *http.Client, endpoints []endpoint) []probe {
	out := make([]probe, len(endpoints))
	var wg sync.WaitGroup
	for i, e := range endpoints {
		wg.Go(func() { out[i] = probe{endpoint: e, err: probeOne(ctx, client, e)} })
	}
	wg.Wait()
	return out
}

// probeOne asks an endpoint for its probe path. Any answer below 500 counts: a
// runtime that wants another token than ours is up all the same.
func probeOne(ctx context.Context, client *http.Client, e endpoint) error {
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	address, err := probeURL(e)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return fmt.Errorf("probe %s: the address is unusable", e.providerKey)
	}
	token, err := e.token()
	if err != nil {
		return err
	}
	switch e.authType {
	case "bearer":
		req.Header.Set("Authorization", "Bearer "+token)
	case "api-key":
		req.Header.Set("X-Api-Key", token)
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("probe %s: %w", e.providerKey, err)
	}
	_, _ = io.CopyN(io.Discard, resp.Body, maxProbeBody) // so that the connection is kept
	_ = resp.Body.Close()
	if resp.StatusCode >= http.StatusInternalServerError {
		return fmt.Errorf("probe %s: status %d", e.providerKey, resp.StatusCode)
	}
	return nil
}

// probeURL joins base and path; a path in the base is kept.
func probeURL(e endpoint) (string, error) {
	u, err := url.Parse(e.url)
	if err != nil {
		return "", fmt.Errorf("probe %s: the address is unusable", e.providerKey)
	}
	path := e.probePath
	if path == "" {
		path = defaultProbePath(e.providerKey)
	}
	return u.JoinPath(path).String(), nil
}

// defaultProbePath is the Market's own default per kind of runtime.
func defaultProbePath(providerKey string) string {
	if providerKey == "qvac" {
		return "/v1/models"
	}
	return "/health"
}

// token reads the endpoint's secret anew each time, so that the owner can
// replace it without a restart.
func (e endpoint) token() (string, error) {
	if e.tokenFile == "" {
		return "", nil
	}
	secret, err := config.ReadSecret(e.tokenFile)
	if err != nil {
		return "", fmt.Errorf("endpoint %s: %w", e.providerKey, err)
	}
	return secret.Reveal(), nil
}

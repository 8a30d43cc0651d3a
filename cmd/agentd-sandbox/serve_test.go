// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/agentd-project/agentd/sandbox"
)

func TestServe(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	journal := filepath.Join(t.TempDir(), "journal.jsonl")
	reader, writer := io.Pipe()
	ended := make(chan int, 1)
	var faults bytes.Buffer
	go func() {
		code := command(ctx, []string{"serve", "--strict", "--identities", "3", "--journal", journal,
			"--fund", "0x0000000000000000000000000000000000000009"}, streams{writer, &faults})
		_ = writer.Close() // the reader below sees the end
		ended <- code
	}()
	var info sandbox.Info
	if err := json.NewDecoder(reader).Decode(&info); err != nil {
		t.Fatalf("no info: %v; %s", err, faults.String())
	}
	for name, value := range map[string]string{"baseUrl": info.BaseURL, "controlUrl": info.ControlURL, "apiKey": info.APIKey,
		"identityRef": info.IdentityRef, "ownerKey": info.OwnerKey, "agentKey": info.AgentKey, "rpcUrl": info.RPCURL, "token": info.Token,
		"escrow": info.Escrow} {
		if value == "" {
			t.Errorf("%s is empty", name)
		}
	}
	if info.ChainID != 84532 || !info.Strict || len(info.IdentityRefs) != 3 || len(info.Services) == 0 {
		t.Errorf("got info %+v", info)
	}
	for _, url := range []string{info.BaseURL + "/health", info.BaseURL + "/api/v1/readiness", info.ControlURL + "/stats"} {
		r, err := http.NewRequestWithContext(ctx, "GET", url, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("%s: got %d %v", url, resp.StatusCode, err)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	stop()
	if code := <-ended; code != exitOK || faults.Len() > 0 {
		t.Errorf("got exit %d, %s", code, faults.String())
	}
	text, err := os.ReadFile(journal)
	if err != nil || !strings.Contains(string(text), `"operation":"readiness"`) {
		t.Errorf("got journal %.200s, %v", text, err)
	}
}

func TestUsage(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want int
	}{
		"help":            {[]string{"--help"}, exitOK},
		"no command":      {nil, exitUsage},
		"unknown flag":    {[]string{"serve", "--nothing"}, exitUsage},
		"public address":  {[]string{"serve", "--listen", "0.0.0.0:0"}, exitFailure},
		"bad address":     {[]string{"serve", "--control", "x"}, exitFailure},
		"bad key":         {[]string{"serve", "--owner-key", "x"}, exitFailure},
		"bad identity":    {[]string{"serve", "--identity", "x"}, exitFailure},
		"bad account":     {[]string{"serve", "--fund", "x"}, exitFailure},
		"no journal file": {[]string{"serve", "--journal", "/nowhere/at/all"}, exitFailure},
	} {
		var out, faults bytes.Buffer
		if got := command(t.Context(), test.args, streams{&out, &faults}); got != test.want {
			t.Errorf("%s: got exit %d (%s), want %d", name, got, faults.String(), test.want)
		}
	}
}

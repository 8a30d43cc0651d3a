// SPDX-License-Identifier: Apache-2.0

package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// testKey is a private key that guards nothing.
const testKey = "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318"

// site is a directory with the files that the base configuration names.
type site struct {
	dir, file string
}

func newSite(t *testing.T) site {
	t.Helper()
	s := site{dir: t.TempDir()}
	for name, content := range map[string]string{
		"api-key": "platform-key", "agent.json": "{}", "agent-passphrase": "passphrase", "owner.key": testKey,
		"token": "endpoint-token", "price.schema.json": `{"type":"object","required":["price"]}`, "other": "other",
		"other.schema.json": `{"type":"array"}`, "ca.pem": "certificates",
	} {
		s.write(t, name, content)
	}
	base, err := os.ReadFile(filepath.Join("testdata", "base.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	s.file = s.write(t, "agentd.yaml", strings.ReplaceAll(string(base), "SITE", s.dir))
	return s
}

func (s site) write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// edit replaces a text of the base configuration.
func (s site) edit(t *testing.T, old, replacement string) {
	t.Helper()
	data, err := os.ReadFile(s.file)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(data), old) != 1 {
		t.Fatalf("%q stands %d times in the base configuration, want once", old, strings.Count(string(data), old))
	}
	s.write(t, "agentd.yaml", strings.Replace(string(data), old, replacement, 1))
}

func (s site) env(more ...string) []string {
	for i := range more {
		more[i] = strings.ReplaceAll(more[i], "SITE", s.dir)
	}
	return append([]string{"CREDENTIALS_DIRECTORY=" + s.dir, "PATH=/bin"}, more...)
}

func (s site) load(t *testing.T, more ...string) *Config {
	t.Helper()
	cfg, err := Load(s.file, s.env(more...))
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return cfg
}

// faults loads a configuration that must have faults.
func (s site) faults(t *testing.T, more ...string) Faults {
	t.Helper()
	cfg, err := Load(s.file, s.env(more...))
	if err == nil {
		t.Fatal("Load: no error")
	}
	if cfg != nil {
		t.Error("Load returned a configuration beside the error")
	}
	faults, ok := err.(Faults) //nolint:errorlint // the contract is the type itself
	if !ok {
		t.Fatalf("Load: %T, want Faults", err)
	}
	return faults
}

// SPDX-License-Identifier: Apache-2.0

package config

import (
	"path/filepath"
	"strings"
)

// LoadPolicy is [Load] for those who only want to judge by the policy, such as
// an owner's own tests: faults elsewhere, say a key file that exists on the
// machine alone, do not count. Only policy, chains and mode of the result are
// of use.
func LoadPolicy(path string, environ []string) (*Config, error) {
	l := newLoader(path, environ)
	l.read()
	faults := l.faults
	l.faults = nil
	for _, f := range faults {
		section, _, _ := strings.Cut(f.Key, ".")
		section, _, _ = strings.Cut(section, "[")
		switch section {
		case "policy", "mode", "retention", "":
			l.faults = append(l.faults, f)
		case "chains":
			if strings.Contains(f.Key, ".tokens") || strings.HasSuffix(f.Key, ".id") {
				l.faults = append(l.faults, f)
			}
		}
	}
	l.finally()
	if len(l.faults) > 0 {
		l.faults.sort()
		return nil, l.faults
	}
	return l.cfg, nil
}

// Socket returns admin.socket as far as it can be read: callers of the local API
// need it, and need not be allowed to read the whole configuration, nor wait
// until it has no fault.
func Socket(path string, environ []string) string {
	l := newLoader(path, environ)
	if socket := l.env[EnvName("admin.socket")]; socket != "" {
		return socket
	}
	if node := valueAt(l.readFile(path), "admin", "socket"); node != nil && node.Value != "" {
		socket := showVariables(node.Value)
		l.at["admin.socket"] = place{source: l.name, line: node.Line}
		if full, ok := l.expand(socket, "admin.socket"); ok {
			return full
		}
	}
	return filepath.Clean(l.cfg.Admin.Socket)
}

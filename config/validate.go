// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"math/big"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// validate checks what the types cannot say. It records every fault.
func (l *loader) validate() {
	c := l.cfg
	l.required("state_dir", c.StateDir, "a directory; systemd sets $STATE_DIRECTORY for StateDirectory=agentd")
	if c.Listen != "" {
		if _, port, err := net.SplitHostPort(c.Listen); err != nil || !isPort(port) {
			l.fault("listen", quote(c.Listen), `HOST:PORT, or "" to turn it off`, "")
		}
	}
	// The kernel's limit for the path of a unix socket is 108 bytes, one of them a zero.
	if l.required("admin.socket", c.Admin.Socket, "the path of a unix socket") && len(c.Admin.Socket) > 100 {
		l.fault("admin.socket", fmt.Sprintf("a path of %d bytes", len(c.Admin.Socket)), "at most 100 bytes", "")
	}
	for _, path := range l.urls {
		l.checkURL(l.textAt(path), path, c.Orchestration.AllowHTTP || strings.HasPrefix(path, "heartbeat."))
	}
	if !l.isSet("orchestration.url") {
		l.fault("orchestration.url", "nothing", "the URL of the Market", "")
	}
	l.validateKeys()
	l.validateMachine()
	l.validateHeartbeat()
	l.validateChains()
	l.validatePolicy()
	l.validateNeeds()
}

func isPort(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return err == nil && strconv.FormatUint(n, 10) == text
}

// textAt returns the value of a URL's key.
func (l *loader) textAt(path string) string {
	var i, j int
	switch {
	case path == "orchestration.url":
		return l.cfg.Orchestration.URL
	case scan(path, "heartbeat.endpoints[%d].url", &i):
		return l.cfg.Heartbeat.Endpoints[i].URL
	case scan(path, "chains[%d].rpc[%d]", &i, &j):
		return l.cfg.Chains[i].RPC[j]
	default:
		panic("config: a URL that nothing checks: " + path) // a new key; a test walks all keys
	}
}

func scan(path, format string, into ...any) bool {
	n, err := fmt.Sscanf(path, format, into...)
	return err == nil && n == len(into)
}

// required records a fault if a text is blank, and says whether it is not.
func (l *loader) required(key, value, allowed string) bool {
	if strings.TrimSpace(value) != "" {
		return true
	}
	// A file that has a fault of its own at this key has said so already.
	if !l.faulted(key) {
		l.fault(key, "nothing", allowed, "")
	}
	return false
}

func (l *loader) faulted(key string) bool {
	return slices.ContainsFunc(l.faults, func(f Fault) bool { return f.Key == key })
}

// between records a fault if a duration is out of its bounds.
func (l *loader) between(key string, d, low, high time.Duration) {
	if (d < low || d > high) && !l.faulted(key) {
		l.fault(key, Span(d), "from "+Span(low)+" to "+Span(high), "")
	}
}

// Span spells a duration shortly: 400d, 24h, 90s, 1m30s.
func Span(d time.Duration) string {
	if d >= 2*day && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

func (l *loader) validateKeys() {
	l.validateKey("keys.agent", l.cfg.Keys.Agent, true)
	l.validateKey("keys.owner", l.cfg.Keys.Owner, l.cfg.Machine.Register != nil && l.cfg.Machine.IdentityKey == KeyOwner)
	if l.cfg.Pairing.Key == KeyOwner && l.cfg.Keys.Owner.IsZero() && !l.isSet("keys.owner") {
		l.fault("pairing.key", "owner, which is not configured", "agent, or keys.owner with a file", "")
	}
}

func (l *loader) validateKey(key string, k Key, needed bool) {
	const allowed = "{keystore_file, passphrase_file} or {private_key_file}"
	keystore := l.isSet(key + ".keystore_file")
	passphrase := l.isSet(key + ".passphrase_file")
	private := l.isSet(key + ".private_key_file")
	switch {
	case keystore && private:
		l.fault(key, "a keystore and a private key", allowed, "")
	case keystore && !passphrase:
		l.fault(key+".passphrase_file", "nothing", "the file with the keystore's passphrase", "")
	case passphrase && !keystore:
		l.fault(key+".keystore_file", "nothing", "the keystore file that the passphrase opens", "")
	case !keystore && !private && k.IsZero() && (needed || l.isSet(key)):
		l.fault(key, "no key", allowed, "agentd keys new makes one")
	}
}

var addressDID = regexp.MustCompile(`^did:peaq:0x[0-9a-fA-F]{40}$`)

// identityForm says whether a text is an identity reference, and whether it is
// of the older form with an address.
func identityForm(text string) (ok, address bool) {
	if addressDID.MatchString(text) {
		return true, true
	}
	digits, found := strings.CutPrefix(text, "did:peaq:")
	if !found {
		digits, found = strings.CutPrefix(text, "peaqos:machine:")
	}
	if !found || digits == "" || strings.Trim(digits, "0123456789") != "" || (len(digits) > 1 && digits[0] == '0') || len(digits) > 78 {
		return false, false
	}
	n, ok := new(big.Int).SetString(digits, 10)
	return ok && n.BitLen() <= 256, false
}

var agentDID = regexp.MustCompile(`^did:pkh:eip155:[1-9]\d*:0x[0-9a-fA-F]{40}$`)

func (l *loader) validateMachine() {
	m := &l.cfg.Machine
	if m.ID == "" && m.IdentityRef == "" {
		l.fault("machine", "neither id nor identity_ref", "the Market's id of the machine, or its identity", "")
	}
	if m.IdentityRef != "" {
		switch ok, address := identityForm(m.IdentityRef); {
		case !ok:
			l.fault("machine.identity_ref", quote(m.IdentityRef), "did:peaq:<decimal>, peaqos:machine:<decimal> or did:peaq:0x<40 hex digits>", "")
		case address:
			l.warn("machine.identity_ref has the older form with an address, which current Markets may refuse: did:peaq:<decimal> is the new one")
		}
	}
	if r := m.Register; r != nil {
		l.required("machine.identity_ref", m.IdentityRef, "the identity to register")
		l.required("machine.register.display_name", r.DisplayName, "a text")
		l.required("machine.register.owner_id", r.OwnerID, "a text")
		l.required("machine.register.machine_type", r.MachineType, "a text, such as robot")
		l.required("machine.register.runtime_profile", r.RuntimeProfile, "a text, such as linux-native")
		l.noBlanks("machine.register.capabilities", r.Capabilities)
	}
	a := &m.Agent
	switch {
	case a.ID != "" && !l.isSet("machine.agent.token_file"):
		l.fault("machine.agent.token_file", "nothing", "the file with the token of the enrolled agent", "")
	case a.ID == "" && l.isSet("machine.agent.token_file"):
		l.fault("machine.agent.id", "nothing", "the id of the agent that the token belongs to", "")
	case a.ID == "":
		l.required("machine.agent.label", a.Label, "a text")
	}
	l.noBlanks("machine.agent.allowed_provider_keys", a.AllowedProviderKeys)
	p := &l.cfg.Pairing
	l.required("pairing.provider", p.Provider, "a text")
	l.required("pairing.role", p.Role, "a text")
	if p.AgentDID != "" && !agentDID.MatchString(p.AgentDID) {
		l.fault("pairing.agent_did", quote(p.AgentDID), `did:pkh:eip155:<chain id>:<address>, or ""`, "")
	}
}

func (l *loader) validateHeartbeat() {
	h := &l.cfg.Heartbeat
	l.between("heartbeat.lease", h.Lease, 10*time.Second, time.Hour)
	if h.Lease%time.Second != 0 {
		l.fault("heartbeat.lease", Span(h.Lease), "whole seconds", "")
	}
	l.between("heartbeat.interval", h.Interval, time.Second, time.Hour)
	if h.Interval >= h.Lease {
		l.fault("heartbeat.interval", Span(h.Interval), "less than the lease, "+Span(h.Lease), "a third of it survives two lost heartbeats")
	}
	seen := make(map[string]bool)
	for i, e := range h.Endpoints {
		path := at("heartbeat.endpoints", i, "")
		if l.required(path+".provider_key", e.ProviderKey, "the key of the provider that runs there, such as qvac") {
			if key := strings.ToLower(e.ProviderKey); seen[key] {
				l.fault(path+".provider_key", quote(e.ProviderKey)+" a second time", "each provider once", "")
			} else {
				seen[key] = true
			}
		}
		if !l.isSet(path + ".url") {
			l.fault(path+".url", "nothing", "the URL of the runtime endpoint", "")
		}
		if !strings.HasPrefix(e.ProbePath, "/") {
			l.fault(path+".probe_path", quote(e.ProbePath), "a path that begins with /", "")
		}
		hasToken := l.isSet(path + ".auth.token_file")
		switch {
		case e.Auth.Type == AuthNone && hasToken:
			l.fault(path+".auth.type", "none, with a token_file", "bearer, api-key, or no token_file", "")
		case e.Auth.Type != AuthNone && !hasToken:
			l.fault(path+".auth.token_file", "nothing", "the file with the endpoint's token", "")
		}
	}
}

// noBlanks records a fault for each blank entry of a list of texts.
func (l *loader) noBlanks(key string, texts []string) {
	for i, text := range texts {
		if strings.TrimSpace(text) == "" {
			l.fault(at(key, i, ""), quote(text), "a text that is not blank", "")
		}
	}
}

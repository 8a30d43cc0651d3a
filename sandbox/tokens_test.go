// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

func TestPairingToken(t *testing.T) {
	always := func(*world) {}
	tests := []struct {
		name string
		do   func(w *world)
		want string // "" is accepted
	}{
		{"fresh", always, ""},
		{"a second before its end", func(w *world) { w.clock.pass(time.Hour - time.Second) }, ""},
		{"at its end", func(w *world) { w.clock.pass(time.Hour) }, codeAgentAuthExpired},
		{"tampered", func(w *world) { w.token = w.token[:len(w.token)-2] + "AA" }, codeAgentAuthInvalid},
		{"without signature", func(w *world) { w.token = unsigned(w) }, codeAgentAuthInvalid},
		{"rotated out", func(w *world) { old := w.token; w.rotate(); w.token = old }, codeAgentAuthInvalid},
		{"rotated in", func(w *world) { w.rotate() }, ""},
		{"after a policy change", func(w *world) { w.setPolicy("x") }, codeAgentAuthInvalid},
		{"after the same policy again", func(w *world) { w.setPolicy("x"); w.setPolicy("") }, codeAgentAuthInvalid},
		{"after a policy change and a rotation", func(w *world) { w.setPolicy("x"); w.rotate() }, ""},
		{"after a change of the description", func(w *world) {
			w.must(w.platform("PATCH", w.pairingPath(), map[string]any{"description": "d"}))
		}, ""},
		{"paused", func(w *world) { w.setStatus("paused") }, codePairingInactive},
		{"paused and resumed", func(w *world) { w.setStatus("paused"); w.setStatus("active") }, ""},
		{"revoked", func(w *world) { w.must(w.platform("DELETE", w.pairingPath(), nil)) }, codePairingInactive},
		{"sessions lost", func(w *world) { w.m.LoseSessions() }, codeAgentAuthInvalid},
		{"sessions lost, then rotated", func(w *world) { w.m.LoseSessions(); w.rotate() }, ""},
		{"of another market", func(w *world) { w.token = ready(w.T).token }, codeAgentAuthInvalid},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := ready(t)
			test.do(w)
			status, reply := w.pairing("/market/search", map[string]any{})
			if got := codeOf(reply); got != test.want {
				t.Errorf("got %d %q, want %q", status, got, test.want)
			}
		})
	}
}

func (w *world) setPolicy(denied string) {
	w.Helper()
	w.must(w.platform("PATCH", w.pairingPath(), map[string]any{"delegationPolicy": map[string]any{"deniedSkillKeys": []string{denied}}}))
}

func (w *world) setStatus(status string) {
	w.Helper()
	w.must(w.platform("PATCH", w.pairingPath(), map[string]any{"status": status}))
}

// unsigned is the token with the algorithm "none".
func unsigned(w *world) string {
	w.Helper()
	token, err := jwt.NewWithClaims(jwt.SigningMethodNone, jwt.MapClaims{"pairingId": w.pairingID, "exp": w.clock.now.Add(time.Hour).Unix()}).
		SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		w.Fatal(err)
	}
	return token
}

func TestTokenClaims(t *testing.T) {
	w := ready(t)
	var said jwt.MapClaims
	if _, _, err := jwt.NewParser().ParseUnverified(w.token, &said); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"machineId", "pairingId", "sessionId", "agentAddress", "agentDid", "delegationPolicyHash", "exp"} {
		if said[name] == nil {
			t.Errorf("claim %s is absent", name)
		}
	}
	item := w.rotate()
	expires, err := time.Parse(time.RFC3339, text(item, "sessionExpiresAt"))
	if err != nil || !expires.Equal(w.clock.now.Add(time.Hour)) {
		t.Errorf("sessionExpiresAt: got %s %v", expires, err)
	}
	if got := text(item, "tokenLastFour"); !strings.HasSuffix(w.token, got) || len(got) != 4 {
		t.Errorf("tokenLastFour: got %q", got)
	}
	_, listed := w.platform("GET", "/machines/"+w.machineID+"/agent-pairings", nil)
	if items, _ := listed["items"].([]any); len(items) != 1 || strings.Contains(text(items[0].(map[string]any), "pairingToken"), "e") {
		t.Errorf("got the list %v, want one pairing without its token", listed)
	}
}

func TestStrict(t *testing.T) {
	strict := func(o *Options) { o.Strict = true }
	tests := []struct {
		name        string
		send        func(w *world) (int, map[string]any)
		lax, strict string
	}{
		{"token without key", func(w *world) (int, map[string]any) {
			return w.send("POST", "/market/search", map[string]any{}, map[string]string{tokenHeader: w.token})
		}, "", codeAuthRequired},
		{"JSON without a body", func(w *world) (int, map[string]any) {
			return w.send("GET", "/machines", nil, map[string]string{keyHeader: w.key, "Content-Type": "application/json"})
		}, "", codeValidation},
		{"address form", func(w *world) (int, map[string]any) {
			owner, _ := AddressOf(DefaultOwnerKey)
			return w.platform("POST", "/machine-identity/challenges", map[string]any{"identityRef": "did:peaq:" + owner.Hex()})
		}, "", codeValidation},
		{"decimal alias", func(w *world) (int, map[string]any) {
			return w.platform("POST", "/machine-identity/challenges", map[string]any{"identityRef": "peaqos:machine:184467"})
		}, "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if status, reply := test.send(ready(t)); codeOf(reply) != test.lax {
				t.Errorf("lax: got %d %q, want %q", status, codeOf(reply), test.lax)
			}
			if status, reply := test.send(ready(t, strict)); codeOf(reply) != test.strict {
				t.Errorf("strict: got %d %q, want %q", status, codeOf(reply), test.strict)
			}
		})
	}
}

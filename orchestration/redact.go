// SPDX-License-Identifier: Apache-2.0

package orchestration

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"unicode"
)

const (
	maxMessage = 500      // bytes of an error message
	maxDetails = 16 << 10 // bytes of an error's details
	// minSecret is the length from which a secret is looked for in foreign text: a
	// shorter one would blot out innocent text.
	minSecret = 4
)

// secretNames are parts of member names that tell of a credential, in lower case.
var secretNames = []string{"token", "key", "secret", "password", "credential", "auth"}

// tokenMembers are the names under which the API hands out tokens.
var tokenMembers = [][]byte{[]byte("pairingToken"), []byte("provisioningToken"), []byte("agentToken")}

var (
	connectURL = regexp.MustCompile(`(?i)peaqos-p2p://\S*`)
	webToken   = regexp.MustCompile(`eyJ[\w-]+\.[\w-]+\.[\w-]*`)
)

// redactor hides what must not be seen: the secrets of one call, members whose
// names tell of a credential, connect addresses and web tokens.
type redactor struct {
	secrets []Secret
}

// text hides secrets in a text.
func (r redactor) text(s string) string {
	for _, secret := range r.secrets {
		if len(secret) >= minSecret {
			s = strings.ReplaceAll(s, secret.Reveal(), Redacted)
		}
	}
	s = connectURL.ReplaceAllString(s, Redacted)
	return webToken.ReplaceAllString(s, Redacted)
}

// message is text for one line of a log: bounded and without control characters.
func (r redactor) message(s string) string {
	s = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) || c == unicode.ReplacementChar {
			return ' '
		}
		return c
	}, r.text(s))
	if len(s) <= maxMessage {
		return s
	}
	return strings.ToValidUTF8(s[:maxMessage], "") + "…"
}

// details redacts a JSON value. It returns nil for what is too long or no JSON.
func (r redactor) details(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 || len(raw) > maxDetails || isNull(bytes.TrimSpace(raw)) {
		return nil
	}
	return rewrite(raw, secretName, r.text)
}

func secretName(name string) bool {
	name = strings.ToLower(name)
	for _, part := range secretNames {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}

// withoutTokens returns the object unchanged, or with the tokens of the API
// hidden if it has any.
func withoutTokens(raw json.RawMessage) json.RawMessage {
	for _, member := range tokenMembers {
		if bytes.Contains(raw, member) {
			return rewrite(raw, tokenMember, func(s string) string { return s })
		}
	}
	return raw
}

func tokenMember(name string) bool {
	for _, member := range tokenMembers {
		if name == string(member) {
			return true
		}
	}
	return false
}

// rewrite returns the JSON value with every member that hide names redacted and
// every other text, names included, passed through show.
func rewrite(raw json.RawMessage, hide func(name string) bool, show func(string) string) json.RawMessage {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var value any
	if decoder.Decode(&value) != nil {
		return nil
	}
	out, err := json.Marshal(rewriteValue(value, "", hide, show))
	if err != nil {
		return nil
	}
	return out
}

func rewriteValue(value any, parent string, hide func(name string) bool, show func(string) string) any {
	switch v := value.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, member := range v {
			if hide(name) || parent == "connect" && name == "url" {
				out[show(name)] = Redacted
				continue
			}
			out[show(name)] = rewriteValue(member, name, hide, show)
		}
		return out
	case []any:
		for i, element := range v {
			v[i] = rewriteValue(element, parent, hide, show)
		}
	case string:
		return show(v)
	}
	return value
}

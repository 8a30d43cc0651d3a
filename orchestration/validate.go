// SPDX-License-Identifier: Apache-2.0

package orchestration

import (
	"bytes"
	"encoding/json"
	"net/url"
	"strings"
)

// notBlank takes pairs of a member's name and its value and refuses the first
// value that is blank. Dot segments are refused as well: as an id in a path they
// would name another resource.
func notBlank(pairs ...string) error {
	for i := 0; i+1 < len(pairs); i += 2 {
		switch strings.TrimSpace(pairs[i+1]) {
		case "":
			return &ValidationError{Field: pairs[i], Constraint: "must not be blank"}
		case ".", "..":
			return &ValidationError{Field: pairs[i], Constraint: "must not be a dot segment"}
		}
	}
	return nil
}

// webURL accepts an http or https address with a host.
func webURL(field, text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return &ValidationError{Field: field, Constraint: "must be an http or https URL with a host"}
	}
	return nil
}

// jsonObject accepts nothing, or the text of a JSON object.
func jsonObject(field string, raw json.RawMessage) error {
	if raw == nil {
		return nil
	}
	if !json.Valid(raw) || !bytes.HasPrefix(bytes.TrimSpace(raw), []byte("{")) {
		return &ValidationError{Field: field, Constraint: "must be a JSON object"}
	}
	return nil
}

// headerSafe accepts what can stand in a header: visible ASCII.
func headerSafe(s Secret) bool {
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return true
}

// filter sets the query members of the pairs of name and value that are not empty.
func filter(query url.Values, pairs ...string) {
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			query.Set(pairs[i], pairs[i+1])
		}
	}
}

// joinPath returns the path below the base address, every part escaped.
func joinPath(parts ...string) string {
	var b strings.Builder
	b.WriteString("/api/v1")
	for _, part := range parts {
		b.WriteByte('/')
		b.WriteString(url.PathEscape(part))
	}
	return b.String()
}

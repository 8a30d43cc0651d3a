// SPDX-License-Identifier: Apache-2.0

package orchestration

import (
	"fmt"
	"io"
)

// Redacted stands in every text where a secret would be.
const Redacted = "[REDACTED]"

// Secret is a credential: a platform key, a pairing token, an agent token, a
// payment signature. It prints, logs and marshals as [Redacted], or as nothing
// if it is empty. Only [Secret.Reveal] gives the value.
type Secret string

// Reveal returns the secret itself, for the one place that sends or stores it.
func (s Secret) Reveal() string { return string(s) }

// String returns [Redacted], or "" for an empty secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return Redacted
}

// GoString is the same as [Secret.String], so that %#v hides the value too.
func (s Secret) GoString() string { return s.String() }

// Format writes [Secret.String] for every verb: without it a wrong verb such as
// %d would print the value in its complaint.
func (s Secret) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, s.String()) // fmt.State keeps the error itself
}

// MarshalText returns [Secret.String], which hides the value in JSON, YAML and
// structured logs.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// mostJournalBody bounds what one body adds to the journal; a longer one is replaced by its size and hash.
const mostJournalBody = 32 << 10

// journal writes one JSON line per exchange and per change of state.
type journal struct {
	mu  sync.Mutex
	out io.Writer
	now func() time.Time
	seq int
}

type journalLine struct {
	Seq       int               `json:"seq"`
	At        string            `json:"at"`
	Kind      string            `json:"kind"` // exchange or state
	Operation string            `json:"operation,omitempty"`
	Method    string            `json:"method,omitempty"`
	Path      string            `json:"path,omitempty"`
	Headers   map[string]string `json:"headers,omitempty"`
	Request   any               `json:"request,omitempty"`
	Status    int               `json:"status,omitempty"`
	Code      string            `json:"code,omitempty"`
	Fault     FaultKind         `json:"fault,omitempty"`
	Reply     any               `json:"reply,omitempty"`
	Millis    int64             `json:"durationMs,omitempty"`
	Event     string            `json:"event,omitempty"`
	ID        string            `json:"id,omitempty"`
	Data      any               `json:"data,omitempty"`
}

func (j *journal) write(line journalLine) {
	if j.out == io.Discard {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.seq++
	line.Seq, line.At = j.seq, stamp(j.now())
	text, err := json.Marshal(line)
	if err != nil {
		return
	}
	_, _ = j.out.Write(append(text, '\n')) // a journal that cannot be written must not change what the market answers
}

// state notes a change.
func (j *journal) state(event, id string, data any) {
	j.write(journalLine{Kind: "state", Event: event, ID: id, Data: data})
}

// exchange notes a request and its answer with their secrets hashed.
func (j *journal) exchange(op string, r *http.Request, body []byte, out reply, fault FaultKind, took time.Duration) {
	if j.out == io.Discard {
		return
	}
	headers := map[string]string{"user-agent": r.UserAgent(), "content-type": r.Header.Get("Content-Type")}
	for _, name := range []string{keyHeader, tokenHeader, "Authorization"} {
		if value := r.Header.Get(name); value != "" {
			headers[strings.ToLower(name)] = hashed(value)
		}
	}
	answer := veiled(out.body)
	if fault == FaultBody { // whatever a tester put there, which may be a secret in a sentence
		answer = described(out.body)
	}
	j.write(journalLine{
		Kind: "exchange", Operation: op, Method: r.Method, Path: r.URL.RequestURI(), Headers: headers, Request: veiled(body),
		Status: out.status, Code: out.code, Fault: fault, Reply: answer, Millis: took.Milliseconds(),
	})
}

// secretMembers are the members whose values are secrets; secretObjects hold nothing but secrets.
var (
	secretMembers = []string{"pairingtoken", "provisioningtoken", "agenttoken", "authtoken", "auth_token", "paymentsignature",
		"signature", "password", "secret"}
	secretObjects = []string{"credentials", "providercredentials"}
)

// veiled decodes a body and hashes the secrets in it. What is no JSON is only described.
func veiled(body []byte) any {
	if len(body) == 0 {
		return nil
	}
	var value any
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	if len(body) > mostJournalBody || decoder.Decode(&value) != nil {
		return described(body)
	}
	return veil(value, false)
}

func described(body []byte) any {
	return map[string]any{"bytes": len(body), "hash": hashed(string(body))}
}

func veil(value any, secret bool) any {
	switch v := value.(type) {
	case map[string]any:
		for name, member := range v {
			lower := strings.ToLower(name)
			v[name] = veil(member, secret || slices.Contains(secretMembers, lower) || slices.Contains(secretObjects, lower))
		}
	case []any:
		for i, member := range v {
			v[i] = veil(member, secret)
		}
	case string:
		if secret && v != "" {
			return hashed(v)
		}
	}
	return value
}

func hashed(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return "sha256:" + hex.EncodeToString(sum[:8])
}

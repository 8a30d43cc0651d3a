// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	keyHeader   = "X-Api-Key"
	tokenHeader = "X-Agent-Pairing-Token" //nolint:gosec // the name of a header, not a credential
	mostBody    = 1 << 20
)

// call is one request as an operation sees it.
type call struct {
	ctx     context.Context // goes on when the client has gone: what is received is processed
	r       *http.Request
	query   url.Values
	body    []byte
	pairing *pairing // of the token, where one was sent and accepted
}

func (c *call) path(name string) string { return c.r.PathValue(name) }

// decode reads the body into v. No body is the same as {}, and null as absent.
func (c *call) decode(v any) error {
	if len(bytes.TrimSpace(c.body)) == 0 {
		return nil
	}
	err := json.Unmarshal(c.body, v)
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) {
		return invalid("body: %s must not be a JSON %s", orWhole(wrongType.Field), wrongType.Value)
	}
	if err != nil {
		return invalid("body is not a JSON object")
	}
	return nil
}

func orWhole(field string) string {
	if field == "" {
		return "it"
	}
	return field
}

// answer is a success.
type answer struct {
	status int
	body   any
}

type item[T any] struct {
	Item T `json:"item"`
}

func ok(body any) (answer, error)       { return answer{http.StatusOK, body}, nil }
func okItem[T any](v T) (answer, error) { return ok(item[T]{v}) }
func created[T any](v T) (answer, error) {
	return answer{http.StatusCreated, item[T]{v}}, nil
}
func noContent() (answer, error) { return answer{status: http.StatusNoContent}, nil }

// reply is what goes out: the bytes of a success or of an error.
type reply struct {
	status int
	code   string // of an error
	header http.Header
	body   []byte
}

// serve answers one operation, with whatever fault was ordered for it.
func (m *Market) serve(op operation) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f := m.faults.next(op.name)
		began := m.now()
		out, body := m.attempt(w, r, op, f)
		m.journal.exchange(op.name, r, body, out, f.Kind, m.now().Sub(began))
		deliver(w, out, f)
	})
}

// attempt processes the request unless the fault says that it never arrives.
func (m *Market) attempt(w http.ResponseWriter, r *http.Request, op operation, f Fault) (reply, []byte) {
	if f.Kind == FaultRefuse {
		return reply{}, nil
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, mostBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return m.encode(op.name, answer{}, refuseWith(http.StatusRequestEntityTooLarge, codeValidation, "body is larger than 1 MiB")), nil
	case err != nil:
		return m.encode(op.name, answer{}, invalid("body cannot be read")), nil
	}
	switch f.Kind {
	case FaultDropBefore:
		return reply{}, body
	case FaultStatus, FaultRateLimit:
		return f.reply(), body
	case FaultDelayBefore:
		m.pause(time.Duration(f.DelayMS) * time.Millisecond)
	}
	c := &call{ctx: context.WithoutCancel(r.Context()), r: r, query: r.URL.Query(), body: body}
	if f.Kind == FaultTwice {
		_, _ = m.perform(op, c) // its answer is the one that the network lost
	}
	result, err := m.perform(op, c)
	out := m.encode(op.name, result, err)
	switch f.Kind {
	case FaultStatusAfter, FaultNotJSON, FaultHuge, FaultEmpty, FaultBody:
		out = f.reply()
	case FaultDelay:
		m.pause(time.Duration(f.DelayMS) * time.Millisecond)
	}
	return out, body
}

// perform runs an operation under the market's lock; the answer leaves it encoded, for the records in it live on.
func (m *Market) perform(op operation, c *call) (answer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.admit(op, c); err != nil {
		return answer{}, err
	}
	result, err := op.perform(m, c)
	if err != nil || result.body == nil {
		return answer{status: result.status}, err
	}
	text, err := json.Marshal(result.body)
	return answer{result.status, json.RawMessage(text)}, err
}

// encode turns a result into bytes, by way of the Mutate hook.
func (m *Market) encode(op string, result answer, err error) reply {
	out := reply{status: result.status}
	body := result.body
	if err != nil {
		var no *refusal
		if !errors.As(err, &no) {
			no = refuse(codeInternal, "%s", err)
		}
		out.status, out.code = no.status, no.code
		body = map[string]any{"error": map[string]string{"code": no.code, "message": no.message}}
	}
	if body == nil {
		return out
	}
	text, err := json.Marshal(body)
	if err != nil {
		return m.encode(op, answer{}, err)
	}
	out.body = m.faults.lie(op, text)
	return out
}

// deliver writes the reply, or what the fault leaves of it.
func deliver(w http.ResponseWriter, out reply, f Fault) {
	switch f.Kind {
	case FaultRefuse:
		reset(w)
	case FaultDropBefore, FaultDropAfter:
		panic(http.ErrAbortHandler)
	}
	for name, values := range out.header {
		w.Header()[name] = values
	}
	if w.Header().Get("Content-Type") == "" && out.body != nil {
		w.Header().Set("Content-Type", "application/json")
	}
	if out.status == http.StatusNoContent {
		w.WriteHeader(out.status)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(out.body)))
	w.WriteHeader(out.status)
	if f.Kind == FaultTruncate {
		_, _ = w.Write(out.body[:len(out.body)/2]) // the connection is cut next, whatever happens here
		if flusher, can := w.(http.Flusher); can {
			flusher.Flush()
		}
		panic(http.ErrAbortHandler)
	}
	_, _ = w.Write(out.body) // a client that has gone is no fault of the market
}

// claimsJSON says whether a request without a body calls it JSON.
func (c *call) claimsJSON() bool {
	return len(c.body) == 0 && strings.HasPrefix(c.r.Header.Get("Content-Type"), "application/json")
}

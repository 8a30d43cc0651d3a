// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// FaultKind says what goes wrong.
type FaultKind string

// The faults. Those named "before" and refuse, status and rate-limit leave the request unprocessed; all others answer badly after
// the request was processed in full.
const (
	FaultRefuse      FaultKind = "refuse"       // the connection is reset at once
	FaultDropBefore  FaultKind = "drop-before"  // the request is read, then the connection is cut
	FaultDropAfter   FaultKind = "drop-after"   // processed, then cut without an answer
	FaultDelay       FaultKind = "delay"        // processed at once, answered DelayMS later
	FaultDelayBefore FaultKind = "delay-before" // processed DelayMS later, even if the client has gone
	FaultStatus      FaultKind = "status"       // Status, with Code or without an error envelope
	FaultStatusAfter FaultKind = "status-after" // the same, but processed
	FaultRateLimit   FaultKind = "rate-limit"   // 429 with Retry-After
	FaultTruncate    FaultKind = "truncate"     // half of the answer, then cut
	FaultNotJSON     FaultKind = "not-json"     // 200 with a page of HTML
	FaultEmpty       FaultKind = "empty"        // 200 with nothing
	FaultHuge        FaultKind = "huge"         // 200 with 11 MiB of JSON
	FaultBody        FaultKind = "body"         // 200 with Body as it is
	FaultTwice       FaultKind = "twice"        // processed twice, as a network that repeats a request does; the second answer leaves
)

// Fault is one order to misbehave.
type Fault struct {
	// ID is given by the Market.
	ID int `json:"id"`
	// Operation is a name of the operation table, "*" for all.
	Operation string `json:"operation"`
	// Nth is the first call hit, counted from the fault's arrival; 0 and 1 both mean the next.
	Nth int `json:"nth,omitempty"`
	// Times is the number of calls hit; 0 means one where Nth is set, else all.
	Times int       `json:"times,omitempty"`
	Kind  FaultKind `json:"kind"`
	// DelayMS is in milliseconds.
	DelayMS    int    `json:"delayMs,omitempty"`
	Status     int    `json:"status,omitempty"`     // default 503
	Code       string `json:"code,omitempty"`       // without one the body is no error envelope
	RetryAfter int    `json:"retryAfter,omitempty"` // seconds, default 1
	Body       string `json:"body,omitempty"`

	seen int
}

// faults holds the orders and the hooks.
type faults struct {
	mu       sync.Mutex
	last     int
	orders   []*Fault
	calls    map[string]int
	exchange func(op string, n int) Fault
	mutate   func(op string, reply map[string]any)
}

// Inject adds a fault and returns its id.
func (m *Market) Inject(f Fault) (int, error) {
	if !slices.Contains(FaultKinds(), f.Kind) {
		return 0, fmt.Errorf("sandbox: unknown fault kind %q", f.Kind)
	}
	if f.Operation != "*" && !slices.ContainsFunc(operations(), func(op operation) bool { return op.name == f.Operation }) {
		return 0, fmt.Errorf("sandbox: unknown operation %q", f.Operation)
	}
	return m.faults.inject(f)
}

// FaultKinds returns what can go wrong with a call of the Market.
func FaultKinds() []FaultKind {
	return []FaultKind{FaultRefuse, FaultDropBefore, FaultDropAfter, FaultDelay, FaultDelayBefore, FaultStatus, FaultStatusAfter,
		FaultRateLimit, FaultTruncate, FaultNotJSON, FaultEmpty, FaultHuge, FaultBody, FaultTwice}
}

// Faults returns the orders that stand.
func (m *Market) Faults() []Fault { return m.faults.standing() }

// ClearFaults withdraws the fault with the id, or all with 0.
func (m *Market) ClearFaults(id int) { m.faults.clear(id) }

// OnExchange asks decide before each call what to do wrong; n counts the calls of the operation from 1. The zero Fault is none. It
// goes before injected faults; nil takes it away.
func (m *Market) OnExchange(decide func(op string, n int) Fault) { m.faults.onExchange(decide) }

func (s *faults) inject(f Fault) (int, error) {
	if f.Nth < 0 || f.Times < 0 || f.DelayMS < 0 {
		return 0, errors.New("sandbox: a fault's nth, times and delayMs are not negative")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	f.ID, f.seen = s.last, 0
	s.orders = append(s.orders, &f)
	return f.ID, nil
}

func (s *faults) standing() []Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Fault, 0, len(s.orders))
	for _, f := range s.orders {
		out = append(out, *f)
	}
	return out
}

func (s *faults) clear(id int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.orders = slices.DeleteFunc(s.orders, func(f *Fault) bool { return id == 0 || f.ID == id })
}

func (s *faults) onExchange(decide func(op string, n int) Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.exchange = decide
}

// Mutate lets edit change every JSON reply, errors too, before it is sent. Numbers are json.Number; nil takes it away.
func (m *Market) Mutate(edit func(op string, reply map[string]any)) {
	m.faults.mu.Lock()
	defer m.faults.mu.Unlock()
	m.faults.mutate = edit
}

// Calls returns how often an operation was called.
func (m *Market) Calls(op string) int {
	m.faults.mu.Lock()
	defer m.faults.mu.Unlock()
	return m.faults.calls[op]
}

// next counts a call and returns the fault that it meets.
func (s *faults) next(op string) Fault {
	s.mu.Lock()
	s.calls[op]++
	n, decide := s.calls[op], s.exchange
	var hit *Fault
	for _, f := range s.orders {
		if f.Operation != "*" && f.Operation != op {
			continue
		}
		f.seen++
		if hit == nil && f.hits() {
			hit = f
		}
	}
	var found Fault
	if hit != nil {
		found = *hit
	}
	s.mu.Unlock()
	if decide != nil {
		if f := decide(op, n); f.Kind != "" {
			return f
		}
	}
	return found
}

func (f *Fault) hits() bool {
	first := max(f.Nth, 1)
	times := f.Times
	if times == 0 && f.Nth > 0 {
		times = 1
	}
	return f.seen >= first && (times == 0 || f.seen < first+times)
}

// lie passes a reply through the Mutate hook.
func (s *faults) lie(op string, text []byte) []byte {
	s.mu.Lock()
	edit := s.mutate
	s.mu.Unlock()
	if edit == nil {
		return text
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var body map[string]any
	if decoder.Decode(&body) != nil {
		return text
	}
	edit(op, body)
	edited, err := json.Marshal(body)
	if err != nil {
		return text
	}
	return edited
}

// reply is what the faults with an answer of their own say.
func (f Fault) reply() reply {
	html := http.Header{"Content-Type": {"text/html"}}
	page := []byte("<html><body>upstream said no</body></html>")
	switch f.Kind {
	case FaultNotJSON:
		return reply{status: http.StatusOK, header: html, body: page}
	case FaultEmpty:
		return reply{status: http.StatusOK, body: []byte{}}
	case FaultHuge:
		return reply{status: http.StatusOK, body: []byte(`{"item":{"id":"` + strings.Repeat("x", 11<<20) + `"}}`)}
	case FaultBody:
		return reply{status: http.StatusOK, body: []byte(f.Body)}
	}
	out := reply{status: f.Status, code: f.Code, header: html, body: page}
	if f.Kind == FaultRateLimit {
		out.status = http.StatusTooManyRequests
		html.Set("Retry-After", strconv.Itoa(max(f.RetryAfter, 1)))
	}
	if out.status == 0 {
		out.status = http.StatusServiceUnavailable
	}
	if f.Code != "" {
		html.Set("Content-Type", "application/json")
		out.body = fmt.Appendf(nil, `{"error":{"code":%q,"message":"injected fault"}}`, f.Code)
	}
	return out
}

// reset closes the connection so that a TCP client sees a reset, and any other an end.
func reset(w http.ResponseWriter) {
	hijacker, can := w.(http.Hijacker)
	if !can {
		panic(http.ErrAbortHandler)
	}
	conn, _, err := hijacker.Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, isTCP := conn.(*net.TCPConn); isTCP {
		_ = tcp.SetLinger(0) // at worst the client sees an end instead of a reset
	}
	_ = conn.Close()
	panic(http.ErrAbortHandler)
}

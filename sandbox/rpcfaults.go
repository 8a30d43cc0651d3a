// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// The faults that only a chain's endpoint has.
const (
	FaultStale      FaultKind = "stale"       // an earlier answer to the same call, where there was another one; not processed
	FaultError      FaultKind = "error"       // a JSON-RPC error with Body as its message; not processed
	FaultErrorAfter FaultKind = "error-after" // the same, but processed
)

// mostAnswers bounds how many calls' earlier answers are kept; then all are forgotten.
const mostAnswers = 4096

// RPC stands in front of a chain's JSON-RPC endpoint and makes it fail on purpose, with the faults of the Market. The operation of a
// fault is the JSON-RPC method, that of a batch its first call's. Its methods are safe for concurrent use.
type RPC struct {
	faults *faults

	mu      sync.Mutex
	answers map[string]answers // by method and parameters
}

// answers are the last two different results of one call.
type answers struct {
	last, before json.RawMessage
}

// NewRPC makes one without faults.
func NewRPC() *RPC {
	return &RPC{faults: &faults{calls: map[string]int{}}, answers: map[string]answers{}}
}

// RPCFaultKinds returns what can go wrong with a call of the chain.
func RPCFaultKinds() []FaultKind {
	return append(slices.DeleteFunc(FaultKinds(), func(k FaultKind) bool { return k == FaultHuge }), FaultStale, FaultError, FaultErrorAfter)
}

// Inject adds a fault and returns its id. Any operation is taken: methods are not listed anywhere.
func (r *RPC) Inject(f Fault) (int, error) {
	if !slices.Contains(RPCFaultKinds(), f.Kind) {
		return 0, fmt.Errorf("sandbox: unknown fault kind %q", f.Kind)
	}
	if f.Operation == "" {
		return 0, errors.New("sandbox: a fault of the chain names a method, or *")
	}
	return r.faults.inject(f)
}

// Faults returns the orders that stand.
func (r *RPC) Faults() []Fault { return r.faults.standing() }

// ClearFaults withdraws the fault with the id, or all with 0.
func (r *RPC) ClearFaults(id int) { r.faults.clear(id) }

// OnExchange asks decide before each request what to do wrong, as [Market.OnExchange] does.
func (r *RPC) OnExchange(decide func(method string, n int) Fault) { r.faults.onExchange(decide) }

// rpcCall is what a fault has to know of a request.
type rpcCall struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	single bool
}

func readCall(body []byte) rpcCall {
	var one rpcCall
	if json.Unmarshal(body, &one) == nil {
		one.single = true
		return one
	}
	var batch []rpcCall
	if json.Unmarshal(body, &batch) == nil && len(batch) > 0 {
		return batch[0]
	}
	return rpcCall{}
}

func (c rpcCall) key() string { return c.Method + " " + string(c.Params) }

// reply is an answer with the request's own id.
func (c rpcCall) reply(member string, value any) reply {
	text, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": c.ID, member: value})
	if err != nil {
		return reply{status: http.StatusInternalServerError}
	}
	return reply{status: http.StatusOK, body: text}
}

// Wrap returns the endpoint with the faults in front of it.
func (r *RPC) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, q.Body, 5*mostBody))
		if err != nil {
			http.Error(w, "body cannot be read", http.StatusBadRequest)
			return
		}
		c := readCall(body)
		f := r.faults.next(c.Method)
		deliver(w, r.answer(next, q, body, c, f), f)
	})
}

// answer asks the endpoint unless the fault says that the request never arrives.
func (r *RPC) answer(next http.Handler, q *http.Request, body []byte, c rpcCall, f Fault) reply {
	failure := c.reply("error", map[string]any{"code": -32000, "message": orText(f.Body, "header not found")})
	wait := func() { <-time.After(time.Duration(f.DelayMS) * time.Millisecond) }
	switch f.Kind {
	case FaultRefuse, FaultDropBefore:
		return reply{}
	case FaultStatus, FaultRateLimit:
		return f.reply()
	case FaultError:
		return failure
	case FaultStale:
		if old, known := r.stale(c); known {
			return c.reply("result", old)
		}
	case FaultDelayBefore:
		wait()
	case FaultTwice:
		_ = ask(next, q, body)
	}
	out := ask(next, q, body)
	r.remember(c, out.body)
	switch f.Kind {
	case FaultStatusAfter, FaultNotJSON, FaultEmpty, FaultBody:
		return f.reply()
	case FaultErrorAfter:
		return failure
	case FaultDelay:
		wait()
	}
	return out
}

func orText(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

// stale returns an earlier result of the same call.
func (r *RPC) stale(c rpcCall) (json.RawMessage, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a, known := r.answers[c.key()]
	if a.before != nil {
		return a.before, true
	}
	return a.last, known
}

// remember keeps the result of a single call.
func (r *RPC) remember(c rpcCall, body []byte) {
	var answer struct{ Result json.RawMessage }
	if !c.single || json.Unmarshal(body, &answer) != nil || answer.Result == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.answers) >= mostAnswers {
		r.answers = map[string]answers{}
	}
	a := r.answers[c.key()]
	if !bytes.Equal(a.last, answer.Result) {
		r.answers[c.key()] = answers{last: answer.Result, before: a.last}
	}
}

// ask has a handler answer a request with this body.
func ask(next http.Handler, q *http.Request, body []byte) reply {
	again := q.Clone(q.Context())
	again.Body = io.NopCloser(bytes.NewReader(body))
	w := &answerRecorder{reply: reply{status: http.StatusOK, header: http.Header{}}}
	next.ServeHTTP(w, again)
	return w.reply
}

// answerRecorder keeps what a handler answers.
type answerRecorder struct{ reply }

// Header returns the header that will be kept.
func (w *answerRecorder) Header() http.Header { return w.header }

// WriteHeader keeps the status.
func (w *answerRecorder) WriteHeader(status int) { w.status = status }

// Write keeps a part of the body.
func (w *answerRecorder) Write(p []byte) (int, error) {
	w.body = append(w.body, p...)
	return len(p), nil
}

// controlRPC adds the knobs of the chain's endpoint, if the Market was given one.
func (m *Market) controlRPC(mux *http.ServeMux) {
	rpc := m.opt.RPC
	if rpc == nil {
		return
	}
	mux.HandleFunc("GET /rpc/faults", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, rpc.Faults()) })
	mux.HandleFunc("POST /rpc/faults", func(w http.ResponseWriter, r *http.Request) {
		var f Fault
		err := readJSON(r, &f)
		if err == nil {
			f.ID, err = rpc.Inject(f)
		}
		if err != nil {
			writeFault(w, err)
			return
		}
		writeJSON(w, f)
	})
	mux.HandleFunc("DELETE /rpc/faults", func(w http.ResponseWriter, _ *http.Request) { rpc.ClearFaults(0); w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("DELETE /rpc/faults/{id}", func(w http.ResponseWriter, r *http.Request) {
		id, err := strconv.Atoi(r.PathValue("id"))
		if err != nil || id < 1 {
			writeFault(w, errors.New("a fault's id is a number from 1 on"))
			return
		}
		rpc.ClearFaults(id)
		w.WriteHeader(http.StatusNoContent)
	})
	if evm, can := m.chain.(interface{ Reorg(depth uint64) error }); can {
		mux.HandleFunc("POST /chain/reorg", func(w http.ResponseWriter, r *http.Request) {
			var body struct {
				Depth uint64 `json:"depth"`
			}
			err := readJSON(r, &body)
			if err == nil {
				err = evm.Reorg(body.Depth)
			}
			if err != nil {
				writeFault(w, err)
				return
			}
			w.WriteHeader(http.StatusNoContent)
		})
	}
}

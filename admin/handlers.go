// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"go.uber.org/zap"
)

// handler routes the API. Everything is below /v1 but the status page and the
// profiles, which only operators may see.
func (s *Server) handler() http.Handler {
	d := s.cfg.Daemon
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.statusPage)
	mux.HandleFunc("GET /v1/status", serve(func(r *http.Request) (any, error) { return d.Status(r.Context()) }))
	mux.HandleFunc("GET /v1/purchases", serve(s.purchases))
	mux.HandleFunc("GET /v1/purchases/{id}", serve(func(r *http.Request) (any, error) { return d.Purchase(r.Context(), r.PathValue("id")) }))
	mux.HandleFunc("GET /v1/purchases/{id}/result", serve(func(r *http.Request) (any, error) { return d.Result(r.Context(), r.PathValue("id")) }))
	mux.HandleFunc("GET /v1/purchases/{id}/wait", serve(s.wait))
	mux.HandleFunc("POST /v1/purchases", serve(s.buy))
	mux.HandleFunc("GET /v1/explain/{need}", serve(func(r *http.Request) (any, error) { return d.Explain(r.Context(), r.PathValue("need")) }))
	mux.HandleFunc("GET /v1/policy", serve(func(r *http.Request) (any, error) { return d.Policy(r.Context()) }))
	mux.HandleFunc("GET /v1/pairing", serve(func(r *http.Request) (any, error) { return d.Pairing(r.Context()) }))
	mux.HandleFunc("GET /v1/ledger/verify", serve(func(r *http.Request) (any, error) { return d.LedgerVerify(r.Context()) }))
	mux.HandleFunc("GET /v1/market/{kind}", serve(s.market))
	mux.HandleFunc("GET /v1/log-level", serve(s.logLevel))
	// Stopping is open to whoever may ask: it can only make less happen.
	mux.HandleFunc("POST /v1/pause", serve(s.pause))

	operator := func(pattern, action string, do func(r *http.Request, by string) (any, error)) {
		mux.HandleFunc(pattern, serve(func(r *http.Request) (any, error) { return s.decide(r, action, do) }))
	}
	operator("POST /v1/resume", "resume", func(r *http.Request, by string) (any, error) { return nil, d.Resume(r.Context(), by) })
	operator("POST /v1/purchases/{id}/approve", "approve", func(r *http.Request, by string) (any, error) {
		return d.Approve(r.Context(), r.PathValue("id"), by)
	})
	operator("POST /v1/purchases/{id}/deny", "deny", func(r *http.Request, by string) (any, error) {
		return d.Deny(r.Context(), r.PathValue("id"), by)
	})
	operator("POST /v1/purchases/{id}/resolve", "resolve", s.resolve)
	operator("POST /v1/pairing/rotate", "pairing rotate", func(r *http.Request, _ string) (any, error) { return d.RotatePairing(r.Context()) })
	operator("POST /v1/pairing/create", "pairing create", func(r *http.Request, _ string) (any, error) { return d.CreatePairing(r.Context()) })
	operator("POST /v1/pairing/revoke", "pairing revoke", func(r *http.Request, _ string) (any, error) { return d.RevokePairing(r.Context()) })
	operator("POST /v1/ledger/accept", "ledger accept", s.acceptTransfers)
	operator("PUT /v1/log-level", "log-level", s.setLogLevel)
	mux.HandleFunc("GET /debug/pprof/{$}", s.profiles)
	mux.HandleFunc("GET /debug/pprof/{name}", s.profiles)
	mux.HandleFunc("/", serve(func(*http.Request) (any, error) {
		return nil, &Error{Code: CodeNotFound, Text: "no such path in the local API"}
	}))
	return bounded(mux)
}

// bounded limits every request's body.
func bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxRequest)
		next.ServeHTTP(w, r)
	})
}

// serve turns a function into a handler that answers in JSON.
func serve(do func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		answer, err := do(r)
		if err != nil {
			failure := asError(err)
			write(w, failure.status(), map[string]any{"error": failure})
			return
		}
		if answer == nil {
			answer = struct{}{}
		}
		write(w, http.StatusOK, answer)
	}
}

func write(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if raw, ok := v.(json.RawMessage); ok {
		_, _ = w.Write(raw) // as it is; the caller may be gone
		return
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v)
}

// asError makes every error an *Error.
func asError(err error) *Error {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{Code: CodeUnavailable, Text: err.Error(), Next: "try again"}
	case errors.Is(err, context.Canceled):
		return &Error{Code: CodeUnavailable, Text: "the daemon is stopping", Next: "try again once it runs"}
	default:
		return &Error{Code: CodeInternal, Text: err.Error()}
	}
}

// decide runs what only operators may do, and records who did it.
func (s *Server) decide(r *http.Request, action string, do func(*http.Request, string) (any, error)) (any, error) {
	peer, err := s.operator(r, action)
	if err != nil {
		return nil, err
	}
	answer, err := do(r, peer.String())
	fields := []zap.Field{
		zap.String("action", action), zap.Stringer("by", peer), zap.Int32("pid", peer.PID),
		zap.String("purchase_id", r.PathValue("id")), zap.Bool("done", err == nil),
	}
	s.log.Info("operator command", fields...)
	return answer, err
}

func (s *Server) operator(r *http.Request, action string) (Peer, error) {
	peer, err := peerOf(r.Context())
	by := "unknown"
	if err == nil {
		by = peer.String()
		err = mayDecide(peer, s.cfg.Operators)
	}
	if err != nil {
		s.log.Warn("operator command refused", zap.String("action", action), zap.String("by", by), zap.Error(err))
		return Peer{}, &Error{
			Code: CodeNotPermitted, Text: action + " is for operators: " + err.Error(),
			Next: "run it as root, or as a member of the group " + s.cfg.Operators,
		}
	}
	return peer, nil
}

// decodeBody reads one strict JSON value.
func decodeBody(r *http.Request, into any) error {
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return &Error{Code: CodeUsage, Text: "the body is not the JSON object that is expected: " + err.Error()}
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return &Error{Code: CodeUsage, Text: "the body has more than one JSON value"}
	}
	return nil
}

func usage(text string) error { return &Error{Code: CodeUsage, Text: text} }

func (s *Server) purchases(r *http.Request) (any, error) {
	q := PurchaseQuery{Need: r.FormValue("need"), Open: r.FormValue("open") == "true"}
	var err error
	if q.Limit, err = number(r, "limit", 50, 1000); err != nil {
		return nil, err
	}
	list, err := s.cfg.Daemon.Purchases(r.Context(), q)
	if list == nil {
		list = []Purchase{}
	}
	return list, err
}

// number reads a whole number from 1 to most; an absent one is the default.
func number(r *http.Request, name string, otherwise, most int) (int, error) {
	text := r.FormValue(name)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		return 0, usage(name + " is not a number from 1 to " + strconv.Itoa(most))
	}
	return n, nil
}

func (s *Server) wait(r *http.Request) (any, error) {
	limit := maxWait
	if text := r.FormValue("timeout"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 {
			return nil, usage("timeout is not a duration")
		}
		limit = min(limit, d)
	}
	ctx, cancel := context.WithTimeout(r.Context(), limit)
	defer cancel()
	return s.cfg.Daemon.Wait(ctx, r.PathValue("id"))
}

func (s *Server) buy(r *http.Request) (any, error) {
	var request BuyRequest
	if err := decodeBody(r, &request); err != nil {
		return nil, err
	}
	if request.Need == "" {
		return nil, usage("need is missing")
	}
	if len(request.Input) > 0 {
		var object map[string]json.RawMessage
		if err := json.Unmarshal(request.Input, &object); err != nil || object == nil {
			return nil, usage("input is not a JSON object")
		}
	}
	return s.cfg.Daemon.Buy(r.Context(), request)
}

func (s *Server) market(r *http.Request) (any, error) {
	q := MarketQuery{
		Kind: MarketKind(r.PathValue("kind")), ID: r.FormValue("id"),
		ServiceType: r.FormValue("serviceType"), Provider: r.FormValue("provider"),
	}
	if !known(q.Kind) {
		return nil, usage("there are no records of the kind " + strconv.Quote(string(q.Kind)))
	}
	if q.ID == "" && (q.Kind == MarketOrder || q.Kind == MarketSearches) {
		return nil, usage(string(q.Kind) + " needs an id")
	}
	var err error
	if q.Limit, err = number(r, "limit", 100, 500); err != nil {
		return nil, err
	}
	return s.cfg.Daemon.Market(r.Context(), q)
}

func known(kind MarketKind) bool {
	for _, k := range MarketKinds() {
		if k == kind {
			return true
		}
	}
	return false
}

func (s *Server) pause(r *http.Request) (any, error) {
	by := "unknown"
	if peer, err := peerOf(r.Context()); err == nil {
		by = peer.String()
	}
	return nil, s.cfg.Daemon.Pause(r.Context(), by)
}

func (s *Server) resolve(r *http.Request, by string) (any, error) {
	var resolution Resolution
	if err := decodeBody(r, &resolution); err != nil {
		return nil, err
	}
	switch resolution.Action {
	case ActionConfirm, ActionCancelTransaction:
	case ActionDispute, ActionReference:
		if resolution.Text == "" {
			return nil, usage(string(resolution.Action) + " needs a text")
		}
	default:
		return nil, usage("the action is confirm, dispute, reference or cancel-transaction")
	}
	return s.cfg.Daemon.Resolve(r.Context(), r.PathValue("id"), resolution, by)
}

// acceptBody names the transactions of transfers that are in no purchase.
type acceptBody struct {
	Transactions []string `json:"transactions"`
}

func (s *Server) acceptTransfers(r *http.Request, by string) (any, error) {
	var body acceptBody
	if err := decodeBody(r, &body); err != nil {
		return nil, err
	}
	if len(body.Transactions) == 0 {
		return nil, usage("transactions are missing")
	}
	return s.cfg.Daemon.LedgerAccept(r.Context(), body.Transactions, by)
}

// levelBody is the body of the log level, as zap's own handler spells it.
type levelBody struct {
	Level string `json:"level"`
}

func (s *Server) logLevel(r *http.Request) (any, error) {
	level, err := s.cfg.Daemon.LogLevel(r.Context())
	return levelBody{Level: level}, err
}

func (s *Server) setLogLevel(r *http.Request, _ string) (any, error) {
	var body levelBody
	if err := decodeBody(r, &body); err != nil {
		return nil, err
	}
	switch body.Level {
	case "debug", "info", "warn", "error":
		return body, s.cfg.Daemon.SetLogLevel(r.Context(), body.Level)
	default:
		return nil, usage("the level is debug, info, warn or error")
	}
}

func (s *Server) statusPage(w http.ResponseWriter, r *http.Request) {
	status, err := s.cfg.Daemon.Status(r.Context())
	if err != nil {
		serve(func(*http.Request) (any, error) { return nil, err })(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_ = WriteStatus(w, status) // the caller may be gone
}

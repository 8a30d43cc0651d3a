// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"net/http"
	"strconv"

	"github.com/ethereum/go-ethereum/common"
)

// controlRoutes are the knobs: faults, conditions, sessions, identities, services, and what happened so far.
func (m *Market) controlRoutes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /info", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, m.Info()) })
	mux.HandleFunc("GET /stats", m.controlStats)
	mux.HandleFunc("GET /operations", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, Operations()) })
	mux.HandleFunc("GET /faults", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, m.Faults()) })
	mux.HandleFunc("POST /faults", m.controlInject)
	mux.HandleFunc("DELETE /faults", func(w http.ResponseWriter, _ *http.Request) { m.ClearFaults(0); w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("DELETE /faults/{id}", func(w http.ResponseWriter, r *http.Request) {
		id, err := strconv.Atoi(r.PathValue("id"))
		if err != nil || id < 1 {
			writeFault(w, errors.New("a fault's id is a number from 1 on"))
			return
		}
		m.ClearFaults(id)
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /conditions", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, m.Conditions()) })
	mux.HandleFunc("POST /conditions", m.controlConditions)
	mux.HandleFunc("POST /sessions/lose", func(w http.ResponseWriter, _ *http.Request) { m.LoseSessions(); w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("POST /identities/{number}", m.controlIdentity)
	mux.HandleFunc("GET /services", m.controlServices)
	mux.HandleFunc("POST /services/{id}", m.controlService)
	m.controlRPC(mux)
	mux.HandleFunc("POST /orders/{id}/resolve", m.controlResolve)
	return mux
}

// Operations returns the names that faults and the journal use.
func Operations() []string {
	var names []string
	for _, op := range operations() {
		names = append(names, op.name)
	}
	return names
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // a client that has gone is no fault of the market
}

func writeFault(w http.ResponseWriter, err error) {
	status := http.StatusBadRequest
	var no *refusal
	if errors.As(err, &no) {
		status = no.status
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": err.Error()}) // as above
}

// readJSON reads a control body onto v, which keeps what the body leaves out. Unknown members are refused: a misspelt knob would
// turn nothing.
func readJSON(r *http.Request, v any) error {
	decoder := json.NewDecoder(io.LimitReader(r.Body, mostBody))
	decoder.DisallowUnknownFields()
	return decoder.Decode(v)
}

func (m *Market) controlInject(w http.ResponseWriter, r *http.Request) {
	var f Fault
	if err := readJSON(r, &f); err != nil {
		writeFault(w, err)
		return
	}
	id, err := m.Inject(f)
	if err != nil {
		writeFault(w, err)
		return
	}
	f.ID = id
	writeJSON(w, f)
}

func (m *Market) controlConditions(w http.ResponseWriter, r *http.Request) {
	conditions := m.Conditions()
	if err := readJSON(r, &conditions); err != nil {
		writeFault(w, err)
		return
	}
	m.SetConditions(conditions)
	writeJSON(w, conditions)
}

func (m *Market) controlIdentity(w http.ResponseWriter, r *http.Request) {
	number, read := new(big.Int).SetString(r.PathValue("number"), 10)
	if !read || number.Sign() < 0 || number.Cmp(maxNumber) > 0 {
		writeFault(w, errors.New("an identity's number is a decimal of 256 bits"))
		return
	}
	var body struct {
		Address     common.Address   `json:"address"`
		Controllers []common.Address `json:"controllers"`
	}
	if err := readJSON(r, &body); err != nil {
		writeFault(w, err)
		return
	}
	m.SetIdentity(Identity{Number: number, Address: body.Address, Controllers: body.Controllers})
	w.WriteHeader(http.StatusNoContent)
}

func (m *Market) controlServices(w http.ResponseWriter, _ *http.Request) { writeJSON(w, m.Services()) }

// Services returns copies of the services with their knobs.
func (m *Market) Services() []Service {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := []Service{}
	for _, s := range m.services.all() {
		out = append(out, *s)
	}
	return out
}

func (m *Market) controlService(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(io.LimitReader(r.Body, mostBody))
	if err != nil {
		writeFault(w, err)
		return
	}
	var bad error
	var changed Service
	err = m.UpdateService(r.PathValue("id"), func(s *Service) {
		edited := *s
		if bad = json.Unmarshal(text, &edited); bad == nil {
			*s = edited
		}
		changed = *s
	})
	if err == nil {
		err = bad
	}
	if err != nil {
		writeFault(w, err)
		return
	}
	writeJSON(w, changed)
}

// Stats counts what happened.
type Stats struct {
	Orders   map[string]int `json:"orders"`   // by status
	Payments map[string]int `json:"payments"` // by status
	Calls    map[string]int `json:"calls"`    // by operation
	// Settlements are the x402 authorisations that this market settled.
	Settlements int `json:"settlements"`
	// Transfers are all transfers of the token on the chain since genesis.
	Transfers int `json:"transfers"`
}

// Stats returns what happened so far.
func (m *Market) Stats(ctx context.Context) (Stats, error) {
	s := Stats{Orders: map[string]int{}, Payments: map[string]int{}, Calls: map[string]int{}}
	moved, err := m.chain.Transfers(ctx, 0)
	if err != nil {
		return s, err
	}
	s.Transfers = len(moved)
	m.faults.mu.Lock()
	for op, n := range m.faults.calls {
		s.Calls[op] = n
	}
	m.faults.mu.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, o := range m.orders.all() {
		s.Orders[o.status]++
		if o.payment != nil {
			s.Payments[o.payment.status]++
			if o.payment.paid.settled != (common.Hash{}) {
				s.Settlements++
			}
		}
	}
	return s, nil
}

func (m *Market) controlStats(w http.ResponseWriter, r *http.Request) {
	stats, err := m.Stats(r.Context())
	if err != nil {
		writeFault(w, err)
		return
	}
	writeJSON(w, stats)
}

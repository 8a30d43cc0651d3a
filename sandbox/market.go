// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common"
)

// Market is one local Machine Market with all its state. Its methods are safe for concurrent use.
type Market struct {
	opt     Options
	chain   Chain
	signKey []byte // of the pairing tokens
	stopped chan struct{}
	stop    sync.Once
	tasks   sync.WaitGroup // settlements that come later than their execute
	sending sync.Mutex     // one transaction of the owner's or a seller's at a time

	mux     *http.ServeMux
	control *http.ServeMux
	journal *journal
	faults  *faults

	mu         sync.Mutex
	ids        counter
	info       Info
	conditions Conditions
	identities []*Identity
	challenges map[string]*challenge
	machines   table[*machine]
	pairings   table[*pairing]
	agents     table[*agent]
	endpoints  table[*endpoint]
	skills     map[string]*skillConfig
	services   table[*Service]
	searches   table[*search]
	quotes     map[string]*quote
	orders     table[*order]
	policies   table[*policy]
	audit      []auditEvent
	sellers    map[common.Address]seller
	hashes     map[string]string // transaction hash or authorisation nonce -> order that it pays
}

// Conditions are the surroundings of the Market, which a test may break.
type Conditions struct {
	// NotReady makes readiness answer not_ready with 503.
	NotReady bool `json:"notReady"`
	// IdentityDown makes identity look-ups fail with PEAQOS_IDENTITY_UNAVAILABLE.
	IdentityDown bool `json:"identityDown"`
	// PairingDown makes the pairing calls fail with AGENT_PAIRING_UNAVAILABLE.
	PairingDown bool `json:"pairingDown"`
	// NoRPC makes proofs in rpc mode fail with PAYMENT_RPC_REQUIRED.
	NoRPC bool `json:"noRpc"`
	// RPCDown makes proofs in rpc mode fail with PAYMENT_RPC_ERROR.
	RPCDown bool `json:"rpcDown"`
	// SettleDown makes settlements of x402 authorisations fail before they reach the chain.
	SettleDown bool `json:"settleDown"`
}

// New makes a Market. Close ends what it starts.
func New(opt Options) (*Market, error) {
	opt, err := opt.withDefaults()
	if err != nil {
		return nil, err
	}
	m := &Market{
		opt:        opt,
		chain:      opt.Chain,
		signKey:    make([]byte, 32),
		stopped:    make(chan struct{}),
		faults:     &faults{calls: map[string]int{}},
		challenges: map[string]*challenge{},
		skills:     map[string]*skillConfig{},
		quotes:     map[string]*quote{},
		hashes:     map[string]string{},
	}
	m.journal = &journal{out: opt.Journal, now: opt.Now}
	tag := make([]byte, 2)
	if m.sellers, err = sellersOf(opt.SellerKeys); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(opt.Random, m.signKey); err != nil {
		return nil, fmt.Errorf("sandbox: token key: %w", err)
	}
	if _, err := io.ReadFull(opt.Random, tag); err != nil {
		return nil, fmt.Errorf("sandbox: id tag: %w", err)
	}
	m.ids.tag = hex.EncodeToString(tag)
	for i := range opt.Identities {
		identity := opt.Identities[i]
		m.identities = append(m.identities, &identity)
	}
	for i := range opt.Services {
		if err := m.addService(opt.Services[i]); err != nil {
			return nil, err
		}
	}
	m.mux = m.routes()
	m.control = m.controlRoutes()
	return m, nil
}

// Handler is the API: /api/v1, and /health at the root.
func (m *Market) Handler() http.Handler { return m.mux }

// Control is the port that turns the knobs; see the control routes.
func (m *Market) Control() http.Handler { return m.control }

// Close waits for settlements under way and stops those that wait for their time.
func (m *Market) Close() error {
	m.stop.Do(func() {
		m.mu.Lock() // so that no settlement starts after the wait has begun
		defer m.mu.Unlock()
		close(m.stopped)
	})
	m.tasks.Wait()
	return nil
}

// Conditions returns the surroundings as they are.
func (m *Market) Conditions() Conditions {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.conditions
}

// SetConditions changes the surroundings.
func (m *Market) SetConditions(c Conditions) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.conditions = c
	m.journal.state("conditions", "market", c)
}

// LoseSessions forgets every pairing session, as an orchestration that restarts without its sessions does: the tokens turn
// AGENT_AUTH_INVALID, the pairings stay.
func (m *Market) LoseSessions() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.pairings.all() {
		p.session = session{}
	}
	m.journal.state("sessions.lost", "market", nil)
}

// outside runs f without the market's lock, which the caller holds. Whatever waits or asks the chain goes through here: what
// was read before must be read again afterwards.
func (m *Market) outside(f func()) {
	m.mu.Unlock()
	defer m.mu.Lock()
	f()
}

// pause waits for d or until the market is closed; it reports whether the time passed. The lock must not be held.
func (m *Market) pause(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-m.stopped:
		return false
	}
}

func (m *Market) now() time.Time { return m.opt.Now().UTC() }

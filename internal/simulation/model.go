// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/market"
	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
)

// holding is what the ledger holds of a purchase, as its commits said.
type holding struct {
	state  market.State
	reason policy.Reason
	order  string
	value  money.Value
	status policy.ReservationStatus // "" for none
	at     time.Time                // of the settlement
	// renewed says that an authorisation of it died and it signs again.
	renewed bool
}

// holdings are those of all purchases in the ledger; an older copy of the ledger
// brings them back as they were.
type holdings struct {
	of map[policy.PurchaseID]holding
}

func (h *holdings) copied() *holdings { return &holdings{of: maps.Clone(h.of)} }

// fact is what is true of a purchase, whatever the ledger remembers.
type fact struct {
	granted bool
	// txs are the transactions and nonces the authorisations that were signed for it.
	txs    map[common.Hash]signedTx
	nonces map[[32]byte]time.Time // validBefore
	// orders are those that the Market made for it, with what it quoted.
	orders map[string]quoted
	// doubled is how many requests for an order the network doubled.
	doubled  int
	searches map[string]int
}

// signedTx is a transaction that left the buyer.
type signedTx struct {
	nonce uint64
}

// quoted is what the Market asked for an order.
type quoted struct {
	search string
	amount money.Amount
	payee  common.Address
	// held is when the Market first had its payment.
	held time.Time
}

// model knows what must hold and compares it with the world. It sees the world
// from outside: the commits of the ledger, the requests on the network, the chain.
type model struct {
	world *world

	mu       sync.Mutex
	now      *holdings
	facts    map[policy.PurchaseID]*fact
	txOwner  map[common.Hash]policy.PurchaseID
	owner    map[[32]byte]policy.PurchaseID
	sentTxs  []common.Hash
	quotes   map[string]quoted // by the quote's id
	usedBy   map[common.Hash]policy.PurchaseID
	payments []payment // on the chain, as of the last look
	looked   uint64    // the block below which they are there for good
	seen     map[common.Hash]bool
	findings []string
	restores int
	// spoken are purchases that a person's word sent on, true or not.
	spoken  map[policy.PurchaseID]bool
	drift   time.Duration
	suspect bool // the last audit found something
}

func newModel(w *world) *model {
	return &model{world: w, now: &holdings{of: map[policy.PurchaseID]holding{}}, facts: map[policy.PurchaseID]*fact{},
		txOwner: map[common.Hash]policy.PurchaseID{}, owner: map[[32]byte]policy.PurchaseID{}, quotes: map[string]quoted{},
		usedBy: map[common.Hash]policy.PurchaseID{}, spoken: map[policy.PurchaseID]bool{}, seen: map[common.Hash]bool{}}
}

// find notes something that must not be.
func (m *model) find(text string, args ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.note(text, args...)
}

// note is find for those who hold the lock.
func (m *model) note(text string, args ...any) {
	finding := fmt.Sprintf(text, args...)
	m.world.trace.add("FINDING", "%s", finding)
	if len(m.findings) < 20 {
		m.findings = append(m.findings, finding)
	}
}

func (m *model) fact(id policy.PurchaseID) *fact {
	f := m.facts[id]
	if f == nil {
		f = &fact{txs: map[common.Hash]signedTx{}, nonces: map[[32]byte]time.Time{},
			orders: map[string]quoted{}, searches: map[string]int{}}
		m.facts[id] = f
	}
	return f
}

func (m *model) created(p *ledger.Purchase) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fact(p.ID)
	m.now.of[p.ID] = holding{state: market.State(p.State)}
}

// follow takes a move over.
func (h *holding) follow(mv *ledger.Move) {
	if mv != nil {
		h.state, h.reason, h.order = market.State(mv.Purchase.State), mv.Purchase.Reason, mv.Purchase.OrderID
		h.renewed = h.renewed || mv.Event == string(market.EventRenew)
	}
}

func (m *model) moved(mv *ledger.Move) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.now.of[mv.Purchase.ID]
	h.follow(mv)
	m.now.of[mv.Purchase.ID] = h
	if h.state == market.Paying {
		m.checkHeld(mv.Purchase.ID, h.order)
	}
}

func (m *model) reserved(req *policy.Request, at time.Time, mv *ledger.Move) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.now.of[req.Purchase]
	h.follow(mv)
	h.value, h.status = req.Reserves(), policy.ReservationOpen
	m.now.of[req.Purchase] = h
	m.checkLimits(req.Purchase, at)
}

func (m *model) bound(id policy.PurchaseID, t *policy.Terms, value money.Value, at time.Time, mv *ledger.Move) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fact(id).granted = true
	h := m.now.of[id]
	h.follow(mv)
	h.value = value
	m.now.of[id] = h
	m.checkLimits(id, at)
	if want, known := m.fact(id).orders[h.order]; known && (want.amount != t.Amount || want.payee != t.Payee) {
		m.note("purchase %s was granted %s to %s, quoted were %s to %s", id, t.Amount, t.Payee, want.amount, want.payee)
	}
}

func (m *model) settled(t ledger.Settlement, mv *ledger.Move) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.now.of[t.Purchase]
	h.follow(mv)
	h.value, h.status, h.at = t.Value, policy.ReservationSettled, t.At
	m.now.of[t.Purchase] = h
}

func (m *model) released(id policy.PurchaseID, mv *ledger.Move) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.now.of[id]
	h.follow(mv)
	if h.status == policy.ReservationOpen {
		h.status = policy.ReservationReleased
		if !m.spoken[id] { // what a person says of a forgotten payment is his to answer for
			m.checkDead(id)
		}
	}
	m.now.of[id] = h
}

func (m *model) refunded(id policy.PurchaseID, _ string, mv *ledger.Move) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.now.of[id]
	h.follow(mv)
	h.status = policy.ReservationRefunded
	m.now.of[id] = h
}

func (m *model) copied() *holdings {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now.copied()
}

func (m *model) restored(h *holdings) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now = h.copied()
	m.restores++
}

func (m *model) drifted(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.drift = max(m.drift, d.Abs())
}

// audited takes what an audit of the ledger said. Before any older ledger came
// back, it must have found nothing.
func (m *model) audited(findings []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.suspect = len(findings) > 0
	if m.suspect && m.restores == 0 && !m.world.climate.lies {
		m.note("the audit found: %s", findings[0])
	}
}

// sent returns the transactions that left the buyer, the oldest first.
func (m *model) sent() []common.Hash {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sentTxs
}

// sentOn notes that a person decided about a purchase.
func (m *model) sentOn(id policy.PurchaseID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.spoken[id] = true
}

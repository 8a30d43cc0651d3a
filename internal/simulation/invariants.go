// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"context"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/market"
	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/sandbox/chain"
)

// lookAgo is how long before it begins to pay the buyer may have looked at the
// payment: the longest that an answer takes.
const lookAgo = 40 * time.Second

// checkLimits holds what is settled and reserved against the limits, at the commit
// that reserves or grants.
func (m *model) checkLimits(id policy.PurchaseID, at time.Time) {
	rules := &m.world.climate.rules
	for _, w := range rules.Windows {
		if sum := m.taken(w.Start(at)); sum > w.Limit {
			m.note("purchase %s brings the window %s to %s, above %s", id, w, sum, w.Limit)
		}
	}
	if sum := m.taken(time.Time{}); rules.Lifetime > 0 && sum > rules.Lifetime {
		m.note("purchase %s brings the lifetime to %s, above %s", id, sum, rules.Lifetime)
	}
	if v := m.now.of[id].value; v > rules.PerPurchase {
		m.note("purchase %s reserves %s, above %s", id, v, rules.PerPurchase)
	}
}

// taken sums what is reserved, and what was settled since a time.
func (m *model) taken(since time.Time) (sum money.Value) {
	for _, h := range m.now.of {
		if h.status == policy.ReservationOpen || h.status == policy.ReservationSettled && h.at.After(since) {
			sum += h.value
		}
	}
	return sum
}

// checkHeld says that nobody begins to pay for an order whose payment the Market
// holds already, and says so to whoever looks.
func (m *model) checkHeld(id policy.PurchaseID, order string) {
	q, known := m.fact(id).orders[order]
	if m.restores > 0 && m.now.of[id].renewed {
		return // what an older ledger renews has the nonce of what it does not know
	}
	if known && !q.held.IsZero() && time.Since(q.held) > lookAgo && !m.lapsed(id) {
		m.note("purchase %s begins to pay order %s, whose payment was held before", id, order)
	}
}

// lapsed says that what was signed for a purchase are authorisations that can no
// longer be used: then it may sign again.
func (m *model) lapsed(id policy.PurchaseID) bool {
	f := m.fact(id)
	head, err := m.world.chain.Head(context.Background())
	if err != nil || len(f.txs) > 0 {
		return false
	}
	for nonce, end := range f.nonces {
		used, err := m.world.chain.AuthorizationState(context.Background(), m.world.agent.Address(), nonce)
		if err != nil || used || int64(head.Time) < end.Unix() { //nolint:gosec // a block time
			return false
		}
	}
	return true
}

// checkDead says that a reservation ends only when what was signed for it has not
// moved value and never will.
func (m *model) checkDead(id policy.PurchaseID) {
	ctx, f := context.Background(), m.fact(id)
	for hash, tx := range f.txs {
		receipt, err := m.world.chain.Receipt(ctx, hash)
		switch {
		case err != nil:
			m.note("no receipt of %s: %v", hash, err)
		case receipt != nil && receipt.Status == 1:
			m.note("the reservation of %s was released, transaction %s moved its value", id, hash)
		case receipt == nil && m.world.chainNonce() <= tx.nonce:
			m.note("the reservation of %s was released, transaction %s may still move its value", id, hash)
		}
	}
	for nonce, end := range f.nonces {
		used, err := m.world.chain.AuthorizationState(ctx, m.world.agent.Address(), nonce)
		head, headErr := m.world.chain.Head(ctx)
		switch {
		case err != nil || headErr != nil:
			m.note("no state of an authorisation of %s: %v %v", id, err, headErr)
		case used:
			m.note("the reservation of %s was released, its authorisation was used", id)
		case int64(head.Time) < end.Unix(): //nolint:gosec // a block time
			m.note("the reservation of %s was released, its authorisation is good until %s", id, end.UTC())
		}
	}
}

// chainNonce is the number of the buyer's transactions on the chain.
func (w *world) chainNonce() uint64 {
	eth, err := chain.Dial(w.chain.Handler())
	if err != nil {
		return 0
	}
	defer eth.Close()
	n, err := eth.NonceAt(context.Background(), w.agent.Address(), nil)
	if err != nil {
		return 0
	}
	return n
}

var topicAuthorizationUsed = crypto.Keccak256Hash([]byte("AuthorizationUsed(address,bytes32)"))

// ownerOf finds the purchase that a transfer on the chain was made for.
func (m *model) ownerOf(tx common.Hash) (policy.PurchaseID, bool) {
	if id, known := m.txOwner[tx]; known {
		return id, true
	}
	if id, known := m.usedBy[tx]; known {
		return id, true
	}
	receipt, err := m.world.chain.Receipt(context.Background(), tx)
	if err != nil || receipt == nil {
		return "", false
	}
	for _, l := range receipt.Logs {
		if len(l.Topics) == 3 && l.Topics[0] == topicAuthorizationUsed {
			id, known := m.owner[l.Topics[2]]
			if known {
				m.usedBy[tx] = id
			}
			return id, known
		}
	}
	return "", false
}

// settledDepth is how many blocks below the head nothing is reorganised any more.
const settledDepth = 16

// payment is a transfer on the chain and the purchase that it was made for.
type payment struct {
	chain.Transfer
	owner policy.PurchaseID
}

// look compares the chain with what must hold.
func (m *model) look() {
	recent, head := m.transfers(m.looked)
	m.mu.Lock()
	defer m.mu.Unlock()
	kept := m.payments[:0]
	for _, p := range m.payments {
		if p.Block < m.looked {
			kept = append(kept, p)
		}
	}
	m.payments = kept
	for _, t := range recent {
		id, known := m.ownerOf(t.Tx)
		if !known {
			m.once(t.Tx, "transfer %s of %s to %s belongs to no purchase", t.Tx, t.Value, t.To)
		}
		m.payments = append(m.payments, payment{t, id})
	}
	m.looked = head - min(head, settledDepth)
	m.checkPayments()
}

// checkPayments looks at all payments that are on the chain now.
func (m *model) checkPayments() {
	byPurchase := map[policy.PurchaseID]int{}
	for _, p := range m.payments {
		if p.owner == "" {
			continue
		}
		f := m.fact(p.owner)
		if byPurchase[p.owner]++; byPurchase[p.owner] == 2 {
			m.once(p.Tx, "purchase %s was paid twice", p.owner)
		}
		if !f.granted {
			m.once(p.Tx, "purchase %s was paid and never granted", p.owner)
		}
		if !f.fits(p.Transfer) {
			m.once(p.Tx, "purchase %s paid %s to %s, which nobody quoted", p.owner, p.Value, p.To)
		}
	}
}

// once notes a finding about a transaction the first time.
func (m *model) once(tx common.Hash, text string, args ...any) {
	if !m.seen[tx] {
		m.seen[tx] = true
		m.note(text, args...)
	}
}

// fits says whether a transfer is what one of the purchase's orders was quoted at.
func (f *fact) fits(t chain.Transfer) bool {
	for _, q := range f.orders {
		if q.amount.Big().Cmp(t.Value) == 0 && q.payee == t.To {
			return true
		}
	}
	return false
}

// transfers returns what left the buyer's account since a block, in the order of
// the chain, and the newest block.
func (m *model) transfers(since uint64) (mine []chain.Transfer, head uint64) {
	head = m.world.head()
	all, err := m.world.chain.Transfers(context.Background(), since)
	if err != nil {
		m.find("the transfers cannot be read: %v", err)
		return nil, head
	}
	for _, t := range all {
		if t.From == m.world.agent.Address() {
			mine = append(mine, t)
		}
	}
	return mine, head
}

// quiet says whether every purchase is final or waits for somebody for good.
func (m *model) quiet() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, h := range m.now.of {
		switch h.state.Kind() {
		case market.Active:
			return false
		case market.Waiting:
			if h.state != market.NeedsOperator && h.state != market.HandedOff {
				return false
			}
		}
	}
	return true
}

// judge looks at a world that has come to rest: no purchase is lost, the ledger
// agrees with itself, with what was committed and with the chain.
func (m *model) judge() {
	m.looked = 0
	m.look()
	report, err := m.world.life.ledger.Verify(context.Background())
	if err != nil {
		m.find("the ledger cannot be verified: %v", err)
		return
	}
	settled, err := m.world.life.ledger.SettledTransfers(context.Background())
	if err != nil {
		m.find("the settlements cannot be read: %v", err)
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range report.Findings {
		m.note("ledger verify: %s", f)
	}
	m.judgeStates()
	m.judgeSettled(settled)
	m.world.report.Transfers = len(m.payments)
}

func (m *model) judgeStates() {
	states := m.world.report.States
	for id := range m.facts {
		h, known := m.now.of[id]
		if !known {
			states["lost with the ledger"]++
			continue
		}
		states[strings.TrimSuffix(string(h.state)+": "+string(h.reason), ": ")]++
		p, err := m.world.life.ledger.Get(context.Background(), id)
		switch {
		case err != nil:
			m.note("purchase %s is lost: %v", id, err)
		case market.State(p.State) != h.state:
			m.note("purchase %s is %s, committed was %s", id, p.State, h.state)
		case h.state.Kind() == market.Active && m.denied(id, h.order):
			states["of these paid, and the Market says not"]++
		case h.state.Kind() == market.Active && !m.spoken[id]:
			m.note("purchase %s is still %s (%s)", id, h.state, h.reason)
		}
	}
}

// denied says that a purchase was paid to a seller who settled behind the Market's
// back, or that its order was paid in a life that is forgotten, perhaps with a
// signature that only that one had: no answer of the Market takes it further.
func (m *model) denied(id policy.PurchaseID, order string) bool {
	q := m.fact(id).orders[order]
	for _, p := range m.payments {
		if p.owner == id && (q.held.IsZero() || m.restores > 0) {
			return true
		}
	}
	return false
}

// judgeSettled holds the settled rows against the chain, where no older ledger
// came back and no endpoint lied about what is final.
func (m *model) judgeSettled(settled []ledger.Settlement) {
	if m.restores > 0 || m.world.climate.lies {
		return
	}
	rows := map[common.Hash]policy.PurchaseID{}
	for _, s := range settled {
		rows[common.HexToHash(s.Ref)] = s.Purchase
	}
	for _, p := range m.payments {
		if h := m.now.of[p.owner]; rows[p.Tx] != p.owner && h.status != policy.ReservationOpen {
			m.note("transfer %s of purchase %s is not in the ledger, which has it as %s (%s)", p.Tx, p.owner, h.state, h.status)
		}
		delete(rows, p.Tx)
	}
	for tx, id := range rows {
		m.note("purchase %s is settled by %s, which is not on the chain", id, tx)
	}
}

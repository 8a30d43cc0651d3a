// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/sandbox/chain"
)

// overhear notes what value a request could move from now on, whether or not it
// ever arrives: a transaction, or an authorisation that a greedy seller takes.
func (w *world) overhear(x *exchange) {
	switch {
	case x.name == "eth_sendRawTransaction":
		w.model.broadcast(x)
	case strings.HasSuffix(x.name, "/payment-proof") || strings.HasSuffix(x.name, "/execute"):
		auth, fresh := w.model.authorized(x)
		r := w.dice.roll("greed/" + x.who)
		if fresh && chance(r, w.weather().greed) {
			wait := span(r, time.Second, 3*time.Minute)
			w.report.fault("settled by the seller")
			w.errands.Go(func() {
				<-time.After(wait)
				ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
				defer cancel()
				w.waiting.Add(1)
				defer w.waiting.Add(-1)
				_, err := w.chain.Settle(ctx, auth)
				w.trace.add("seller", "settles for %s: %v", x.who, err)
			})
		}
	}
}

// broadcast notes a transaction that leaves the buyer.
func (m *model) broadcast(x *exchange) {
	var call rpcCall
	var raw hexutil.Bytes
	tx := new(types.Transaction)
	if json.Unmarshal(x.body, &call) != nil || len(call.Params) != 1 || json.Unmarshal(call.Params[0], &raw) != nil || tx.UnmarshalBinary(raw) != nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	id, hash := policy.PurchaseID(x.who), tx.Hash()
	if owner, known := m.txOwner[hash]; known && owner != id {
		m.note("transaction %s of purchase %s was sent for %s", hash, owner, id)
	}
	if _, known := m.txOwner[hash]; !known {
		m.txOwner[hash] = id
		m.sentTxs = append(m.sentTxs, hash)
		m.fact(id).txs[hash] = signedTx{nonce: tx.Nonce()}
	}
}

// authorized notes an authorisation that leaves the buyer; fresh says that it was
// not seen before.
func (m *model) authorized(x *exchange) (auth chain.Authorization, fresh bool) {
	var body struct {
		Payment *struct {
			PaymentSignature string `json:"paymentSignature"`
		} `json:"payment"`
	}
	if json.Unmarshal(x.body, &body) != nil || body.Payment == nil || body.Payment.PaymentSignature == "" {
		return auth, false
	}
	auth, ok := readAuthorization(body.Payment.PaymentSignature)
	if !ok {
		return auth, false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	id := policy.PurchaseID(x.who)
	if owner, known := m.owner[auth.Nonce]; known && owner != id {
		m.note("the nonce of purchase %s was used for %s", owner, id)
	}
	m.owner[auth.Nonce] = id
	end := time.Unix(auth.ValidBefore.Int64(), 0)
	last, known := m.fact(id).nonces[auth.Nonce]
	if !known || end.After(last) {
		m.fact(id).nonces[auth.Nonce] = end
	}
	return auth, !known || !end.Equal(last)
}

func readAuthorization(header string) (auth chain.Authorization, ok bool) {
	text, err := base64.StdEncoding.DecodeString(header)
	if err != nil {
		return auth, false
	}
	var said struct {
		Payload struct {
			Authorization struct {
				From, To, Value, ValidAfter, ValidBefore, Nonce string
			} `json:"authorization"`
			Signature string `json:"signature"`
		} `json:"payload"`
	}
	if json.Unmarshal(text, &said) != nil {
		return auth, false
	}
	a := said.Payload.Authorization
	auth.From, auth.To = common.HexToAddress(a.From), common.HexToAddress(a.To)
	for _, n := range []struct {
		to   **big.Int
		text string
	}{{&auth.Value, a.Value}, {&auth.ValidAfter, a.ValidAfter}, {&auth.ValidBefore, a.ValidBefore}} {
		if *n.to, ok = new(big.Int).SetString(n.text, 10); !ok {
			return auth, false
		}
	}
	auth.Nonce = common.HexToHash(a.Nonce)
	auth.Signature = common.FromHex(said.Payload.Signature)
	return auth, true
}

// processed notes what the Market made of a call: what it quoted, which orders it
// made, which payments it holds.
func (m *model) processed(x *exchange, out *recorder) {
	if out.status >= http.StatusMultipleChoices {
		return
	}
	switch {
	case x.name == "POST market/search":
		m.quoted(out)
	case x.name == "POST market/orders":
		m.ordered(x, out)
	case strings.HasSuffix(x.name, "/payment-proof"), strings.HasSuffix(x.name, "/escrow-lock"):
		m.held(x)
	}
}

func (m *model) quoted(out *recorder) {
	var reply struct {
		Item struct {
			ID     string
			Quotes []struct{ ID, ServiceID string }
		}
	}
	if json.Unmarshal(out.body.Bytes(), &reply) != nil {
		return
	}
	found := reply.Item
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, q := range found.Quotes {
		for _, s := range m.world.seller.Services() {
			if s.ID != q.ServiceID {
				continue
			}
			amount, err := money.AmountOf(s.Price, 6)
			if err != nil {
				m.note("a price is no amount: %v", err)
			}
			m.quotes[q.ID] = quoted{search: found.ID, amount: amount, payee: s.Payee}
		}
	}
}

func (m *model) ordered(x *exchange, out *recorder) {
	var reply struct {
		Item struct{ ID, SearchID, QuoteID string }
	}
	if json.Unmarshal(out.body.Bytes(), &reply) != nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	id := policy.PurchaseID(x.who)
	f := m.fact(id)
	f.orders[reply.Item.ID] = m.quotes[reply.Item.QuoteID]
	if x.plan.mishap == twice {
		f.doubled++
	}
	f.searches[reply.Item.SearchID]++
	if made := f.searches[reply.Item.SearchID]; made > 1 && f.doubled == 0 && m.restores == 0 {
		m.note("purchase %s made %d orders of search %s", id, made, reply.Item.SearchID)
	}
}

func (m *model) held(x *exchange) {
	parts := strings.Split(x.req.URL.Path, "/")
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.fact(policy.PurchaseID(x.who))
	for i, part := range parts[:len(parts)-1] {
		if part != "orders" {
			continue
		}
		if q, known := f.orders[parts[i+1]]; known && q.held.IsZero() {
			q.held = time.Now()
			f.orders[parts[i+1]] = q
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

package market_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/market"
	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/sandbox"
)

// hostile is one way in which a Market lies, and what comes of it.
type hostile struct {
	// lie is what the Market does, in the words of the documentation.
	lie string
	// need is bought; "wallet" if empty.
	need string
	// edit changes the Market's replies about the purchase.
	edit edit
	// serve answers requests about the purchase in place of the Market.
	serve serve
	// before prepares the buyer or the Market.
	before func(r *rig)
	// later is how long the lie goes on when the purchase waits for somebody.
	later time.Duration
	// all says that the lie meets every need, so that the other one is bought
	// afterwards only; after says how long a session was alive before it.
	all   bool
	after time.Duration
	// earlier says that the same was bought honestly before; beside is the other
	// need where it is not the usual one.
	earlier bool
	beside  string

	// state and reason are how the purchase ends, or stands while the lie goes on;
	// waits is the reason with which it waited on the way.
	state  market.State
	reason policy.Reason
	waits  policy.Reason
	// paid says that the price that was quoted is paid, once.
	paid bool
	// then is how a purchase that still waits ends once the Market is honest.
	then market.State
	// wordy allows a stored document and log lines of the size of a result.
	wordy bool
}

// edit changes a reply of an operation.
type edit func(op string, reply map[string]any)

// recorded is an answer that has not been sent.
type recorded = httptest.ResponseRecorder

// serve answers a request of an operation; honest has the Market answer it.
type serve func(op string, w http.ResponseWriter, r *http.Request, honest func() *recorded)

// The bounds of what one purchase may write, whatever the Market says.
const (
	mostStored = 64 << 10
	mostLogged = 16 << 10
)

// Every lie ends with the reason that it names, moves nothing beyond what was
// quoted, and other needs are served during it and after it.
func TestHostileMarket(t *testing.T) {
	names := map[string]bool{}
	for _, chapter := range hostileMarket() {
		t.Run(chapter.title, func(t *testing.T) {
			for i, h := range chapter.lies {
				if underRace && i%10 > 0 {
					continue // many times as slow; CI plays all of them without the detector too
				}
				if names[h.lie] {
					t.Errorf("%q is named twice", h.lie)
				}
				names[h.lie] = true
				t.Run(h.lie, func(t *testing.T) { bubble(t, h.run) })
			}
		})
	}
}

func (h hostile) run(t *testing.T, r *rig) {
	need, neighbour := cmp.Or(h.need, "wallet"), "wdk-usdt-transfer"
	if need == neighbour {
		neighbour = "wallet"
	}
	neighbour = cmp.Or(h.beside, neighbour)
	logs := &logSink{secrets: []string{sandbox.DefaultAPIKey, sandbox.DefaultAgentKey[2:]}}
	r.logs = zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), logs, zapcore.DebugLevel)
	front := newLiar(r, need, logs)
	r.front = front.ServeHTTP
	if h.before != nil {
		h.before(r)
	}
	bought := 0
	honest := func(when string) {
		t.Helper()
		if p := r.buy(neighbour); p.State != string(market.Settled) {
			t.Errorf("another need %s: got %s (%s), want settled", when, p.State, p.Reason)
		}
		bought++
	}
	early := h.after == 0 && !h.earlier
	if early {
		front.tell(h)
	}
	r.start()
	if h.earlier {
		if p := r.buy(need); p.State != string(market.Settled) {
			t.Fatalf("bought before: got %s (%s), want settled", p.State, p.Reason)
		}
	}
	if h.after > 0 {
		honest("before")
		<-time.After(h.after)
	}
	if !early {
		front.tell(h)
	}
	var side sync.WaitGroup
	if !h.all {
		side.Go(func() { honest("at the same time") })
	}
	p := h.buy(t, r, need)
	side.Wait()
	h.check(t, r, front, p)
	front.tell(hostile{})
	if then := h.then; then != "" {
		if p = r.final(p.ID); p.State != string(then) {
			t.Errorf("once the Market is honest: got %s (%s), want %s", p.State, p.Reason, then)
		}
	} else if market.State(p.State).Kind() == market.Active {
		t.Errorf("state: got %s, which is neither final nor waits for somebody", p.State)
	}
	honest("afterwards")
	h.checkMoved(t, r, need, neighbour, bought)
	if !h.paid || p.Final || h.state == market.Disputed {
		r.sound()
	}
	logs.check(t, h.wordy)
	if got := r.strays.seen; len(got) != 0 {
		t.Errorf("requests to another host: got %v, want none", got)
	}
}

// buy buys while the lie goes on and notes with which reasons the purchase waits.
func (h hostile) buy(t *testing.T, r *rig, need string) *ledger.Purchase {
	t.Helper()
	id, err := r.market.Buy(t.Context(), market.Order{Need: need})
	r.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	var watch sync.WaitGroup
	waited := map[policy.Reason]bool{} // read once the watch has ended
	watch.Go(func() {
		for pause := 50 * time.Millisecond; ctx.Err() == nil; pause = min(pause+pause/50, 5*time.Second) {
			if reason, _ := r.market.Trouble(id); reason != "" {
				waited[reason] = true
			}
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
		}
	})
	p := h.wait(r, id)
	if h.later > 0 {
		<-time.After(h.later)
		p = h.wait(r, id)
	}
	cancel()
	watch.Wait()
	if h.waits != "" && !waited[h.waits] {
		t.Errorf("waited with: got %v, want %s among them", waited, h.waits)
	}
	return p
}

// wait gives a purchase half an hour to stop moving by itself.
func (h hostile) wait(r *rig, id policy.PurchaseID) *ledger.Purchase {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Minute)
	defer cancel()
	p, err := r.market.Wait(ctx, id)
	r.must(err)
	return p
}

func (h hostile) check(t *testing.T, r *rig, front *liar, p *ledger.Purchase) {
	t.Helper()
	reason := p.Reason
	if market.State(p.State).Kind() == market.Active {
		reason, _ = r.market.Trouble(p.ID)
	}
	if p.State != string(h.state) || reason != h.reason {
		t.Errorf("got %s (%s), want %s (%s)", p.State, reason, h.state, h.reason)
	}
	if unaccepted(reason) && front.confirmed() {
		t.Errorf("%s (%s) was confirmed", p.State, reason)
	}
	if len(p.Doc) > mostStored && !h.wordy {
		t.Errorf("stored document: got %d bytes, want %d at most", len(p.Doc), mostStored)
	}
}

// checkMoved reads the chain: what the other need cost, and of the lie nothing
// or the one price that was quoted, to the payee that was quoted.
func (h hostile) checkMoved(t *testing.T, r *rig, need, neighbour string, bought int) {
	t.Helper()
	lied, honest := r.service(need), r.service(neighbour)
	var ours, due int
	for _, once := range []bool{h.paid, h.earlier} {
		if once {
			due++
		}
	}
	if honest.Price == 0 {
		bought = 0
	}
	for _, x := range r.transfers() {
		switch {
		case x.To == r.receiver(neighbour, honest) && x.Value.Int64() == int64(honest.Price):
			bought--
		case due > 0 && x.To == r.receiver(need, lied) && x.Value.Int64() == int64(lied.Price):
			ours++
		default:
			t.Errorf("value moved: %s base units to %s", x.Value, x.To)
		}
	}
	if bought != 0 {
		t.Errorf("purchases of the other need: %d more settled than transfers on the chain", bought)
	}
	if ours != due {
		t.Errorf("transfers: got %d, want %d", ours, due)
	}
}

// receiver is whom a need's transfer goes to: the payee, or an escrow.
func (r *rig) receiver(need string, s sandbox.Service) common.Address {
	switch need {
	case "escrow":
		return r.chain.Escrow()
	case "onchain-escrow":
		return r.keeper
	default:
		return s.Payee
	}
}

// service is what the sandbox sells for a need.
func (r *rig) service(need string) sandbox.Service {
	for _, n := range r.needs {
		for _, s := range r.seller.Services() {
			if n.Name == need && s.ServiceType == n.Search.ServiceType && s.Operation == n.Search.Operation {
				return s
			}
		}
	}
	r.t.Fatalf("nobody sells %s", need)
	return sandbox.Service{}
}

// liar stands before the Market. It lies about one need only: about searches for
// its service type, and about the services and orders that come of them. What
// names no need it lies about to all.
type liar struct {
	market http.Handler
	logs   *logSink

	mu    sync.Mutex
	lie   hostile
	marks []string // what a request about the need holds in its path or body
	// confirms counts the confirmations of the need's orders.
	confirms int
}

func newLiar(r *rig, need string, logs *logSink) *liar {
	s := r.service(need)
	return &liar{market: r.seller.Handler(), logs: logs, marks: []string{`"serviceType":"` + s.ServiceType + `"`, s.ID}}
}

// tell changes the lie; the zero lie is the truth.
func (l *liar) tell(h hostile) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lie = h
}

// confirmed says whether the order of the need was confirmed.
func (l *liar) confirmed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.confirms > 0
}

// unaccepted are the reasons with which nothing may be confirmed.
func unaccepted(reason policy.Reason) bool {
	return slices.Contains([]policy.Reason{policy.ReasonResultRejected, policy.ReasonResultMissing, policy.ReasonExecutionFailed}, reason)
}

// operations of the Market by method and path, as the sandbox names them.
var marketPaths = []struct{ op, method, path string }{
	{"pairing-challenge", "POST", `/machines/[^/]+/agent-pairings/challenges`},
	{"pairing-session", "POST", `/machines/[^/]+/agent-pairings/[^/]+/sessions`},
	{"pairing-create", "POST", `/machines/[^/]+/agent-pairings`},
	{"pairings-list", "GET", `/machines/[^/]+/agent-pairings`},
	{"machine-get", "GET", `/machines/[^/]+`},
	{"search", "POST", `/market/search`},
	{"service-get", "GET", `/market/services/[^/]+`},
	{"order-create", "POST", `/market/orders`},
	{"orders-list", "GET", `/market/orders`},
	{"order-get", "GET", `/market/orders/[^/]+`},
	{"order-execute", "POST", `/market/orders/[^/]+/execute`},
	{"order-confirm", "POST", `/market/orders/[^/]+/confirm`},
	{"order-dispute", "POST", `/market/orders/[^/]+/dispute`},
	{"payment-intent", "POST", `/market/orders/[^/]+/payment-intent`},
	{"payment-proof", "POST", `/market/orders/[^/]+/payment-proof`},
	{"payment-get", "GET", `/market/orders/[^/]+/payment`},
	{"escrow-lock", "POST", `/market/orders/[^/]+/payment/escrow-lock`},
	{"payment-release", "POST", `/market/orders/[^/]+/payment/release`},
	{"payment-refund", "POST", `/market/orders/[^/]+/payment/refund`},
	{"policies-list", "GET", `/policies`},
}

func operationOf(r *http.Request) string {
	for _, p := range marketPaths {
		if r.Method == p.method && regexp.MustCompile(`^/api/v1`+p.path+`$`).MatchString(r.URL.Path) {
			return p.op
		}
	}
	return ""
}

// ServeHTTP answers by the lie that is told, if the request is about its need.
func (l *liar) ServeHTTP(w http.ResponseWriter, r *http.Request, _ http.Handler) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	op := operationOf(r)
	lie, about := l.about(op, r.URL.Path+"\n"+string(body))
	honest := func() *recorded {
		rec := httptest.NewRecorder()
		l.market.ServeHTTP(rec, r)
		if about {
			l.learn(op, rec.Body.Bytes())
		}
		l.logs.remember(op, rec.Body.Bytes())
		return rec
	}
	if about && lie.serve != nil {
		lie.serve(op, w, r, honest)
		return
	}
	rec := honest()
	if about && lie.edit != nil {
		lie.edit.apply(op, rec)
	}
	send(w, rec)
}

// about says whether a request is about the need that is lied about.
func (l *liar) about(op, text string) (hostile, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if op == "order-confirm" && slices.ContainsFunc(l.marks, func(m string) bool { return strings.Contains(text, m) }) {
		l.confirms++
	}
	general := !strings.HasPrefix(op, "order-") && !strings.HasPrefix(op, "payment-") && !slices.Contains([]string{"search", "service-get", "escrow-lock"}, op)
	return l.lie, general || slices.ContainsFunc(l.marks, func(m string) bool { return strings.Contains(text, m) })
}

// learn notes the order that was made for the need.
func (l *liar) learn(op string, body []byte) {
	var made struct {
		Item struct {
			ID string `json:"id"`
		} `json:"item"`
	}
	if op != "order-create" || json.Unmarshal(body, &made) != nil || made.Item.ID == "" {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.marks = append(l.marks, made.Item.ID)
}

func (e edit) apply(op string, rec *recorded) {
	decoder := json.NewDecoder(bytes.NewReader(rec.Body.Bytes()))
	decoder.UseNumber()
	var reply map[string]any
	if decoder.Decode(&reply) != nil || reply["error"] != nil {
		return
	}
	e(op, reply)
	text, err := json.Marshal(reply)
	if err != nil {
		panic(err)
	}
	rec.Body = bytes.NewBuffer(text)
	rec.Header().Del("Content-Length")
}

func send(w http.ResponseWriter, rec *recorded) {
	for name, values := range rec.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(rec.Code)
	_, _ = w.Write(rec.Body.Bytes()) // a client that has gone is no fault of the liar
}

// logSink measures what is logged and looks for secrets in it.
type logSink struct {
	mu      sync.Mutex
	longest string
	leaked  []string
	secrets []string
}

var pairingToken = regexp.MustCompile(`"pairingToken":"([^"]+)"`)

// remember takes the tokens that the Market hands out as secrets.
func (s *logSink) remember(op string, reply []byte) {
	if op != "pairing-create" && op != "pairing-session" {
		return
	}
	if at := pairingToken.FindSubmatch(reply); at != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.secrets = append(s.secrets, string(at[1]))
	}
}

// Write takes one line.
func (s *logSink) Write(line []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(line) > len(s.longest) {
		s.longest = string(line)
	}
	for _, secret := range s.secrets {
		if strings.Contains(string(line), secret) {
			s.leaked = append(s.leaked, string(line))
		}
	}
	return len(line), nil
}

// Sync does nothing: lines are not kept.
func (s *logSink) Sync() error { return nil }

func (s *logSink) check(t *testing.T, wordy bool) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.leaked) > 0 {
		t.Errorf("a secret was logged: %s", s.leaked[0])
	}
	if len(s.longest) > mostLogged && !wordy {
		t.Errorf("longest log line: got %d bytes (%.200s…), want %d at most", len(s.longest), s.longest, mostLogged)
	}
}

// chapter is a part of the table.
type chapter struct {
	title string
	lies  []hostile
}

func hostileMarket() []chapter {
	return []chapter{
		{"The quote", quoteLies()},
		{"The order", orderLies()},
		{"The intent", intentLies()},
		{"The x402 challenge", x402Lies()},
		{"A new payee", payeeLies()},
		{"The escrow", escrowLies()},
		{"After the payment", laterLies()},
		{"The pairing", pairingLies()},
		{"The server's policy", policyLies()},
		{"The answer as such", wireLies()},
	}
}

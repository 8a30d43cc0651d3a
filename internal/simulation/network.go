// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/agentd-project/agentd/market"
)

var errLost = errors.New("simulation: connection lost")

// hosts of the simulated network.
const (
	marketHost = "localhost"
	chainHost  = "127.0.0.1" // the first endpoint
	chainHost2 = "127.0.0.2" // the second one
)

// speakerKey marks contexts that belong to no purchase.
type speakerKey struct{}

// as names who makes the calls of a context.
func as(ctx context.Context, who string) context.Context {
	return context.WithValue(ctx, speakerKey{}, who)
}

// speaker returns who makes a call: a purchase, a part of the buyer that a
// context names, or the pairing, which names nobody.
func speaker(ctx context.Context) string {
	if id := market.PurchaseOf(ctx); id != "" {
		return string(id)
	}
	if who, named := ctx.Value(speakerKey{}).(string); named {
		return who
	}
	return "pairing"
}

// exchange is one request on its way and what will go wrong with it.
type exchange struct {
	who  string
	name string // of the operation, or the method of JSON-RPC
	req  *http.Request
	body []byte
	plan plan
}

// plan is what the network and the far end do with a request.
type plan struct {
	mishap mishap
	// out and back are how long request and answer take.
	out, back time.Duration
	// later is when what arrives late, or twice, arrives.
	later  time.Duration
	status int
}

// mishap is what goes wrong with one exchange.
type mishap string

const (
	none          mishap = ""
	lostBefore    mishap = "lost before"    // the request never arrives
	lostAfter     mishap = "lost after"     // it is processed, the answer is lost
	lateAnswer    mishap = "late answer"    // it is processed, the answer comes late
	lateRequest   mishap = "late request"   // it is processed late, when nobody waits any more
	twice         mishap = "twice"          // it arrives again, later
	statusBefore  mishap = "status"         // refused unprocessed with an HTTP status
	statusAfter   mishap = "status after"   // processed, answered with an HTTP status
	halfAnswer    mishap = "half answer"    // the answer breaks off
	noJSON        mishap = "no JSON"        // the answer is a page of HTML
	emptyAnswer   mishap = "empty answer"   // the answer has no body
	rateLimited   mishap = "rate limited"   // refused for now
	missing       mishap = "missing"        // the chain's endpoint knows of nothing
	wrongNonce    mishap = "wrong nonce"    // it counts too many or too few transactions
	falseFinality mishap = "false finality" // it is ahead of the chain
	staleHead     mishap = "stale head"     // it is behind
)

// link is the network as one life of the buyer has it. Each request is a step: the
// buyer may die before it, while it is away, or when its answer is there.
type link struct {
	world *world
	life  *life
}

// RoundTrip implements [http.RoundTripper].
func (l *link) RoundTrip(req *http.Request) (*http.Response, error) {
	x, err := l.prepare(req)
	if err != nil {
		return nil, err
	}
	l.life.enter(x.who)
	defer l.life.leave(x.who)
	ctx := req.Context()
	if err := l.life.nap(ctx, x.plan.out); err != nil {
		return nil, err
	}
	if err := l.life.step(x.who, "send "+x.name); err != nil {
		return nil, err
	}
	l.world.overhear(&x)
	reply, err := l.travel(ctx, &x)
	if err != nil {
		return nil, err
	}
	if err := l.life.nap(ctx, x.plan.back); err != nil {
		return nil, err
	}
	if err := l.life.step(x.who, "hear "+x.name); err != nil {
		return nil, err
	}
	l.world.trace.add(x.who, "%s: %d %s", x.name, reply.StatusCode, x.plan.mishap)
	return reply, nil
}

func (l *link) prepare(req *http.Request) (exchange, error) {
	x := exchange{who: speaker(req.Context()), req: req}
	if req.Body != nil {
		var err error
		if x.body, err = io.ReadAll(req.Body); err != nil {
			return x, err
		}
		_ = req.Body.Close() // it is in memory
	}
	r := l.world.dice.roll(fmt.Sprintf("%d/%s", l.life.number, x.who))
	if req.URL.Hostname() == marketHost {
		x.name = operationOf(req)
		x.plan = l.world.weather().marketPlan(r, x.name)
	} else {
		x.name = methodOf(x.body)
		x.plan = l.world.weather().chainPlan(r, x.name, req.URL.Hostname())
	}
	if x.who == "boot" || x.who == "audit" {
		x.plan.mishap = none
	}
	if x.plan.mishap != none {
		l.world.report.fault(x.plan.mishap)
	}
	return x, nil
}

// travel brings a request to its far end and the answer back.
func (l *link) travel(ctx context.Context, x *exchange) (*http.Response, error) {
	w := l.world
	switch x.plan.mishap {
	case lostBefore:
		return nil, l.lose(ctx, x)
	case lateRequest:
		w.later(x, x.plan.later)
		return nil, l.lose(ctx, x)
	case statusBefore, rateLimited:
		return answer(x, x.plan.status, "text/html", []byte("<html>not now</html>")), nil
	}
	reply, err := l.served(ctx, x)
	if err != nil {
		return nil, err
	}
	switch x.plan.mishap {
	case twice:
		w.later(x, x.plan.later)
	case lostAfter:
		return nil, l.lose(ctx, x)
	case lateAnswer:
		if err := l.life.nap(ctx, x.plan.later); err != nil {
			return nil, err
		}
	case statusAfter:
		return answer(x, x.plan.status, "text/html", []byte("<html>upstream said no</html>")), nil
	case noJSON:
		return answer(x, http.StatusOK, "text/html", []byte("<html>hello</html>")), nil
	case emptyAnswer:
		return answer(x, http.StatusOK, "application/json", nil), nil
	case halfAnswer:
		body := reply.body.Bytes()
		half := answer(x, reply.status, "application/json", nil)
		half.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body[:len(body)/2]), broken{}))
		return half, nil
	}
	out := answer(x, reply.status, "", reply.body.Bytes())
	out.Header = reply.header
	return out, nil
}

// served has the far end process a request. Whoever waits for it may go; what is
// under way at the far end goes on.
func (l *link) served(ctx context.Context, x *exchange) (*recorder, error) {
	w := l.world
	if !strings.HasSuffix(x.name, "/execute") {
		return w.serve(x), nil
	}
	done := make(chan *recorder, 1)
	away := *x
	w.errands.Go(func() { done <- w.serve(&away) })
	select {
	case reply := <-done:
		return reply, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-l.life.over:
		return nil, errDead
	}
}

// lose ends an exchange without an answer: sometimes at once, sometimes nobody
// tells.
func (l *link) lose(ctx context.Context, x *exchange) error {
	if x.plan.later > 40*time.Second {
		if err := l.life.nap(ctx, time.Hour); err != nil {
			return err
		}
	}
	return errLost
}

// broken is a connection that was cut.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func answer(x *exchange, status int, contentType string, body []byte) *http.Response {
	h := http.Header{}
	if contentType != "" {
		h.Set("Content-Type", contentType)
	}
	if x.plan.mishap == rateLimited {
		h.Set("Retry-After", "3")
	}
	return &http.Response{Status: http.StatusText(status), StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), Request: x.req}
}

// recorder is what a handler writes its answer to.
type recorder struct {
	status int
	header http.Header
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
}

func (r *recorder) Write(b []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(b)
}

// serve has the far end process a request once.
func (w *world) serve(x *exchange) *recorder {
	body := x.body
	if x.req.URL.Hostname() != marketHost {
		body = w.asked(x)
	}
	// What arrived is processed, whoever has gone meanwhile.
	req := x.req.Clone(context.Background())
	req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	if req.Host == "" {
		req.Host = req.URL.Host
	}
	out := &recorder{header: http.Header{}}
	if x.req.URL.Hostname() == marketHost {
		w.waiting.Add(1)
		w.seller.Handler().ServeHTTP(out, req)
		w.waiting.Add(-1)
		w.model.processed(x, out)
	} else {
		w.chain.Handler().ServeHTTP(out, req)
		w.answered(x, out)
	}
	out.WriteHeader(http.StatusOK)
	return out
}

// later processes a request once more, or for the first time, when nobody waits.
func (w *world) later(x *exchange, after time.Duration) {
	again := *x
	w.errands.Go(func() {
		<-time.After(after)
		w.trace.add(again.who, "%s arrives late: %d", again.name, w.serve(&again).status)
	})
}

// operationOf names a call to the Market.
func operationOf(req *http.Request) string {
	parts := strings.Split(strings.TrimPrefix(req.URL.Path, "/api/v1/"), "/")
	for i, p := range parts {
		if strings.Contains(p, "_") { // ids alone have one
			parts[i] = "*"
		}
	}
	return req.Method + " " + strings.Join(parts, "/")
}

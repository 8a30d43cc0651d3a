// SPDX-License-Identifier: Apache-2.0

package orchestration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"reflect"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-retryablehttp"
)

const (
	readTimeout  = 30 * time.Second // of a GET, with its repetitions
	writeTimeout = 60 * time.Second // of everything else

	maxReply = 8 << 20 // bytes of a success
	maxError = 1 << 20 // bytes of any other answer
)

// request is one call, before it is sent.
type request struct {
	op       operation
	path     string // escaped, from /api/v1 on
	hostRoot bool   // the path is from the root of the host
	query    url.Values
	body     any // nil for none, which is not the same as an empty object
	token    Secret
	secrets  []Secret // what the body holds that no error text may show
	accept   int      // a further status whose body may be a normal reply
}

// answer is a response that was read whole.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a *answer) success() bool { return a.status >= 200 && a.status < 300 }

// item performs a call that is answered with {"item": T}.
func item[T any](ctx context.Context, c *Client, q request) (*T, error) {
	var reply struct {
		Item T `json:"item" need:"value"`
	}
	if err := c.call(ctx, q, &reply); err != nil {
		return nil, err
	}
	return &reply.Item, nil
}

// call performs q and decodes the reply into out, a pointer to a struct. Without
// out the body of a success is not looked at.
func (c *Client) call(ctx context.Context, q request, out any) error {
	req, err := c.build(q)
	if err != nil {
		return err
	}
	timeout := writeTimeout
	if q.op.method == http.MethodGet {
		timeout = readTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	start := time.Now()
	err = c.finish(ctx, q, req, out)
	c.observe(q.op.name, outcome(err), time.Since(start))
	return err
}

func (c *Client) finish(ctx context.Context, q request, req *retryablehttp.Request, out any) error {
	a, err := c.send(ctx, q, req)
	if err != nil {
		return err
	}
	if q.accept != 0 && a.status == q.accept && decodeReply(q.op, a, out) == nil {
		return nil
	}
	if !a.success() {
		return c.apiError(q, a)
	}
	if out == nil {
		return nil
	}
	return decodeReply(q.op, a, out)
}

// outcome is the value of the metrics hook: one of a closed set.
func outcome(err error) string {
	var api *APIError
	switch {
	case err == nil:
		return "ok"
	case !errors.As(err, &api):
		return "network"
	}
	if _, known := codes[api.Code]; !known {
		return "other"
	}
	return string(api.Code)
}

// build makes the HTTP request.
func (c *Client) build(q request) (*retryablehttp.Request, error) {
	if q.op.auth == authPairing {
		if err := notBlank("pairingToken", q.token.Reveal()); err != nil {
			return nil, err
		}
	}
	if !headerSafe(q.token) {
		return nil, &ValidationError{Field: "pairingToken", Constraint: "must be one line of visible ASCII characters"}
	}
	var body any // retryablehttp tells an absent body from an empty one by a nil interface
	if q.body != nil {
		text, err := encode(q.body)
		if err != nil {
			return nil, err
		}
		body = text
	}
	req, err := retryablehttp.NewRequest(q.op.method, c.address(q), body)
	if err != nil {
		return nil, &ValidationError{Field: "path", Constraint: "does not make a URL"}
	}
	req.Header.Set("User-Agent", c.userAgent)
	req.Header.Set("Accept", "application/json")
	if q.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if q.op.auth != authNone && *c.key != "" {
		req.Header.Set("X-Api-Key", c.key.Reveal())
	}
	if q.token != "" {
		req.Header.Set("X-Agent-Pairing-Token", q.token.Reveal())
	}
	return req, nil
}

func (c *Client) address(q request) string {
	root := c.base.Scheme + "://" + c.base.Host
	if !q.hostRoot {
		root += strings.TrimSuffix(c.base.EscapedPath(), "/")
	}
	if len(q.query) == 0 {
		return root + q.path
	}
	return root + q.path + "?" + q.query.Encode()
}

// encode writes the body as JSON. The cause of a failure is left out: it may hold
// a piece of the value.
func encode(body any) ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(body); err != nil {
		return nil, &ValidationError{Field: "request", Constraint: "holds a number or a value that is not JSON"}
	}
	return bytes.TrimSuffix(text.Bytes(), []byte("\n")), nil
}

// send performs the request, with its repetitions, and reads the answer. Its
// errors are a NetworkError, or an APIError for an answer that ends early or is
// too long.
func (c *Client) send(ctx context.Context, q request, req *retryablehttp.Request) (*answer, error) {
	if err := ctx.Err(); err != nil {
		return nil, c.networkError(q, err, true)
	}
	var watch sendWatch
	client := c.single
	if q.op.repeat {
		client = c.repeating
	}
	resp, err := client.Do(req.WithContext(watch.trace(ctx)))
	if err != nil {
		return nil, c.networkError(q, err, watch.unsent(err))
	}
	defer func() { _ = resp.Body.Close() }() // whatever was needed has been read
	a := &answer{status: resp.StatusCode, header: resp.Header}
	limit := int64(maxError)
	if a.success() {
		limit = maxReply
	}
	a.body, err = io.ReadAll(io.LimitReader(resp.Body, limit+1))
	switch {
	case err != nil && (ctx.Err() != nil || contextEnded(err)):
		return nil, c.networkError(q, err, false)
	case err != nil:
		return nil, badResponse(q.op, a.status, "the answer broke off")
	case int64(len(a.body)) > limit:
		return nil, badResponse(q.op, a.status, "the answer is too long")
	}
	return a, nil
}

func (c *Client) networkError(q request, err error, unsent bool) error {
	return &NetworkError{Operation: q.op.name, Err: err, text: c.redactor(q).message(err.Error()), Unsent: unsent}
}

// redactor hides the secrets of the call in foreign text.
func (c *Client) redactor(q request) redactor {
	return redactor{secrets: append([]Secret{*c.key, q.token}, q.secrets...)}
}

// sendWatch observes whether any attempt had a connection. Whether the request
// went out on it cannot be told for sure: the transport writes beside the call.
type sendWatch struct {
	asked, got atomic.Bool
}

func (w *sendWatch) trace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { w.asked.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { w.got.Store(true) },
	})
}

// unsent says whether the request certainly never left. A transport that does not
// report (asked is false) counts as having sent, unless its error is a dial's.
func (w *sendWatch) unsent(err error) bool {
	if w.got.Load() {
		return false
	}
	return w.asked.Load() || neverSent(err)
}

// decodeReply reads the body of a success.
func decodeReply(op operation, a *answer, out any) error {
	if !json.Valid(a.body) {
		return badResponse(op, a.status, "the answer is not JSON")
	}
	if f := decodeObject(bytes.TrimSpace(a.body), reflect.ValueOf(out).Elem()); f != nil {
		if f.member == "" {
			f.member = "the reply"
		}
		return shapeError(op, f)
	}
	return nil
}

// apiError makes an error of an answer that is not a success.
func (c *Client) apiError(q request, a *answer) error {
	wait := retryAfter(a.header)
	if a.status < http.StatusBadRequest {
		e := badResponse(q.op, a.status, "a redirect, which is not followed")
		if a.status < http.StatusMultipleChoices {
			e.Message = "an interim status"
		}
		return e
	}
	var envelope struct {
		Error struct {
			Code    Code            `json:"code"`
			Message string          `json:"message"`
			Details json.RawMessage `json:"details"`
		} `json:"error"`
	}
	r := c.redactor(q)
	if json.Unmarshal(a.body, &envelope) != nil || !wellFormed(envelope.Error.Code, r) {
		e := badResponse(q.op, a.status, "the answer is not an error of the API")
		e.RetryAfter = wait
		return e
	}
	return &APIError{
		Code: envelope.Error.Code, Status: a.status, Operation: q.op.name, RetryAfter: wait,
		Message: r.message(envelope.Error.Message), Details: r.details(envelope.Error.Details),
	}
}

// wellFormed says whether a code looks like one and is no secret: it goes into
// logs as it is.
func wellFormed(c Code, r redactor) bool {
	if c == "" || len(c) > 64 || r.text(string(c)) != string(c) {
		return false
	}
	for _, b := range []byte(c) {
		if (b < 'A' || b > 'Z') && (b < '0' || b > '9') && b != '_' {
			return false
		}
	}
	return true
}

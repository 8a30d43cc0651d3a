// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// maxAnswer bounds what a client reads.
const maxAnswer = 64 << 20

// Client asks a running daemon over its socket. Every error of its methods is an
// [*Error], or the context's.
type Client struct {
	socket string
	http   *http.Client
}

// NewClient returns a client of the daemon on a socket. It connects when asked
// something.
func NewClient(socket string) *Client {
	dialer := net.Dialer{Timeout: 5 * time.Second}
	return &Client{socket: socket, http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", socket)
		},
		DisableKeepAlives: true,
	}}}
}

// Status asks for the daemon's state.
func (c *Client) Status(ctx context.Context) (*Status, error) {
	return ask[*Status](ctx, c, http.MethodGet, "/v1/status", nil)
}

// Purchases lists purchases, newest first.
func (c *Client) Purchases(ctx context.Context, q PurchaseQuery) ([]Purchase, error) {
	values := url.Values{}
	if q.Open {
		values.Set("open", "true")
	}
	setText(values, "need", q.Need)
	setNumber(values, "limit", q.Limit)
	return ask[[]Purchase](ctx, c, http.MethodGet, "/v1/purchases?"+values.Encode(), nil)
}

// Purchase asks for one purchase with its history.
func (c *Client) Purchase(ctx context.Context, id string) (*Purchase, error) {
	return ask[*Purchase](ctx, c, http.MethodGet, purchasePath(id), nil)
}

// Result asks for the accepted result of a purchase.
func (c *Client) Result(ctx context.Context, id string) (json.RawMessage, error) {
	return ask[json.RawMessage](ctx, c, http.MethodGet, purchasePath(id)+"/result", nil)
}

// Buy starts a purchase.
func (c *Client) Buy(ctx context.Context, request BuyRequest) (*Purchase, error) {
	return ask[*Purchase](ctx, c, http.MethodPost, "/v1/purchases", request)
}

// Wait returns the purchase once it has settled, ended, was handed off or waits
// for a person, or as it is after the timeout. It asks again for as long as the daemon lets one
// request wait.
func (c *Client) Wait(ctx context.Context, id string, timeout time.Duration) (*Purchase, error) {
	end := time.Now().Add(timeout)
	for {
		left := min(max(time.Until(end), 0), maxWait)
		p, err := ask[*Purchase](ctx, c, http.MethodGet, purchasePath(id)+"/wait?timeout="+left.String(), nil)
		if err != nil || p.Settled || p.Final || p.Waiting || p.HandedOff || !time.Now().Before(end) {
			return p, err
		}
	}
}

// Approve lets a purchase that waits for approval go on.
func (c *Client) Approve(ctx context.Context, id string) (*Purchase, error) {
	return ask[*Purchase](ctx, c, http.MethodPost, purchasePath(id)+"/approve", nil)
}

// Deny ends a purchase that waits for approval.
func (c *Client) Deny(ctx context.Context, id string) (*Purchase, error) {
	return ask[*Purchase](ctx, c, http.MethodPost, purchasePath(id)+"/deny", nil)
}

// Resolve ends what was handed off or needs the operator.
func (c *Client) Resolve(ctx context.Context, id string, resolution Resolution) (*Purchase, error) {
	return ask[*Purchase](ctx, c, http.MethodPost, purchasePath(id)+"/resolve", resolution)
}

// Explain asks what a purchase of a need would do now.
func (c *Client) Explain(ctx context.Context, need string) (*Explanation, error) {
	return ask[*Explanation](ctx, c, http.MethodGet, "/v1/explain/"+url.PathEscape(need), nil)
}

// Pause stops spending.
func (c *Client) Pause(ctx context.Context) error {
	_, err := ask[json.RawMessage](ctx, c, http.MethodPost, "/v1/pause", nil)
	return err
}

// Resume lets spending go on.
func (c *Client) Resume(ctx context.Context) error {
	_, err := ask[json.RawMessage](ctx, c, http.MethodPost, "/v1/resume", nil)
	return err
}

// Policy asks for the rules in force.
func (c *Client) Policy(ctx context.Context) (*PolicyView, error) {
	return ask[*PolicyView](ctx, c, http.MethodGet, "/v1/policy", nil)
}

// Pairing asks for the pairing.
func (c *Client) Pairing(ctx context.Context) (*Pairing, error) {
	return ask[*Pairing](ctx, c, http.MethodGet, "/v1/pairing", nil)
}

// RotatePairing asks for a new session now.
func (c *Client) RotatePairing(ctx context.Context) (*Pairing, error) {
	return ask[*Pairing](ctx, c, http.MethodPost, "/v1/pairing/rotate", nil)
}

// CreatePairing pairs anew.
func (c *Client) CreatePairing(ctx context.Context) (*Pairing, error) {
	return ask[*Pairing](ctx, c, http.MethodPost, "/v1/pairing/create", nil)
}

// RevokePairing revokes the pairing.
func (c *Client) RevokePairing(ctx context.Context) (*Pairing, error) {
	return ask[*Pairing](ctx, c, http.MethodPost, "/v1/pairing/revoke", nil)
}

// LedgerVerify asks for a verification of the ledger, which may take minutes.
func (c *Client) LedgerVerify(ctx context.Context) (*LedgerReport, error) {
	return ask[*LedgerReport](ctx, c, http.MethodGet, "/v1/ledger/verify", nil)
}

// LedgerAccept has the daemon record transfers that are in no purchase, by their
// transactions, and verify again.
func (c *Client) LedgerAccept(ctx context.Context, transactions []string) (*LedgerReport, error) {
	return ask[*LedgerReport](ctx, c, http.MethodPost, "/v1/ledger/accept", acceptBody{Transactions: transactions})
}

// Market asks for records of the Market.
func (c *Client) Market(ctx context.Context, q MarketQuery) (json.RawMessage, error) {
	values := url.Values{}
	setText(values, "id", q.ID)
	setText(values, "serviceType", q.ServiceType)
	setText(values, "provider", q.Provider)
	setNumber(values, "limit", q.Limit)
	return ask[json.RawMessage](ctx, c, http.MethodGet, "/v1/market/"+url.PathEscape(string(q.Kind))+"?"+values.Encode(), nil)
}

// LogLevel asks for the log level.
func (c *Client) LogLevel(ctx context.Context) (string, error) {
	body, err := ask[levelBody](ctx, c, http.MethodGet, "/v1/log-level", nil)
	return body.Level, err
}

// SetLogLevel changes the log level until the next start.
func (c *Client) SetLogLevel(ctx context.Context, level string) error {
	_, err := ask[levelBody](ctx, c, http.MethodPut, "/v1/log-level", levelBody{Level: level})
	return err
}

func purchasePath(id string) string { return "/v1/purchases/" + url.PathEscape(id) }

func setText(values url.Values, name, text string) {
	if text != "" {
		values.Set(name, text)
	}
}

func setNumber(values url.Values, name string, n int) {
	if n != 0 {
		values.Set(name, strconv.Itoa(n))
	}
}

// ask sends one request and decodes the answer.
func ask[T any](ctx context.Context, c *Client, method, path string, body any) (T, error) {
	var answer T
	var reader io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return answer, &Error{Code: CodeUsage, Text: "the request is not JSON: " + err.Error()}
		}
		reader = bytes.NewReader(data)
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://agentd"+path, reader)
	if err != nil {
		return answer, &Error{Code: CodeUsage, Text: err.Error()}
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := c.http.Do(request)
	if err != nil {
		return answer, c.unreachable(ctx, err)
	}
	defer func() { _ = response.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case err != nil:
		return answer, c.unreachable(ctx, err)
	case len(data) > maxAnswer:
		return answer, &Error{Code: CodeInternal, Text: "the daemon's answer is too large"}
	case response.StatusCode >= http.StatusBadRequest:
		return answer, failureOf(response.StatusCode, data)
	}
	if raw, ok := any(&answer).(*json.RawMessage); ok {
		*raw = data
		return answer, nil
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		return answer, &Error{Code: CodeInternal, Text: "the daemon's answer cannot be read: " + err.Error(), Next: "use the command line of the daemon's own version"}
	}
	return answer, nil
}

func failureOf(status int, data []byte) error {
	var body struct {
		Error *Error `json:"error"`
	}
	if err := json.Unmarshal(data, &body); err != nil || body.Error == nil || body.Error.Code == "" {
		return &Error{Code: CodeInternal, Text: fmt.Sprintf("the daemon answered with HTTP status %d and no reason", status)}
	}
	return body.Error
}

// unreachable says why nobody answers, and what to do.
func (c *Client) unreachable(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, fs.ErrPermission):
		return &Error{
			Code: CodeNotPermitted, Text: "the socket " + c.socket + " may not be opened by this user",
			Next: "run the command as root, or as a member of the group " + SocketGroup,
		}
	default:
		return &Error{
			Code: CodeNoDaemon, Text: "no daemon answers on " + c.socket,
			Next: "start it (systemctl start agentd, or agentd run), or name its socket with --socket or AGENTD_ADMIN_SOCKET",
		}
	}
}

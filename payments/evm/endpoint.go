// SPDX-License-Identifier: Apache-2.0

package evm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"

	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/ethereum/go-ethereum/rpc"
)

// maxBody bounds an endpoint's answer, in bytes: a full block of a busy chain
// has a few MB.
const maxBody = 16 << 20

// endpoint is one RPC address. It is used only while verified: the chain id that
// it named is the configured one, and no request has failed since.
type endpoint struct {
	client   *ethclient.Client
	verified atomic.Bool
	// failed is when it last did not work, in Unix nanoseconds.
	failed atomic.Int64
}

func newEndpoint(rawURL string, hc *http.Client) (*endpoint, error) {
	c, err := rpc.DialOptions(context.Background(), rawURL, rpc.WithHTTPClient(hc))
	if err != nil {
		// The cause would quote the URL, which may hold a credential.
		return nil, errors.New("RPC endpoint cannot be used")
	}
	return &endpoint{client: ethclient.NewClient(c)}, nil
}

// verify asks for the chain id unless that was done since the last failure.
func (e *endpoint) verify(ctx context.Context, want uint64) error {
	if e.verified.Load() {
		return nil
	}
	id, err := e.client.ChainID(ctx)
	if err != nil {
		return wrap("eth_chainId", err)
	}
	if !id.IsUint64() || id.Uint64() != want {
		return &Error{Action: ActionFailover, Method: "eth_chainId", Cause: fmt.Errorf("%w: %s, not %d", ErrChainID, id, want)}
	}
	e.verified.Store(true)
	return nil
}

// boundedClient copies a client and adds what every request must have.
func boundedClient(hc *http.Client) *http.Client {
	if hc == nil {
		hc = &http.Client{}
	}
	bounded := *hc
	bounded.Transport = bodyLimit{next: hc.Transport}
	bounded.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &bounded
}

type bodyLimit struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (l bodyLimit) RoundTrip(req *http.Request) (*http.Response, error) {
	next := l.next
	if next == nil {
		next = http.DefaultTransport
	}
	resp, err := next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, maxBody), resp.Body}
	return resp, nil
}

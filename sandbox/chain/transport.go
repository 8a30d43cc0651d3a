// SPDX-License-Identifier: Apache-2.0

package chain

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/ethereum/go-ethereum/rpc"
)

// noHost is the URL of an endpoint without a socket. The name is reserved by RFC 2606, so that nothing can answer it.
const noHost = "http://chain.invalid"

// Dial returns a client of a chain's Handler. It opens no socket and starts no goroutine, so it works in a synctest bubble.
func Dial(handler http.Handler) (*ethclient.Client, error) {
	hc := &http.Client{Transport: Transport(handler)}
	c, err := rpc.DialOptions(context.Background(), noHost, rpc.WithHTTPClient(hc))
	if err != nil {
		return nil, fmt.Errorf("dial chain handler: %w", err)
	}
	return ethclient.NewClient(c), nil
}

// Transport returns a round tripper that answers every request, whatever its URL, by calling the handler in the caller's goroutine.
func Transport(handler http.Handler) http.RoundTripper {
	return handlerTransport{handler}
}

type handlerTransport struct {
	handler http.Handler
}

// RoundTrip calls the handler.
func (t handlerTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	in := r.Clone(r.Context())
	if in.Body == nil {
		in.Body = http.NoBody
	}
	defer func() { _ = in.Body.Close() }()
	w := &recorder{header: http.Header{}, status: http.StatusOK}
	t.handler.ServeHTTP(w, in)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return &http.Response{
		Status:        fmt.Sprintf("%d %s", w.status, http.StatusText(w.status)),
		StatusCode:    w.status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        w.header,
		Body:          io.NopCloser(&w.body),
		ContentLength: int64(w.body.Len()),
		Request:       r,
	}, nil
}

type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header returns the headers to be sent.
func (w *recorder) Header() http.Header { return w.header }

// Write appends to the body.
func (w *recorder) Write(p []byte) (int, error) { return w.body.Write(p) }

// WriteHeader sets the status.
func (w *recorder) WriteHeader(status int) { w.status = status }

// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// Transport is an http.RoundTripper that reaches handlers by host name without sockets: each connection is a pipe to a real HTTP
// server, so that a dropped or half an answer is what it is on a network. Made inside a testing/synctest bubble, it works there.
type Transport struct {
	client  *http.Transport
	servers []*http.Server
	running sync.WaitGroup
}

var _ http.RoundTripper = (*Transport)(nil)

// NewTransport serves each handler under its host name; any other host is an error of the connection.
func NewTransport(hosts map[string]http.Handler) *Transport {
	t := &Transport{}
	listeners := map[string]*pipeListener{}
	for host, handler := range hosts {
		l := &pipeListener{host: host, conns: make(chan net.Conn), done: make(chan struct{})}
		listeners[host] = l
		server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
		t.servers = append(t.servers, server)
		t.running.Go(func() { _ = server.Serve(l) }) // it ends with ErrServerClosed, by Close
	}
	t.client = &http.Transport{DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		l, known := listeners[host]
		if !known {
			return nil, fmt.Errorf("sandbox: no host %q", host)
		}
		return l.dial(ctx)
	}}
	return t
}

// RoundTrip sends a request to the handler of its host.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) { return t.client.RoundTrip(r) }

// CloseIdleConnections lets http.Client.CloseIdleConnections through.
func (t *Transport) CloseIdleConnections() { t.client.CloseIdleConnections() }

// Close cuts all connections and returns once the servers have ended.
func (t *Transport) Close() error {
	t.client.CloseIdleConnections()
	var faults []error
	for _, server := range t.servers {
		faults = append(faults, server.Close())
	}
	t.running.Wait()
	return errors.Join(faults...)
}

// pipeListener hands the far ends of its pipes to a server.
type pipeListener struct {
	host  string
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (l *pipeListener) dial(ctx context.Context) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case l.conns <- far:
		return near, nil
	case <-l.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept returns the next connection.
func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close ends Accept and every dial.
func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

// Addr names the host; a pipe has no address of its own.
func (l *pipeListener) Addr() net.Addr { return pipeAddr(l.host) }

type pipeAddr string

func (a pipeAddr) Network() string { return "pipe" }
func (a pipeAddr) String() string  { return string(a) }

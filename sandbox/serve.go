// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
)

// Serve puts the API and the control port on loopback sockets ("127.0.0.1:0" for any free port), calls ready once both listen, and
// returns when ctx ends or a socket fails.
func (m *Market) Serve(ctx context.Context, listen, control string, ready func(Info) error) error {
	api, err := listenLoopback(listen)
	if err != nil {
		return fmt.Errorf("sandbox: listen for the API: %w", err)
	}
	defer func() { _ = api.Close() }() // its server has closed it already, but for the errors below
	knobs, err := listenLoopback(control)
	if err != nil {
		return fmt.Errorf("sandbox: listen for control: %w", err)
	}
	defer func() { _ = knobs.Close() }()
	m.mu.Lock()
	m.info.BaseURL, m.info.ControlURL = "http://"+api.Addr().String(), "http://"+knobs.Addr().String()
	m.mu.Unlock()

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return serveUntil(ctx, api, m.mux) })
	group.Go(func() error { return serveUntil(ctx, knobs, m.control) })
	group.Go(func() error { return ready(m.Info()) })
	return group.Wait()
}

// listenLoopback refuses any other interface: the sandbox guards nothing.
func listenLoopback(address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("%s is not a loopback address", address)
	}
	return net.Listen("tcp", address)
}

func serveUntil(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		err := server.Shutdown(grace)
		if errors.Is(err, context.DeadlineExceeded) {
			err = server.Close()
		}
		stopped <- err
	})
	err := server.Serve(listener)
	if stop() || !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stopped
}

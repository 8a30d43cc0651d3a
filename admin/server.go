// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"go.uber.org/zap"
)

// The bounds of the local API.
const (
	// maxRequest bounds a request's body.
	maxRequest = 1 << 20
	// maxConnections bounds how many callers are served at once.
	maxConnections = 128
	// maxWait bounds how long one request waits for a purchase.
	maxWait = 30 * time.Second
	// stopLimit bounds how long running requests may go on when the server stops.
	stopLimit = 2 * time.Second
)

// ServerConfig is what a server is made of.
type ServerConfig struct {
	// Socket is the path of the unix socket.
	Socket string
	Daemon Daemon
	// Logger records who decided what. Nil logs nothing.
	Logger *zap.Logger
	// Operators is the group that may decide; empty is [OperatorGroup].
	Operators string
}

// Server serves the local API on a unix socket.
type Server struct {
	cfg      ServerConfig
	log      *zap.Logger
	listener net.Listener
	info     os.FileInfo
}

// NewServer checks the configuration. It opens nothing.
func NewServer(cfg ServerConfig) (*Server, error) {
	if cfg.Socket == "" {
		return nil, errors.New("admin: no socket")
	}
	if cfg.Daemon == nil {
		return nil, errors.New("admin: no daemon")
	}
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	if cfg.Operators == "" {
		cfg.Operators = OperatorGroup
	}
	return &Server{cfg: cfg, log: cfg.Logger}, nil
}

// String returns the part's name.
func (s *Server) String() string { return "admin socket" }

// Listen binds the socket; callers are answered once Run is called. A second
// daemon on the same socket is [ErrInUse].
func (s *Server) Listen(ctx context.Context) error {
	l, err := listen(ctx, s.cfg.Socket)
	if err != nil {
		return err
	}
	s.listener = l
	s.info, err = os.Lstat(s.cfg.Socket)
	if err != nil {
		_ = l.Close()
		s.listener = nil
		return fmt.Errorf("look at the admin socket: %w", err)
	}
	return nil
}

// Run serves until the context ends and removes the socket. It binds the socket
// if Listen was not called, and may be called again after it has returned.
func (s *Server) Run(ctx context.Context) error {
	if s.listener == nil {
		if err := s.Listen(ctx); err != nil {
			return err
		}
	}
	listener := limit(s.listener, maxConnections)
	defer s.remove()
	server := &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          zap.NewStdLog(s.log),
		// Requests end with the daemon: one that waits for a purchase must not
		// hold up the stop.
		BaseContext: func(net.Listener) context.Context { return ctx },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if slot, ok := c.(*slotConn); ok {
				c = slot.Conn
			}
			peer, err := readPeer(c)
			return context.WithValue(ctx, peerKey{}, peerOrError{peer: peer, err: err})
		},
	}
	stopped := make(chan struct{})
	cancel := context.AfterFunc(ctx, func() {
		defer close(stopped)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			_ = server.Close() // what is left was given its time
		}
	})
	err := server.Serve(listener)
	if cancel() {
		return fmt.Errorf("serve the admin socket: %w", err)
	}
	<-stopped
	return nil
}

// remove deletes the socket, unless another daemon has put its own there.
func (s *Server) remove() {
	_ = s.listener.Close()
	s.listener = nil
	if now, err := os.Lstat(s.cfg.Socket); err == nil && os.SameFile(now, s.info) {
		_ = os.Remove(s.cfg.Socket)
	}
}

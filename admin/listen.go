// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// maxSocketPath is the longest path that a unix socket can have on Linux.
const maxSocketPath = 107

// ErrInUse says that another process answers on the socket.
var ErrInUse = errors.New("another daemon answers on the socket")

// listen binds the socket. Between bind and chmod a socket has whatever mode the
// umask gives, so it is bound inside a directory that only we can enter, gets its
// mode and group there, and is then renamed to its place; this also replaces the
// socket that a killed daemon left behind, at no moment leaving the path empty.
func listen(ctx context.Context, path string) (*net.UnixListener, error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("make the directory of the admin socket: %w", err)
	}
	if err := free(ctx, path); err != nil {
		return nil, err
	}
	private, err := os.MkdirTemp(dir, ".s") // mode 0700
	if err != nil {
		return nil, fmt.Errorf("make a private directory for the admin socket: %w", err)
	}
	defer func() { _ = os.RemoveAll(private) }()
	bound := filepath.Join(private, "s")
	if len(bound) > maxSocketPath || len(path) > maxSocketPath {
		return nil, fmt.Errorf("the path of the admin socket is longer than %d bytes: %s", maxSocketPath, path)
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: bound, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("bind the admin socket: %w", err)
	}
	listener.SetUnlinkOnClose(false)
	if err := publish(bound, path); err != nil {
		_ = listener.Close()
		return nil, err
	}
	return listener, nil
}

// publish gives the bound socket its mode and group and moves it to its place.
func publish(bound, path string) error {
	if group, err := user.LookupGroup(SocketGroup); err == nil {
		if gid, err := strconv.Atoi(group.Gid); err == nil {
			// Not being allowed to hand the socket to the group leaves it to our own.
			_ = os.Chown(bound, -1, gid)
		}
	}
	if err := os.Chmod(bound, 0o660); err != nil { //nolint:gosec // the group may ask, that is what it is for
		return fmt.Errorf("open the admin socket to its group: %w", err)
	}
	if err := os.Rename(bound, path); err != nil {
		return fmt.Errorf("move the admin socket to its place: %w", err)
	}
	return nil
}

// free says whether the path may be taken: nothing is there, or a socket on
// which nobody answers.
func free(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at the admin socket: %w", err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s is not a socket and is not replaced", path)
	}
	dialer := net.Dialer{Timeout: time.Second}
	conn, err := dialer.DialContext(ctx, "unix", path)
	if err == nil {
		_ = conn.Close()
		return fmt.Errorf("%w: %s", ErrInUse, path)
	}
	return nil
}

// limited bounds the number of open connections of a listener.
type limited struct {
	net.Listener
	slots chan struct{}
	done  chan struct{}
	once  sync.Once
}

func limit(l net.Listener, most int) *limited {
	return &limited{Listener: l, slots: make(chan struct{}, most), done: make(chan struct{})}
}

// Accept waits for a free slot, then for a connection.
func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.done:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &slotConn{Conn: conn, release: sync.OnceFunc(func() { <-l.slots })}, nil
}

// Close stops accepting.
func (l *limited) Close() error {
	l.once.Do(func() { close(l.done) })
	return l.Listener.Close()
}

// slotConn gives its slot back when it is closed.
type slotConn struct {
	net.Conn
	release func()
}

// Close closes the connection and frees its slot.
func (c *slotConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}

// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"fmt"
	"net"
	"syscall"
)

// readPeer asks the kernel for the credentials of a connection's peer.
func readPeer(c net.Conn) (Peer, error) {
	conn, ok := c.(*net.UnixConn)
	if !ok {
		return Peer{}, errNoPeer
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return Peer{}, fmt.Errorf("read peer credentials: %w", err)
	}
	var cred *syscall.Ucred
	var optErr error
	err = raw.Control(func(fd uintptr) {
		cred, optErr = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED) //nolint:gosec // a descriptor fits an int
	})
	if err != nil {
		return Peer{}, fmt.Errorf("read peer credentials: %w", err)
	}
	if optErr != nil {
		return Peer{}, fmt.Errorf("read peer credentials: %w", optErr)
	}
	return Peer{UID: cred.Uid, GID: cred.Gid, PID: cred.Pid}, nil
}

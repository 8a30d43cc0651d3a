// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"errors"
	"os"
	"runtime"
	"syscall"
	"testing"
)

// TestPeerFromTheKernel connects as another user and is refused: the kernel says
// who it is, not the caller.
func TestPeerFromTheKernel(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to become somebody else")
	}
	daemon := newFake()
	client, socket := start(t, daemon)
	if err := os.Chmod(socket, 0o666); err != nil {
		t.Fatal(err)
	}
	for dir := socket; dir != "/"; dir = parent(dir) {
		if err := os.Chmod(parent(dir), 0o755); err != nil {
			break
		}
		if parent(dir) == os.TempDir() {
			break
		}
	}
	raw, err := dialAs(t, socket, 65534)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Close(raw) }()
	request := "POST /v1/resume HTTP/1.1\r\nHost: agentd\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
	if _, err := syscall.Write(raw, []byte(request)); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 512)
	n, err := syscall.Read(raw, answer)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(answer[:min(n, 12)]); got != "HTTP/1.1 403" {
		t.Errorf("the answer begins with %q, want HTTP/1.1 403", got)
	}
	if daemon.last() != "" {
		t.Errorf("the daemon was asked %q", daemon.last())
	}
	if err := client.Resume(t.Context()); err != nil {
		t.Errorf("root is refused: %v", err)
	}
}

func parent(path string) string {
	for i := len(path) - 1; i > 0; i-- {
		if path[i] == '/' {
			return path[:i]
		}
	}
	return "/"
}

// dialAs connects from a thread that has become another user; the thread ends
// with its goroutine, since it is never unlocked.
func dialAs(t *testing.T, path string, uid int) (int, error) {
	t.Helper()
	type result struct {
		fd  int
		err error
	}
	done := make(chan result, 1)
	go func() {
		runtime.LockOSThread()
		fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			done <- result{err: err}
			return
		}
		if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)); errno != 0 {
			done <- result{err: errno}
			return
		}
		err = syscall.Connect(fd, &syscall.SockaddrUnix{Name: path})
		if err != nil {
			err = errors.Join(err, syscall.Close(fd))
		}
		done <- result{fd: fd, err: err}
	}()
	r := <-done
	return r.fd, r.err
}

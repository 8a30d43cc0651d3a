// SPDX-License-Identifier: Apache-2.0

package main

import (
	"syscall"
	"unsafe"
)

const unlimited = ^uint64(0)

// limitFiles sets the soft limit on the size of the files of a process, in bytes
// (prlimit(2)). What it writes beyond fails with EFBIG.
func limitFiles(pid int, bytes uint64) error {
	limit := syscall.Rlimit{Cur: bytes, Max: unlimited}
	_, _, errno := syscall.RawSyscall6(syscall.SYS_PRLIMIT64, uintptr(pid), syscall.RLIMIT_FSIZE, uintptr(unsafe.Pointer(&limit)), 0, 0, 0) //nolint:gosec // the kernel reads one struct
	if errno != 0 {
		return errno
	}
	return nil
}

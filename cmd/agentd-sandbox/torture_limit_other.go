// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package main

import "errors"

const unlimited = ^uint64(0)

// limitFiles needs prlimit(2).
func limitFiles(int, uint64) error { return errors.ErrUnsupported }

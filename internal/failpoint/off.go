// SPDX-License-Identifier: Apache-2.0

//go:build !failpoint || !linux

package failpoint

import (
	"net/http"
	"time"
)

// Hit does nothing in this build.
func Hit(string) {}

// Transport returns next in this build.
func Transport(next http.RoundTripper) http.RoundTripper { return next }

// ClockOffset returns zero in this build.
func ClockOffset() time.Duration { return 0 }

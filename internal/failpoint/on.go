// SPDX-License-Identifier: Apache-2.0

//go:build failpoint && linux

package failpoint

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// The environment of a build with fail points.
const (
	// envPoint names the point and the hit at which to die: NAME=COUNT, where NAME
	// may end in * and then stands for every point that begins so.
	envPoint = "FAILPOINT"
	// envClock names a file that holds a duration, such as -90m, by which the clock
	// is off. It is read at every look at the clock.
	envClock = "FAILPOINT_CLOCK"
)

// order is what the environment asks for.
type order struct {
	name   string
	prefix bool
	mu     sync.Mutex
	left   int
}

var asked = sync.OnceValue(func() *order {
	name, count, found := strings.Cut(os.Getenv(envPoint), "=")
	left, err := strconv.Atoi(count)
	if !found || err != nil || left < 1 {
		return nil
	}
	name, prefix := strings.CutSuffix(name, "*")
	return &order{name: name, prefix: prefix, left: left}
})

// Hit notes that the process has reached a write boundary. If it is the one that
// the environment names, and this is the hit that it counts to, the process dies
// by SIGKILL and Hit does not return.
func Hit(name string) {
	o := asked()
	if o == nil || name != o.name && (!o.prefix || !strings.HasPrefix(name, o.name)) {
		return
	}
	o.mu.Lock() // held to the end: no other boundary is passed while the signal is on its way
	if o.left--; o.left > 0 {
		o.mu.Unlock()
		return
	}
	_, _ = os.Stderr.WriteString(`{"level":"warn","msg":"fail point","point":"` + name + "\"}\n")
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

// Transport passes requests on and hits a point before and after each that may
// change something.
func Transport(next http.RoundTripper) http.RoundTripper { return transport{next} }

type transport struct{ next http.RoundTripper }

// RoundTrip implements [http.RoundTripper]. After means: the answer's head is here.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	what := requestName(r)
	if what == "" {
		return t.next.RoundTrip(r)
	}
	Hit(BeforeRequest + "-" + what)
	response, err := t.next.RoundTrip(r)
	Hit(AfterRequest + "-" + what)
	return response, err
}

// CloseIdleConnections lets http.Client.CloseIdleConnections through.
func (t transport) CloseIdleConnections() {
	if closer, can := t.next.(interface{ CloseIdleConnections() }); can {
		closer.CloseIdleConnections()
	}
}

// requestName names a request that writes; of the chain's, only a transaction does.
func requestName(r *http.Request) string {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return ""
	}
	if r.GetBody == nil || strings.Contains(r.URL.Path, "/api/") {
		return path.Base(r.URL.Path)
	}
	body, err := r.GetBody()
	if err != nil {
		return ""
	}
	text, err := io.ReadAll(body)
	if err != nil || body.Close() != nil || !bytes.Contains(text, []byte("eth_sendRawTransaction")) {
		return ""
	}
	var call struct{ Method string }
	if json.Unmarshal(text, &call) != nil {
		return "batch"
	}
	return call.Method
}

// ClockOffset returns by how much the clock is to be off now.
func ClockOffset() time.Duration {
	name := os.Getenv(envClock)
	if name == "" {
		return 0
	}
	text, err := os.ReadFile(name) //nolint:gosec // the tester's file
	if err != nil {
		return 0
	}
	d, err := time.ParseDuration(strings.TrimSpace(string(text)))
	if err != nil {
		return 0
	}
	return d
}

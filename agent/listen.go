// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"
)

// listener serves /metrics, /livez and /readyz, and nothing else.
type listener struct {
	address string
	handler http.Handler
	health  *health
	beats   *beats
	log     *zap.Logger
	bound   func(net.Addr) // optional: told the address once it listens
}

func newListener(address string, reg *prometheus.Registry, h *health, b *beats, log *zap.Logger) *listener {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{
		EnableOpenMetrics: true, MaxRequestsInFlight: 4, Timeout: 10 * time.Second,
	}))
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { answerLive(w, b) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) { answerReady(w, r, h) })
	return &listener{address: address, handler: mux, health: h, beats: b, log: log}
}

// String returns the part's name.
func (l *listener) String() string { return "metrics listener" }

// Run listens until the context ends. An address in use is a problem and a
// restart, not the end of the daemon: buying does not need to be watched.
func (l *listener) Run(ctx context.Context) error {
	socket, err := new(net.ListenConfig).Listen(ctx, "tcp", l.address)
	if err != nil {
		l.health.raise(problemListen, err.Error())
		return fmt.Errorf("listen for metrics: %w", err)
	}
	l.health.clear(problemListen)
	if l.bound != nil {
		l.bound(socket.Addr())
	}
	l.log.Info("metrics listener started", zap.Stringer("address", socket.Addr()))
	server := &http.Server{
		Handler: l.handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 1 << 14,
	}
	stopped := context.AfterFunc(ctx, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			_ = server.Close() // what is left is a scrape, which may be cut
		}
	})
	defer stopped()
	if err := server.Serve(socket); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve metrics: %w", err)
	}
	return nil
}

// answerLive says whether every loop keeps its deadline. An unpaired daemon, or
// one without a network, is live.
func answerLive(w http.ResponseWriter, b *beats) {
	if err := b.stuck(); err != nil {
		answer(w, http.StatusServiceUnavailable, "stuck\n"+err.Error()+"\n")
		return
	}
	answer(w, http.StatusOK, "live\n")
}

// answerReady says whether the daemon could buy now; with ?verbose also each
// problem, its detail and what to do.
func answerReady(w http.ResponseWriter, r *http.Request, h *health) {
	blockers := h.blockers()
	status, text := http.StatusOK, "ready\n"
	if len(blockers) > 0 {
		status, text = http.StatusServiceUnavailable, "not ready\n"
	}
	if r.URL.Query().Has("verbose") {
		text += describe(blockers, h.visible(time.Now()))
	}
	answer(w, status, text)
}

// describe writes one line per problem, the blocking ones first.
func describe(blockers, visible []shown) string {
	var b strings.Builder
	seen := map[string]bool{}
	line := func(mark string, p shown) {
		if seen[p.Code] {
			return
		}
		seen[p.Code] = true
		fmt.Fprintf(&b, "[%s] %s: %s", mark, p.Code, p.Text)
		if p.Detail != "" {
			fmt.Fprintf(&b, " (%s)", p.Detail)
		}
		fmt.Fprintf(&b, " %s\n", p.Next)
	}
	for _, p := range blockers {
		line("-", p)
	}
	for _, p := range visible {
		line("!", p)
	}
	return b.String()
}

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text)) // the asker may be gone
}

// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"
	"go.uber.org/zap"

	"github.com/agentd-project/agentd/admin"
	"github.com/agentd-project/agentd/config"
	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/market"
	"github.com/agentd-project/agentd/orchestration"
	"github.com/agentd-project/agentd/pairing"
	"github.com/agentd-project/agentd/payments"
	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/wallet"
)

// ErrRunning says that another daemon uses the same state directory.
var ErrRunning = errors.New("another daemon runs on this state directory")

// Options is what an [Agent] is made of. Config is required.
type Options struct {
	Config *config.Config
	// Logger gets every log line; nil logs nothing. Level, if it is the logger's
	// own, lets the admin socket change its level.
	Logger *zap.Logger
	Level  *zap.AtomicLevel
	// Version and Revision say what was built.
	Version, Revision string
	// HTTPTransport carries every HTTP request: to the Market, the chains and the
	// probed endpoints. Nil is a transport of its own that honours the proxy
	// variables and the configured certificate authority.
	HTTPTransport http.RoundTripper
	// Listening is told the address of the metrics listener; nil tells nobody.
	Listening func(net.Addr)
}

// Agent is one daemon for one machine. Make it with [New], run it with
// [Agent.Run]; if it is not run, [Agent.Close] frees what it holds.
type Agent struct {
	cfg     *config.Config
	opt     Options
	log     *zap.Logger
	started time.Time

	lock    *flock.Flock
	health  *health
	beats   *beats
	clock   *clock
	metrics *metrics
	notify  *notifier

	wallet    *wallet.Wallet
	ledger    *ledger.Ledger
	api       *orchestration.Client
	guard     *policy.Guard
	machine   *machine
	pairing   *pairing.Service
	market    *market.Market
	rails     *payments.Set
	chains    []*chainWatch
	heartbeat *heartbeat
	scheduler *scheduler
	auditor   *auditor
	front     *front
	admin     *admin.Server

	open                atomic.Int64 // purchases, as last counted
	headLogged, trimmed time.Time    // by the health loop

	wakeMachine chan struct{}
	wakeMarket  chan struct{}
	parts       []part // in the order in which they start
	closers     []closer
}

// closer frees one thing on the way out.
type closer struct {
	name string
	do   func() error
}

// onClose registers the release of something that exists now; releases run in
// reverse order.
func (a *Agent) onClose(name string, do func() error) {
	a.closers = append(a.closers, closer{name, do})
}

// Close frees what [New] took: the ledger and the lock of the state directory.
// It is called by [Agent.Run] and may be called twice.
func (a *Agent) Close() error {
	var faults []error
	for i := len(a.closers) - 1; i >= 0; i-- {
		c := a.closers[i]
		if err := c.do(); err != nil {
			faults = append(faults, fmt.Errorf("close %s: %w", c.name, err))
		}
	}
	a.closers = nil
	return errors.Join(faults...)
}

// Run starts the parts, tells the service manager, and waits until ctx ends or
// something fails that no restart mends. Then it stops the parts in reverse order
// within 30 s; purchases that are under way stay on disk and are taken up by the
// next run. The error is nil after an orderly stop.
func (a *Agent) Run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, a.Close()) }()
	if a.admin != nil { // tests in a bubble of fake time have no sockets
		if err := a.admin.Listen(ctx); err != nil {
			return fmt.Errorf("open the admin socket: %w", err)
		}
	}
	s := newSupervisor(a.log, a.health)
	for _, p := range a.parts {
		s.start(ctx, p)
	}
	a.log.Info("daemon started", zap.String("version", a.opt.Version), zap.Float64("seconds", time.Since(a.started).Seconds()),
		zap.String("address", a.wallet.Address().Hex()), zap.Int("parts", len(a.parts)))
	a.notify.ready()

	select {
	case <-ctx.Done():
		a.log.Info("stop requested")
	case err = <-s.fatal:
		a.log.Error("daemon cannot go on", zap.Error(err))
	}
	a.notify.stopping()
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainLimit)
	defer cancel()
	if late := s.stop(drain); late != nil {
		return errors.Join(err, late)
	}
	a.log.Info("daemon stopped")
	return err
}

// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"go.uber.org/zap"
)

// notifier tells the service manager how the daemon is. Without a service
// manager all of it does nothing.
type notifier struct {
	send func(state string) // one message; replaced by tests
	log  *zap.Logger
}

func newNotifier(log *zap.Logger) *notifier {
	return &notifier{log: log, send: func(state string) {
		if _, err := daemon.SdNotify(false, state); err != nil {
			log.Warn("service manager not notified", zap.Error(err))
		}
	}}
}

func (n *notifier) ready()             { n.send(daemon.SdNotifyReady) }
func (n *notifier) stopping()          { n.send(daemon.SdNotifyStopping) }
func (n *notifier) status(text string) { n.send("STATUS=" + text) }

// watchdog feeds the service manager's watchdog while no loop is stuck. Once
// one is, it starves it, and the manager aborts and restarts the process with
// the stacks of all goroutines in the log.
type watchdog struct {
	every  time.Duration // between two looks
	feed   bool          // the service manager asked to be fed
	beats  *beats
	notify *notifier
	status func() string // one line for the manager's status
	log    *zap.Logger
}

// newWatchdog looks twice per watchdog period, or every ten seconds for the
// status line alone where no watchdog is set.
func newWatchdog(b *beats, n *notifier, status func() string, log *zap.Logger) *watchdog {
	w := &watchdog{every: 10 * time.Second, beats: b, notify: n, status: status, log: log}
	period, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("watchdog settings of the service manager are unreadable", zap.Error(err))
	}
	if err == nil && period > 0 {
		w.every, w.feed = min(period/2, w.every), true
	}
	return w
}

// String returns the part's name.
func (w *watchdog) String() string { return "watchdog" }

// Run looks at the loops until the context ends.
func (w *watchdog) Run(ctx context.Context) error {
	last := ""
	for {
		err := w.beats.stuck()
		switch {
		case err != nil:
			w.log.Error("watchdog starves", zap.Error(err))
		case w.feed:
			w.notify.send(daemon.SdNotifyWatchdog)
		}
		if text := w.status(); text != last {
			last = text
			w.notify.status(text)
		}
		if !sleep(ctx, w.every, nil) {
			return nil
		}
	}
}

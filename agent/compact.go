// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/agentd-project/agentd/ledger"
)

const (
	// compactEvery is how often the ledger is looked at for what is older than the
	// retention.
	compactEvery = 6 * time.Hour
	// compactPause follows each of the small transactions, so that purchases come first.
	compactPause = 20 * time.Millisecond
)

// compactor takes out of the ledger what is older than the retention. Only a proven
// time says what is: a wrong year would take what windows still count.
type compactor struct {
	a      *Agent
	waited bool // the clock was not proven
}

func (c *compactor) pass(ctx context.Context) error {
	now, trusted := c.a.clock.Now()
	if c.waited = !trusted; c.waited {
		return nil
	}
	done, err := c.a.ledger.Compact(ctx, ledger.Compaction{Now: now, Retention: c.a.cfg.Retention, Pause: compactPause})
	if done != (ledger.Compacted{}) {
		c.a.log.Info("ledger compacted", zap.Int64("receipts", done.Receipts), zap.Int64("dropped", done.Dropped), zap.Int64("entries", done.Entries))
	}
	return err
}

// pause is short until the clock is proven.
func (c *compactor) pause() time.Duration {
	if c.waited {
		return time.Minute
	}
	return compactEvery
}

// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/robfig/cron/v3"
	"go.uber.org/zap"
)

// job is one need with a schedule.
type job struct {
	need string
	spec string // cron spec or descriptor, in UTC
	run  func(ctx context.Context) error
}

// scheduler starts purchases when their needs' schedules say so. A run that is
// still going when the next is due makes that one skip; runs that were due
// while the daemon was down are not caught up.
type scheduler struct {
	jobs []job
	log  *zap.Logger

	mu      sync.Mutex
	cron    *cron.Cron // nil while not running
	entries map[string]cron.EntryID
}

// parseSchedule reads a cron spec. A zone in it is refused: the library panics
// on one, and schedules are in UTC.
func parseSchedule(spec string) (cron.Schedule, error) {
	if strings.Contains(spec, "TZ=") {
		return nil, fmt.Errorf("schedule %q: a time zone is not allowed, schedules are in UTC", spec)
	}
	schedule, err := cron.ParseStandard(spec)
	if err != nil {
		return nil, fmt.Errorf("schedule %q: %w", spec, err)
	}
	return schedule, nil
}

// String returns the part's name.
func (s *scheduler) String() string { return "scheduler" }

// Run starts the jobs until the context ends, then waits for those that run.
func (s *scheduler) Run(ctx context.Context) error {
	logger := cronLog{s.log}
	// Recover is the inner one: a run that panicked has to give its turn back.
	c := cron.New(cron.WithLocation(time.UTC), cron.WithLogger(logger),
		cron.WithChain(cron.SkipIfStillRunning(logger), cron.Recover(logger)))
	entries := make(map[string]cron.EntryID, len(s.jobs))
	for _, j := range s.jobs {
		schedule, err := parseSchedule(j.spec)
		if err != nil {
			return fatal(fmt.Errorf("need %s: %w", j.need, err))
		}
		entries[j.need] = c.Schedule(schedule, cron.FuncJob(func() {
			if err := j.run(ctx); err != nil && ctx.Err() == nil {
				s.log.Warn("scheduled purchase not started", zap.String("need", j.need), zap.Error(err))
			}
		}))
	}
	c.Start()
	s.running(c, entries)
	<-ctx.Done()
	<-c.Stop().Done()
	return nil
}

func (s *scheduler) running(c *cron.Cron, entries map[string]cron.EntryID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cron, s.entries = c, entries
}

// next returns when a need is bought next; zero if it is not scheduled.
func (s *scheduler) next(need string) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, scheduled := s.entries[need]
	if s.cron == nil || !scheduled {
		return time.Time{}
	}
	return s.cron.Entry(id).Next
}

// cronLog lets the cron library log through zap.
type cronLog struct{ log *zap.Logger }

// Info logs what the library tells of its routine.
func (l cronLog) Info(msg string, keysAndValues ...any) {
	l.log.Debug("schedule event", zap.String("event", msg), zap.Any("details", keysAndValues))
}

// Error logs a job that panicked.
func (l cronLog) Error(err error, msg string, keysAndValues ...any) {
	l.log.Error("schedule fault", zap.String("event", msg), zap.Error(err), zap.Any("details", keysAndValues))
}

// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
)

// fakePart runs as told, with a memory of when.
type fakePart struct {
	name string
	run  func(ctx context.Context, n int) error

	mu     sync.Mutex
	starts []time.Time
}

func (p *fakePart) String() string { return p.name }

func (p *fakePart) Run(ctx context.Context) error {
	p.mu.Lock()
	p.starts = append(p.starts, time.Now())
	n := len(p.starts)
	p.mu.Unlock()
	return p.run(ctx, n)
}

func (p *fakePart) started() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.starts)
}

func until(ctx context.Context, _ int) error {
	<-ctx.Done()
	return nil
}

func TestSupervisor(t *testing.T) {
	tests := []struct {
		name string
		run  func(ctx context.Context, n int) error
		want int // starts within a minute
		code bool
	}{
		{"runs on", until, 1, false},
		{"ends by itself", func(context.Context, int) error { return nil }, 1, false},
		{"fails twice", func(ctx context.Context, n int) error {
			if n <= 2 {
				return errors.New("not now")
			}
			return until(ctx, n)
		}, 3, false},
		{"panics once", func(ctx context.Context, n int) error {
			if n == 1 {
				panic("a fault")
			}
			return until(ctx, n)
		}, 2, false},
		{"keeps failing", func(context.Context, int) error { return errors.New("never") }, 6, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := newHealth(zap.NewNop())
				s := newSupervisor(zap.NewNop(), h)
				p := &fakePart{name: "fake", run: tt.run}
				s.start(t.Context(), p)
				time.Sleep(time.Minute)
				if got := p.started(); got < tt.want || got > tt.want+1 {
					t.Errorf("started %d times in a minute, want %d", got, tt.want)
				}
				if got := h.lasts(problemPart); got != tt.code {
					t.Errorf("problem raised: %v, want %v", got, tt.code)
				}
				if err := s.stop(t.Context()); err != nil {
					t.Errorf("stop: %v", err)
				}
			})
		})
	}
}

func TestSupervisorFatal(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSupervisor(zap.NewNop(), newHealth(zap.NewNop()))
		want := errors.New("no restart helps")
		p := &fakePart{name: "fake", run: func(context.Context, int) error { return fatal(want) }}
		s.start(t.Context(), p)
		if err := <-s.fatal; !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
		time.Sleep(time.Hour)
		if got := p.started(); got != 1 {
			t.Errorf("started %d times, want once", got)
		}
	})
}

func TestStopInReverse(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSupervisor(zap.NewNop(), newHealth(zap.NewNop()))
		var mu sync.Mutex
		var order []string
		for _, name := range []string{"a", "b", "c"} {
			s.start(t.Context(), &fakePart{name: name, run: func(ctx context.Context, _ int) error {
				<-ctx.Done()
				time.Sleep(time.Second) // the parts started before go on meanwhile
				mu.Lock()
				defer mu.Unlock()
				order = append(order, name)
				return nil
			}})
		}
		if err := s.stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if want := []string{"c", "b", "a"}; !slices.Equal(order, want) {
			t.Errorf("stopped %v, want %v", order, want)
		}
	})
}

func TestStopIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSupervisor(zap.NewNop(), newHealth(zap.NewNop()))
		release := make(chan struct{})
		s.start(t.Context(), &fakePart{name: "stubborn", run: func(context.Context, int) error { <-release; return nil }})
		ctx, cancel := context.WithTimeout(t.Context(), drainLimit)
		defer cancel()
		start := time.Now()
		if err := s.stop(ctx); err == nil || time.Since(start) != drainLimit {
			t.Errorf("stop returned %v after %s, want an error after %s", err, time.Since(start), drainLimit)
		}
		close(release)
	})
}

func TestWatchdogStarves(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var mu sync.Mutex
		var sent []string
		b := newBeats()
		n := &notifier{log: zap.NewNop(), send: func(state string) {
			mu.Lock()
			defer mu.Unlock()
			sent = append(sent, state)
		}}
		feeds := func(d time.Duration) int {
			mu.Lock()
			sent = nil
			mu.Unlock()
			time.Sleep(d)
			mu.Lock()
			defer mu.Unlock()
			count := 0
			for _, s := range sent {
				if s == "WATCHDOG=1" {
					count++
				}
			}
			return count
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()
		hang := make(chan struct{})
		var stuck atomic.Bool
		l := &loop{name: "job", interval: 10 * time.Second, limit: 20 * time.Second, retry: time.Second, beats: b, log: zap.NewNop(), pass: func(context.Context) error {
			if stuck.Load() {
				<-hang // deaf to its context
			}
			return nil
		}}
		w := &watchdog{every: 5 * time.Second, feed: true, beats: b, notify: n, status: func() string { return "well" }, log: zap.NewNop()}
		wg.Go(func() { _ = l.Run(ctx) })
		wg.Go(func() { _ = w.Run(ctx) })

		if got := feeds(time.Minute); got < 10 {
			t.Errorf("fed %d times in a minute, want about 12", got)
		}
		stuck.Store(true)
		time.Sleep(time.Minute) // the deadline passes
		if got := feeds(time.Minute); got != 0 {
			t.Errorf("fed %d times with a stuck loop, want 0", got)
		}
		if b.stuck() == nil {
			t.Error("no loop counts as stuck")
		}
		stuck.Store(false)
		close(hang)
		time.Sleep(10 * time.Second)
		if got := feeds(time.Minute); got < 10 {
			t.Errorf("fed %d times after the loop went on, want about 12", got)
		}
	})
}

func TestLoop(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var mu sync.Mutex
		var at []time.Time
		fail := true
		wakeup := make(chan struct{}, 1)
		l := &loop{name: "job", interval: 10 * time.Minute, limit: time.Second, retry: time.Second, beats: newBeats(), log: zap.NewNop(), wake: wakeup,
			pass: func(ctx context.Context) error {
				mu.Lock()
				defer mu.Unlock()
				at = append(at, time.Now())
				if fail {
					<-ctx.Done()
					return ctx.Err()
				}
				return nil
			}}
		count := func() int {
			mu.Lock()
			defer mu.Unlock()
			return len(at)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := l.Run(ctx); err != nil {
				t.Errorf("Run returned %v", err)
			}
		})
		time.Sleep(10 * time.Minute)
		mu.Lock()
		fail = false
		mu.Unlock()
		failing := count()
		if failing < 15 || failing > 40 {
			t.Errorf("%d passes in 10 minutes of failing, want some 20: growing pauses up to %s", failing, longestRetry)
		}
		time.Sleep(time.Hour)
		if got := count() - failing; got < 5 || got > 8 {
			t.Errorf("%d passes in an hour, want about 6", got)
		}
		before := count()
		wake(wakeup)
		time.Sleep(time.Second)
		if got := count() - before; got != 1 {
			t.Errorf("%d passes after a wake-up, want 1", got)
		}
		cancel()
		wg.Wait()
	})
}

func TestScheduler(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var mu sync.Mutex
		runs, most, now := 0, 0, 0
		slow := func(context.Context) error {
			mu.Lock()
			runs, now = runs+1, now+1
			most = max(most, now)
			mu.Unlock()
			time.Sleep(150 * time.Second)
			mu.Lock()
			defer mu.Unlock()
			now--
			return nil
		}
		quick := 0
		s := &scheduler{log: zap.NewNop(), jobs: []job{
			{need: "slow", spec: "* * * * *", run: slow},
			{need: "quick", spec: "@every 10m", run: func(context.Context) error {
				mu.Lock()
				defer mu.Unlock()
				quick++
				if quick == 2 {
					panic("a fault in one run")
				}
				return errors.New("refused")
			}},
		}}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := s.Run(ctx); err != nil {
				t.Errorf("Run returned %v", err)
			}
		})
		time.Sleep(time.Hour + time.Second)
		if next := s.next("quick"); time.Until(next) <= 0 || time.Until(next) > 10*time.Minute {
			t.Errorf("next run %s, want within 10 minutes", next)
		}
		cancel()
		wg.Wait()
		if most != 1 || runs < 18 || runs > 22 {
			t.Errorf("%d runs, %d at a time; want about 20, one at a time", runs, most)
		}
		if quick != 6 {
			t.Errorf("%d runs every 10 minutes in an hour, want 6, panic or not", quick)
		}
	})
}

func TestParseSchedule(t *testing.T) {
	for _, bad := range []string{"TZ=UTC", "CRON_TZ=UTC * * * * *", "TZ=Europe/Berlin 0 1 * * *", "* * *", "", "@sometimes"} {
		if _, err := parseSchedule(bad); err == nil {
			t.Errorf("parseSchedule(%q) succeeded", bad)
		}
	}
	for _, good := range []string{"@every 10m", "@daily", "*/5 * * * *"} {
		if _, err := parseSchedule(good); err != nil {
			t.Errorf("parseSchedule(%q): %v", good, err)
		}
	}
}

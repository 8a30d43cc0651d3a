// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/agentd-project/agentd/internal/failpoint"
)

const (
	// clockBound is how far the local clock may be from the Market's and the
	// chain's before it is not trusted with a limit or a deadline.
	clockBound = 2 * time.Minute
	// clockSlowAnswer is the round trip above which an answer's date says too
	// little about now.
	clockSlowAnswer = 30 * time.Second
)

// marketClock names the Market's clock among the foreign ones.
const marketClock = "market"

// sighting is one reading of a foreign clock: its time, and the local instant,
// with its monotonic reading, at which it was taken.
type sighting struct {
	remote time.Time
	local  time.Time
	floor  bool // the remote time is only a lower bound of now, as a block's is
}

// clock is the daemon's clock for limits. The wall clock is trusted while at
// least one foreign clock agrees with it and none contradicts it. A foreign
// clock is carried forward by the monotonic clock, so that a wall clock that
// jumps afterwards is noticed at once. It is safe for concurrent use.
type clock struct {
	mu        sync.Mutex
	sightings map[string]sighting
	wall      func() time.Time // the wall clock, replaced by tests that set it
}

func newClock() *clock {
	wall := func() time.Time { return time.Now().Add(failpoint.ClockOffset()) }
	return &clock{sightings: map[string]sighting{}, wall: wall}
}

// Now returns the wall clock's time and whether it may bound a limit.
func (c *clock) Now() (time.Time, bool) {
	now := c.wallTime()
	trusted, _ := c.judge(now)
	return now.UTC(), trusted
}

// wallTime returns the wall clock's time.
func (c *clock) wallTime() time.Time {
	c.mu.Lock()
	wall := c.wall
	c.mu.Unlock()
	return wall()
}

// judge says whether now may be trusted, and the largest contradiction.
func (c *clock) judge(now time.Time) (trusted bool, skew time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	instant := time.Now()
	for _, s := range c.sightings {
		expected := s.remote.Add(instant.Sub(s.local))
		d := now.Round(0).Sub(expected.Round(0))
		switch {
		case d < -clockBound, d > clockBound && !s.floor:
			return false, d
		case d <= clockBound:
			trusted, skew = true, d
		}
	}
	return trusted, skew
}

// estimate returns the time by the Market's clock, carried forward, or the wall
// clock's before the Market has answered: what the Market dates is judged by its
// own time.
func (c *clock) estimate() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s, ok := c.sightings[marketClock]; ok {
		return s.remote.Add(time.Since(s.local)).UTC()
	}
	return c.wall().UTC()
}

// observe notes the time that a foreign clock shows now.
func (c *clock) observe(source string, remote time.Time, floor bool) {
	if remote.IsZero() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sightings[source] = sighting{remote: remote, local: time.Now(), floor: floor}
}

// dateReader passes requests on and shows the clock the dates of the answers.
type dateReader struct {
	next  http.RoundTripper
	clock *clock
}

// RoundTrip implements [http.RoundTripper].
func (d *dateReader) RoundTrip(req *http.Request) (*http.Response, error) {
	start := time.Now()
	resp, err := d.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil && time.Since(start) < clockSlowAnswer {
		d.clock.observe(marketClock, date.Add(cacheAge(resp.Header)), false)
	}
	return resp, nil
}

// cacheAge reads how long an answer has stood in a cache, whose Date is the
// origin's.
func cacheAge(h http.Header) time.Duration {
	seconds, err := strconv.ParseUint(h.Get("Age"), 10, 31)
	if err != nil {
		return 0
	}
	return time.Duration(seconds) * time.Second //nolint:gosec // 31 bits above
}

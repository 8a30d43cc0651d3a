// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"hash/fnv"
	"math"
	"math/rand/v2"
	"sync"
	"time"
)

// dice are all chance of a world.
type dice struct {
	seed  uint64
	mu    sync.Mutex
	drawn map[string]uint64
}

func newDice(seed uint64) *dice { return &dice{seed: seed, drawn: map[string]uint64{}} }

// mix is splitmix64's finaliser.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func hashOf(parts ...string) uint64 {
	h := fnv.New64a()
	for _, p := range parts {
		_, _ = h.Write([]byte(p)) // a hash takes everything
		_, _ = h.Write([]byte{0})
	}
	return h.Sum64()
}

// roll returns the next source of who, the same one in every replay.
func (d *dice) roll(who string) *rand.Rand {
	d.mu.Lock()
	d.drawn[who]++
	n := d.drawn[who]
	d.mu.Unlock()
	return rand.New(rand.NewPCG(mix(d.seed^hashOf(who)), n)) //nolint:gosec // a replay is what it is for
}

// jitter depends on the instant alone: whoever waits at the same one waits alike.
func (d *dice) jitter(most time.Duration) time.Duration {
	if most <= 0 {
		return 0
	}
	x := mix(d.seed ^ mix(uint64(time.Now().UnixNano())) ^ uint64(most)) //nolint:gosec // bits are bits
	return time.Duration(x % uint64(most+1))                             //nolint:gosec // below most
}

// share is jitter as a part of one.
func (d *dice) share() float64 { return float64(d.jitter(1<<50)) / (1 << 50) }

// stream makes bytes that only the seed decides.
func (d *dice) stream(who string) *rand.ChaCha8 {
	var key [32]byte
	x := mix(d.seed ^ hashOf(who))
	for i := range key {
		if i%8 == 0 {
			x = mix(x)
		}
		key[i] = byte(x >> (i % 8 * 8)) //nolint:gosec // one byte of eight
	}
	return rand.NewChaCha8(key)
}

func chance(r *rand.Rand, p float64) bool { return p > 0 && r.Float64() < p }

func pick[T any](r *rand.Rand, all ...T) T { return all[r.IntN(len(all))] }

// span draws a duration whose logarithm is uniform, to the nanosecond.
func span(r *rand.Rand, least, most time.Duration) time.Duration {
	low, high := math.Log(float64(least)), math.Log(float64(most))
	return time.Duration(math.Exp(low + (high-low)*r.Float64()))
}

// among draws an index by weight.
func among(r *rand.Rand, weights ...int) int {
	sum := 0
	for _, w := range weights {
		sum += w
	}
	n := r.IntN(sum)
	for i, w := range weights {
		if n -= w; n < 0 {
			return i
		}
	}
	return len(weights) - 1
}

// SPDX-License-Identifier: Apache-2.0

package pairing

import (
	"math/rand/v2"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/agentd-project/agentd/orchestration"
)

const (
	// unknownLife is assumed of a session whose reply and token name no expiry.
	unknownLife = 10 * time.Minute
	// shortestLife is what a session counts as at least, lest an answer with a
	// nonsense expiry makes the service rotate without pause.
	shortestLife = 10 * time.Second
	// longestLife bounds what is believed, so that the server's policy is read
	// again at least daily.
	longestLife = 24 * time.Hour
)

// Session is a live pairing session: what a call to the Market needs.
type Session struct {
	// Token is sent with every pairing call.
	Token orchestration.Secret
	// PairingID and MachineID name the pairing that the token belongs to.
	PairingID, MachineID string
	// Expires is when the token ends by the local clock.
	Expires time.Time
}

// times is what a reply says about the life of a session.
type times struct {
	issued, expires orchestration.Timestamp
	token           string
}

// life returns how long a session lasts from the moment its reply came in. It
// is a difference of the server's own times where the reply has both, so that a
// local clock that is wrong shortens or prolongs nothing. The token's own claims
// can only shorten it.
func life(t times, now time.Time) time.Duration {
	d := time.Duration(0)
	issued, errIssued := t.issued.Time()
	expires, errExpires := t.expires.Time()
	switch {
	case errExpires == nil && errIssued == nil:
		d = expires.Sub(issued)
	case errExpires == nil:
		d = expires.Sub(now)
	}
	if claimed, ok := claimedLife(t.token, issued, now); ok && (d <= 0 || claimed < d) {
		d = claimed
	}
	if d <= 0 {
		d = unknownLife
	}
	return min(max(d, shortestLife), longestLife)
}

// claimedLife reads the expiry that a token claims, if it is a JWT. Nothing is
// verified: the token is the server's own, and the claim only brings the next
// rotation forward.
func claimedLife(token string, issued, now time.Time) (time.Duration, bool) {
	var claims jwt.RegisteredClaims
	if _, _, err := jwt.NewParser().ParseUnverified(token, &claims); err != nil || claims.ExpiresAt == nil {
		return 0, false
	}
	from := now
	switch {
	case claims.IssuedAt != nil:
		from = claims.IssuedAt.Time
	case !issued.IsZero():
		from = issued
	}
	d := claims.ExpiresAt.Sub(from)
	return d, d > 0
}

// rotateAfter returns when in a session's life it is replaced: at two thirds,
// a little sooner by chance so that a fleet does not rotate at once. share is
// the chance, from 0 up to 1.
func rotateAfter(life time.Duration, share float64) time.Duration {
	due := life * 2 / 3
	return due - time.Duration(float64(due/10)*share)
}

// spread makes a pause up to three tenths shorter or longer by chance.
func spread(pause time.Duration, share float64) time.Duration {
	return pause*7/10 + time.Duration(float64(pause*6/10)*share)
}

// chance is the default of Config.Chance.
func chance() float64 { return rand.Float64() } //nolint:gosec // spreads a fleet's load, guards nothing

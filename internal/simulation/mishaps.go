// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"math/rand/v2"
	"net/http"
	"strings"
	"time"
)

// slowest is how long a request may be under way before the Market processes it:
// less than the buyer's patience with an order that does not appear.
const slowest = 62 * time.Second

// marketPlan draws what happens to a call to the Market.
func (c *climate) marketPlan(r *rand.Rand, name string) plan {
	p := plan{out: span(r, 200*time.Microsecond, 30*time.Millisecond), back: span(r, 200*time.Microsecond, 30*time.Millisecond)}
	if chance(r, 0.02) {
		p.back = span(r, 30*time.Millisecond, 5*time.Second)
	}
	if !chance(r, c.marketFaults) {
		return p
	}
	p.later = span(r, time.Millisecond, slowest)
	kinds := []mishap{lostBefore, lostAfter, lateAnswer, lateRequest, twice, statusBefore, statusAfter, halfAnswer, noJSON, emptyAnswer, rateLimited}
	p.mishap = kinds[among(r, 3, 6, 2, 4, 3, 2, 3, 2, 1, 1, 1)]
	if strings.HasPrefix(name, http.MethodGet) && (p.mishap == twice || p.mishap == lateRequest) {
		p.mishap = lostAfter // a read that arrives later changes nothing
	}
	p.status = http.StatusTooManyRequests
	if p.mishap != rateLimited {
		p.status = pick(r, http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout)
	}
	return p
}

// chainPlan draws what happens to a call to an endpoint of the chain.
func (c *climate) chainPlan(r *rand.Rand, name, host string) plan {
	p := plan{out: span(r, 50*time.Microsecond, 10*time.Millisecond), back: span(r, 50*time.Microsecond, 10*time.Millisecond)}
	if host == chainHost2 && c.lag > 0 {
		p.mishap = staleHead
	}
	if !chance(r, c.chainFaults) {
		return p
	}
	p.later = span(r, time.Millisecond, slowest)
	kinds := []mishap{lostBefore, lostAfter, lateAnswer, statusBefore, rateLimited, missing, wrongNonce, falseFinality, halfAnswer}
	p.mishap = kinds[among(r, 3, 4, 1, 2, 2, 3, 2, 2, 1)]
	switch {
	case p.mishap == missing && name != "eth_getTransactionReceipt", p.mishap == wrongNonce && name != "eth_getTransactionCount",
		p.mishap == falseFinality && (name != "eth_getBlockByNumber" || !c.lies):
		p.mishap = lostAfter
	}
	p.status = http.StatusTooManyRequests
	if p.mishap != rateLimited {
		p.status = pick(r, http.StatusInternalServerError, http.StatusBadGateway)
	}
	return p
}

// SPDX-License-Identifier: Apache-2.0

package pairing

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/orchestration"
)

// FuzzLife reads how long a session lasts from any reply and token: always within
// the bounds, so that no reply stops the rotation or makes it run wild.
func FuzzLife(f *testing.F) {
	f.Add("2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z", "opaque")
	f.Add("", "9999-12-31T23:59:59Z", "eyJhbGciOiJub25lIn0.eyJleHAiOjF9.")
	f.Add("x", "1999-01-01T00:00:00Z", "eyJhbGciOiJub25lIn0.eyJleHAiOjFlMzA4LCJpYXQiOi0xfQ.")
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, issued, expires, token string) {
		d := life(times{issued: orchestration.Timestamp(issued), expires: orchestration.Timestamp(expires), token: token}, now)
		if d < shortestLife || d > longestLife {
			t.Fatalf("a session of %s", d)
		}
		if after := rotateAfter(d, 0.5); after <= 0 || after >= d {
			t.Fatalf("a session of %s is replaced after %s", d, after)
		}
	})
}

// FuzzServerPolicy turns any policy of the server into limits: what cannot be read
// is no limit of more than zero, and pushing ours never widens.
func FuzzServerPolicy(f *testing.F) {
	f.Add([]byte(`{"perTransactionLimit":5,"dailySpendLimit":50.5,"currency":"USD","allowedSkillKeys":["a"],"deniedSkillKeys":[]}`), int64(1_000_000))
	f.Add([]byte(`{"perTransactionLimit":-1,"dailySpendLimit":1e400}`), int64(5))
	f.Add([]byte(`{"perTransactionLimit":0.0000001,"allowedServiceIds":["x","x"]}`), int64(0))
	f.Fuzz(func(t *testing.T, text []byte, own int64) {
		var d orchestration.DelegationPolicy
		if json.Unmarshal(text, &d) != nil {
			return
		}
		r := serverPolicy{Delegation: d}.remote()
		if r.HasPerTransaction != (d.PerTransactionLimit != "") || r.HasDaily != (d.DailySpendLimit != "") || r.PerTransaction < 0 || r.Daily < 0 {
			t.Fatalf("%s: %+v", text, r)
		}
		push := Push{PerTransaction: money.Value(max(own, 0)), Daily: money.Value(max(own, 0)), Currency: d.Currency, DeniedSkills: []string{"own"}}
		want, _ := push.tighten(d)
		after := serverPolicy{Delegation: want}.remote()
		if r.HasPerTransaction && (!after.HasPerTransaction || after.PerTransaction > r.PerTransaction) {
			t.Fatalf("%s was widened from %s to %s", text, r.PerTransaction, after.PerTransaction)
		}
		if own > 0 && (!after.HasPerTransaction || after.PerTransaction > money.Value(own)) {
			t.Fatalf("%s: pushed %d, got %s", text, own, after.PerTransaction)
		}
		if _, differs := push.tighten(want); differs {
			t.Fatalf("%s: tightened twice", text)
		}
	})
}

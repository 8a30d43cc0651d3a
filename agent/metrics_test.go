// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/agentd-project/agentd/orchestration"
	"github.com/agentd-project/agentd/payments/evm"
)

// contract is every metric that is promised.
var contract = []string{
	"build_info", "start_time_seconds", "config_reload_success", "pairing_session_expiry_timestamp_seconds", "pairing_rotations_total",
	"heartbeats_total", "heartbeat_last_success_timestamp_seconds", "endpoint_up", "purchases_total", "purchases_open",
	"purchase_duration_seconds", "spent_total", "budget_limit", "budget_used", "guard_refusals_total", "wallet_balance",
	"chain_transactions_total", "chain_fee_spent_total", "orchestration_requests_total", "orchestration_request_duration_seconds",
	"ledger_commit_duration_seconds", "purchase_oldest_unknown_seconds", "policy_expiry_timestamp_seconds", "chain_head_age_seconds",
	"health_problem", "paused",
}

func TestMetrics(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		d := w.start(w.config())
		d.ready(time.Minute)
		for _, need := range []string{"price", "fix", "store"} {
			d.mustSettle(need)
		}
		if err := d.ledger.SetPaused(t.Context(), true, "test"); err != nil {
			t.Fatal(err)
		}
		if _, err := d.front.Buy(t.Context(), buyRequest("price")); err == nil {
			t.Error("bought while paused")
		}
		time.Sleep(time.Minute)
		faults, err := testutil.GatherAndLint(d.metrics.registry)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range faults {
			t.Errorf("lint: %s: %s", f.Metric, f.Text)
		}
		families, err := d.metrics.registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		labels := map[string]map[string][]string{}
		for _, f := range families {
			name, ours := strings.CutPrefix(f.GetName(), "agentd_")
			if !ours {
				continue
			}
			labels[name] = map[string][]string{}
			for _, m := range f.GetMetric() {
				for _, l := range m.GetLabel() {
					labels[name][l.GetName()] = append(labels[name][l.GetName()], l.GetValue())
				}
			}
		}
		for _, name := range contract {
			if labels[name] == nil {
				t.Errorf("metric agentd_%s is missing", name)
			}
		}
		closed := func(metric, label string, set []string) {
			t.Helper()
			for _, v := range labels[metric][label] {
				if !slices.Contains(set, v) {
					t.Errorf("agentd_%s has %s=%q, which is outside its closed set", metric, label, v)
				}
			}
		}
		codes := []string{}
		for _, p := range Problems() {
			codes = append(codes, p.Code)
		}
		closed("orchestration_requests_total", "operation", orchestration.Operations())
		closed("orchestration_requests_total", "code", requestCodes())
		closed("heartbeats_total", "outcome", heartbeatOutcomes())
		closed("health_problem", "code", codes)
		closed("chain_transactions_total", "outcome", evm.Outcomes())
		closed("wallet_balance", "token", []string{gasAsset, "USDC"})
		closed("endpoint_up", "provider_key", []string{"qvac"})
		closed("budget_used", "window", []string{"24h"})
	})
}

// TestProblemsAreDeclared holds every problem to a code of its own, a text and a
// way out.
func TestProblemsAreDeclared(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range Problems() {
		if seen[p.Code] || p.Code == "" {
			t.Errorf("problem %q is there twice or has no code", p.Code)
		}
		seen[p.Code] = true
		if !strings.HasSuffix(p.Text, ".") || !strings.HasSuffix(p.Next, ".") {
			t.Errorf("problem %s: text %q, next %q: want sentences", p.Code, p.Text, p.Next)
		}
		if p.Severity != SeverityWarning && p.Severity != SeverityError {
			t.Errorf("problem %s has severity %q", p.Code, p.Severity)
		}
	}
}

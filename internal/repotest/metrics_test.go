// SPDX-License-Identifier: Apache-2.0

package repotest

import (
	"go/ast"
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// contract lists the metrics that dashboards and alerts of users rely on.
var contract = []string{
	"build_info", "start_time_seconds", "config_reload_success", "pairing_session_expiry_timestamp_seconds",
	"pairing_rotations_total", "heartbeats_total", "heartbeat_last_success_timestamp_seconds", "endpoint_up",
	"purchases_total", "purchases_open", "purchase_duration_seconds", "spent_total", "budget_limit", "budget_used",
	"guard_refusals_total", "wallet_balance", "chain_transactions_total", "chain_fee_spent_total",
	"orchestration_requests_total", "orchestration_request_duration_seconds", "ledger_commit_duration_seconds",
	"purchase_oldest_unknown_seconds", "policy_expiry_timestamp_seconds", "chain_head_age_seconds", "health_problem",
	"paused",
}

// metricsInCode finds the names of metrics: they are written out in full, so that they can be searched for.
func metricsInCode(t *testing.T) map[string]string {
	t.Helper()
	whole := regexp.MustCompile(`^agentd_[a-z0-9_]+$`)
	found := map[string]string{}
	for _, g := range sources(t) {
		if strings.HasSuffix(g.name, "_test.go") {
			continue
		}
		ast.Inspect(g.file, func(n ast.Node) bool {
			lit, ok := n.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				return true
			}
			if text, err := strconv.Unquote(lit.Value); err == nil && whole.MatchString(text) {
				found[text] = g.name
			}
			return true
		})
	}
	return found
}

func TestMetricsAreDocumented(t *testing.T) {
	const page = "docs/reference/metrics.md"
	row := regexp.MustCompile("(?m)^\\| `(agentd_[a-z0-9_]+)(\\{[a-z_,]+\\})?` \\|")
	var documented []string
	for _, m := range row.FindAllStringSubmatch(read(t, page), -1) {
		documented = append(documented, m[1])
	}
	code := metricsInCode(t)
	for name, file := range code {
		if !slices.Contains(documented, name) {
			t.Errorf("%s lacks %s of %s", page, name, file)
		}
	}
	for _, name := range documented {
		if _, ok := code[name]; !ok {
			t.Errorf("%s has %s, which no code exports", page, name)
		}
	}
	for _, name := range contract {
		if _, ok := code["agentd_"+name]; !ok {
			t.Errorf("no code exports agentd_%s, which is promised", name)
		}
	}
}

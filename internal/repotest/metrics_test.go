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

// makers are the functions of agent/metrics.go that take a metric's name without its prefix.
var makers = []string{"counterVec", "gauge", "gaugeVec", "histogramVec", "desc"}

// metricsInCode finds the names of metrics: those that are written out in full, and those that go through a maker.
func metricsInCode(t *testing.T) map[string]string {
	t.Helper()
	whole := regexp.MustCompile(`^agentd_[a-z0-9_]+$`)
	found := map[string]string{}
	for _, g := range sources(t) {
		if strings.HasSuffix(g.name, "_test.go") {
			continue
		}
		ast.Inspect(g.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BasicLit:
				if text, ok := literal(n); ok && whole.MatchString(text) {
					found[text] = g.name
				}
			case *ast.CallExpr:
				name, ok := n.Fun.(*ast.Ident)
				if !ok || g.name != "agent/metrics.go" || !slices.Contains(makers, name.Name) {
					return true
				}
				if text, ok := literal(n.Args[0]); ok {
					found["agentd_"+text] = g.name
				}
			}
			return true
		})
	}
	return found
}

// literal returns the text of a string literal.
func literal(e ast.Expr) (string, bool) {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(lit.Value)
	return text, err == nil
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

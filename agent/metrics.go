// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"math"
	"math/big"
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/orchestration"
	"github.com/agentd-project/agentd/pairing"
	"github.com/agentd-project/agentd/payments/evm"
)

// metrics are the metrics of the contract that the parts do not register
// themselves. Every label is from a closed set: operations, codes and outcomes of
// the tables; chains, tokens, windows and provider keys of the configuration.
type metrics struct {
	registry     *prometheus.Registry
	requests     *prometheus.CounterVec
	requestTime  *prometheus.HistogramVec
	commitTime   prometheus.Histogram
	rotations    *prometheus.CounterVec
	heartbeats   *prometheus.CounterVec
	lastBeat     prometheus.Gauge
	endpointUp   *prometheus.GaugeVec
	transactions *prometheus.CounterVec
	reload       prometheus.Gauge
}

func newMetrics(version, revision string, started time.Time) *metrics {
	m := &metrics{
		registry:    prometheus.NewRegistry(),
		requests:    counterVec("orchestration_requests_total", "Calls of the Market's API, by operation and result code.", "operation", "code"),
		requestTime: histogramVec("orchestration_request_duration_seconds", "Time of a call of the Market's API with its repetitions.", []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}, "operation"),
		commitTime: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "agentd_ledger_commit_duration_seconds", Help: "Time of a durable commit of the ledger.",
			Buckets: []float64{.0002, .0005, .001, .0025, .005, .01, .025, .05, .1, .5, 2}}),
		rotations:    counterVec("pairing_rotations_total", "Attempts to get a pairing session, by outcome.", "outcome"),
		heartbeats:   counterVec("heartbeats_total", "Heartbeats, by outcome.", "outcome"),
		lastBeat:     gauge("heartbeat_last_success_timestamp_seconds", "When the Market last accepted a heartbeat; 0 if it never did."),
		endpointUp:   gaugeVec("endpoint_up", "Whether a local runtime endpoint answered its last probe.", "provider_key"),
		transactions: counterVec("chain_transactions_total", "Transactions and requests on a chain, by outcome.", "chain", "outcome"),
		reload:       gauge("config_reload_success", "Whether the last attempt to load the configuration succeeded."),
	}
	info := gaugeVec("build_info", "Constant 1, labelled with what was built.", "version", "revision", "goversion")
	info.WithLabelValues(version, revision, runtime.Version()).Set(1)
	start := gauge("start_time_seconds", "When the daemon started, in Unix time.")
	start.Set(unix(started))
	m.reload.Set(1)
	for _, o := range []pairing.Outcome{pairing.OutcomeRotated, pairing.OutcomeCreated, pairing.OutcomeFailed} {
		m.rotations.WithLabelValues(string(o))
	}
	for _, o := range heartbeatOutcomes() {
		m.heartbeats.WithLabelValues(o)
	}
	m.registry.MustRegister(m.requests, m.requestTime, m.commitTime, m.rotations, m.heartbeats, m.lastBeat, m.endpointUp,
		m.transactions, m.reload, info, start, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// observeRequest is the hook of the API client.
func (m *metrics) observeRequest(operation, code string, d time.Duration) {
	m.requests.WithLabelValues(operation, code).Inc()
	m.requestTime.WithLabelValues(operation).Observe(d.Seconds())
}

func (m *metrics) observeCommit(d time.Duration) { m.commitTime.Observe(d.Seconds()) }

func (m *metrics) observeRotation(o pairing.Outcome) { m.rotations.WithLabelValues(string(o)).Inc() }

func (m *metrics) observeChain(chain money.ChainID, outcome string) {
	m.transactions.WithLabelValues(string(chain), outcome).Inc()
}

// observeHeartbeat counts a heartbeat and notes which endpoints were up.
func (m *metrics) observeHeartbeat(outcome string, probes []probe) {
	m.heartbeats.WithLabelValues(outcome).Inc()
	if outcome == heartbeatOK {
		m.lastBeat.SetToCurrentTime()
	}
	for _, p := range probes {
		up := 0.0
		if p.err == nil {
			up = 1
		}
		m.endpointUp.WithLabelValues(p.endpoint.providerKey).Set(up)
	}
}

// prepareChain makes the counters of a configured chain exist from the start.
func (m *metrics) prepareChain(chain money.ChainID) {
	for _, outcome := range evm.Outcomes() {
		m.transactions.WithLabelValues(string(chain), outcome)
	}
}

func counterVec(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "agentd_" + name, Help: help}, labels)
}

func gaugeVec(name, help string, labels ...string) *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "agentd_" + name, Help: help}, labels)
}

func gauge(name, help string) prometheus.Gauge {
	return prometheus.NewGauge(prometheus.GaugeOpts{Name: "agentd_" + name, Help: help})
}

func histogramVec(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "agentd_" + name, Help: help, Buckets: buckets}, labels)
}

// scrapeLimit bounds what a scrape reads of the ledger.
const scrapeLimit = 5 * time.Second

// The metrics that are read at each scrape.
var (
	descExpiry       = desc("pairing_session_expiry_timestamp_seconds", "When the pairing session in use expires; 0 if there is none.")
	descBudgetLimit  = desc("budget_limit", "Limit of a spending window, in units of the policy's currency.", "window")
	descBudgetUsed   = desc("budget_used", "Spent and reserved within a spending window, in units of the policy's currency.", "window")
	descBalance      = desc("wallet_balance", "Balance of the agent's account in whole units, as last read.", "chain", "token")
	descFees         = desc("chain_fee_spent_total", "Fees paid for transactions, in units of the chain's coin.", "chain")
	descPolicyExpiry = desc("policy_expiry_timestamp_seconds", "When the policy expires; 0 if it never does.")
	descHeadAge      = desc("chain_head_age_seconds", "Age of the newest block seen.", "chain")
	descProblem      = desc("health_problem", "Whether a problem lasts.", "code", "severity")
	descHeadEntries  = desc("ledger_head_entries", "Number of the newest entry of the ledger's hash chain.")
	descHeadHash     = desc("ledger_head_hash", "First 48 bits of the newest entry's hash, as a number.")
	descPaused       = desc("paused", "Whether spending is paused.")
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("agentd_"+name, help, labels, nil)
}

// scraper reads the metrics that are states, not events, when they are asked for.
type scraper struct{ a *Agent }

// Describe implements [prometheus.Collector].
func (s scraper) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descExpiry, descBudgetLimit, descBudgetUsed, descBalance, descFees, descPolicyExpiry, descHeadAge, descProblem, descHeadEntries, descHeadHash, descPaused} {
		out <- d
	}
}

// Collect implements [prometheus.Collector].
func (s scraper) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeLimit)
	defer cancel()
	set := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	set(descExpiry, unix(s.a.pairing.Status().Expires))
	set(descPolicyExpiry, unix(s.a.guard.Rules().Expires))
	s.collectProblems(set)
	s.collectBudget(ctx, set)
	s.collectHead(ctx, set)
	for _, w := range s.a.chains {
		id := string(w.chain.ID())
		for _, b := range w.state() {
			if b.err == nil {
				set(descBalance, whole(b.amount, b.decimals), id, b.asset)
			}
		}
		if seen := w.chain.LastSeen(); !seen.IsZero() {
			set(descHeadAge, max(time.Since(seen).Seconds(), 0), id)
		}
		if fees, err := s.a.ledger.FeesSince(ctx, w.chain.ID(), time.Time{}); err == nil {
			out <- prometheus.MustNewConstMetric(descFees, prometheus.CounterValue, whole(fees, gasDecimals), id)
		}
	}
}

func (s scraper) collectProblems(set func(*prometheus.Desc, float64, ...string)) {
	lasting := map[string]bool{}
	for _, p := range s.a.health.visible(time.Now()) {
		lasting[p.Code] = true
	}
	for _, p := range Problems() {
		set(descProblem, oneIf(lasting[p.Code]), p.Code, string(p.Severity))
	}
}

func (s scraper) collectBudget(ctx context.Context, set func(*prometheus.Desc, float64, ...string)) {
	if paused, err := s.a.ledger.Paused(ctx); err == nil {
		set(descPaused, oneIf(paused))
	}
	windows, err := s.a.windows(ctx)
	if err != nil {
		return // the rest of the scrape is worth having
	}
	for _, w := range windows {
		set(descBudgetLimit, coins(w.Limit), w.Name)
		set(descBudgetUsed, coins(w.Used), w.Name)
	}
}

// collectHead shows the head of the hash chain: who rewrites the file cannot
// rewrite what another machine has scraped.
func (s scraper) collectHead(ctx context.Context, set func(*prometheus.Desc, float64, ...string)) {
	seq, hash, err := s.a.ledger.Head(ctx)
	if err != nil || len(hash) < 12 {
		return // an empty ledger has no head
	}
	if bits, err := strconv.ParseUint(hash[:12], 16, 64); err == nil {
		set(descHeadEntries, float64(seq))
		set(descHeadHash, float64(bits))
	}
}

func oneIf(on bool) float64 {
	if on {
		return 1
	}
	return 0
}

// unix returns a time in seconds, 0 for the zero time.
func unix(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1e3
}

// coins and whole turn exact amounts into the floats that metrics are: graphs
// may round, limits never see these.
func coins(v money.Value) float64 { return float64(v) / 1e6 }

func whole(a money.Amount, decimals uint8) float64 {
	f, _ := new(big.Float).SetInt(a.Big()).Float64()
	return f / math.Pow10(int(decimals))
}

// requestCodes is the closed set of the label code of orchestration_requests_total.
func requestCodes() []string {
	codes := []string{"ok", "network", "other"}
	for _, c := range orchestration.Codes() {
		codes = append(codes, string(c))
	}
	return codes
}

// SPDX-License-Identifier: Apache-2.0

package market

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/orchestration"
	"github.com/agentd-project/agentd/policy"
)

// metrics are the purchase metrics of the contract. Every label comes from a
// closed set: needs and rails of the configuration, states and reasons of the
// tables.
type metrics struct {
	total    *prometheus.CounterVec
	openNow  *prometheus.GaugeVec
	duration *prometheus.HistogramVec
	spend    *prometheus.CounterVec
	refusals *prometheus.CounterVec
	market   *Market
}

// otherLabel stands for every name that is not of this configuration, as the
// Market's own names are.
const otherLabel = "other"

// rail closes the set: a purchase that was refused carries the Market's word.
func (x *metrics) rail(name string) string {
	if _, known := x.market.rails.Rail(name); known || name == "" {
		return name
	}
	switch orchestration.RailType(name) {
	case orchestration.RailOffchainRecord, orchestration.RailExternal, orchestration.RailVaultStripe, orchestration.RailMPP,
		orchestration.RailXVV42:
		return name
	}
	return otherLabel
}

func newMetrics(registry prometheus.Registerer, m *Market) (*metrics, error) {
	x := &metrics{market: m,
		total: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "agentd_purchases_total",
			Help: "Purchases that ended, by need, final state and reason."}, []string{"need", "outcome", "reason"}),
		openNow: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "agentd_purchases_open",
			Help: "Purchases that are not final, by state."}, []string{"state"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "agentd_purchase_duration_seconds",
			Help: "Time from the plan to the end of a purchase.", Buckets: []float64{.025, .05, .1, .25, .5, 1, 2.5, 5, 15, 60, 300, 1800}}, []string{"need", "rail"}),
		spend: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "agentd_spent_total",
			Help: "Value that purchases spent, in units of the policy's currency."}, []string{"currency", "rail"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "agentd_guard_refusals_total",
			Help: "Refusals by the local policy, by reason."}, []string{"reason"}),
	}
	for _, row := range Table() {
		if row.State.Kind() != Final {
			x.openNow.WithLabelValues(string(row.State))
		}
	}
	if registry == nil {
		return x, nil
	}
	unknown := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "agentd_purchase_oldest_unknown_seconds",
		Help: "Age of the oldest purchase whose money may be on its way, 0 if there is none."}, m.oldestUnknown)
	for _, c := range []prometheus.Collector{x.total, x.openNow, x.duration, x.spend, x.refusals, unknown} {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	return x, nil
}

func (x *metrics) entered(s State) { x.openNow.WithLabelValues(string(s)).Inc() }
func (x *metrics) left(s State) {
	if s.Kind() != Final {
		x.openNow.WithLabelValues(string(s)).Dec()
	}
}

// moved counts a transition; m.mu is held.
func (x *metrics) moved(from State, p *purchase) {
	x.left(from)
	to := p.state()
	if to.Kind() != Final {
		x.entered(to)
		return
	}
	reason := p.Reason
	if reason == "" {
		reason = policy.Allowed
	}
	need := p.Need
	if _, configured := x.market.needs[need]; !configured {
		need = otherLabel // of an earlier configuration
	}
	x.total.WithLabelValues(need, string(to), string(reason)).Inc()
	x.duration.WithLabelValues(need, x.rail(p.Rail)).Observe(time.Since(p.Created).Seconds())
}

func (x *metrics) refused(reason policy.Reason) { x.refusals.WithLabelValues(string(reason)).Inc() }

// spent adds to a counter for graphs; the ledger is what counts.
func (x *metrics) spent(currency, rail string, v money.Value) {
	x.spend.WithLabelValues(currency, x.rail(rail)).Add(float64(v) / 1e6)
}

// oldestUnknown is the age in seconds of the oldest purchase whose value may
// have moved and is not accounted for.
func (m *Market) oldestUnknown() float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	var oldest time.Time
	for _, p := range m.open {
		if m.unknown(p) && (oldest.IsZero() || p.Created.Before(oldest)) {
			oldest = p.Created
		}
	}
	if oldest.IsZero() {
		return 0
	}
	return time.Since(oldest).Seconds()
}

// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// WriteStatus writes the status as text for a person: one line per fact,
// problems first.
func WriteStatus(out io.Writer, s *Status) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	p := &statusPrinter{w: w, s: s}
	p.line("agentd", s.Version+", "+p.state()+", mode "+s.Mode+", up "+Age(s.Now.Sub(s.Started)))
	for _, problem := range s.Problems {
		p.line("problem", fmt.Sprintf("%s: %s: %s", problem.Severity, problem.Code, problem.Text))
		p.line("", fmt.Sprintf("for %s; %s", Age(s.Now.Sub(problem.Since)), problem.Next))
	}
	p.machine()
	p.budget()
	for _, b := range s.Balances {
		p.line("balance", balanceText(b))
	}
	for _, n := range s.Needs {
		p.line("need", needText(n, s.Now))
	}
	if len(s.Open) == 0 {
		p.line("open", "no purchases")
	}
	for i := range s.Open {
		p.line("open", purchaseText(&s.Open[i], s.Now))
	}
	return w.Flush()
}

type statusPrinter struct {
	w io.Writer
	s *Status
}

func (p *statusPrinter) line(label, text string) {
	_, _ = fmt.Fprintf(p.w, "%s\t%s\n", label, text) // a tabwriter reports at Flush
}

func (p *statusPrinter) state() string {
	switch s := p.s; {
	case !s.Live:
		return "not live"
	case s.Paused:
		return "paused"
	case s.Ready:
		return "ready"
	case len(s.NotReady) > 0:
		return "not ready: " + strings.Join(s.NotReady, ", ")
	default:
		return "not ready"
	}
}

func (p *statusPrinter) machine() {
	s := p.s
	m := s.Machine
	p.line("machine", join(orElse(m.ID, "unknown"), bracket(orElse(m.Status, "status unknown")), m.Identity))
	pairing := join(s.Pairing.ID, s.Pairing.Status)
	if !s.Pairing.SessionExpires.IsZero() {
		pairing += ", session ends " + When(s.Pairing.SessionExpires, s.Now)
	}
	if s.Pairing.Problem != "" {
		pairing += ", " + s.Pairing.Problem
	}
	p.line("pairing", pairing)
	p.line("address", s.Pairing.Address)
	switch h := s.Heartbeat; {
	case !h.Enabled:
		p.line("heartbeat", "none: no endpoints are configured")
	case h.Last.IsZero():
		p.line("heartbeat", join("none yet", bracket(h.Error)))
	default:
		p.line("heartbeat", join(When(h.Last, s.Now), bracket(h.Error)))
	}
	for _, e := range s.Heartbeat.Endpoints {
		state := "down"
		if e.Up {
			state = "up"
		}
		p.line("endpoint", join(e.ProviderKey, state, e.URL, bracket(e.Error)))
	}
	if !s.ClockTrusted {
		p.line("clock", "not trusted: nothing is spent until it agrees with the chain and the Market")
	}
}

func (p *statusPrinter) budget() {
	b := p.s.Budget
	p.line("budget", fmt.Sprintf("%s %s per purchase", b.PerPurchase, b.Currency))
	for _, w := range b.Windows {
		p.line("", fmt.Sprintf("%s: %s of %s %s left", w.Name, w.Left, w.Limit, b.Currency))
	}
	for _, c := range b.Counts {
		p.line("", fmt.Sprintf("%s: %d of %d purchases left", c.Name, max(c.Limit-c.Used, 0), c.Limit))
	}
	if !b.Expires.IsZero() {
		p.line("", "policy ends "+When(b.Expires, p.s.Now))
	}
}

func balanceText(b Balance) string {
	switch {
	case b.Amount == "" && b.Error != "":
		return join(b.Asset, "on", b.Chain, bracket(b.Error))
	case b.Low:
		return join(b.Amount, b.Asset, "on", b.Chain, "(low)")
	default:
		return join(orElse(b.Amount, "unknown"), b.Asset, "on", b.Chain)
	}
}

func needText(n Need, now time.Time) string {
	text := n.Name
	if n.Next.IsZero() {
		text += ", on request"
	} else {
		text += ", next " + When(n.Next, now)
	}
	if !n.Last.IsZero() {
		text += ", last " + When(n.Last, now) + ": " + n.LastOutcome
	}
	return text
}

func purchaseText(p *Purchase, now time.Time) string {
	text := join(p.ID, p.Need, p.State, p.Rail)
	if p.Price > 0 {
		text = join(text, p.Price.String(), p.Currency)
	}
	text += ", since " + When(p.Created, now)
	if p.ReasonText != "" {
		text += ", " + p.ReasonText
	}
	return text
}

// When spells a time relative to now: "in 42m", "3s ago".
func When(t, now time.Time) string {
	if d := t.Sub(now); d > 0 {
		return "in " + Age(d)
	}
	return Age(now.Sub(t)) + " ago"
}

// Age spells a duration with its two largest units: 3d4h, 2h5m, 42s.
func Age(d time.Duration) string {
	d = d.Round(time.Second)
	days, hours, minutes, seconds := d/(24*time.Hour), d/time.Hour%24, d/time.Minute%60, d/time.Second%60
	switch {
	case days > 0:
		return fmt.Sprintf("%dd%dh", days, hours)
	case hours > 0:
		return fmt.Sprintf("%dh%dm", hours, minutes)
	case minutes > 0:
		return fmt.Sprintf("%dm%ds", minutes, seconds)
	default:
		return fmt.Sprintf("%ds", seconds)
	}
}

// join puts the words that are not empty side by side.
func join(words ...string) string {
	var kept []string
	for _, w := range words {
		if w != "" {
			kept = append(kept, w)
		}
	}
	return strings.Join(kept, " ")
}

func bracket(text string) string {
	if text == "" {
		return ""
	}
	return "(" + text + ")"
}

func orElse(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

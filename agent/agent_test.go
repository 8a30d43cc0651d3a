// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"slices"
	"testing"
	"time"

	"github.com/agentd-project/agentd/admin"
	"github.com/agentd-project/agentd/market"
	"github.com/agentd-project/agentd/orchestration"
	"github.com/agentd-project/agentd/pairing"
	"github.com/agentd-project/agentd/sandbox"
)

// TestThinThread registers, activates, pairs, enrols, beats and buys.
func TestThinThread(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		d := w.start(w.config())
		d.ready(time.Minute)
		for _, need := range []string{"price", "fix", "store"} {
			d.mustSettle(need)
		}
		time.Sleep(time.Second)
		s := d.status()
		if s.Machine.Status != string(orchestration.MachineActive) || s.Machine.Agent == "" || s.Heartbeat.Last.IsZero() {
			t.Errorf("machine %+v, heartbeat %+v: want an active machine with an agent that beats", s.Machine, s.Heartbeat)
		}
		if len(s.Problems) != 0 {
			t.Errorf("problems %+v, want none", s.Problems)
		}
		report, err := d.front.LedgerVerify(t.Context())
		if err != nil || !report.OK {
			t.Errorf("ledger verify: %+v, %v", report, err)
		}
	})
}

// TestOutage is issue 4, must hold 5: the Market down at boot, and gone for an
// hour.
func TestOutage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.cut.Store(true)
		d := w.start(w.config())
		time.Sleep(10 * time.Minute)
		if s := d.status(); !s.Live || s.Ready || !slices.Contains(d.problems(), problemMarketUnreachable) {
			t.Errorf("Market down at boot: live %v, ready %v, problems %v; want live, not ready, and why", s.Live, s.Ready, d.problems())
		}
		w.cut.Store(false)
		d.ready(2 * time.Minute)
		d.mustSettle("fix")

		w.cut.Store(true)
		p, err := d.front.Buy(t.Context(), admin.BuyRequest{Need: "price"})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if s := d.status(); !s.Live || s.Ready {
			t.Errorf("Market gone for an hour: live %v, ready %v; want live, not ready", s.Live, s.Ready)
		}
		if p, err = d.front.Purchase(t.Context(), p.ID); err != nil || p.State != string(market.Cancelled) {
			t.Errorf("an unpaid purchase past its deadline is %s (%v), want cancelled", p.State, err)
		}
		w.cut.Store(false)
		d.ready(2 * time.Minute)
		d.mustSettle("fix")
	})
}

// TestOutageInFlight cuts the network while purchases are under way.
func TestOutageInFlight(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, func(o *sandbox.Options) {
			o.Services = sandbox.DefaultServices()
			for i := range o.Services {
				o.Services[i].LatencyMS = 2000
			}
		})
		d := w.start(w.config())
		d.ready(time.Minute)
		var ids []string
		for _, need := range []string{"price", "fix", "store"} {
			p, err := d.front.Buy(t.Context(), admin.BuyRequest{Need: need})
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, p.ID)
		}
		time.Sleep(time.Second)
		w.cut.Store(true)
		w.hosts.CloseIdleConnections()
		time.Sleep(time.Hour)
		w.cut.Store(false)
		time.Sleep(5 * time.Minute)
		for _, id := range ids {
			p, err := d.front.Purchase(t.Context(), id)
			if err != nil || p.State != string(market.Settled) {
				t.Errorf("purchase of %s is %s (%s, %v), want settled", p.Need, p.State, p.Reason, err)
			}
		}
		mustVerify(t, d)
	})
}

func mustVerify(t *testing.T, d *instance) {
	t.Helper()
	report, err := d.front.LedgerVerify(t.Context())
	if err != nil || !report.OK {
		t.Errorf("ledger verify: %+v, %v", report, err)
	}
}

// TestLostSessions is an orchestration that restarts without its sessions.
func TestLostSessions(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		d := w.start(w.config())
		d.ready(time.Minute)
		for range 5 {
			w.market.LoseSessions()
			d.mustSettle("fix")
			time.Sleep(time.Minute)
		}
		if slices.Contains(d.problems(), problemPairingContended) {
			t.Error("sessions lost once a minute count as contention")
		}
	})
}

// TestRevokedPairing is the owner's kill switch: buying stops, nothing is
// re-created, status says what to do, also after a restart.
func TestRevokedPairing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		cfg := w.config()
		d := w.start(cfg)
		d.ready(time.Minute)
		s := d.status()
		if err := w.owner.RevokePairing(t.Context(), s.Machine.ID, s.Pairing.ID); err != nil {
			t.Fatal(err)
		}
		if p := d.buy("price"); p.State != string(market.Cancelled) {
			t.Errorf("a purchase after the revocation is %s, want cancelled at its deadline", p.State)
		}
		d.stop()
		d = w.start(cfg)
		time.Sleep(3 * time.Hour)
		if s = d.status(); !s.Live || s.Ready || !slices.Contains(d.problems(), problemPairingRevoked) || s.Pairing.Status != pairing.StandingRevoked {
			t.Errorf("live %v, ready %v, problems %v, pairing %+v", s.Live, s.Ready, d.problems(), s.Pairing)
		}
		if got := w.market.Calls("pairing-create"); got != 1 {
			t.Errorf("created %d pairings, want 1", got)
		}
		if _, err := d.front.CreatePairing(t.Context()); err != nil {
			t.Fatalf("the operator's pairing: %v", err)
		}
		d.ready(time.Minute)
		d.mustSettle("price")
	})
}

// TestPausedPairing is the owner's softer switch.
func TestPausedPairing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		d := w.start(w.config())
		d.ready(time.Minute)
		s := d.status()
		set := func(status orchestration.PairingStatus) {
			if _, err := w.owner.UpdatePairing(t.Context(), s.Machine.ID, s.Pairing.ID, orchestration.UpdatePairingRequest{Status: status}); err != nil {
				t.Fatal(err)
			}
		}
		set(orchestration.PairingPaused)
		p, err := d.front.Buy(t.Context(), admin.BuyRequest{Need: "price"})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if !slices.Contains(d.problems(), problemPairingPaused) {
			t.Errorf("problems %v, want %s", d.problems(), problemPairingPaused)
		}
		set(orchestration.PairingActive)
		time.Sleep(3 * time.Minute)
		if p, err = d.front.Purchase(t.Context(), p.ID); err != nil || p.State != string(market.Settled) {
			t.Errorf("the purchase that waited is %s (%s, %v), want settled", p.State, p.Reason, err)
		}
	})
}

// TestShortSessions is issue 4, must hold 6, with the whole daemon.
func TestShortSessions(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, func(o *sandbox.Options) {
			o.SessionTTL = time.Minute
			o.Services = sandbox.DefaultServices()
			for i := range o.Services {
				o.Services[i].LatencyMS = 700
			}
		})
		d := w.start(w.config("policy: {currency: USD, per_purchase: \"5.00\", windows: [{over: 24h, limit: \"2000.00\"}], payees: pin, max_authorization: 1h}"))
		d.ready(time.Minute)
		end := time.Now().Add(10 * time.Minute)
		bought := map[string]int{}
		for time.Now().Before(end) {
			for _, need := range []string{"price", "fix"} {
				p := d.buy(need)
				bought[p.State]++
				if p.State != string(market.Settled) {
					t.Errorf("purchase of %s is %s (%s): %+v", need, p.State, p.Reason, p.History)
				}
			}
			time.Sleep(10 * time.Second)
		}
		t.Logf("purchases %v, sessions %d", bought, w.market.Calls("pairing-session"))
		if got := w.market.Calls("pairing-session"); got < 12 || got > 20 {
			t.Errorf("%d sessions in 10 minutes of 60 s each, want about 15", got)
		}
		mustVerify(t, d)
	})
}

// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestStatusText compares the page for people with golden files.
func TestStatusText(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	busy := &Status{
		Version: "v1.2.3", Started: now.Add(-50 * time.Hour), Now: now, ClockTrusted: true, Mode: "buy", Live: true, Ready: true,
		Machine: Machine{ID: "mach_1", Identity: "did:peaq:42", Status: "active", Agent: "agent_1"},
		Pairing: Pairing{ID: "pair_1", Status: "active", Address: "0x036CbD53842c5426634e7929541eC2318f3dCF7e", SessionExpires: now.Add(42 * time.Minute)},
		Heartbeat: Heartbeat{Enabled: true, Last: now.Add(-12 * time.Second), Endpoints: []Endpoint{
			{ProviderKey: "qvac", URL: "http://127.0.0.1:8000", Up: true}, {ProviderKey: "ollama", URL: "http://127.0.0.1:11434", Error: "connection refused"}}},
		Budget: Budget{Currency: "USD", PerPurchase: 5_000_000, Windows: []Window{
			{Name: "24h", Limit: 20_000_000, Used: 3_200_000, Left: 16_800_000}, {Name: "lifetime", Limit: 1000_000_000, Used: 3_200_000, Left: 996_800_000}},
			Counts: []Count{{Name: "1h", Limit: 30, Used: 31}}, Expires: now.AddDate(0, 1, 0)},
		Balances: []Balance{{Chain: "eip155:8453", Asset: "USDC", Amount: "4.5", Low: true}, {Chain: "eip155:8453", Asset: "gas", Error: "rpc timeout"}},
		Open: []Purchase{{ID: "0198-1", Need: "price", State: "awaiting_approval", Rail: "x402", Price: 2_500_000, Currency: "USD",
			Created: now.Add(-3 * time.Minute), ReasonText: "A person must approve this purchase."}},
		Needs:    []Need{{Name: "price", Schedule: "@every 10m", Next: now.Add(4 * time.Minute), Last: now.Add(-6 * time.Minute), LastOutcome: "settled"}, {Name: "position"}},
		Problems: []Problem{{Code: "token_balance_low", Severity: SeverityWarning, Text: "A token balance is below its low mark.", Next: "Top the agent's account up.", Since: now.Add(-time.Hour)}},
	}
	lost := &Status{
		Version: "devel", Started: now.Add(-3 * time.Second), Now: now, Mode: "observe", Live: true, NotReady: []string{"pairing_missing", "clock_untrusted"},
		Pairing: Pairing{Status: "missing", Address: "0x036CbD53842c5426634e7929541eC2318f3dCF7e", Problem: "the Market does not answer"},
		Budget:  Budget{Currency: "USD", PerPurchase: 1_000_000},
	}
	for name, status := range map[string]*Status{"busy": busy, "lost": lost} {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			if err := WriteStatus(&b, status); err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", "status-"+name+".golden")
			if *update {
				if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), b.String()); diff != "" {
				t.Errorf("status text (-want +got):\n%s", diff)
			}
		})
	}
}

// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/market"
	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/sandbox"
)

// interrupted runs something before the next look at the chain.
type interrupted struct {
	next   http.RoundTripper
	before func() // run once
}

func (i *interrupted) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		return i.next.RoundTrip(r)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if run := i.before; run != nil && bytes.Contains(body, []byte("eth_getBlockByNumber")) {
		i.before = nil
		run()
	}
	return i.next.RoundTrip(r)
}

// Purchases go on while the ledger is held against the chain: one that is made
// meanwhile is no contradiction, and does not stop spending.
func TestVerifyWhileBuying(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		network := &interrupted{next: w}
		d := w.startOver(w.config(), zap.NewNop(), network)
		d.ready(time.Minute)
		d.mustSettle("store")
		network.before = func() { d.mustSettle("store") }
		report, err := d.front.LedgerVerify(t.Context())
		if network.before != nil {
			t.Error("nothing was bought meanwhile")
		}
		if err != nil || !report.OK {
			t.Errorf("report %+v, %v; want it to agree", report, err)
		}
		d.mustSettle("store")
	})
}

// refusesUntilAccepted waits until the start's check found a payment that the ledger does not
// know, and shows that nothing is bought until the operator accepts it.
func (d *instance) refusesUntilAccepted(need string) {
	t := d.w.t
	t.Helper()
	time.Sleep(5 * time.Second) // fake
	if d.status().Ready || !d.health.lasts(problemLedger) || d.health.lasts(problemLedgerChecking) {
		t.Fatalf("problems %v; want a ledger that does not verify", d.problems())
	}
	if p := d.buy(need); p.State == string(market.Settled) {
		t.Error("bought with a ledger that has forgotten a payment")
	}
	report, err := d.front.LedgerVerify(t.Context())
	if err != nil || report.OK || len(report.Findings) != 1 {
		t.Fatalf("report %+v, %v; want the one transfer that is in no purchase", report, err)
	}
	if _, err := d.front.LedgerAccept(t.Context(), []string{"0x01"}, "anna"); err == nil {
		t.Error("accepted what is no finding")
	}
	if d.status().Ready {
		t.Error("ready, though nothing was accepted")
	}
	used := d.status().Budget.Windows[0].Used
	tx := regexp.MustCompile("0x[0-9a-f]{64}").FindString(report.Findings[0])
	if report, err = d.front.LedgerAccept(t.Context(), []string{tx}, "anna"); err != nil || !report.OK {
		t.Fatalf("accepted: report %+v, %v", report, err)
	}
	if now := d.status().Budget.Windows[0].Used; now <= used {
		t.Errorf("budget used %s, before %s: what was accepted must count", now, used)
	}
	d.ready(time.Minute)
	d.mustSettle(need)
	if report, err = d.front.LedgerVerify(t.Context()); err != nil || !report.OK {
		t.Errorf("at the end: report %+v, %v", report, err)
	}
}

// A ledger that is gone, or an older copy of it, beside a key that has paid is
// found at the start.
func TestForgottenPaymentIsFoundAtStart(t *testing.T) {
	for _, need := range []string{"fix", "store"} {
		for _, older := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s older copy %t", need, older), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					w := newWorld(t, nil)
					file := filepath.Join(w.dir, "state", "ledger.db")
					d := w.start(w.config())
					d.ready(time.Minute)
					var copied []byte
					if older {
						d.mustSettle(need)
						d.stop()
						var err error
						if copied, err = os.ReadFile(file); err != nil {
							t.Fatal(err)
						}
						d = w.start(w.config())
						d.ready(time.Minute)
					}
					d.mustSettle(need)
					d.stop()
					var err error
					if older {
						err = os.WriteFile(file, copied, 0o600)
					} else {
						err = os.Remove(file)
					}
					if err != nil {
						t.Fatal(err)
					}
					w.start(w.config()).refusesUntilAccepted(need)
				})
			})
		}
	}
}

// While the chain is away nothing is paid on it, and what it says is heard once
// it is back.
func TestForgottenPaymentWhileTheChainIsAway(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		d := w.start(w.config())
		d.ready(time.Minute)
		d.mustSettle("store")
		d.stop()
		if err := os.Remove(filepath.Join(w.dir, "state", "ledger.db")); err != nil {
			t.Fatal(err)
		}
		network := &silent{next: w}
		network.cut.Store(true)
		d = w.startOver(w.config(), zap.NewNop(), network)
		if p := d.buy("store"); p.State == string(market.Settled) {
			t.Error("bought though the ledger was not held against the chain")
		}
		network.cut.Store(false)
		time.Sleep(time.Minute)
		d.refusesUntilAccepted("store")
	})
}

// silent is a network in which the chain may be away.
type silent struct {
	next http.RoundTripper
	cut  atomic.Bool
}

func (s *silent) RoundTrip(r *http.Request) (*http.Response, error) {
	if s.cut.Load() && r.URL.Hostname() == chainHost {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, errors.New("no route to host")
	}
	return s.next.RoundTrip(r)
}

// A damaged file stops spending, not the daemon.
func TestDamagedLedgerStopsSpending(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		d := w.start(w.config())
		d.ready(time.Minute)
		d.mustSettle("store")
		d.stop()
		db, err := sql.Open("sqlite", "file:"+filepath.Join(w.dir, "state", "ledger.db"))
		if err == nil {
			_, err = db.ExecContext(t.Context(), `UPDATE journal SET detail = 'x' WHERE seq = 3`)
			err = errors.Join(err, db.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
		d = w.start(w.config())
		time.Sleep(5 * time.Second) // fake
		if d.status().Ready || !d.health.lasts(problemLedger) {
			t.Errorf("problems %v; want a ledger that does not verify", d.problems())
		}
		if p := d.buy("store"); p.State == string(market.Settled) {
			t.Error("bought with a damaged ledger")
		}
	})
}

// Spending is shut from the first moment, until the check is done.
func TestSpendingWaitsForTheCheck(t *testing.T) {
	w := newWorld(t, nil)
	a, err := New(Options{Config: w.config(), HTTPTransport: w})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}()
	verified := func() bool {
		st, err := a.ledger.State(t.Context(), policy.Query{At: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		return st.LedgerVerified
	}
	if verified() || !a.health.lasts(problemLedgerChecking) {
		t.Error("spending is open before anything was checked")
	}
	if err := a.auditor.checkFile(t.Context()); err != nil || verified() {
		t.Errorf("after the file alone: %v, open %t", err, verified())
	}
	if err := a.auditor.pass(t.Context()); err != nil || !verified() || a.health.lasts(problemLedgerChecking) {
		t.Errorf("after the whole check: %v, open %t", err, verified())
	}
}

// A ledger that a newer version wrote is refused before anything else happens.
func TestNewerLedgerIsRefused(t *testing.T) {
	w := newWorld(t, nil)
	cfg := w.config()
	if err := os.MkdirAll(cfg.StateDir, 0o700); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(cfg.StateDir, "ledger.db"))
	if err == nil {
		_, err = db.ExecContext(t.Context(), `PRAGMA user_version = 99`)
		err = errors.Join(err, db.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{Config: cfg, HTTPTransport: w}); !errors.Is(err, ledger.ErrNewerSchema) {
		t.Errorf("got %v, want ErrNewerSchema", err)
	}
}

// A refund is in the ledger by the transfer that brought it, and that one is
// looked for on the chain.
func TestVerifyLooksForRefunds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		schema := filepath.Join(w.dir, "schema.json")
		if err := os.WriteFile(schema, []byte(`{"required": ["what no result has"]}`), 0o600); err != nil {
			t.Fatal(err)
		}
		d := w.start(w.config("needs: [{name: store, search: {service_type: storage.object, operation: put}, input: {name: log.txt, content: hello}, " +
			"max_price: \"0.10\", deadline: 5m, on_reject: dispute, accept: {schema_file: " + schema + "}}]"))
		d.ready(time.Minute)
		ctx := t.Context()
		bought, err := d.front.Buy(ctx, buyRequest("store"))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		p, err := d.ledger.Get(ctx, policy.PurchaseID(bought.ID))
		if err != nil || p.State != string(market.Disputed) {
			t.Fatalf("purchase %+v, %v; want it disputed", p, err)
		}
		if report, err := d.front.LedgerVerify(ctx); err != nil || !report.OK {
			t.Errorf("disputed: report %+v, %v", report, err)
		}
		if _, err := w.market.Resolve(ctx, p.OrderID, sandbox.Resolution{Status: "refunded", Move: sandbox.MoveFromPayee}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Minute) // a dispute is looked at every ten
		rows, err := d.ledger.SettledTransfers(ctx)
		if err != nil || len(rows) != 1 || !rows[0].Refunded || rows[0].RefundRef == "" {
			t.Fatalf("settled rows %+v, %v; want one that came back", rows, err)
		}
		if report, err := d.front.LedgerVerify(ctx); err != nil || !report.OK {
			t.Errorf("refunded: report %+v, %v", report, err)
		}
		chain := d.chains[0]
		final, err := chain.chain.FinalHead(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for name, change := range map[string]func(*ledger.Settlement){
			"another transaction": func(s *ledger.Settlement) { s.RefundRef = s.Ref },
			"another amount":      func(s *ledger.Settlement) { s.Amount = money.FromUint64(1) },
			"another sender":      func(s *ledger.Settlement) { s.Payee[0]++ },
		} {
			lie := rows[0]
			change(&lie)
			findings, err := d.front.returns(ctx, chain, &chain.cfg.Tokens[0], []ledger.Settlement{lie}, final.Number)
			if err != nil || len(findings) != 1 {
				t.Errorf("%s: findings %v, %v; want one", name, findings, err)
			}
		}
		findings, err := d.front.returns(ctx, chain, &chain.cfg.Tokens[0], []ledger.Settlement{rows[0], rows[0]}, final.Number)
		if err != nil || len(findings) != 1 {
			t.Errorf("one transfer for two refunds: findings %v, %v; want one", findings, err)
		}
	})
}

// SPDX-License-Identifier: Apache-2.0

package ledger_test

import (
	"errors"
	"testing"
	"time"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
)

func TestAccept(t *testing.T) {
	l, c := fresh(t)
	ctx := t.Context()
	mustReserve(t, guard(t, l, c, rules()), request("p1", 700))
	s := ledger.Settlement{
		Purchase: ledger.ForeignID("0x09", 3), Value: 400, Amount: money.FromUint64(400), Chain: chainA, Token: tokenA, Payee: payeeB, Ref: "0x09", At: t0.Add(-25 * time.Hour),
	}
	for range 2 { // again changes nothing
		if err := l.Accept(ctx, s, "anna"); err != nil {
			t.Fatal(err)
		}
	}
	// It counts at its time on the chain.
	day, month := policy.Window{Over: 24 * time.Hour}, policy.Window{Over: 720 * time.Hour}
	if u := mustUsage(t, l, t0, day, month); u.Spent[0] != 700 || u.Spent[1] != 1100 || u.Lifetime != 1100 {
		t.Errorf("got %+v", u)
	}
	if h, err := l.History(ctx, s.Purchase); err != nil || len(h) != 1 || h[0].Kind != ledger.KindAccept || h[0].Detail != "anna" {
		t.Errorf("history %+v, %v", h, err)
	}
	var seen []ledger.Settlement
	if err := l.EachTransfer(ctx, func(s ledger.Settlement) bool { seen = append(seen, s); return true }); err != nil || len(seen) != 1 || seen[0] != s {
		t.Errorf("transfers %+v, %v", seen, err)
	}
	s.Ref = "0x0a"
	if err := l.Accept(ctx, s, "anna"); !errors.Is(err, ledger.ErrConflict) {
		t.Errorf("another transaction under the same id: got %v", err)
	}
	for name, change := range map[string]func(*ledger.Settlement){
		"no id": func(s *ledger.Settlement) { s.Purchase = "" }, "no chain": func(s *ledger.Settlement) { s.Chain = "" },
		"no transaction": func(s *ledger.Settlement) { s.Ref = "" }, "no time": func(s *ledger.Settlement) { s.At = time.Time{} },
		"a negative value": func(s *ledger.Settlement) { s.Value = -1 },
	} {
		bad := s
		bad.Purchase = ledger.ForeignID("0x0a", 1)
		change(&bad)
		if err := l.Accept(ctx, bad, "anna"); err == nil {
			t.Errorf("accepted with %s", name)
		}
	}
	verifyClean(t, l)
}

func TestEachTransferEndsEarly(t *testing.T) {
	l, c := fresh(t)
	g := guard(t, l, c, rules())
	for _, id := range []policy.PurchaseID{"p1", "p2", "p3"} {
		mustReserve(t, g, request(id, 700))
		if err := l.Settle(t.Context(), settlement(id, 700, c.t), nil); err != nil {
			t.Fatal(err)
		}
	}
	var got []policy.PurchaseID
	err := l.EachTransfer(t.Context(), func(s ledger.Settlement) bool { got = append(got, s.Purchase); return len(got) < 2 })
	if err != nil || len(got) != 2 || got[0] != "p3" || got[1] != "p2" {
		t.Errorf("got %v, %v, want the newest two", got, err)
	}
}

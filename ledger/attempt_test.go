// SPDX-License-Identifier: Apache-2.0

package ledger_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/money"
)

func attempt(nonce string) ledger.Attempt {
	return ledger.Attempt{
		Purchase: "p1", Kind: "transfer", Chain: chainA, Signer: payeeB, Nonce: nonce, Hash: "0xh" + nonce, Raw: []byte("raw" + nonce),
		FeeCap: money.FromUint64(200), TipCap: money.FromUint64(2), Gas: 90_000,
	}
}

func TestAttempts(t *testing.T) {
	l, c := fresh(t)
	ctx := t.Context()
	first := attempt("7")
	for i, a := range []ledger.Attempt{first, attempt("8"), attempt("0xffeeff")} {
		a.ValidBefore = t0.Add(time.Minute)
		if seq, err := l.SaveAttempt(ctx, a); err != nil || seq != i+1 {
			t.Fatalf("got number %d, %v, want %d", seq, err, i+1)
		}
	}
	for _, tt := range []struct {
		name        string
		chain       money.ChainID
		count, want uint64
	}{
		{"before a gap", chainA, 6, 6},
		{"at the first that is held", chainA, 7, 9},
		{"at the last that is held", chainA, 8, 9},
		{"after all", chainA, 12, 12},
		{"another chain", "eip155:1", 7, 7},
	} {
		if next, spent, err := l.NextNonce(ctx, tt.chain, payeeB, tt.count); err != nil || spent || next != tt.want {
			t.Errorf("nonce %s: got %d, spent %t, %v, want %d", tt.name, next, spent, err, tt.want)
		}
	}
	c.t = c.t.Add(time.Second)
	for range 2 {
		if err := l.UpdateAttempt(ctx, "p1", 2, ledger.AttemptFinal, "0xblock"); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.UpdateAttempt(ctx, "p1", 9, ledger.AttemptFinal, ""); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("unknown attempt: got %v", err)
	}
	all, err := l.Attempts(ctx, "p1")
	if err != nil || len(all) != 3 {
		t.Fatalf("got %d attempts, %v", len(all), err)
	}
	want := attempt("8")
	want.Seq, want.Status, want.Ref, want.ValidBefore = 2, ledger.AttemptFinal, "0xblock", t0.Add(time.Minute)
	want.Created, want.Updated = t0, c.t
	if diff := cmp.Diff(want, all[1], cmp.Comparer(func(a, b money.Amount) bool { return a == b })); diff != "" {
		t.Errorf("attempt differs (-want +got):\n%s", diff)
	}
	open, err := l.OpenAttempts(ctx, chainA, payeeB)
	if err != nil || len(open) != 2 || open[0].Nonce != "0xffeeff" || open[1].Nonce != "7" {
		t.Errorf("open attempts: got %+v, %v", open, err)
	}
	if h, err := l.History(ctx, "p1"); err != nil || len(h) != 4 {
		t.Errorf("got %d entries, %v, want 4", len(h), err)
	}
	verifyClean(t, l)
}

func TestSaveAttemptTwice(t *testing.T) {
	l, _ := fresh(t)
	a := attempt("7")
	a.Seq = 1
	for range 2 {
		if seq, err := l.SaveAttempt(t.Context(), a); err != nil || seq != 1 {
			t.Fatalf("got %d, %v", seq, err)
		}
	}
	a.Raw = []byte("other")
	if _, err := l.SaveAttempt(t.Context(), a); !errors.Is(err, ledger.ErrConflict) {
		t.Errorf("other bytes: got %v, want ErrConflict", err)
	}
	for name, bad := range map[string]ledger.Attempt{"no purchase": {Kind: "transfer"}, "no kind": {Purchase: "p1"}, "absurd gas": {Purchase: "p1", Kind: "transfer", Gas: 1 << 63}} {
		if _, err := l.SaveAttempt(t.Context(), bad); err == nil {
			t.Errorf("saved with %s", name)
		}
	}
}

// TestANonceBelongsToOneAttempt: replaced, cancelled, or refused.
func TestANonceBelongsToOneAttempt(t *testing.T) {
	with := func(change func(*ledger.Attempt)) ledger.Attempt {
		a := attempt("7")
		a.Raw, a.Hash = []byte("other"), "0xother"
		change(&a)
		return a
	}
	cancel := func(a *ledger.Attempt) { a.Kind = ledger.AttemptCancel }
	for _, c := range []struct {
		name   string
		before ledger.Attempt
		a      ledger.Attempt
		want   error
	}{
		{"replacement", attempt("7"), with(func(*ledger.Attempt) {}), nil},
		{"cancellation", attempt("7"), with(cancel), nil},
		{"a second cancellation", with(cancel), with(cancel), nil},
		{"replacement after a cancellation", with(cancel), attempt("7"), nil},
		{"another kind", attempt("7"), with(func(a *ledger.Attempt) { a.Kind = "approve" }), ledger.ErrConflict},
		{"another purchase", attempt("7"), with(func(a *ledger.Attempt) { a.Purchase = "p2" }), ledger.ErrConflict},
		{"cancellation by another purchase", attempt("7"), with(func(a *ledger.Attempt) { cancel(a); a.Purchase = "p2" }), ledger.ErrConflict},
		{"another signer", attempt("7"), with(func(a *ledger.Attempt) { a.Purchase, a.Signer = "p2", payeeA }), nil},
		{"another chain", attempt("7"), with(func(a *ledger.Attempt) { a.Purchase, a.Chain = "p2", "eip155:1" }), nil},
		{"another nonce", attempt("7"), with(func(a *ledger.Attempt) { a.Purchase, a.Nonce = "p2", "8" }), nil},
		{"an authorisation", attempt("0xff"), with(func(a *ledger.Attempt) { a.Nonce = "0xfe" }), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, _ := fresh(t)
			if _, err := l.SaveAttempt(t.Context(), c.before); err != nil {
				t.Fatal(err)
			}
			if _, err := l.SaveAttempt(t.Context(), c.a); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			verifyClean(t, l)
		})
	}
}

func TestFees(t *testing.T) {
	l, _ := fresh(t)
	ctx := t.Context()
	huge, err := money.ParseBase("99999999999999999999")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []struct {
		wei money.Amount
		at  time.Time
	}{{money.FromUint64(5), t0}, {money.FromUint64(7), t0.Add(30 * time.Second)}, {huge, t0.Add(2 * time.Hour)}} {
		if err := l.AddFee(ctx, chainA, f.wei, f.at); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		since time.Time
		want  string
	}{
		{t0.Add(-time.Hour), "100000000000000000011"},
		{t0.Add(59 * time.Second), "100000000000000000011"},
		{t0.Add(time.Minute), "99999999999999999999"},
		{t0.Add(3 * time.Hour), "0"},
	} {
		if got, err := l.FeesSince(ctx, chainA, c.since); err != nil || got.String() != c.want {
			t.Errorf("since %s: got %s, %v, want %s", c.since, got, err, c.want)
		}
	}
	if got, err := l.FeesSince(ctx, "eip155:1", t0); err != nil || !got.IsZero() {
		t.Errorf("another chain: got %s, %v", got, err)
	}
}

func TestApprovals(t *testing.T) {
	l, c := fresh(t)
	ctx := t.Context()
	ask := func(hash string) {
		t.Helper()
		a := ledger.Approval{Purchase: "p1", Hash: hash, Shown: []byte(`{"price":"3"}`), Expires: c.t.Add(time.Hour)}
		if err := l.RequestApproval(ctx, a, &ledger.Move{Purchase: purchase("p1", "awaiting_approval")}); err != nil {
			t.Fatal(err)
		}
	}
	decision := func(want ledger.Decision) {
		t.Helper()
		if a, err := l.ApprovalOf(ctx, "p1"); err != nil || a.Decision != want {
			t.Errorf("got %q, %v, want %q", a.Decision, err, want)
		}
	}
	if err := l.DecideApproval(ctx, "p1", true, "anna"); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("not asked: got %v", err)
	}
	ask("h1")
	ask("h1")
	decision(ledger.DecisionPending)
	if h, err := l.History(ctx, "p1"); err != nil || len(h) != 1 {
		t.Errorf("asked twice for the same: %d entries, %v", len(h), err)
	}
	for range 2 {
		if err := l.DecideApproval(ctx, "p1", false, "anna"); err != nil {
			t.Fatal(err)
		}
	}
	decision(ledger.DecisionDenied)
	if err := l.DecideApproval(ctx, "p1", true, "bob"); !errors.Is(err, ledger.ErrConflict) {
		t.Errorf("decided otherwise: got %v", err)
	}
	ask("h2")
	decision(ledger.DecisionPending)
	c.t = c.t.Add(time.Hour)
	decision(ledger.DecisionExpired)
	if err := l.DecideApproval(ctx, "p1", true, "anna"); !errors.Is(err, ledger.ErrExpired) {
		t.Errorf("too late: got %v", err)
	}
	if err := l.RequestApproval(ctx, ledger.Approval{Purchase: "p1"}, nil); err == nil {
		t.Error("asked without a hash")
	}
	verifyClean(t, l)
}

func TestMeta(t *testing.T) {
	l, _ := fresh(t)
	ctx := t.Context()
	if _, ok, err := l.Meta(ctx, "machine"); err != nil || ok {
		t.Errorf("unknown key: %t, %v", ok, err)
	}
	for _, want := range []string{"mach_1", ""} {
		if err := l.SetMeta(ctx, "machine", want); err != nil {
			t.Fatal(err)
		}
		if got, ok, err := l.Meta(ctx, "machine"); err != nil || !ok || got != want {
			t.Errorf("got %q, %t, %v, want %q", got, ok, err, want)
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

package evm_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agentd-project/agentd/payments/evm"
)

// driven is an error of an endpoint per action and what [evm.Sender.Send] does
// about it: once as the answer to the first broadcasts, once as that to the trial
// before anything is signed. ActionNone and ActionLeave are no answers.
var driven = map[evm.Action]struct {
	failure any
	// trial is what Send fails with where the trial is answered so; nil for an error
	// that proves nothing, or none at all.
	trial error
	// unbroadcast says that the bytes count as not sent yet after such an answer.
	unbroadcast bool
}{
	evm.ActionNone:       {},
	evm.ActionLeave:      {},
	evm.ActionFailover:   {failure: failure(-32005, "limit exceeded"), unbroadcast: true},
	evm.ActionAskReceipt: {failure: failure(-32000, "nonce too low")},
	evm.ActionWaitFee:    {failure: failure(-32000, "max fee per gas less than block base fee"), unbroadcast: true},
	evm.ActionFund:       {failure: failure(-32000, "insufficient funds for gas * price + value"), trial: evm.ErrGasBalance, unbroadcast: true},
	evm.ActionReverted:   {failure: failure(3, "execution reverted"), trial: evm.ErrReverted, unbroadcast: true},
	evm.ActionAbsent:     {failure: failure(-32000, "header not found"), unbroadcast: true},
	evm.ActionSplit:      {failure: failure(-32003, "response too large"), unbroadcast: true},
	evm.ActionReport:     {failure: failure(-32000, "invalid sender"), unbroadcast: true},
}

// A value of the enum without a name, a sentence or a case above fails here.
func TestEveryActionIsActedUpon(t *testing.T) {
	names := map[string]bool{}
	for i, a := range evm.Actions() {
		if int(a) != i || a.String() == "" || strings.HasPrefix(a.String(), "action(") || a.Text() == "" || names[a.String()] {
			t.Errorf("action %d is named %q and does %q", int(a), a, a.Text())
		}
		names[a.String()] = true
		d, ok := driven[a]
		if !ok {
			t.Errorf("nothing shows what is done about %s", a)
			continue
		}
		if d.failure == nil {
			continue
		}
		t.Run(a.String()+" to a broadcast", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { driveBroadcast(t, a) })
		})
		t.Run(a.String()+" to the trial", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { driveTrial(t, a) })
		})
	}
	if len(driven) != len(evm.Actions()) || len(names) != len(driven) {
		t.Errorf("%d actions, %d cases", len(evm.Actions()), len(driven))
	}
	if past := evm.Action(len(evm.Actions())); !strings.HasPrefix(past.String(), "action(") {
		t.Errorf("one past the last is %s", past)
	}
}

func driveBroadcast(t *testing.T, a evm.Action) {
	w := newWorld(t, nil)
	g := w.grant("p1", nil)
	answers := 0
	w.node.set(func(_, method string, _ raw) (any, any, bool) {
		if method != "eth_sendRawTransaction" {
			return nil, nil, false
		}
		answers++
		return nil, driven[a].failure, true
	})
	if err := w.sendFor(12*time.Second, g, transfer); !errors.Is(err, context.DeadlineExceeded) || proven(err) {
		t.Errorf("error %v: the answer decided something", err)
	}
	want := "transfer broadcast"
	if driven[a].unbroadcast {
		want = "transfer prepared"
	}
	if got := w.statuses("p1"); !slices.Equal(got, []string{want}) || answers < 2 {
		t.Errorf("attempts %v after %d broadcasts, want %s", got, answers, want)
	}
	w.node.set(nil)
	if _, err := w.sender.Send(t.Context(), g, transfer); err != nil {
		t.Error(err)
	}
	if got := w.statuses("p1"); !slices.Equal(got, []string{"transfer final"}) {
		t.Errorf("attempts %v", got)
	}
	w.wantTransfers(1)
}

func driveTrial(t *testing.T, a evm.Action) {
	w := newWorld(t, nil)
	w.node.set(func(_, method string, _ raw) (any, any, bool) { return nil, driven[a].failure, method == "eth_call" })
	_, err := w.sender.Send(t.Context(), w.grant("p1", nil), transfer)
	want := driven[a].trial
	if err == nil || (want != nil && !errors.Is(err, want)) || (want == nil && proven(err)) {
		t.Errorf("error %v, want %v", err, want)
	}
	if evm.Classify(err) != a {
		t.Errorf("%v is %s, want %s", err, evm.Classify(err), a)
	}
	if got := w.statuses("p1"); len(got) != 0 {
		t.Errorf("signed all the same: %v", got)
	}
}

// Our own end is no answer of an endpoint: it stops and changes nothing.
func TestLeaveChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		ctx, cancel := context.WithCancel(t.Context())
		w.node.set(func(_, method string, _ raw) (any, any, bool) {
			if method == "eth_sendRawTransaction" {
				cancel()
			}
			return nil, nil, false
		})
		_, err := w.sender.Send(ctx, w.grant("p1", nil), transfer)
		if evm.Classify(err) != evm.ActionLeave || proven(err) {
			t.Errorf("error %v is %s", err, evm.Classify(err))
		}
		if got := w.statuses("p1"); !slices.Equal(got, []string{"transfer prepared"}) {
			t.Errorf("attempts %v", got)
		}
	})
}

// The page shows the table that the code has.
func TestActionsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/explanation/transactions.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range evm.Actions() {
		if row := fmt.Sprintf("| `%s` | %s |", a, a.Text()); !strings.Contains(string(text), row) {
			t.Errorf("the page lacks the row %s", row)
		}
	}
	for _, r := range evm.StuckReasons() {
		if !strings.Contains(string(text), "| `"+string(r)+"` |") {
			t.Errorf("the page lacks %s", r)
		}
	}
}

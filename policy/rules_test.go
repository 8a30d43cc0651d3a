// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/agentd-project/agentd/policy"
)

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*policy.Rules)
		want   string // part of the fault; empty for none
	}{
		{"as it is", func(*policy.Rules) {}, ""},
		{"lifetime instead of windows", func(r *policy.Rules) { r.Windows = nil }, ""},
		{"windows instead of lifetime", func(r *policy.Rules) { r.Lifetime = 0 }, ""},
		{"no sum is limited", func(r *policy.Rules) { r.Windows, r.Lifetime = nil, 0 }, "neither a window nor a lifetime"},
		{"no limit for one purchase", func(r *policy.Rules) { r.PerPurchase = 0 }, "per_purchase"},
		{"no currency", func(r *policy.Rules) { r.Currency = "" }, "currency"},
		{"negative lifetime", func(r *policy.Rules) { r.Lifetime = -1 }, "lifetime"},
		{"window without a span", func(r *policy.Rules) { r.Windows[0].Over = 0 }, "windows[0]: needs either"},
		{"window with span and calendar", func(r *policy.Rules) { r.Windows[1].Over = time.Hour }, "windows[1]: needs either"},
		{"window of a week of the calendar", func(r *policy.Rules) { r.Windows[1].Calendar = "week" }, `calendar "week"`},
		{"window of seconds", func(r *policy.Rules) { r.Windows[0].Over = 59 * time.Second }, "below one minute"},
		{"window of a minute", func(r *policy.Rules) { r.Windows[0].Over = time.Minute }, ""},
		{"count of a minute", func(r *policy.Rules) { r.Counts[0].Over = time.Minute }, ""},
		{"quiet until midnight", func(r *policy.Rules) { r.QuietHours = []policy.QuietHours{{From: 1380, To: 0}} }, ""},
		{"negative window", func(r *policy.Rules) { r.Windows[0].Over = -time.Hour }, "below one minute"},
		{"window without a limit", func(r *policy.Rules) { r.Windows[0].Limit = 0 }, "windows[0]: limit"},
		{"count without a span", func(r *policy.Rules) { r.Counts[0].Over = 0 }, "count[0]: span"},
		{"count without a limit", func(r *policy.Rules) { r.Counts[0].Limit = 0 }, "count[0]: limit"},
		{"quiet all day", func(r *policy.Rules) { r.QuietHours = []policy.QuietHours{{To: 1440}} }, ""},
		{"quiet never", func(r *policy.Rules) { r.QuietHours = []policy.QuietHours{{From: 60, To: 60}} }, "quiet_hours[0]"},
		{"quiet after midnight's end", func(r *policy.Rules) { r.QuietHours = []policy.QuietHours{{From: 1440, To: 60}} }, "quiet_hours[0]"},
		{"unknown payee mode", func(r *policy.Rules) { r.Payees = "any" }, `payees "any"`},
		{"payee list without payees", func(r *policy.Rules) { r.Payees = policy.PayeesList }, "allow.payees is empty"},
		{"payee list", func(r *policy.Rules) {
			r.Payees, r.Allow.Payees = policy.PayeesList, policy.NewSet(payeeA.Hex())
		}, ""},
		{"payee that is no address", func(r *policy.Rules) { r.Deny.Payees = policy.NewSet("bob") }, `payee "bob"`},
		{"approval without a time", func(r *policy.Rules) { r.HasApproval = true }, "approval.ttl"},
		{"payees to approve without a time", func(r *policy.Rules) { r.Payees = policy.PayeesApprove }, "approval.ttl"},
		{"approval below nothing", func(r *policy.Rules) {
			r.HasApproval, r.ApprovalAbove, r.ApprovalTTL = true, -1, time.Hour
		}, "approval.above"},
		{"negative authorisation", func(r *policy.Rules) { r.MaxAuthorization = -1 }, "max_authorization"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := allowedScene().rules
			c.change(&r)
			err := r.Validate()
			switch {
			case c.want == "" && err != nil:
				t.Errorf("got %v, want no fault", err)
			case c.want != "" && (!errors.Is(err, policy.ErrRules) || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want a fault with %q", err, c.want)
			}
		})
	}
}

func TestValidateFindsEveryFault(t *testing.T) {
	err := (&policy.Rules{Payees: "any"}).Validate()
	for _, want := range []string{"currency", "per_purchase", "neither a window", `payees "any"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want a fault with %q", err, want)
		}
	}
}

func TestWindow(t *testing.T) {
	at := time.Date(2026, 11, 24, 12, 34, 56, 0, time.FixedZone("east", 3600))
	for _, c := range []struct {
		window policy.Window
		label  string
		start  time.Time
	}{
		{policy.Window{Over: 24 * time.Hour}, "24h", time.Date(2026, 11, 23, 11, 34, 56, 0, time.UTC)},
		{policy.Window{Over: 90 * time.Minute}, "90m", time.Date(2026, 11, 24, 10, 4, 56, 0, time.UTC)},
		{policy.Window{Over: time.Minute}, "1m", time.Date(2026, 11, 24, 11, 33, 56, 0, time.UTC)},
		{policy.Window{Over: 90 * time.Second}, "1m30s", time.Date(2026, 11, 24, 11, 33, 26, 0, time.UTC)},
		{policy.Window{Calendar: policy.CalendarDay}, "day", time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)},
		{policy.Window{Calendar: policy.CalendarMonth}, "month", time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)},
	} {
		if got := c.window.String(); got != c.label {
			t.Errorf("got label %q, want %q", got, c.label)
		}
		if got := c.window.Start(at); !got.Equal(c.start) {
			t.Errorf("%s: got start %s, want %s", c.label, got, c.start)
		}
	}
	if got := (policy.CountLimit{Over: time.Hour}).String(); got != "1h" {
		t.Errorf("got count label %q", got)
	}
}

func TestSet(t *testing.T) {
	s := policy.NewSet(" b ", "a", "a", "", payeeA.Hex())
	if s.Len() != 3 || !s.Has("a") || !s.Has("b") || s.Has("A") || s.Has("c") || s.Has("") || !s.HasFold("A") || s.HasFold("ab") {
		t.Errorf("set %v does not have its members", s.Members())
	}
	if !s.HasAddress(payeeA) || s.HasAddress(payeeB) || !s.Has(payeeA.Hex()) {
		t.Errorf("set %v does not have its address", s.Members())
	}
	if !s.Equal(policy.NewSet(payeeA.Hex(), "b", "a")) || s.Equal(policy.NewSet("a")) || !(policy.Set{}).Equal(policy.NewSet()) {
		t.Error("equal sets differ")
	}
	var empty policy.Set
	if empty.Len() != 0 || empty.Has("") || empty.HasFold("") || empty.HasAddress(payeeA) || empty.Members() != nil {
		t.Error("the zero set has members")
	}
}

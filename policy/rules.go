// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"errors"
	"fmt"
	"time"

	"github.com/agentd-project/agentd/money"
)

// Calendar says that a window is a calendar unit in UTC instead of a rolling span.
type Calendar string

// The calendar units; the empty one is a rolling window.
const (
	Rolling       Calendar = ""
	CalendarDay   Calendar = "day"
	CalendarMonth Calendar = "month"
)

// PayeeMode says how a payee becomes acceptable.
type PayeeMode string

// The payee modes. List takes payees from Allow.Payees only; Pin takes the first
// payee of each provider and no other after it; Approve has a person approve the
// first payment to each payee.
const (
	PayeesList    PayeeMode = "list"
	PayeesPin     PayeeMode = "pin"
	PayeesApprove PayeeMode = "approve"
)

// Window limits what is spent within a span of time: rolling over Over, or the
// calendar unit that Calendar names, in which case Over is zero.
type Window struct {
	Over     time.Duration
	Calendar Calendar
	Limit    money.Value
}

// String returns the label of the window: "24h", "90m", "day", "month".
func (w Window) String() string {
	if w.Calendar != Rolling {
		return string(w.Calendar)
	}
	return spanLabel(w.Over)
}

// Start returns the beginning of the window that ends at t: what is not older counts.
func (w Window) Start(t time.Time) time.Time {
	t = t.UTC()
	switch w.Calendar {
	case CalendarDay:
		return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
	case CalendarMonth:
		return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
	default:
		return t.Add(-w.Over)
	}
}

// CountLimit limits how many purchases are made within a rolling span of time.
type CountLimit struct {
	Over  time.Duration
	Limit int64
}

// String returns the label of the span, such as "1h".
func (c CountLimit) String() string { return spanLabel(c.Over) }

func spanLabel(d time.Duration) string {
	switch {
	case d >= time.Hour && d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d >= time.Minute && d%time.Minute == 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	default:
		return d.String()
	}
}

// QuietHours is a daily span in minutes of the UTC day in which nothing is
// bought: From is the first quiet minute, To the first that is not. A span with
// From above To goes past midnight.
type QuietHours struct {
	From, To int
}

func (q QuietHours) contain(minute int) bool {
	if q.From <= q.To {
		return q.From <= minute && minute < q.To
	}
	return minute >= q.From || minute < q.To
}

// Lists holds one set per property of a request. Tokens match by symbol or
// address, payees by address.
type Lists struct {
	Rails        Set
	ServiceTypes Set
	Services     Set
	Skills       Set
	Providers    Set
	Operations   Set
	Tokens       Set
	Payees       Set
}

// Rules are the owner's policy. They are not changed once a guard has them.
type Rules struct {
	Currency string
	// PerPurchase is the most that one purchase may cost.
	PerPurchase money.Value
	// Lifetime is the most that is ever spent; zero is no such limit.
	Lifetime   money.Value
	Windows    []Window
	Counts     []CountLimit
	QuietHours []QuietHours
	// ApprovalAbove is the value above which a person must approve; it counts
	// only if HasApproval is set.
	ApprovalAbove money.Value
	HasApproval   bool
	ApprovalTTL   time.Duration
	// Payees is how payees become acceptable; empty means PayeesPin.
	Payees PayeeMode
	// MaxAuthorization is the longest life of a signed authorisation.
	MaxAuthorization time.Duration
	// Allow admits what it names, and everything where a set is empty; Deny
	// refuses what it names and wins over Allow.
	Allow, Deny Lists
	// Expires is when the whole policy ends; zero is never.
	Expires time.Time
	// Observe decides and records, but never pays.
	Observe bool
}

// ErrRules is what every fault found by [Rules.Validate] wraps.
var ErrRules = errors.New("policy")

// DefaultMaxAuthorization holds where Rules.MaxAuthorization is zero.
const DefaultMaxAuthorization = 10 * time.Minute

// Validate returns every fault of the rules, joined. Rules that do not limit
// both a single purchase and the sum of all are refused: nothing is unlimited by
// omission.
func (r *Rules) Validate() error {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("%w: "+format, append([]any{ErrRules}, args...)...))
	}
	if r.Currency == "" {
		fault("currency is missing")
	}
	if r.PerPurchase <= 0 {
		fault("per_purchase must be above zero")
	}
	if r.Lifetime < 0 {
		fault("lifetime must not be negative")
	}
	if r.Lifetime <= 0 && len(r.Windows) == 0 {
		fault("there is neither a window nor a lifetime limit")
	}
	for i, w := range r.Windows {
		switch {
		case w.Calendar != Rolling && w.Calendar != CalendarDay && w.Calendar != CalendarMonth:
			fault("windows[%d]: calendar %q is not day or month", i, string(w.Calendar))
		case (w.Calendar == Rolling) == (w.Over == 0):
			fault("windows[%d]: needs either a span or a calendar unit", i)
		case w.Over != 0 && w.Over < time.Minute:
			fault("windows[%d]: span %s is below one minute", i, w.Over)
		case w.Limit <= 0:
			fault("windows[%d]: limit must be above zero", i)
		}
	}
	for i, c := range r.Counts {
		if c.Over < time.Minute {
			fault("count[%d]: span %s is below one minute", i, c.Over)
		}
		if c.Limit <= 0 {
			fault("count[%d]: limit must be above zero", i)
		}
	}
	return errors.Join(append(faults, r.validateRest()...)...)
}

func (r *Rules) validateRest() (faults []error) {
	for i, q := range r.QuietHours {
		if q.From < 0 || q.From >= minutesPerDay || q.To < 0 || q.To > minutesPerDay || q.From == q.To {
			faults = append(faults, fmt.Errorf("%w: quiet_hours[%d]: not a span of the day", ErrRules, i))
		}
	}
	switch r.Payees {
	case "", PayeesPin, PayeesApprove:
	case PayeesList:
		if r.Allow.Payees.Len() == 0 {
			faults = append(faults, fmt.Errorf("%w: payees is list, and allow.payees is empty", ErrRules))
		}
	default:
		faults = append(faults, fmt.Errorf("%w: payees %q is not list, pin or approve", ErrRules, string(r.Payees)))
	}
	if r.HasApproval && r.ApprovalAbove < 0 {
		faults = append(faults, fmt.Errorf("%w: approval.above must not be negative", ErrRules))
	}
	if (r.HasApproval || r.Payees == PayeesApprove) && r.ApprovalTTL <= 0 {
		faults = append(faults, fmt.Errorf("%w: approval.ttl must be above zero", ErrRules))
	}
	if r.MaxAuthorization < 0 {
		faults = append(faults, fmt.Errorf("%w: max_authorization must not be negative", ErrRules))
	}
	for _, name := range append(r.Allow.Payees.texts(), r.Deny.Payees.texts()...) {
		faults = append(faults, fmt.Errorf("%w: payee %q is not an address", ErrRules, name))
	}
	return faults
}

// Remote is what the server's policies add: the pairing's delegation policy and
// the account policies of the machine, already converted. The zero value adds
// nothing. The stricter of each rule holds.
type Remote struct {
	AllowedSkills, DeniedSkills     Set
	AllowedServices, DeniedServices Set
	PerTransaction                  money.Value
	HasPerTransaction               bool
	// Daily limits the UTC day.
	Daily    money.Value
	HasDaily bool
	// Currency is what the server's limits count in; empty is the owner's.
	Currency string
	// AccountAllowedSkills and AccountDeniedSkills come from account policies.
	AccountAllowedSkills, AccountDeniedSkills Set
	// NativeOnly and HandoffDenied each refuse what is handed to an external provider.
	NativeOnly, HandoffDenied bool
	// BudgetCap is an account policy's cap, held for each purchase and each UTC
	// day, since its span is not published.
	BudgetCap         money.Value
	HasBudgetCap      bool
	BudgetCapCurrency string
}

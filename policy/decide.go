// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"strings"
	"time"

	"github.com/agentd-project/agentd/money"
)

const (
	minutesPerDay = 24 * 60
	secondsPerDay = minutesPerDay * 60
)

// Verdict is the outcome of a decision: Allowed, or the one reason against it.
// The zero Verdict allows nothing.
type Verdict struct {
	Reason Reason
	// Window is the index of the window or count limit that would be exceeded,
	// -1 if the reason is another.
	Window int
}

// Refuse returns the verdict that refuses for the reason.
func Refuse(reason Reason) Verdict { return Verdict{Reason: reason, Window: -1} }

// Allowed says whether the purchase may go on.
func (v Verdict) Allowed() bool { return v.Reason == Allowed }

// NeedsApproval says whether the only thing missing is a person's approval.
func (v Verdict) NeedsApproval() bool { return v.Reason == ReasonApprovalRequired }

// Decide says whether the rules, tightened by remote, allow the request in the
// given state at the given time, where trusted says that the time is proven. It
// is pure and allocates nothing. remote may be nil.
//
// The order of the checks is fixed, and the first that fails is the reason:
// pause, clock, ledger, expiry and quiet hours, deny lists, allow lists, the
// server's lists, price, limits, payee, observe mode and, last, approval, so that
// a person is only asked about what would otherwise be bought.
func Decide(r *Rules, remote *Remote, req *Request, st *State, at time.Time, trusted bool) Verdict {
	reason := decideTime(r, st, at, trusted)
	if reason == "" {
		reason = decideDenied(&r.Deny, req)
	}
	if reason == "" {
		reason = decideAllowed(&r.Allow, req)
	}
	if reason == "" && remote != nil {
		reason = decideRemoteLists(remote, req)
	}
	if reason == "" {
		reason = decidePrice(r, remote, req)
	}
	if reason != "" {
		return Refuse(reason)
	}
	if v := decideSums(r, remote, req, st); v.Reason != "" {
		return v
	}
	if reason = decidePayee(r, req, st); reason == "" {
		switch {
		case r.Observe:
			reason = ReasonObserveMode
		case !req.Approved && needsApproval(r, req, st):
			reason = ReasonApprovalRequired
		default:
			reason = Allowed
		}
	}
	return Refuse(reason)
}

func decideTime(r *Rules, st *State, at time.Time, trusted bool) Reason {
	switch {
	case st.Paused:
		return ReasonPaused
	case !trusted:
		return ReasonClockUntrusted
	case !st.LedgerVerified:
		return ReasonLedgerUnverified
	case !r.Expires.IsZero() && !at.Before(r.Expires):
		return ReasonPolicyExpired
	}
	if len(r.QuietHours) > 0 {
		minute := int(at.Unix() % secondsPerDay / 60)
		for i := range r.QuietHours {
			if r.QuietHours[i].contain(minute) {
				return ReasonQuietHours
			}
		}
	}
	return ""
}

func decideDenied(d *Lists, req *Request) Reason {
	switch {
	case d.Rails.Has(req.Rail):
		return ReasonRailDenied
	case d.ServiceTypes.Has(req.ServiceType):
		return ReasonServiceTypeDenied
	case d.Services.Has(req.Service):
		return ReasonServiceDenied
	case d.Skills.Has(req.Skill):
		return ReasonSkillDenied
	case d.Providers.Has(req.Provider):
		return ReasonProviderDenied
	case d.Operations.Has(req.Operation):
		return ReasonOperationDenied
	case req.HasToken && d.Tokens.hasToken(req.Symbol, req.Token):
		return ReasonTokenDenied
	case req.HasPayee && d.Payees.HasAddress(req.Payee):
		return ReasonPayeeDenied
	}
	return ""
}

func decideAllowed(a *Lists, req *Request) Reason {
	switch {
	case lacks(a.Rails, req.Rail):
		return ReasonRailNotAllowed
	case lacks(a.ServiceTypes, req.ServiceType):
		return ReasonServiceTypeNotAllowed
	case lacks(a.Services, req.Service):
		return ReasonServiceNotAllowed
	case lacks(a.Skills, req.Skill):
		return ReasonSkillNotAllowed
	case lacks(a.Providers, req.Provider):
		return ReasonProviderNotAllowed
	case lacks(a.Operations, req.Operation):
		return ReasonOperationNotAllowed
	case req.HasToken && a.Tokens.Len() > 0 && !a.Tokens.hasToken(req.Symbol, req.Token):
		return ReasonTokenNotAllowed
	case req.HasPayee && a.Payees.Len() > 0 && !a.Payees.HasAddress(req.Payee):
		return ReasonPayeeNotAllowed
	}
	return ""
}

func lacks(s Set, name string) bool { return s.c != nil && !s.c.has(name) }

func decideRemoteLists(m *Remote, req *Request) Reason {
	switch {
	case m.DeniedSkills.Has(req.Skill), m.DeniedServices.Has(req.Service),
		lacks(m.AllowedSkills, req.Skill), lacks(m.AllowedServices, req.Service):
		return ReasonServerPolicyDenied
	case m.AccountDeniedSkills.Has(req.Skill), lacks(m.AccountAllowedSkills, req.Skill),
		!req.Native && (m.NativeOnly || m.HandoffDenied):
		return ReasonAccountPolicyDenied
	}
	return ""
}

func decidePrice(r *Rules, m *Remote, req *Request) Reason {
	value := req.Reserves()
	switch {
	case req.PriceUnknown && !req.HasMaxPrice:
		return ReasonNoMaxPrice
	case value < 0 || req.MaxPrice < 0:
		return ReasonPriceInvalid
	case req.Rail == RailNotRequired && !req.PriceUnknown && value > 0:
		return ReasonPriceOnFreeRail
	case value == 0 && paysOnChain(req.Rail):
		return ReasonPriceUnknown
	case value > 0 && !sameCurrency(req.Currency, r.Currency):
		return ReasonCurrencyMismatch
	case req.HasMaxPrice && value > req.MaxPrice:
		return ReasonMaxPrice
	case value > r.PerPurchase:
		return ReasonPerPurchaseLimit
	case m == nil || value == 0:
		return ""
	case (m.HasPerTransaction || m.HasDaily) && m.Currency != "" && !sameCurrency(m.Currency, r.Currency),
		m.HasBudgetCap && m.BudgetCapCurrency != "" && !sameCurrency(m.BudgetCapCurrency, r.Currency):
		return ReasonCurrencyMismatch
	case m.HasPerTransaction && value > m.PerTransaction:
		return ReasonServerLimit
	case m.HasBudgetCap && value > m.BudgetCap:
		return ReasonAccountPolicyDenied
	}
	return ""
}

func sameCurrency(a, b string) bool { return a == b || strings.EqualFold(a, b) }

// decideSums checks what the purchase would bring the sums to; the zero Verdict
// means that every one holds. A purchase that costs nothing passes a window that
// is already full, but not a count.
func decideSums(r *Rules, m *Remote, req *Request, st *State) Verdict {
	if len(st.Spent) != len(r.Windows) || len(st.Counts) != len(r.Counts) {
		return Refuse(ReasonLedgerUnverified)
	}
	if value := req.Reserves(); value > 0 {
		for i := range r.Windows {
			if st.Spent[i].Exceeds(value, r.Windows[i].Limit) {
				return Verdict{Reason: ReasonWindowLimit, Window: i}
			}
		}
		if reason := decideTotals(r, m, value, st); reason != "" {
			return Refuse(reason)
		}
	}
	for i := range r.Counts {
		if st.Counts[i] >= r.Counts[i].Limit {
			return Verdict{Reason: ReasonCountLimit, Window: i}
		}
	}
	return Verdict{}
}

func decideTotals(r *Rules, m *Remote, value money.Value, st *State) Reason {
	switch {
	case r.Lifetime > 0 && st.Lifetime.Exceeds(value, r.Lifetime):
		return ReasonLifetimeLimit
	case m == nil:
		return ""
	case m.HasDaily && st.ServerDay.Exceeds(value, m.Daily):
		return ReasonServerLimit
	case m.HasBudgetCap && st.ServerDay.Exceeds(value, m.BudgetCap):
		return ReasonAccountPolicyDenied
	}
	return ""
}

// decidePayee applies the payee mode once the payee is known; before that the
// check waits for the grant, which always has one.
func decidePayee(r *Rules, req *Request, st *State) Reason {
	if !req.HasPayee {
		return ""
	}
	switch r.Payees {
	case PayeesList:
		if !r.Allow.Payees.HasAddress(req.Payee) {
			return ReasonPayeeNotAllowed
		}
	case PayeesApprove:
	default:
		if st.HasPin && st.PayeePinned != req.Payee {
			return ReasonPayeeChanged
		}
	}
	return ""
}

func needsApproval(r *Rules, req *Request, st *State) bool {
	return (r.HasApproval && req.Reserves() > r.ApprovalAbove) ||
		(r.Payees == PayeesApprove && req.HasPayee && !st.PayeeKnown)
}

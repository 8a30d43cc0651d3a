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
		reason = decideLists(r, remote, req)
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

// named is a property of a request with its key, which is computed once for all
// the sets that it is looked up in.
type named struct {
	key  uint64
	name string
}

func name(s string) named { return named{keyOf(s), s} }

func (n *named) in(s Set) bool { return s.hasKey(n.key, n.name) }

// notIn says whether the set restricts and does not have the name.
func (n *named) notIn(s Set) bool { return s.c != nil && !s.c.find(n.key, n.name) }

func decideLists(r *Rules, m *Remote, req *Request) Reason {
	rail, kind, operation := name(req.Rail), name(req.ServiceType), name(req.Operation)
	service, skill, provider := name(req.Service), name(req.Skill), name(req.Provider)
	a, d := &r.Allow, &r.Deny
	switch {
	case rail.in(d.Rails):
		return ReasonRailDenied
	case kind.in(d.ServiceTypes):
		return ReasonServiceTypeDenied
	case service.in(d.Services):
		return ReasonServiceDenied
	case skill.in(d.Skills):
		return ReasonSkillDenied
	case provider.in(d.Providers):
		return ReasonProviderDenied
	case operation.in(d.Operations):
		return ReasonOperationDenied
	case req.HasToken && d.Tokens.hasToken(req.Symbol, &req.Token):
		return ReasonTokenDenied
	case req.HasPayee && d.Payees.c != nil && d.Payees.c.findAddress(&req.Payee):
		return ReasonPayeeDenied
	case rail.notIn(a.Rails):
		return ReasonRailNotAllowed
	case kind.notIn(a.ServiceTypes):
		return ReasonServiceTypeNotAllowed
	case service.notIn(a.Services):
		return ReasonServiceNotAllowed
	case skill.notIn(a.Skills):
		return ReasonSkillNotAllowed
	case provider.notIn(a.Providers):
		return ReasonProviderNotAllowed
	case operation.notIn(a.Operations):
		return ReasonOperationNotAllowed
	case req.HasToken && a.Tokens.c != nil && !a.Tokens.hasToken(req.Symbol, &req.Token):
		return ReasonTokenNotAllowed
	case req.HasPayee && a.Payees.c != nil && !a.Payees.c.findAddress(&req.Payee):
		return ReasonPayeeNotAllowed
	case m == nil:
		return ""
	case skill.in(m.DeniedSkills), service.in(m.DeniedServices), skill.notIn(m.AllowedSkills), service.notIn(m.AllowedServices):
		return ReasonServerPolicyDenied
	case skill.in(m.AccountDeniedSkills), skill.notIn(m.AccountAllowedSkills), !req.Native && (m.NativeOnly || m.HandoffDenied):
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

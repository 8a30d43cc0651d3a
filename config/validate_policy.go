// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/agentd-project/agentd/money"
)

// longestSpan bounds windows; the ledger keeps what they need.
const longestSpan = 3650 * day

func (l *loader) validatePolicy() {
	p := &l.cfg.Policy
	l.required("policy.currency", p.Currency, "the currency that limits count in, such as USD")
	const unlimited = "a policy without limits is refused: nothing is unlimited by omission"
	l.above("policy.per_purchase", p.PerPurchase, "the most that one purchase may cost, above 0", unlimited)
	if l.isSet("policy.lifetime") {
		l.above("policy.lifetime", p.Lifetime, "an amount above 0, or no lifetime at all", "")
	}
	if len(p.Windows) == 0 && !l.isSet("policy.lifetime") && !l.faulted("policy.windows") {
		l.fault("policy.windows", "neither a window nor a lifetime limit", "one window or more, such as {over: 24h, limit: \"20.00\"}, or lifetime", unlimited)
	}
	for i, w := range p.Windows {
		l.validateWindow(at("policy.windows", i, ""), w)
	}
	for i, c := range p.Count {
		path := at("policy.count", i, "")
		l.between(path+".over", c.Over, time.Minute, longestSpan)
		if c.Limit < 1 && !l.faulted(path+".limit") {
			l.fault(path+".limit", strconv.FormatInt(c.Limit, 10), "a number of purchases from 1", "")
		}
	}
	l.between("policy.approval.ttl", p.Approval.TTL, time.Minute, 30*day)
	l.between("policy.max_authorization", p.MaxAuthorization, 10*time.Second, day)
	if p.Payees == PayeesList && len(p.Allow.Payees) == 0 {
		l.fault("policy.payees", "list, with an empty allow.payees", "an address or more in policy.allow.payees, or pin, or approve", "")
	}
	if !p.Expires.IsZero() && !p.Expires.After(time.Now()) {
		l.warn("policy.expires lies in the past: nothing is bought")
	}
	l.validateLists("policy.allow", p.Allow)
	l.validateLists("policy.deny", p.Deny)
	l.validateSymbols(p.Allow.Tokens)
	l.validateRetention()
}

// above records a fault for a value that is not above zero.
func (l *loader) above(key string, v money.Value, allowed, hint string) {
	if v > 0 || l.faulted(key) {
		return
	}
	found := "nothing"
	if l.isSet(key) {
		found = v.String()
	}
	l.fault(key, found, allowed, hint)
}

func (l *loader) validateWindow(path string, w Window) {
	switch over := l.isSet(path + ".over"); {
	case over && w.Calendar != CalendarNone:
		l.fault(path, "over and calendar", "one of the two", "")
	case !over && w.Calendar == CalendarNone && !l.faulted(path+".calendar"):
		l.fault(path+".over", "nothing", "a duration such as 24h, or calendar: day or month", "")
	case over:
		l.between(path+".over", w.Over, time.Minute, longestSpan)
	}
	l.above(path+".limit", w.Limit, "an amount above 0", "")
}

func (l *loader) validateLists(path string, lists Lists) {
	l.noBlanks(path+".service_types", lists.ServiceTypes)
	l.noBlanks(path+".services", lists.Services)
	l.noBlanks(path+".skills", lists.Skills)
	l.noBlanks(path+".providers", lists.Providers)
	l.noBlanks(path+".operations", lists.Operations)
	l.noBlanks(path+".tokens", lists.Tokens)
	for i, token := range lists.Tokens {
		if strings.HasPrefix(token, "0x") {
			l.checkAddress(at(path+".tokens", i, ""), token)
		}
	}
	for i, payee := range lists.Payees {
		l.checkAddress(at(path+".payees", i, ""), payee)
	}
}

func (l *loader) checkAddress(key, text string) {
	if _, err := parseAddress(text); err != nil {
		l.fault(key, quote(text), "0x and 40 hexadecimal digits, with a right checksum if letters are in mixed case", "")
	}
}

// validateSymbols refuses an allowed token that no chain has: a misspelt symbol
// would refuse every purchase.
func (l *loader) validateSymbols(allowed []string) {
	var symbols []string
	for _, a := range l.cfg.Assets() {
		symbols = append(symbols, a.Symbol)
	}
	for i, token := range allowed {
		if strings.HasPrefix(token, "0x") || strings.TrimSpace(token) == "" {
			continue
		}
		known := false
		for _, s := range symbols {
			known = known || strings.EqualFold(s, token)
		}
		if !known {
			l.fault(at("policy.allow.tokens", i, ""), quote(token), "an address, or the symbol of a configured token: "+list(symbols), didYouMean(token, symbols))
		}
	}
}

// validateRetention keeps what a window still counts from being compacted.
func (l *loader) validateRetention() {
	longest := day
	for _, w := range l.cfg.Policy.Windows {
		span := w.Over
		switch w.Calendar {
		case CalendarDay:
			span = day
		case CalendarMonth:
			span = 31 * day
		}
		longest = max(longest, span)
	}
	for _, c := range l.cfg.Policy.Count {
		longest = max(longest, c.Over)
	}
	if l.cfg.Retention <= longest && !l.faulted("retention") {
		l.fault("retention", Span(l.cfg.Retention), fmt.Sprintf("longer than the longest window of the policy, %s", Span(longest)), "")
	}
}

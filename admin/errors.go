// SPDX-License-Identifier: Apache-2.0

package admin

import "net/http"

// Code names the kind of a failure.
type Code string

// The codes. A failure that the policy or the purchase table names carries its
// reason code in [Error.Reason] beside one of these.
const (
	// CodeUsage is a request that makes no sense: a bad body, a missing member.
	CodeUsage Code = "usage"
	// CodeNotPermitted is a request that this caller may not make.
	CodeNotPermitted Code = "not_permitted"
	// CodeNotFound is an unknown need, purchase or record.
	CodeNotFound Code = "not_found"
	// CodeConflict is a request that the present state does not allow, such as
	// approving what does not wait for approval.
	CodeConflict Code = "conflict"
	// CodeRefused is a refusal by the policy.
	CodeRefused Code = "refused"
	// CodeUnavailable is a part that cannot answer now: the Market, a chain, a
	// pairing that is missing.
	CodeUnavailable Code = "unavailable"
	// CodeInternal is every other failure.
	CodeInternal Code = "internal"
	// CodeNoDaemon says that nobody answers on the socket; only [Client] makes it.
	CodeNoDaemon Code = "no_daemon"
)

// Error is a failure as callers of the local API see it.
type Error struct {
	Code Code `json:"code"`
	// Reason is a code of the closed set of reasons, if one applies.
	Reason string `json:"reason,omitempty"`
	// Text is one sentence without a secret.
	Text string `json:"text"`
	// Next says what the caller can do about it.
	Next string `json:"next,omitempty"`
}

// Error returns the text, and what to do next.
func (e *Error) Error() string {
	if e.Next == "" {
		return e.Text
	}
	return e.Text + "; " + e.Next
}

// status returns the HTTP status of the error.
func (e *Error) status() int {
	switch e.Code {
	case CodeUsage:
		return http.StatusBadRequest
	case CodeNotPermitted:
		return http.StatusForbidden
	case CodeNotFound:
		return http.StatusNotFound
	case CodeConflict, CodeRefused:
		return http.StatusConflict
	case CodeUnavailable:
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}

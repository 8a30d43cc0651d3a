// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"fmt"
	"net/http"
)

// The error codes of the API that the Market answers.
const (
	codeAuthRequired         = "AUTH_REQUIRED"
	codeAuthInvalid          = "AUTH_INVALID"
	codeAgentAuthRequired    = "AGENT_AUTH_REQUIRED"
	codeAgentAuthInvalid     = "AGENT_AUTH_INVALID"
	codeAgentAuthExpired     = "AGENT_AUTH_EXPIRED"
	codeValidation           = "VALIDATION_ERROR"
	codeNotFound             = "NOT_FOUND"
	codeMachineNotActive     = "MACHINE_NOT_ACTIVE"
	codeMachineNotActivated  = "MACHINE_NOT_ACTIVATED"
	codeIdentityExists       = "MACHINE_IDENTITY_EXISTS"
	codeIdentityImmutable    = "MACHINE_IDENTITY_IMMUTABLE"
	codeIdentityRequired     = "MACHINE_IDENTITY_PROOF_REQUIRED"
	codeIdentityInvalid      = "MACHINE_IDENTITY_PROOF_INVALID"
	codeIdentityExpired      = "MACHINE_IDENTITY_PROOF_EXPIRED"
	codeIdentityUnavailable  = "PEAQOS_IDENTITY_UNAVAILABLE"
	codePairingProofRequired = "AGENT_PAIRING_PROOF_REQUIRED"
	codePairingProofInvalid  = "AGENT_PAIRING_PROOF_INVALID"
	codePairingProofExpired  = "AGENT_PAIRING_PROOF_EXPIRED"
	codePairingUnavailable   = "AGENT_PAIRING_UNAVAILABLE"
	codePairingRequired      = "AGENT_PAIRING_REQUIRED"
	codePairingInactive      = "AGENT_PAIRING_INACTIVE"
	codePolicyDenied         = "AGENT_POLICY_DENIED"
	codeSpendLimit           = "AGENT_SPEND_LIMIT_EXCEEDED"
	codeDailyLimit           = "AGENT_DAILY_LIMIT_EXCEEDED"
	codeQuoteExpired         = "QUOTE_EXPIRED"
	codeOrderClosed          = "ORDER_CLOSED"
	codeNotDelivered         = "ORDER_NOT_DELIVERED"
	codeUnsupported          = "EXECUTION_UNSUPPORTED"
	codeUnreachable          = "ENDPOINT_UNREACHABLE"
	codePaymentRequired      = "PAYMENT_REQUIRED"
	codeRPCRequired          = "PAYMENT_RPC_REQUIRED"
	codeRPCError             = "PAYMENT_RPC_ERROR"
	codeNotMined             = "PAYMENT_NOT_MINED"
	codeTxFailed             = "PAYMENT_TX_FAILED"
	codeTransferNotFound     = "PAYMENT_TRANSFER_NOT_FOUND"
	codeInternal             = "INTERNAL_ERROR"
)

// statusOf holds the HTTP status of each code (protocol reference, section 8).
var statusOf = map[string]int{
	codeAuthRequired:         http.StatusUnauthorized,
	codeAuthInvalid:          http.StatusUnauthorized,
	codeAgentAuthRequired:    http.StatusUnauthorized,
	codeAgentAuthInvalid:     http.StatusUnauthorized,
	codeAgentAuthExpired:     http.StatusUnauthorized,
	codeValidation:           http.StatusBadRequest,
	codeNotFound:             http.StatusNotFound,
	codeMachineNotActive:     http.StatusConflict,
	codeMachineNotActivated:  http.StatusConflict,
	codeIdentityExists:       http.StatusConflict,
	codeIdentityImmutable:    http.StatusConflict,
	codeIdentityRequired:     http.StatusBadRequest,
	codeIdentityInvalid:      http.StatusUnauthorized,
	codeIdentityExpired:      http.StatusUnauthorized,
	codeIdentityUnavailable:  http.StatusServiceUnavailable,
	codePairingProofRequired: http.StatusBadRequest,
	codePairingProofInvalid:  http.StatusUnauthorized,
	codePairingProofExpired:  http.StatusUnauthorized,
	codePairingUnavailable:   http.StatusServiceUnavailable,
	codePairingRequired:      http.StatusForbidden,
	codePairingInactive:      http.StatusForbidden,
	codePolicyDenied:         http.StatusForbidden,
	codeSpendLimit:           http.StatusForbidden,
	codeDailyLimit:           http.StatusForbidden,
	codeQuoteExpired:         http.StatusConflict,
	codeOrderClosed:          http.StatusConflict,
	codeNotDelivered:         http.StatusConflict,
	codeUnsupported:          http.StatusBadRequest,
	codeUnreachable:          http.StatusBadGateway,
	codePaymentRequired:      http.StatusPaymentRequired,
	codeRPCRequired:          http.StatusBadRequest,
	codeRPCError:             http.StatusBadGateway,
	codeNotMined:             http.StatusConflict,
	codeTxFailed:             http.StatusPaymentRequired,
	codeTransferNotFound:     http.StatusBadRequest,
	codeInternal:             http.StatusInternalServerError,
}

// refusal is an answer of the API that says no.
type refusal struct {
	status  int
	code    string
	message string
}

func (r *refusal) Error() string { return fmt.Sprintf("%s: %s", r.code, r.message) }

// refuse makes a refusal with the status that belongs to its code.
func refuse(code, format string, args ...any) *refusal {
	return refuseWith(statusOf[code], code, format, args...)
}

// refuseWith is for the few refusals whose status is not their code's usual one.
func refuseWith(status int, code, format string, args ...any) *refusal {
	return &refusal{status: status, code: code, message: fmt.Sprintf(format, args...)}
}

// invalid refuses a request for what it says.
func invalid(format string, args ...any) *refusal { return refuse(codeValidation, format, args...) }

// conflict refuses a request for the state that it meets.
func conflict(format string, args ...any) *refusal {
	return refuseWith(http.StatusConflict, codeValidation, format, args...)
}

func notFound(what, id string) *refusal { return refuse(codeNotFound, "no %s %q", what, clip(id, 80)) }

func clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return text[:most] + "…"
}

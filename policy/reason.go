// SPDX-License-Identifier: Apache-2.0

package policy

import "slices"

// Reason is one code of the closed set that says why a purchase was refused,
// waits or ended. The codes are used in the log, the metric label, explain, the
// local API and the documentation; they are never renamed.
type Reason string

// Allowed is the reason of a decision that allows.
const Allowed Reason = "allowed"

// The reasons. [Reasons] says of each what it means and what to do.
const (
	ReasonPaused                Reason = "paused"
	ReasonObserveMode           Reason = "observe_mode"
	ReasonPolicyExpired         Reason = "policy_expired"
	ReasonQuietHours            Reason = "quiet_hours"
	ReasonClockUntrusted        Reason = "clock_untrusted"
	ReasonLedgerUnverified      Reason = "ledger_unverified"
	ReasonPerPurchaseLimit      Reason = "per_purchase_limit"
	ReasonWindowLimit           Reason = "window_limit"
	ReasonLifetimeLimit         Reason = "lifetime_limit"
	ReasonCountLimit            Reason = "count_limit"
	ReasonMaxPrice              Reason = "max_price"
	ReasonNoMaxPrice            Reason = "no_max_price"
	ReasonRailDenied            Reason = "rail_denied"
	ReasonRailNotAllowed        Reason = "rail_not_allowed"
	ReasonServiceDenied         Reason = "service_denied"
	ReasonServiceNotAllowed     Reason = "service_not_allowed"
	ReasonSkillDenied           Reason = "skill_denied"
	ReasonSkillNotAllowed       Reason = "skill_not_allowed"
	ReasonProviderDenied        Reason = "provider_denied"
	ReasonProviderNotAllowed    Reason = "provider_not_allowed"
	ReasonServiceTypeDenied     Reason = "service_type_denied"
	ReasonServiceTypeNotAllowed Reason = "service_type_not_allowed"
	ReasonOperationDenied       Reason = "operation_denied"
	ReasonOperationNotAllowed   Reason = "operation_not_allowed"
	ReasonTokenDenied           Reason = "token_denied"
	ReasonTokenNotAllowed       Reason = "token_not_allowed"
	ReasonPayeeDenied           Reason = "payee_denied"
	ReasonPayeeNotAllowed       Reason = "payee_not_allowed"
	ReasonPayeeChanged          Reason = "payee_changed"
	ReasonPayeeUnknown          Reason = "payee_unknown"
	ReasonApprovalRequired      Reason = "approval_required"
	ReasonApprovalDenied        Reason = "approval_denied"
	ReasonApprovalExpired       Reason = "approval_expired"
	ReasonApprovalChanged       Reason = "approval_changed"
	ReasonCurrencyMismatch      Reason = "currency_mismatch"
	ReasonTokenUnknown          Reason = "token_unknown"
	ReasonChainUnknown          Reason = "chain_unknown"
	ReasonPriceInvalid          Reason = "price_invalid"
	ReasonPriceOnFreeRail       Reason = "price_on_free_rail"
	ReasonPriceUnknown          Reason = "price_unknown"
	ReasonRailUnsupported       Reason = "rail_unsupported"
	ReasonAuthorizationTooLong  Reason = "authorization_too_long"
	ReasonServerPolicyDenied    Reason = "server_policy_denied"
	ReasonServerLimit           Reason = "server_limit"
	ReasonAccountPolicyDenied   Reason = "account_policy_denied"
	ReasonNoQuotes              Reason = "no_quotes"
	ReasonQuoteExpired          Reason = "quote_expired"
	ReasonPriceChanged          Reason = "price_changed"
	ReasonPayeeMismatch         Reason = "payee_mismatch"
	ReasonTokenMismatch         Reason = "token_mismatch"
	ReasonChainMismatch         Reason = "chain_mismatch"
	ReasonRailMismatch          Reason = "rail_mismatch"
	ReasonDecimalsMismatch      Reason = "decimals_mismatch"
	ReasonServiceMismatch       Reason = "service_mismatch"
	ReasonChallengeInvalid      Reason = "challenge_invalid"
	ReasonDomainMismatch        Reason = "domain_mismatch"
	ReasonMarketRefused         Reason = "market_refused"
	ReasonMarketUnavailable     Reason = "market_unavailable"
	ReasonOrderAmbiguous        Reason = "order_ambiguous"
	ReasonOrderClosed           Reason = "order_closed"
	ReasonOrderFailed           Reason = "order_failed"
	ReasonKeyRequired           Reason = "key_required"
	ReasonPairingRevoked        Reason = "pairing_revoked"
	ReasonPairingPaused         Reason = "pairing_paused"
	ReasonPairingMissing        Reason = "pairing_missing"
	ReasonMachineInactive       Reason = "machine_inactive"
	ReasonInsufficientTokens    Reason = "insufficient_tokens"
	ReasonInsufficientGas       Reason = "insufficient_gas"
	ReasonGasBudget             Reason = "gas_budget"
	ReasonFeeCeiling            Reason = "fee_ceiling"
	ReasonTransferReverted      Reason = "transfer_reverted"
	ReasonAuthorizationUnused   Reason = "authorization_unused"
	ReasonDeadlinePassed        Reason = "deadline_passed"
	ReasonCancelled             Reason = "cancelled"
	ReasonInputInvalid          Reason = "input_invalid"
	ReasonResultRejected        Reason = "result_rejected"
	ReasonResultMissing         Reason = "result_missing"
	ReasonExecutionFailed       Reason = "execution_failed"
	ReasonHandedOff             Reason = "handed_off"
	ReasonReferenceRequired     Reason = "reference_required"
	ReasonHeld                  Reason = "held"
	ReasonDisputed              Reason = "disputed"
	ReasonRefunded              Reason = "refunded"
	ReasonRefundAwaited         Reason = "refund_awaited"
	ReasonEscrowUnknown         Reason = "escrow_unknown"
	ReasonLockExpired           Reason = "lock_expired"
	ReasonDeliveryFailed        Reason = "delivery_failed"
)

// ReasonInfo says what a reason means and what the operator does about it, one
// sentence each.
type ReasonInfo struct {
	Reason Reason
	Text   string
	Next   string
}

// Reasons returns the whole closed set, in the order of the documentation, in a
// slice of the caller's own.
func Reasons() []ReasonInfo { return slices.Clone(reasons) }

// Valid says whether the reason belongs to the closed set.
func (r Reason) Valid() bool {
	_, ok := r.Info()
	return ok
}

// Info returns what the reason means; ok is false if it is not in the set.
func (r Reason) Info() (info ReasonInfo, ok bool) {
	i := slices.IndexFunc(reasons, func(info ReasonInfo) bool { return info.Reason == r })
	if i < 0 {
		return ReasonInfo{}, false
	}
	return reasons[i], true
}

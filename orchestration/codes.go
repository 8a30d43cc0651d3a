// SPDX-License-Identifier: Apache-2.0

package orchestration

// Code is the error code of an [APIError]. The set is open: a server may answer
// with a code that is not among the constants.
type Code string

// Error codes of the API.
const (
	CodeAuthRequired                 Code = "AUTH_REQUIRED"
	CodeAuthInvalid                  Code = "AUTH_INVALID"
	CodeAgentAuthRequired            Code = "AGENT_AUTH_REQUIRED"
	CodeAgentAuthInvalid             Code = "AGENT_AUTH_INVALID"
	CodeAgentAuthExpired             Code = "AGENT_AUTH_EXPIRED"
	CodeValidationError              Code = "VALIDATION_ERROR"
	CodeNotFound                     Code = "NOT_FOUND"
	CodeMachineNotActive             Code = "MACHINE_NOT_ACTIVE"
	CodeMachineNotActivated          Code = "MACHINE_NOT_ACTIVATED"
	CodeMachineIdentityExists        Code = "MACHINE_IDENTITY_EXISTS"
	CodeMachineIdentityImmutable     Code = "MACHINE_IDENTITY_IMMUTABLE"
	CodeMachineIdentityProofRequired Code = "MACHINE_IDENTITY_PROOF_REQUIRED"
	CodeMachineIdentityProofInvalid  Code = "MACHINE_IDENTITY_PROOF_INVALID"
	CodeMachineIdentityProofExpired  Code = "MACHINE_IDENTITY_PROOF_EXPIRED"
	CodePeaqosIdentityUnavailable    Code = "PEAQOS_IDENTITY_UNAVAILABLE"
	CodeAgentPairingProofRequired    Code = "AGENT_PAIRING_PROOF_REQUIRED"
	CodeAgentPairingProofInvalid     Code = "AGENT_PAIRING_PROOF_INVALID"
	CodeAgentPairingProofExpired     Code = "AGENT_PAIRING_PROOF_EXPIRED"
	CodeAgentPairingUnavailable      Code = "AGENT_PAIRING_UNAVAILABLE"
	CodeAgentPairingRequired         Code = "AGENT_PAIRING_REQUIRED"
	CodeAgentPairingInactive         Code = "AGENT_PAIRING_INACTIVE"
	CodeAgentPolicyDenied            Code = "AGENT_POLICY_DENIED"
	CodeAgentSpendLimitExceeded      Code = "AGENT_SPEND_LIMIT_EXCEEDED"
	CodeAgentDailyLimitExceeded      Code = "AGENT_DAILY_LIMIT_EXCEEDED"
	CodeQuoteExpired                 Code = "QUOTE_EXPIRED"
	CodeOrderClosed                  Code = "ORDER_CLOSED"
	CodeOrderNotDelivered            Code = "ORDER_NOT_DELIVERED"
	CodeExecutionUnsupported         Code = "EXECUTION_UNSUPPORTED"
	CodePaymentRequired              Code = "PAYMENT_REQUIRED"
	CodePaymentRPCRequired           Code = "PAYMENT_RPC_REQUIRED"
	CodePaymentRPCError              Code = "PAYMENT_RPC_ERROR"
	CodePaymentNotMined              Code = "PAYMENT_NOT_MINED"
	CodePaymentTxFailed              Code = "PAYMENT_TX_FAILED"
	CodePaymentTransferNotFound      Code = "PAYMENT_TRANSFER_NOT_FOUND"
	CodeEndpointUnreachable          Code = "ENDPOINT_UNREACHABLE"
	CodeStreamDeliveryNotReady       Code = "STREAM_DELIVERY_NOT_READY"
	CodeOneM2MCommandConflict        Code = "ONEM2M_COMMAND_CONFLICT"
	CodeOneM2MActionRejected         Code = "ONEM2M_ACTION_REJECTED"
	CodeOneM2MActionTimeout          Code = "ONEM2M_ACTION_TIMEOUT"
	CodeOneM2MSubmissionUnknown      Code = "ONEM2M_SUBMISSION_UNKNOWN"
	CodeOneM2MCSEUnavailable         Code = "ONEM2M_CSE_UNAVAILABLE"
	CodeOneM2MProtocolError          Code = "ONEM2M_PROTOCOL_ERROR"
	CodeOneM2MTimeout                Code = "ONEM2M_TIMEOUT"
	CodeIoTReplayUnavailable         Code = "IOT_REPLAY_UNAVAILABLE"
	// CodeBadResponse is the client's own: an answer that is not the API's JSON.
	CodeBadResponse Code = "BAD_RESPONSE"
	// CodeInvalidResponseShape is the client's own: a success with a member that is
	// missing or of the wrong type.
	CodeInvalidResponseShape Code = "INVALID_RESPONSE_SHAPE"
)

// codes says what to do about every code that is known. CodeNotFound depends on
// the operation, see [Classify].
var codes = map[Code]Action{
	CodeAuthRequired: ActionFixConfiguration,
	CodeAuthInvalid:  ActionFixConfiguration,

	CodeAgentAuthRequired: ActionRotate,
	CodeAgentAuthInvalid:  ActionRotate,
	CodeAgentAuthExpired:  ActionRotate,

	CodeMachineIdentityProofRequired: ActionRechallenge,
	CodeMachineIdentityProofExpired:  ActionRechallenge,
	CodeAgentPairingProofRequired:    ActionRechallenge,
	CodeAgentPairingProofExpired:     ActionRechallenge,
	// A proof that is wrong stays wrong: the key is not the one it should be.
	CodeMachineIdentityProofInvalid: ActionFixConfiguration,
	CodeAgentPairingProofInvalid:    ActionFixConfiguration,

	CodeQuoteExpired:         ActionResearch,
	CodeExecutionUnsupported: ActionResearch,

	CodePaymentNotMined:           ActionWait,
	CodePaymentRPCError:           ActionWait,
	CodePeaqosIdentityUnavailable: ActionWait,
	CodeAgentPairingUnavailable:   ActionWait,
	CodeEndpointUnreachable:       ActionWait,
	CodeStreamDeliveryNotReady:    ActionWait,
	CodeOneM2MCSEUnavailable:      ActionWait,
	CodeIoTReplayUnavailable:      ActionWait,

	CodePaymentRPCRequired: ActionRecordProof,

	CodePaymentRequired:         ActionAsk,
	CodeOrderClosed:             ActionAsk,
	CodeOrderNotDelivered:       ActionAsk,
	CodePaymentTxFailed:         ActionAsk,
	CodePaymentTransferNotFound: ActionAsk,
	// The device may or may not have acted.
	CodeOneM2MActionRejected:    ActionAsk,
	CodeOneM2MActionTimeout:     ActionAsk,
	CodeOneM2MSubmissionUnknown: ActionAsk,
	CodeOneM2MProtocolError:     ActionAsk,
	CodeOneM2MTimeout:           ActionAsk,
	// By HTTP status in Classify if that is a 5xx.
	CodeBadResponse:          ActionAsk,
	CodeInvalidResponseShape: ActionAsk,

	CodeAgentPolicyDenied:       ActionRefusedByPolicy,
	CodeAgentSpendLimitExceeded: ActionRefusedByPolicy,
	CodeAgentDailyLimitExceeded: ActionRefusedByPolicy,

	CodeAgentPairingInactive: ActionOwnersSwitch,
	CodeAgentPairingRequired: ActionOwnersSwitch,

	CodeMachineNotActive:    ActionMachine,
	CodeMachineNotActivated: ActionMachine,

	CodeMachineIdentityExists: ActionRegistration,
	// An identity does not change: the configured one is not the record's.
	CodeMachineIdentityImmutable: ActionFixConfiguration,

	CodeValidationError:       ActionOurFault,
	CodeNotFound:              ActionOurFault,
	CodeOneM2MCommandConflict: ActionOurFault,
}

// Codes returns the codes that are known, in no order. With "ok", "network" and
// "other" they are the closed set of values that [Config].Observe gets for its
// second argument.
func Codes() []Code {
	all := make([]Code, 0, len(codes))
	for code := range codes {
		all = append(all, code)
	}
	return all
}

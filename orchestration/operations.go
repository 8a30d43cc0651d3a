// SPDX-License-Identifier: Apache-2.0

package orchestration

import "net/http"

// authClass says which credentials a call carries.
type authClass int

const (
	authNone     authClass = iota // none: health, readiness, heartbeat
	authPlatform                  // the platform key, if one is configured
	authPairing                   // the platform key, if configured, and a pairing token
	authEither                    // the platform key, and a pairing token if the caller has one
)

// operation is one call of the API. Repeat marks the reads and the writes that
// the API documents as idempotent: nothing else may be sent twice.
type operation struct {
	name   string
	method string
	auth   authClass
	repeat bool
	order  bool // below an order: its NOT_FOUND is about the order
}

// The operations. Their names are those of the methods of [Client], and are the
// values of [APIError.Operation] and of the metrics hook.
var (
	opHealth                  = operation{"Health", http.MethodGet, authNone, true, false}
	opReadiness               = operation{"Readiness", http.MethodGet, authNone, false, false} // its 503 is an answer
	opCreateIdentityChallenge = operation{"CreateIdentityChallenge", http.MethodPost, authPlatform, false, false}
	opListMachines            = operation{"ListMachines", http.MethodGet, authPlatform, true, false}
	opCreateMachine           = operation{"CreateMachine", http.MethodPost, authPlatform, false, false}
	opGetMachine              = operation{"GetMachine", http.MethodGet, authPlatform, true, false}
	opUpdateMachine           = operation{"UpdateMachine", http.MethodPatch, authPlatform, false, false}
	opArchiveMachine          = operation{"ArchiveMachine", http.MethodDelete, authPlatform, true, false}
	opCreatePairingChallenge  = operation{"CreatePairingChallenge", http.MethodPost, authPlatform, false, false}
	opListPairings            = operation{"ListPairings", http.MethodGet, authPlatform, true, false}
	opCreatePairing           = operation{"CreatePairing", http.MethodPost, authPlatform, false, false}
	opCreatePairingSession    = operation{"CreatePairingSession", http.MethodPost, authPlatform, false, false}
	opUpdatePairing           = operation{"UpdatePairing", http.MethodPatch, authPlatform, false, false}
	opRevokePairing           = operation{"RevokePairing", http.MethodDelete, authPlatform, true, false}
	opListAgents              = operation{"ListAgents", http.MethodGet, authPlatform, true, false}
	opEnrollAgent             = operation{"EnrollAgent", http.MethodPost, authPlatform, false, false}
	opRevokeAgent             = operation{"RevokeAgent", http.MethodDelete, authPlatform, true, false}
	opHeartbeat               = operation{"Heartbeat", http.MethodPost, authNone, true, false}
	opListRuntimeEndpoints    = operation{"ListRuntimeEndpoints", http.MethodGet, authPlatform, true, false}
	opGetRuntimeEndpoint      = operation{"GetRuntimeEndpoint", http.MethodGet, authPlatform, true, false}
	opPutRuntimeEndpoint      = operation{"PutRuntimeEndpoint", http.MethodPut, authPlatform, true, false}
	opDeleteRuntimeEndpoint   = operation{"DeleteRuntimeEndpoint", http.MethodDelete, authPlatform, true, false}
	opListSkills              = operation{"ListSkills", http.MethodGet, authPlatform, true, false}
	opGetSkill                = operation{"GetSkill", http.MethodGet, authPlatform, true, false}
	opGetSkillManifest        = operation{"GetSkillManifest", http.MethodGet, authPlatform, true, false}
	opUpdateSkillConfig       = operation{"UpdateSkillConfig", http.MethodPatch, authPlatform, false, false}
	opListServices            = operation{"ListServices", http.MethodGet, authEither, true, false}
	opGetService              = operation{"GetService", http.MethodGet, authEither, true, false}
	opExecuteService          = operation{"ExecuteService", http.MethodPost, authPairing, false, false}
	opSearch                  = operation{"Search", http.MethodPost, authPairing, false, false}
	opGetSearch               = operation{"GetSearch", http.MethodGet, authPlatform, true, false}
	opListOrders              = operation{"ListOrders", http.MethodGet, authPlatform, true, false}
	opCreateOrder             = operation{"CreateOrder", http.MethodPost, authPairing, false, false}
	opGetOrder                = operation{"GetOrder", http.MethodGet, authEither, true, true}
	opCreatePaymentIntent     = operation{"CreatePaymentIntent", http.MethodPost, authPairing, true, true}
	opGetPayment              = operation{"GetPayment", http.MethodGet, authPlatform, true, true}
	opSubmitPaymentProof      = operation{"SubmitPaymentProof", http.MethodPost, authPairing, false, true}
	opSubmitX402Proof         = operation{"SubmitX402Proof", http.MethodPost, authPairing, false, true}
	opLockEscrow              = operation{"LockEscrow", http.MethodPost, authPairing, true, true}
	opReleasePayment          = operation{"ReleasePayment", http.MethodPost, authPairing, false, true}
	opRefundPayment           = operation{"RefundPayment", http.MethodPost, authPairing, false, true}
	opExecuteOrder            = operation{"ExecuteOrder", http.MethodPost, authPairing, false, true}
	opConfirmOrder            = operation{"ConfirmOrder", http.MethodPost, authPairing, false, true}
	opDisputeOrder            = operation{"DisputeOrder", http.MethodPost, authPairing, false, true}
	opListPolicies            = operation{"ListPolicies", http.MethodGet, authPlatform, true, false}
	opCreatePolicy            = operation{"CreatePolicy", http.MethodPost, authPlatform, false, false}
	opUpdatePolicy            = operation{"UpdatePolicy", http.MethodPatch, authPlatform, false, false}
	opListAuditEvents         = operation{"ListAuditEvents", http.MethodGet, authPlatform, true, false}
)

// operations lists all of the above.
var operations = []operation{
	opHealth, opReadiness, opCreateIdentityChallenge, opListMachines, opCreateMachine, opGetMachine, opUpdateMachine, opArchiveMachine,
	opCreatePairingChallenge, opListPairings, opCreatePairing, opCreatePairingSession, opUpdatePairing, opRevokePairing,
	opListAgents, opEnrollAgent, opRevokeAgent, opHeartbeat,
	opListRuntimeEndpoints, opGetRuntimeEndpoint, opPutRuntimeEndpoint, opDeleteRuntimeEndpoint,
	opListSkills, opGetSkill, opGetSkillManifest, opUpdateSkillConfig,
	opListServices, opGetService, opExecuteService, opSearch, opGetSearch,
	opListOrders, opCreateOrder, opGetOrder, opCreatePaymentIntent, opGetPayment, opSubmitPaymentProof, opSubmitX402Proof,
	opLockEscrow, opReleasePayment, opRefundPayment, opExecuteOrder, opConfirmOrder, opDisputeOrder,
	opListPolicies, opCreatePolicy, opUpdatePolicy, opListAuditEvents,
}

// Operations returns the names of all operations, which is the closed set of
// values that [Config].Observe gets for its first argument.
func Operations() []string {
	names := make([]string, len(operations))
	for i, op := range operations {
		names[i] = op.name
	}
	return names
}

// orderOperation says whether the operation of that name is below an order.
func orderOperation(name string) bool {
	for _, op := range operations {
		if op.name == name {
			return op.order
		}
	}
	return false
}

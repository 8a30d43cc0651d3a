// SPDX-License-Identifier: Apache-2.0

package sandbox

import "net/http"

// access says which secrets a call must carry.
type access int

const (
	accessNone     access = iota
	accessPlatform        // the platform key
	accessPairing         // the pairing token
	accessEither          // the platform key, or the pairing token where one is sent
)

// operation joins a name, which the journal and the faults use, to a route and to what answers it.
type operation struct {
	name    string
	method  string
	path    string // below /api/v1
	access  access
	perform func(*Market, *call) (answer, error)
}

const (
	machinePath  = "/machines/{machineId}"
	pairingsPath = machinePath + "/agent-pairings"
	pairingPath  = pairingsPath + "/{pairingId}"
	agentsPath   = machinePath + "/agents"
	endpointPath = machinePath + "/runtime-endpoints/{providerKey}"
	servicePath  = "/market/services/{serviceId}"
	orderPath    = "/market/orders/{orderId}"
	paymentPath  = orderPath + "/payment"
)

// operations is the API, whole.
func operations() []operation {
	return []operation{
		{"health", "GET", "/health", accessNone, (*Market).health},
		{"readiness", "GET", "/readiness", accessNone, (*Market).readiness},

		{"identity-challenge", "POST", "/machine-identity/challenges", accessPlatform, (*Market).challengeIdentity},
		{"machines-list", "GET", "/machines", accessPlatform, (*Market).listMachines},
		{"machine-create", "POST", "/machines", accessPlatform, (*Market).createMachine},
		{"machine-get", "GET", machinePath, accessPlatform, (*Market).getMachine},
		{"machine-update", "PATCH", machinePath, accessPlatform, (*Market).updateMachine},
		{"machine-archive", "DELETE", machinePath, accessPlatform, (*Market).archiveMachine},

		{"pairings-list", "GET", pairingsPath, accessPlatform, (*Market).listPairings},
		{"pairing-create", "POST", pairingsPath, accessPlatform, (*Market).createPairing},
		{"pairing-challenge", "POST", pairingsPath + "/challenges", accessPlatform, (*Market).challengePairing},
		{"pairing-session", "POST", pairingPath + "/sessions", accessPlatform, (*Market).createSession},
		{"pairing-update", "PATCH", pairingPath, accessPlatform, (*Market).updatePairing},
		{"pairing-revoke", "DELETE", pairingPath, accessPlatform, (*Market).revokePairing},

		{"agents-list", "GET", agentsPath, accessPlatform, (*Market).listAgents},
		{"agent-enroll", "POST", agentsPath + "/enrollment", accessPlatform, (*Market).enrollAgent},
		{"agent-revoke", "DELETE", agentsPath + "/{agentId}", accessPlatform, (*Market).revokeAgent},
		{"heartbeat", "POST", "/machine-agents/heartbeat", accessNone, (*Market).heartbeat},

		{"endpoints-list", "GET", machinePath + "/runtime-endpoints", accessPlatform, (*Market).listEndpoints},
		{"endpoint-get", "GET", endpointPath, accessPlatform, (*Market).getEndpoint},
		{"endpoint-put", "PUT", endpointPath, accessPlatform, (*Market).putEndpoint},
		{"endpoint-delete", "DELETE", endpointPath, accessPlatform, (*Market).deleteEndpoint},

		{"skills-list", "GET", "/skills", accessPlatform, (*Market).listSkills},
		{"skill-get", "GET", "/skills/{skillKey}", accessPlatform, (*Market).getSkill},
		{"skill-manifest", "GET", "/skills/{skillKey}/manifest", accessPlatform, (*Market).getManifest},
		{"skill-config", "PATCH", "/skills/{skillKey}/config", accessPlatform, (*Market).configureSkill},

		{"services-list", "GET", "/market/services", accessEither, (*Market).listServices},
		{"service-get", "GET", servicePath, accessEither, (*Market).getService},
		{"service-execute", "POST", servicePath + "/execute", accessPairing, (*Market).executeService},
		{"search", "POST", "/market/search", accessPairing, (*Market).searchMarket},
		{"search-get", "GET", "/market/searches/{searchId}", accessPlatform, (*Market).getSearch},

		{"orders-list", "GET", "/market/orders", accessPlatform, (*Market).listOrders},
		{"order-create", "POST", "/market/orders", accessPairing, (*Market).createOrder},
		{"order-get", "GET", orderPath, accessEither, (*Market).getOrder},
		{"order-execute", "POST", orderPath + "/execute", accessPairing, (*Market).executeOrder},
		{"order-confirm", "POST", orderPath + "/confirm", accessPairing, (*Market).confirmOrder},
		{"order-dispute", "POST", orderPath + "/dispute", accessPairing, (*Market).disputeOrder},

		{"payment-intent", "POST", orderPath + "/payment-intent", accessPairing, (*Market).createIntent},
		{"payment-proof", "POST", orderPath + "/payment-proof", accessPairing, (*Market).submitProof},
		{"payment-get", "GET", paymentPath, accessPlatform, (*Market).getPayment},
		{"escrow-lock", "POST", paymentPath + "/escrow-lock", accessPairing, (*Market).lockEscrow},
		{"payment-release", "POST", paymentPath + "/release", accessPairing, (*Market).releasePayment},
		{"payment-refund", "POST", paymentPath + "/refund", accessPairing, (*Market).refundPayment},

		{"policies-list", "GET", "/policies", accessPlatform, (*Market).listPolicies},
		{"policy-create", "POST", "/policies", accessPlatform, (*Market).createPolicy},
		{"policy-update", "PATCH", "/policies/{policyId}", accessPlatform, (*Market).updatePolicy},
		{"audit-list", "GET", "/audit-events", accessPlatform, (*Market).listAudit},
	}
}

// routes puts every operation on its route. The health call stands at the root too, and what is unknown is NOT_FOUND.
func (m *Market) routes() *http.ServeMux {
	mux := http.NewServeMux()
	for _, op := range operations() {
		mux.Handle(op.method+" /api/v1"+op.path, m.serve(op))
		if op.name == "health" {
			mux.Handle("GET /health", m.serve(op))
		}
	}
	mux.Handle("/", m.serve(operation{name: "unknown", access: accessNone, perform: func(_ *Market, c *call) (answer, error) {
		return answer{}, refuse(codeNotFound, "no route %s %s", c.r.Method, clip(c.r.URL.Path, 80))
	}}))
	return mux
}

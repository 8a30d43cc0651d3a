// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"math/big"
	"net/http"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
)

// codeCase reaches one error code.
type codeCase struct {
	name   string
	code   string
	status int // 0: the code's usual one
	reach  func(*world) (int, map[string]any)
}

func codeCases() []codeCase {
	return []codeCase{
		{"no key", codeAuthRequired, 0, func(w *world) (int, map[string]any) { return w.send("GET", "/machines", nil, nil) }},
		{"wrong key", codeAuthInvalid, 0, func(w *world) (int, map[string]any) {
			return w.send("GET", "/machines", nil, map[string]string{keyHeader: "x"})
		}},
		{"wrong key beside a token", codeAuthInvalid, 0, func(w *world) (int, map[string]any) {
			return w.send("POST", "/market/search", nil, map[string]string{keyHeader: "x", tokenHeader: w.token})
		}},
		{"no token", codeAgentAuthRequired, 0, func(w *world) (int, map[string]any) { return w.platform("POST", "/market/search", nil) }},
		{"foreign token", codeAgentAuthInvalid, 0, func(w *world) (int, map[string]any) { w.token = "x"; return w.pairing("/market/search", nil) }},
		{"expired token", codeAgentAuthExpired, 0, func(w *world) (int, map[string]any) {
			w.clock.pass(DefaultSessionTTL)
			return w.pairing("/market/search", nil)
		}},
		{"bad body", codeValidation, 0, func(w *world) (int, map[string]any) { return w.pairing("/market/search", `{"maxResults":"x"}`) }},
		{"no JSON", codeValidation, 0, func(w *world) (int, map[string]any) { return w.pairing("/market/search", `{`) }},
		{"negative budget", codeValidation, 0, func(w *world) (int, map[string]any) {
			return w.pairing("/market/search", `{"budget":{"max":-1}}`)
		}},
		{"too precise a budget", codeValidation, 0, func(w *world) (int, map[string]any) {
			return w.pairing("/market/search", `{"budget":{"max":0.0000001}}`)
		}},
		{"large body", codeValidation, http.StatusRequestEntityTooLarge, func(w *world) (int, map[string]any) {
			return w.pairing("/market/search", `{"operation":"`+string(make([]byte, mostBody))+`"}`)
		}},
		{"unknown route", codeNotFound, 0, func(w *world) (int, map[string]any) { return w.platform("PUT", "/machines", nil) }},
		{"unknown machine", codeNotFound, 0, func(w *world) (int, map[string]any) { return w.platform("GET", "/machines/x", nil) }},
		{"blocked machine", codeMachineNotActive, 0, func(w *world) (int, map[string]any) {
			w.must(w.platform("PATCH", "/machines/"+w.machineID, map[string]any{"status": "blocked"}))
			return w.pairing("/market/search", nil)
		}},
		{"burnt identity", codeMachineNotActivated, 0, func(w *world) (int, map[string]any) {
			w.m.SetIdentity(Identity{Number: big.NewInt(DefaultIdentity)})
			return w.pairing("/market/search", nil)
		}},
		{"sold identity", codeMachineNotActivated, 0, func(w *world) (int, map[string]any) {
			w.m.SetIdentity(Identity{Number: big.NewInt(DefaultIdentity), Controllers: []common.Address{{1}}})
			return w.platform("GET", "/machines/"+w.machineID, nil)
		}},
		{"second record", codeIdentityExists, 0, func(w *world) (int, map[string]any) {
			ref := "did:peaq:184467"
			return w.platform("POST", "/machines", machineBodyFor(ref, w.identityProof(DefaultOwnerKey, ref)))
		}},
		{"other identity", codeIdentityImmutable, 0, func(w *world) (int, map[string]any) {
			return w.platform("PATCH", "/machines/"+w.machineID, map[string]any{"identityRef": "did:peaq:1"})
		}},
		{"no identity proof", codeIdentityRequired, 0, func(w *world) (int, map[string]any) {
			return w.platform("POST", "/machines", machineBodyFor("did:peaq:184467", nil))
		}},
		{"stranger's identity proof", codeIdentityInvalid, 0, func(w *world) (int, map[string]any) {
			ref := "did:peaq:184467"
			return w.platform("POST", "/machines", machineBodyFor(ref, w.identityProof(DefaultAgentKey, ref)))
		}},
		{"late identity proof", codeIdentityExpired, 0, func(w *world) (int, map[string]any) {
			ref := "did:peaq:184467"
			proof := w.identityProof(DefaultOwnerKey, ref)
			w.clock.pass(DefaultChallengeTTL)
			return w.platform("POST", "/machines", machineBodyFor(ref, proof))
		}},
		{"identity look-up down", codeIdentityUnavailable, 0, func(w *world) (int, map[string]any) {
			w.m.SetConditions(Conditions{IdentityDown: true})
			return w.platform("POST", "/machine-identity/challenges", map[string]any{"identityRef": "did:peaq:184467"})
		}},
		{"no agent proof", codePairingProofRequired, 0, func(w *world) (int, map[string]any) {
			return w.platform("POST", "/machines/"+w.machineID+"/agent-pairings", w.agentBody())
		}},
		{"stranger's agent proof", codePairingProofInvalid, 0, func(w *world) (int, map[string]any) {
			return w.platform("POST", w.pairingPath()+"/sessions", map[string]any{"agentProof": w.agentProof(DefaultOwnerKey)})
		}},
		{"agent proof for other bindings", codePairingProofInvalid, 0, func(w *world) (int, map[string]any) {
			w.agentProvider = "other"
			return w.platform("POST", w.pairingPath()+"/sessions", map[string]any{"agentProof": w.agentProof(DefaultAgentKey)})
		}},
		{"used challenge", codePairingProofInvalid, 0, func(w *world) (int, map[string]any) {
			proof := w.agentProof(DefaultAgentKey)
			w.must(w.platform("POST", w.pairingPath()+"/sessions", map[string]any{"agentProof": proof}))
			return w.platform("POST", w.pairingPath()+"/sessions", map[string]any{"agentProof": proof})
		}},
		{"late agent proof", codePairingProofExpired, 0, func(w *world) (int, map[string]any) {
			proof := w.agentProof(DefaultAgentKey)
			w.clock.pass(DefaultChallengeTTL)
			return w.platform("POST", w.pairingPath()+"/sessions", map[string]any{"agentProof": proof})
		}},
		{"pairing down", codePairingUnavailable, 0, func(w *world) (int, map[string]any) {
			w.m.SetConditions(Conditions{PairingDown: true})
			return w.platform("POST", "/machines/"+w.machineID+"/agent-pairings/challenges", w.agentBody())
		}},
		{"other pairing in the body", codePairingRequired, 0, func(w *world) (int, map[string]any) {
			return w.pairing("/market/search", map[string]any{"agentPairingId": "pair_x"})
		}},
		{"no pairing in an order", codePairingRequired, 0, func(w *world) (int, map[string]any) {
			return w.pairing("/market/orders", map[string]any{"machineId": w.machineID, "serviceId": "svc_storage-object-put"})
		}},
		{"paused pairing", codePairingInactive, 0, func(w *world) (int, map[string]any) {
			w.must(w.platform("PATCH", w.pairingPath(), map[string]any{"status": "paused"}))
			return w.pairing("/market/search", nil)
		}},
		{"revoked agent", codePairingInactive, 0, func(w *world) (int, map[string]any) {
			w.enroll()
			w.must(w.platform("DELETE", "/machines/"+w.machineID+"/agents/"+w.agentID, nil))
			return w.beat(nil)
		}},
		{"heartbeat without token", codeAgentAuthRequired, 0, func(w *world) (int, map[string]any) {
			w.enroll()
			return w.beat(func(b map[string]any) { delete(b, "agentToken") })
		}},
		{"provider that the agent may not report", codePolicyDenied, 0, func(w *world) (int, map[string]any) {
			w.enroll("other")
			return w.beat(nil)
		}},
		{"lease out of bounds", codeValidation, 0, func(w *world) (int, map[string]any) {
			w.enroll()
			return w.beat(func(b map[string]any) { b["leaseTtlSeconds"] = 9 })
		}},
		{"late quote", codeQuoteExpired, 0, func(w *world) (int, map[string]any) {
			w.search("put")
			w.clock.pass(DefaultQuoteTTL)
			return w.pairing("/market/orders", w.orderBody())
		}},
		{"closed order", codeOrderClosed, 0, func(w *world) (int, map[string]any) {
			w.order("latest-price")
			w.must(w.execute())
			w.must(w.pairing(w.orderPath("/confirm"), nil))
			return w.pairing(w.orderPath("/confirm"), nil)
		}},
		{"early confirm", codeNotDelivered, 0, func(w *world) (int, map[string]any) {
			w.order("latest-price")
			return w.pairing(w.orderPath("/confirm"), nil)
		}},
		{"direct read of a paid service", codeUnsupported, 0, func(w *world) (int, map[string]any) {
			return w.pairing("/market/services/svc_storage-object-put/execute",
				map[string]any{"machineId": w.machineID, "agentPairingId": w.pairingID, "operation": "put"})
		}},
		{"provider down", codeUnreachable, 0, func(w *world) (int, map[string]any) {
			w.order("latest-price")
			w.knob("svc_oracle-price-feed-latest-price", func(s *Service) { s.Unreachable = true })
			return w.execute()
		}},
		{"execute without payment", codePaymentRequired, 0, func(w *world) (int, map[string]any) { w.order("put"); return w.execute() }},
		{"execute with another header", codePaymentRequired, 0, func(w *world) (int, map[string]any) {
			w.holdX402()
			w.payHeader = "eA=="
			return w.execute()
		}},
		{"no RPC", codeRPCRequired, 0, func(w *world) (int, map[string]any) {
			w.m.SetConditions(Conditions{NoRPC: true})
			w.order("put")
			return w.pairing(w.orderPath("/payment-proof"), w.proof(w.intend(), "rpc", madeUpHash))
		}},
		{"RPC down", codeRPCError, 0, func(w *world) (int, map[string]any) {
			w.m.SetConditions(Conditions{RPCDown: true})
			w.order("put")
			return w.pairing(w.orderPath("/payment-proof"), w.proof(w.intend(), "rpc", madeUpHash))
		}},
		{"not mined", codeNotMined, 0, func(w *world) (int, map[string]any) {
			w.order("put")
			return w.pairing(w.orderPath("/payment-proof"), w.proof(w.intend(), "rpc", madeUpHash))
		}},
		{"failed transaction", codeTxFailed, 0, func(w *world) (int, map[string]any) {
			w.order("put")
			payment := w.intend()
			hash := w.transfer(text(payment, "rail.payeeAddress"), 2_000_000_000_000_000, 100_000)
			return w.pairing(w.orderPath("/payment-proof"), w.proof(payment, "rpc", hash))
		}},
		{"transfer to somebody else", codeTransferNotFound, 0, func(w *world) (int, map[string]any) {
			w.order("put")
			payment := w.intend()
			return w.pairing(w.orderPath("/payment-proof"), w.proof(payment, "rpc", w.transfer("0x0000000000000000000000000000000000000009", 20_000, 100_000)))
		}},
		{"denied service", codePolicyDenied, 0, func(w *world) (int, map[string]any) {
			return w.orderUnder(map[string]any{"deniedServiceIds": []string{"svc_storage-object-put"}})
		}},
		{"service that is not allowed", codePolicyDenied, 0, func(w *world) (int, map[string]any) {
			return w.orderUnder(map[string]any{"allowedSkillKeys": []string{"other"}})
		}},
		{"other currency", codePolicyDenied, 0, func(w *world) (int, map[string]any) {
			return w.orderUnder(map[string]any{"perTransactionLimit": 9, "currency": "EUR"})
		}},
		{"transaction limit", codeSpendLimit, 0, func(w *world) (int, map[string]any) {
			return w.orderUnder(map[string]any{"perTransactionLimit": 0.019999, "currency": "USD"})
		}},
		{"daily limit", codeDailyLimit, 0, func(w *world) (int, map[string]any) {
			return w.orderUnder(map[string]any{"dailySpendLimit": 0.019999})
		}},
	}
}

func (w *world) knob(id string, edit func(*Service)) {
	w.Helper()
	if err := w.m.UpdateService(id, edit); err != nil {
		w.Fatal(err)
	}
}

// orderUnder orders storage, searched for before the policy came.
func (w *world) orderUnder(policy map[string]any) (int, map[string]any) {
	w.Helper()
	w.search("put")
	w.must(w.platform("PATCH", w.pairingPath(), map[string]any{"delegationPolicy": policy}))
	w.rotate()
	return w.pairing("/market/orders", w.orderBody())
}

func TestEveryCodeIsReachable(t *testing.T) {
	reached := map[string]bool{codeInternal: true} // it would be a fault of the market's own
	for _, c := range codeCases() {
		reached[c.code] = true
		t.Run(c.name, func(t *testing.T) {
			w := ready(t)
			status, reply := c.reach(w)
			w.wants(c.code, status, reply)
			want := statusOf[c.code]
			if c.status != 0 {
				want = c.status
			}
			if status != want {
				t.Errorf("got status %d, want %d", status, want)
			}
		})
	}
	for code := range statusOf {
		if !reached[code] {
			t.Errorf("no case reaches %s", code)
		}
	}
}

func TestDailyLimitStartsAnewAtMidnightUTC(t *testing.T) {
	w := newWorld(t).activate().pair(map[string]any{"dailySpendLimit": 0.03, "currency": "USD"})
	w.order("put")
	w.search("put")
	status, reply := w.pairing("/market/orders", w.orderBody())
	w.wants(codeDailyLimit, status, reply)
	w.clock.pass(16*time.Hour - time.Second) // 23:59:59
	w.rotate()
	w.search("put")
	status, reply = w.pairing("/market/orders", w.orderBody())
	w.wants(codeDailyLimit, status, reply)
	w.clock.pass(time.Second)
	w.must(w.pairing("/market/orders", w.orderBody()))
}

func TestDailyLimitLeavesRefundsOut(t *testing.T) {
	w := newWorld(t).activate().pair(map[string]any{"dailySpendLimit": 0.03})
	w.order("put")
	w.holdRecorded(madeUpHash)
	w.must(w.pairing(w.orderPath("/payment/refund"), nil))
	w.order("put")
}

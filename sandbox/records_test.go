// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
)

func TestIdentityReferences(t *testing.T) {
	owner, _ := AddressOf(DefaultOwnerKey)
	most := "115792089237316195423570985008687907853269984665640564039457584007913129639935"
	largest, _ := new(big.Int).SetString(most, 10)
	for ref, want := range map[string]string{
		"did:peaq:184467":                                "did:peaq:184467",
		"peaqos:machine:184467":                          "did:peaq:184467",
		"did:peaq:" + owner.Hex():                        "did:peaq:184467",
		"did:peaq:" + strings.ToLower(owner.Hex()):       "did:peaq:184467",
		"did:peaq:" + most:                               "did:peaq:" + most,
		"did:peaq:" + strings.Replace(most, "5", "6", 4): codeValidation,
		"did:peaq:01":                                    codeValidation,
		"did:peaq:-1":                                    codeValidation,
		"did:peaq:0x12":                                  codeValidation,
		"did:web:1":                                      codeValidation,
		"":                                               codeValidation,
		"did:peaq:5":                                     codeNotFound,
		"did:peaq:" + common.Address{9}.Hex():            codeNotFound,
	} {
		w := newWorld(t)
		w.m.SetIdentity(Identity{Number: largest, Controllers: []common.Address{owner}})
		_, reply := w.platform("POST", "/machine-identity/challenges", map[string]any{"identityRef": ref})
		if got := text(reply, "item.identityRef") + codeOf(reply); got != want {
			t.Errorf("%q: got %s, want %s", ref, got, want)
		}
	}
}

func TestMachineLife(t *testing.T) {
	w := newWorld(t).activate()
	first := w.machineID
	patch := func(body map[string]any) (int, map[string]any) { return w.platform("PATCH", "/machines/"+first, body) }
	for name, test := range map[string]struct {
		body map[string]any
		want string
	}{
		"same identity":    {map[string]any{"identityRef": "peaqos:machine:184467"}, ""},
		"nothing":          {map[string]any{}, ""},
		"null":             {map[string]any{"displayName": nil}, ""},
		"blank name":       {map[string]any{"displayName": " "}, codeValidation},
		"unknown status":   {map[string]any{"status": "x"}, codeValidation},
		"archived status":  {map[string]any{"status": "archived"}, codeValidation},
		"proof of another": {map[string]any{"identityProof": map[string]any{"challengeId": "x", "signature": "0x"}}, codeIdentityInvalid},
	} {
		if status, reply := patch(test.body); codeOf(reply) != test.want {
			t.Errorf("%s: got %d %v, want %q", name, status, reply, test.want)
		}
	}
	w.must(w.platform("DELETE", "/machines/"+first, nil))
	status, reply := patch(map[string]any{"status": "active"})
	w.wants(codeMachineNotActive, status, reply)
	if got := text(w.must(w.platform("GET", "/machines/"+first, nil)), "status"); got != "archived" {
		t.Errorf("status is %s", got)
	}
	if w.activate().machineID == first {
		t.Error("the identity of an archived machine did not get a new record")
	}
	_, listed := w.platform("GET", "/machines", nil)
	if items, _ := listed["items"].([]any); len(items) != 1 {
		t.Errorf("%d machines are listed", len(items))
	}
}

func TestUsedIdentityChallengeIsSpentBySuccessAlone(t *testing.T) {
	w := newWorld(t)
	ref := "did:peaq:184467"
	proof := w.identityProof(DefaultOwnerKey, ref)
	bad := machineBodyFor(ref, proof)
	bad["displayName"] = ""
	status, reply := w.platform("POST", "/machines", bad)
	w.wants(codeValidation, status, reply)
	w.must(w.platform("POST", "/machines", machineBodyFor(ref, proof)))
	status, reply = w.platform("POST", "/machines", machineBodyFor(ref, proof))
	w.wants(codeIdentityInvalid, status, reply)
}

func TestHeartbeatAndLease(t *testing.T) {
	w := ready(t)
	w.enroll("qvac")
	get := func() map[string]any {
		return w.must(w.platform("GET", "/machines/"+w.machineID+"/runtime-endpoints/QVAC", nil))
	}
	w.must(w.platform("PUT", "/machines/"+w.machineID+"/runtime-endpoints/qvac", map[string]any{"endpointBaseUrl": "http://10.0.0.1:1"}))
	if e := get(); text(e, "source") != "manual" || text(e, "networkScope") != "lan" || text(e, "leaseExpiresAt") != "" {
		t.Errorf("got %v", e)
	}
	reply := w.must(w.beat(func(b map[string]any) { delete(b, "leaseTtlSeconds") }))
	if got := text(reply, "leaseTtlSeconds"); got != "60" {
		t.Errorf("default lease is %s", got)
	}
	e := get()
	if text(e, "source") != "agent" || text(e, "endpointBaseUrl") != "http://127.0.0.1:8000" || text(e, "status") != "active" ||
		text(e, "probePath") != "/v1/models" || text(e, "agentId") != w.agentID {
		t.Errorf("got %v", e)
	}
	w.clock.pass(time.Minute)
	if got := text(get(), "status"); got != "unreachable" {
		t.Errorf("status is %s after the lease", got)
	}
	w.must(w.beat(nil))
	if got := text(get(), "status"); got != "active" {
		t.Errorf("status is %s after a beat", got)
	}
	for name, edit := range map[string]func(map[string]any){
		"no endpoints": func(b map[string]any) { b["endpoints"] = []any{} },
		"long lease":   func(b map[string]any) { b["leaseTtlSeconds"] = 3601 },
		"blank agent":  func(b map[string]any) { b["agentId"] = "" },
		"bad URL": func(b map[string]any) {
			b["endpoints"] = []any{map[string]any{"providerKey": "qvac", "endpointBaseUrl": "ftp://x"}}
		},
		"bad scope": func(b map[string]any) {
			b["endpoints"] = []any{map[string]any{"providerKey": "qvac", "endpointBaseUrl": "http://x", "networkScope": "moon"}}
		},
	} {
		if status, reply := w.beat(edit); codeOf(reply) != codeValidation {
			t.Errorf("%s: got %d %v", name, status, reply)
		}
	}
	status, reply2 := w.beat(func(b map[string]any) { b["agentToken"] = "x" })
	w.wants(codeAgentAuthInvalid, status, reply2)
	body := map[string]any{"machineId": w.machineID, "agentId": w.agentID,
		"endpoints": []any{map[string]any{"provider_key": "qvac", "endpoint_base_url": "http://localhost:1", "auth_type": nil, "model_alias": "m"}}}
	w.must(w.send("POST", "/machine-agents/heartbeat", body, map[string]string{"Authorization": "Bearer " + w.agentToken}))
	if e := get(); text(e, "modelAlias") != "m" || text(e, "networkScope") != "loopback" {
		t.Errorf("got %v, want what the snake_case entry said", e)
	}
}

func TestPages(t *testing.T) {
	w := ready(t)
	for range 5 {
		w.order("latest-price")
	}
	for path, most := range map[string]int{"/skills?": 11, "/market/services?": 11, "/market/orders?machineId=" + w.machineID + "&": 5} {
		seen, cursor := map[string]bool{}, ""
		for range 20 {
			status, reply := w.platform("GET", path+"limit=2&cursor="+url.QueryEscape(cursor), nil)
			if status != 200 {
				t.Fatalf("%s: got %d %v", path, status, reply)
			}
			items, _ := reply["items"].([]any)
			for _, it := range items {
				seen[text(it.(map[string]any), "id")+text(it.(map[string]any), "key")] = true
			}
			if cursor = text(reply, "nextCursor"); cursor == "" {
				break
			}
		}
		if len(seen) != most {
			t.Errorf("%s: %d records over all pages, want %d", path, len(seen), most)
		}
		for _, bad := range []string{"limit=0", "limit=501", "limit=x", "limit=", "cursor=%25", "cursor=" + sealCursor("nothing")} {
			status, reply := w.platform("GET", path+bad, nil)
			if codeOf(reply) != codeValidation {
				t.Errorf("%s%s: got %d %v", path, bad, status, reply)
			}
		}
	}
	_, newest := w.platform("GET", "/market/orders?machineId="+w.machineID, nil)
	if items := newest["items"].([]any); text(items[0].(map[string]any), "id") != w.orderID {
		t.Error("orders are not listed newest first")
	}
}

func TestSearch(t *testing.T) {
	w := newWorld(t).activate().pair(map[string]any{"deniedSkillKeys": []string{"sandbox.open-door"}})
	for name, test := range map[string]struct {
		body map[string]any
		want string
	}{
		"type":              {map[string]any{"serviceType": "data.location"}, "fix"},
		"alias":             {map[string]any{"serviceType": "rtk"}, "fix"},
		"operation":         {map[string]any{"operation": "charge"}, "charge"},
		"denied":            {map[string]any{"operation": "open-door"}, ""},
		"capability":        {map[string]any{"requiredCapabilities": []string{"sandbox", "put"}}, "put"},
		"handoff":           {map[string]any{"operation": "verify", "allowExternalHandoff": true}, "verify"},
		"handoff not asked": {map[string]any{"operation": "verify"}, ""},
		"native demanded":   {map[string]any{"operation": "verify", "allowExternalHandoff": true, "requireNativeExecution": true}, ""},
		"unknown type":      {map[string]any{"serviceType": "x"}, ""},
		"budget":            {map[string]any{"serviceType": "storage", "budget": map[string]any{"max": 0.019}}, ""},
		"budget in full":    {map[string]any{"serviceType": "storage", "budget": map[string]any{"max": 0.02}}, "put"},
		"region":            {map[string]any{"serviceType": "storage", "region": "eu"}, "put"},
		"paid cheaply":      {map[string]any{"budget": map[string]any{"max": 0.01}}, "latest-price fix"},
		"most one":          {map[string]any{"maxResults": 1}, "latest-price"},
	} {
		found := w.must(w.pairing("/market/search", test.body))
		var got []string
		for _, q := range found["quotes"].([]any) {
			got = append(got, text(q.(map[string]any), "operation"))
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s: got %v, want %q", name, got, test.want)
		}
		if (text(found, "status") == "no_match") != (len(got) == 0) || text(found, "normalizedTask.serviceType") == "" {
			t.Errorf("%s: got status %s", name, text(found, "status"))
		}
	}
	status, reply := w.pairing("/market/search", map[string]any{"maxResults": 0})
	w.wants(codeValidation, status, reply)
	w.knob("svc_data-location-fix", func(s *Service) { s.Score = "0.95" })
	if q := w.must(w.pairing("/market/search", nil))["quotes"].([]any)[0]; text(q.(map[string]any), "operation") != "fix" {
		t.Error("the best score is not first")
	}
}

func TestAccountPolicies(t *testing.T) {
	for name, test := range map[string]struct {
		policy    map[string]any
		operation string
		want      string // of the order; "none" is not even quoted
	}{
		"none":                   {map[string]any{}, "put", ""},
		"cap":                    {map[string]any{"budgetCap": map[string]any{"currency": "USD", "amount": 0.02}}, "put", ""},
		"below the price":        {map[string]any{"budgetCap": map[string]any{"currency": "USD", "amount": 0.019999}}, "put", codeSpendLimit},
		"other currency":         {map[string]any{"budgetCap": map[string]any{"currency": "EUR", "amount": 9}}, "put", codePolicyDenied},
		"denied skill":           {map[string]any{"deniedSkillKeys": []string{"sandbox.put"}}, "put", "none"},
		"other skill allowed":    {map[string]any{"allowedSkillKeys": []string{"x"}}, "put", "none"},
		"native only":            {map[string]any{"nativeOnly": true}, "verify", "none"},
		"no handoff":             {map[string]any{"handoffAllowed": false}, "verify", "none"},
		"region, service global": {map[string]any{"regionRules": []string{"eu"}}, "put", ""},
		"capability":             {map[string]any{"requiredCapabilities": []string{"x"}}, "put", "none"},
	} {
		t.Run(name, func(t *testing.T) {
			w := ready(t)
			test.policy["name"] = "p"
			id := text(w.must(w.platform("POST", "/policies", test.policy)), "id")
			w.search(test.operation) // before the machine is under the policy
			w.must(w.platform("PATCH", "/machines/"+w.machineID, map[string]any{"policyIds": []string{id, "pol_unknown"}}))
			_, found := w.pairing("/market/search", map[string]any{"operation": test.operation, "allowExternalHandoff": true})
			quoted := text(found, "item.status") == "completed"
			if quoted != (test.want != "none") {
				t.Errorf("quoted: %t", quoted)
			}
			want := strings.Replace(test.want, "none", codePolicyDenied, 1)
			if status, reply := w.pairing("/market/orders", w.orderBody()); codeOf(reply) != want {
				t.Errorf("got %d %v, want %q", status, reply, want)
			}
		})
	}
	w := newWorld(t)
	for _, bad := range []map[string]any{{}, {"name": " "}, {"name": "p", "budgetCap": map[string]any{"amount": 1}}} {
		status, reply := w.platform("POST", "/policies", bad)
		w.wants(codeValidation, status, reply)
	}
}

func TestReadiness(t *testing.T) {
	w := newWorld(t)
	if status, reply := w.send("GET", "/readiness", nil, nil); status != 200 || text(reply, "status") != "ready" {
		t.Errorf("got %d %v", status, reply)
	}
	w.m.SetConditions(Conditions{NotReady: true})
	status, reply := w.send("GET", "/readiness", nil, nil)
	if status != 503 || text(reply, "status") != "not_ready" || codeOf(reply) == "" || len(reply["checks"].([]any)) == 0 {
		t.Errorf("got %d %v", status, reply)
	}
}

func TestAuditIsBounded(t *testing.T) {
	w := newWorld(t)
	w.m.mu.Lock()
	for i := range mostAudit + 10 {
		w.m.record("a", "t", "r", fmt.Sprint(i), "", nil)
	}
	n, newest := len(w.m.audit), w.m.audit[len(w.m.audit)-1].ResourceID
	w.m.mu.Unlock()
	if n > mostAudit || newest != fmt.Sprint(mostAudit+9) {
		t.Errorf("%d events, the newest is %s", n, newest)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	good := newWorld(t)
	for name, o := range map[string]Options{
		"no chain":     {},
		"bad owner":    {Chain: good.chain, OwnerKey: "0x12"},
		"bad agent":    {Chain: good.chain, AgentKey: "zz"},
		"bad service":  {Chain: good.chain, Services: []Service{{}}},
		"two services": {Chain: good.chain, Services: append(DefaultServices(), DefaultServices()...)},
		"free at cost": {Chain: good.chain, Services: []Service{offer("a", "b", 1, "not-required")}},
		"unknown rail": {Chain: good.chain, Services: []Service{offer("a", "b", 1, "x")}},
		"no schema":    {Chain: good.chain, Services: []Service{offer("a", "b", 1, "x402").with("x", "{}", "", "")}},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestResultsMatchTheirSchemas(t *testing.T) {
	w := newWorld(t)
	for _, s := range DefaultServices() {
		if s.handsOff() {
			continue
		}
		if err := s.check(); err != nil {
			t.Fatal(err)
		}
		result, failure := s.provide(s.ExampleInput, w.clock.now)
		if failure != "" {
			t.Errorf("%s: %s", s.Operation, failure)
		}
		if err := validate(s.Schema, result); err != nil {
			t.Errorf("%s: %v", s.Operation, err)
		}
		if _, failure := s.provide(nil, w.clock.now); failure == "" {
			t.Errorf("%s: accepted no input", s.Operation)
		}
	}
}

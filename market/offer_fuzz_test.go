// SPDX-License-Identifier: Apache-2.0

package market

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/orchestration"
	"github.com/agentd-project/agentd/payments"
	"github.com/agentd-project/agentd/policy"
)

var (
	fuzzToken = Token{Asset: money.Asset{Chain: "eip155:84532", Address: common.HexToAddress("0x036CbD53842c5426634e7929541eC2318f3dCF7e"),
		Symbol: "USDC", Decimals: 6, Currency: "USD"}, DomainName: "USDC", DomainVersion: "2"}
	fuzzPayee  = common.HexToAddress("0x3333333333333333333333333333333333333333")
	fuzzEscrow = common.HexToAddress("0x4444444444444444444444444444444444444444")
)

type noStore struct{ policy.Store }

type wallClock struct{}

func (wallClock) Now() (time.Time, bool) { return time.Now(), true }

// reader is a market that can read offers and nothing else.
func reader(f *testing.F) *Market {
	f.Helper()
	guard, err := policy.NewGuard(policy.GuardConfig{Rules: &policy.Rules{Currency: "USD", PerPurchase: 5_000_000, Lifetime: 5_000_000}, Store: noStore{}, Clock: wallClock{}})
	if err != nil {
		f.Fatal(err)
	}
	return &Market{rails: anyRails{}, guard: guard, tokens: []Token{fuzzToken}, chains: map[string]money.ChainID{"eip155:84532": "eip155:84532"}, rows: index(),
		escrows: []Escrow{{Chain: "eip155:84532", Address: fuzzEscrow}}}
}

// anyRails knows the rails by name, and pays on none.
type anyRails struct{}

func (anyRails) Rail(name string) (payments.Rail, bool) {
	switch name {
	case policy.RailNotRequired, "wallet", "wdk-usdt-transfer", policy.RailX402, policy.RailEscrow:
		return nil, true
	}
	return nil, false
}

func (anyRails) Human(name string) bool { return name == "external" }

func (anyRails) Forgotten(context.Context, policy.PurchaseID, policy.Terms) error { return nil }

// into decodes JSON as the client does, but for what it refuses.
func into[T any](text []byte) (*T, bool) {
	v := new(T)
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	return v, decoder.Decode(v) == nil
}

// FuzzQuote reads any quote: what is allowed to go on is on a known rail, in a
// listed token at a price that its text says, within the need's maximum.
func FuzzQuote(f *testing.F) {
	m := reader(f)
	good := `{"id":"q","serviceId":"s","skillKey":"k","providerKey":"p","executionMode":"native","operation":"put","score":0.9,"expiresAt":"2999-01-01T00:00:00Z",
		"pricing":{"mode":"fixed","amount":0.02,"currency":"USD"},"payment":{"defaultRail":"wallet","supportedRails":["wallet"],"required":true,
		"chain":"eip155:84532","token":"USDC","tokenAddress":"0x036CbD53842c5426634e7929541eC2318f3dCF7e","payeeAddress":"0x3333333333333333333333333333333333333333"}}`
	f.Add([]byte(good), "wallet")
	f.Add([]byte(good), "x402")
	f.Add([]byte(good), "not-required")
	f.Add(bytes.ReplaceAll([]byte(good), []byte("0.02"), []byte("1e-7")), "wallet")
	f.Add(bytes.ReplaceAll([]byte(good), []byte("0.02"), []byte("-0")), "pigeon")
	f.Fuzz(func(t *testing.T, text []byte, rail string) {
		q, ok := into[orchestration.Quote](text)
		if !ok {
			return
		}
		p := &purchase{doc: document{Need: Need{Search: Search{Operation: "put"}, MaxPrice: 1_000_000, HasMaxPrice: true}}}
		c := m.read(p, orchestration.NormalizedTask{}, *q, rail)
		if !c.reason.Valid() {
			t.Fatalf("reason %q", c.reason)
		}
		if e := c.explained(); len(e.Detail) > maxName+8 || len(e.Service) > maxName+8 {
			t.Fatalf("explained in %d bytes", len(e.Detail))
		}
		if c.reason != policy.Allowed {
			return
		}
		x := c.terms
		_, known := m.rails.Rail(x.Rail)
		switch {
		case !known && !m.rails.Human(x.Rail), x.Operation != "put", !x.Native, x.Price < 0, x.Priced && x.Price > 1_000_000:
			t.Fatalf("allowed %+v of %s", x, text)
		case x.hasToken() && (x.Token != fuzzToken.Address || x.Decimals != 6 || x.Chain != fuzzToken.Chain):
			t.Fatalf("allowed token %+v of %s", x, text)
		case !c.expires.After(time.Now()):
			t.Fatalf("allowed an expiry of %s", c.expires)
		case x.hasToken() && x.Priced && !costs(x.Amount, x.Decimals, x.Price):
			t.Fatalf("%s base units are not worth %s", x.Amount, x.Price)
		case overlong(x.Service, x.Skill, x.Provider, x.PriceText):
			t.Fatalf("allowed a name of %d bytes", len(x.Service))
		}
	})
}

// FuzzIntent answers a quote of 0.02 USDC with any payment: what is accepted pays
// exactly that, of that token, to that payee, for that order.
func FuzzIntent(f *testing.F) {
	m := reader(f)
	good := `{"id":"pay","orderId":"o","status":"intent_created","amount":0.02,"currency":"USD","rail":{"type":"RAIL","chain":"eip155:84532","token":"USDC",
		"tokenAddress":"0x036CbD53842c5426634e7929541eC2318f3dCF7e","payeeAddress":"0x3333333333333333333333333333333333333333","escrowAddress":"0x4444444444444444444444444444444444444444",
		"metadata":METADATA}}`
	challenge := `{"x402Version":2,"accepts":[{"scheme":"exact","network":"eip155:84532","amount":"990000","asset":"0x036CbD53842c5426634e7929541eC2318f3dCF7e",
		"payTo":"0x3333333333333333333333333333333333333333","maxTimeoutSeconds":300,"extra":{"name":"USDC","version":"2"}},
		{"scheme":"exact","network":"eip155:84532","amount":"20000","asset":"0x036CbD53842c5426634e7929541eC2318f3dCF7e",
		"payTo":"0x3333333333333333333333333333333333333333","maxTimeoutSeconds":300,"extra":{"name":"USDC","version":"2"}}]}`
	rails := []string{"wallet", policy.RailX402, policy.RailEscrow, "wdk-usdt-transfer"}
	for i, rail := range rails {
		for _, metadata := range []string{`{"rawAmount":"20000","tokenDecimals":6}`, `{"rawAmount":20000.5}`, `{"rawAmount":"0x4e20"}`, challenge,
			`{"paymentRequest":{"paymentRequired":"` + base64.StdEncoding.EncodeToString([]byte(challenge)) + `"}}`, `null`} {
			text := bytes.ReplaceAll(bytes.ReplaceAll([]byte(good), []byte("RAIL"), []byte(rail)), []byte("METADATA"), []byte(metadata))
			f.Add(uint8(i), text) //nolint:gosec // four
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, text []byte) {
		payment, ok := into[orchestration.Payment](text)
		if !ok {
			return
		}
		quoted := terms{Rail: rails[int(which)%len(rails)], Chain: fuzzToken.Chain, Token: fuzzToken.Address, Symbol: "USDC", Decimals: 6,
			Payee: fuzzPayee, Currency: "USD", Price: 20_000, Priced: true, Amount: money.FromUint64(20_000)}
		p := &purchase{Purchase: ledger.Purchase{ID: "p", OrderID: "o"}, doc: document{Terms: quoted}}
		exact, deadline, reason, _ := m.compareIntent(p, payment)
		if !reason.Valid() {
			t.Fatalf("reason %q", reason)
		}
		if reason != policy.Allowed {
			return
		}
		switch {
		case exact.Amount != money.FromUint64(20_000), exact.Price != 20_000, exact.Token != quoted.Token, exact.Chain != quoted.Chain,
			exact.Payee != quoted.Payee, exact.Decimals != 6, !policy.SameRail(exact.Rail, quoted.Rail):
			t.Fatalf("accepted %+v of %s", exact, text)
		case payment.OrderID != "o" || payment.Status != orchestration.PaymentIntentCreated:
			t.Fatalf("accepted the payment %s of order %q", payment.Status, payment.OrderID)
		case exact.Rail == policy.RailEscrow && exact.Escrow != fuzzEscrow, exact.Rail != policy.RailEscrow && exact.Escrow != common.Address{}:
			t.Fatalf("accepted escrow %s", exact.Escrow)
		case exact.x402() && deadline.IsZero():
			t.Fatal("accepted an authorisation without an end")
		}
	})
}

// FuzzAcceptance checks any result against any schema: what is accepted is JSON
// within the limit, and a schema cannot make us read anything.
func FuzzAcceptance(f *testing.F) {
	f.Add([]byte(`{"type":"object","required":["a"]}`), []byte(`{"a":1}`))
	f.Add([]byte(`{"$ref":"file:///etc/passwd"}`), []byte(`{}`))
	f.Add([]byte(`{"$ref":"#"}`), []byte(`[[[]]]`))
	f.Add([]byte(`{"pattern":"(a+)+$","type":"string"}`), []byte(`"aaaaaaaaaaaaaaaaaaaaaaaaaaaa!"`))
	f.Add([]byte(``), []byte(`null`))
	f.Add([]byte(`{"multipleOf":1e-300}`), []byte(`1e300`))
	f.Fuzz(func(t *testing.T, schema, result []byte) {
		if len(schema) > 4<<10 || len(result) > 16<<10 {
			return
		}
		a := Acceptance{Schema: schema, MaxBytes: 1 << 10}
		if a.check(result) != nil {
			return
		}
		if len(result) > 1<<10 || isNull(result) || len(schema) > 0 && !json.Valid(result) {
			t.Fatalf("schema %s accepts %d bytes: %s", schema, len(result), result)
		}
	})
}

// FuzzInput holds any input against any contract: what fits has known members of
// the types that are named.
func FuzzInput(f *testing.F) {
	f.Add("pair", "string", []byte(`{"pair":"PEAQ/USD"}`))
	f.Add("n", "integer", []byte(`{"n":1e9}`))
	f.Add("n", "number", []byte(`{"n":null,"n":1}`))
	f.Add("x", "bytes", []byte(`[1]`))
	f.Fuzz(func(t *testing.T, key, kind string, input []byte) {
		contract := &orchestration.OperationContract{}
		if fields, ok := into[orchestration.OperationContract](mustJSON(map[string]any{"inputFields": []any{map[string]string{"key": key, "type": kind}}})); ok {
			contract = fields
		}
		if len(contract.InputFields) == 0 || fits(contract, input) != nil || isNull(input) {
			return
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(input, &members); err != nil {
			t.Fatalf("%q fits and is no object", input)
		}
		for name, value := range members {
			if name != contract.InputFields[0].Key || !compatible(kind, jsonType(value)) {
				t.Fatalf("%s of %s fits %s %s", value, name, key, kind)
			}
		}
	})
}

func mustJSON(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	return text
}

// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"encoding/json"
	"fmt"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/agentd-project/agentd/money"
)

// capture is a recording of the official SDK (testdata/captures).
type capture struct {
	Operation string `json:"operation"`
	Auth      string `json:"auth"`
	Requests  []struct {
		Variant  string            `json:"variant"`
		Method   string            `json:"method"`
		Path     string            `json:"path"`
		Query    map[string]string `json:"query"`
		Body     json.RawMessage   `json:"body"`
		BodySent bool              `json:"bodySent"`
	} `json:"requests"`
	Responses struct {
		Full struct {
			Body map[string]any `json:"body"`
		} `json:"full"`
	} `json:"responses"`
	Decoder struct {
		Checked map[string][]string `json:"checked"`
	} `json:"decoder"`
}

// refusedVariants are recorded requests that a market must not accept: the proof without a hash exists in the SDK's types only.
var refusedVariants = map[string]string{"payment-proof-evm/none": codeValidation}

func TestAnswersEveryRecordedRequest(t *testing.T) {
	files, err := filepath.Glob("testdata/captures/*.json")
	if err != nil || len(files) < 50 {
		t.Fatalf("got %d captures, %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		if name == "vectors" {
			continue
		}
		var c capture
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data, &c); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for i := range c.Requests {
			variant := name + "/" + c.Requests[i].Variant
			t.Run(variant, func(t *testing.T) { replay(t, &c, i, refusedVariants[variant]) })
		}
	}
}

func replay(t *testing.T, c *capture, i int, refused string) {
	request := c.Requests[i]
	w := recordedWorld(t)
	state := c.Operation
	if state == "order-execute-native" && request.Variant == "none" {
		state = "order-execute-free"
	}
	w.recordedState(state)
	names := w.recordedNames(c)
	path := strings.TrimPrefix(names.Replace(request.Path), "/api/v1")
	query := url.Values{}
	for k, v := range request.Query {
		query.Set(k, names.Replace(v))
	}
	headers := map[string]string{}
	if strings.Contains(c.Auth, "platform") || c.Auth == "pairing" {
		headers[keyHeader] = w.key
	}
	if strings.Contains(c.Auth, "pairing") && !strings.Contains(request.Variant, "platform") {
		headers[tokenHeader] = w.token
	}
	if query.Has("cursor") {
		query.Set("limit", "1")
		query.Del("cursor")
		_, first := w.send(request.Method, path+"?"+query.Encode(), nil, headers)
		query.Set("cursor", text(first, "nextCursor"))
	}
	var body any
	if request.BodySent {
		body = names.Replace(string(request.Body))
	}
	status, reply := w.send(request.Method, path+"?"+query.Encode(), body, headers)
	if refused != "" {
		w.wants(refused, status, reply)
		return
	}
	if status >= 300 {
		t.Fatalf("got %d %v", status, reply)
	}
	for member, outcomes := range c.Decoder.Checked {
		if err := present(reply, c.Responses.Full.Body, strings.Split(member, "."), outcomes[1] == "ok"); err != nil {
			t.Errorf("%s: %v", member, err)
		}
	}
}

// present says whether a member stands in a reply with the kind that the recording has. Below what is null or empty nothing is due.
func present(got, want any, path []string, nullAllowed bool) error {
	if len(path) == 0 {
		switch {
		case got == nil && nullAllowed:
			return nil
		case got == nil:
			return fmt.Errorf("is null")
		case want != nil && kindOf(got) != kindOf(want):
			return fmt.Errorf("is a %s, want a %s", kindOf(got), kindOf(want))
		}
		return nil
	}
	if got == nil {
		return nil
	}
	name, each := strings.CutSuffix(path[0], "[]")
	object, isObject := got.(map[string]any)
	if !isObject {
		return fmt.Errorf("no object holds %s", name)
	}
	member, there := object[name]
	if !there {
		return fmt.Errorf("is absent")
	}
	wanted, _ := want.(map[string]any)
	if !each {
		return present(member, wanted[name], path[1:], nullAllowed)
	}
	items, _ := member.([]any)
	samples, _ := wanted[name].([]any)
	for _, it := range items {
		var sample any
		if len(samples) > 0 {
			sample = samples[0]
		}
		if err := present(it, sample, path[1:], nullAllowed); err != nil {
			return err
		}
	}
	return nil
}

func kindOf(v any) string {
	switch v.(type) {
	case string:
		return "string"
	case json.Number, float64:
		return "number"
	case bool:
		return "bool"
	case []any:
		return "array"
	case map[string]any:
		return "object"
	}
	return "null"
}

// recordedWorld has two of everything that is listed, under the names of the recordings.
func recordedWorld(t *testing.T) *world {
	owner, _ := AddressOf(DefaultOwnerKey)
	payee := common.HexToAddress("0x3333333333333333333333333333333333333333")
	return newWorld(t, func(o *Options) {
		o.Identities = []Identity{{Number: big.NewInt(184467), Controllers: []common.Address{owner}},
			{Number: big.NewInt(7), Controllers: []common.Address{owner}}}
		for _, s := range []struct {
			id, operation string
			price         money.Value
			rails         []string
		}{
			{"svc_0001", "get-latest-price", 1_500_000, []string{"wdk-usdt-transfer", "x402"}},
			{"svc_0002", "get-latest-price", 0, []string{"not-required"}},
			{"svc_0003", "read-blob", 0, []string{"not-required"}},
			{"svc_0004", "hand-off", 0, []string{"not-required"}},
			{"svc_0005", "lock", 1_500_000, []string{"escrow"}},
			{"svc_0006", "note", 1_500_000, []string{"offchain-record"}},
		} {
			service := Service{ID: s.id, SkillKey: "pyth.price", ProviderKey: "pyth", ProviderLabel: "Pyth", ServiceType: "oracle.price-feed",
				Operation: s.operation, Price: s.price, Rails: s.rails, Payee: payee, Capabilities: []string{"price"}, Schema: "price",
				ExampleInput: json.RawMessage(`{"symbolName":"BTC/USD"}`), Inputs: fields("symbolName"), Outputs: fields("price")}
			if s.operation == "hand-off" {
				service.HandoffURL = "https://partner.example"
			}
			if s.id != "svc_0001" {
				service.SkillKey += "." + s.id
			}
			o.Services = append(o.Services, service)
		}
	})
}

// recordedState brings a world to where a recorded request makes sense.
func (w *world) recordedState(operation string) {
	if operation == "machine-create" || operation == "machine-identity-challenge" {
		return
	}
	w.activate()
	first := w.machineID
	w.must(w.platform("POST", "/machines", machineBodyFor("did:peaq:7", w.identityProof(DefaultOwnerKey, "did:peaq:7"))))
	w.machineID = first
	w.pair(nil).pair(nil)
	w.must(w.platform("POST", "/policies", map[string]any{"name": "p", "budgetCap": map[string]any{"currency": "USD", "amount": 5}}))
	w.enroll("qvac")
	w.must(w.beat(nil))
	w.must(w.platform("PUT", "/machines/"+w.machineID+"/runtime-endpoints/other", map[string]any{"endpointBaseUrl": "http://127.0.0.1:1"}))
	w.recordedOrder(operation)
}

// recordedOrder makes the order that the recording speaks of.
func (w *world) recordedOrder(operation string) {
	buys := map[string]string{"escrow-lock": "lock", "order-execute-handoff": "hand-off", "payment-proof-solana": "note",
		"order-execute-free": "read-blob"}
	wanted := buys[operation]
	setText(&wanted, "get-latest-price")
	for range 2 {
		w.search(wanted)
		body := w.orderBody()
		body["input"] = map[string]any{"symbolName": "BTC/USD"}
		w.orderID = text(w.must(w.pairing("/market/orders", body)), "id")
	}
	hold := func() { w.holdRecorded(fmt.Sprintf("0x%064x", 7)) }
	switch operation {
	case "escrow-lock", "payment-get", "payment-proof-evm", "payment-proof-solana":
		w.intend()
	case "payment-refund":
		hold()
	case "order-confirm", "order-dispute", "payment-release":
		hold()
		w.must(w.execute())
		if operation == "payment-release" {
			w.must(w.pairing(w.orderPath("/confirm"), nil))
		}
	case "payment-proof-x402", "order-execute-native":
		payment := w.must(w.pairing(w.orderPath("/payment-intent"), map[string]any{"rail": map[string]any{"type": "x402"}}))
		w.authorize(payment, nil)
		if operation == "order-execute-native" {
			w.must(w.pairing(w.orderPath("/payment-proof"), map[string]any{"payment": map[string]any{"paymentSignature": w.payHeader}}))
		}
	}
}

// recordedNames turns what the recordings made up into what this world made.
func (w *world) recordedNames(c *capture) *strings.Replacer {
	pairs := []string{"mach_0001", w.machineID, "pair_0001", w.pairingID, "srch_0001", w.searchID, "quote_0001", w.quoteID, "ord_0001", w.orderID,
		"agent_0001", w.agentID, "provisioning-token-EXAMPLE", w.agentToken, "eyJleGFtcGxlIjoidHJ1ZSJ9", w.payHeader,
		"eip155:3338", w.chain.CAIP2(), "0x4444444444444444444444444444444444444444", w.chain.Token().Hex()}
	for id := range w.m.policies.all() {
		pairs = append(pairs, "pol_0001", id)
	}
	switch {
	case w.service != "" && c.Operation == "order-create":
		pairs = append(pairs, "svc_0001", w.service)
	case c.Operation == "service-execute":
		pairs = append(pairs, "svc_0001", "svc_0003")
	}
	signature := `0x` + strings.Repeat("ab", 65)
	switch {
	case slices.Contains([]string{"machine-create", "machine-update"}, c.Operation):
		proof := w.identityProof(DefaultOwnerKey, "did:peaq:184467")
		pairs = append(pairs, "chal_0001", text(proof, "challengeId"), signature, text(proof, "signature"))
	case c.Operation == "pairing-session":
		proof := w.agentProof(DefaultAgentKey)
		pairs = append(pairs, "chal_0002", text(proof, "challengeId"), signature, text(proof, "signature"))
	case c.Operation == "pairing-create":
		address, _ := AddressOf(DefaultAgentKey)
		ch := w.must(w.platform("POST", "/machines/"+w.machineID+"/agent-pairings/challenges",
			map[string]any{"agentAddress": address.Hex(), "agentProvider": "acme", "agentRole": "machine-market-buyer"}))
		pairs = append(pairs, "chal_0002", text(ch, "challengeId"), signature, signText(w, DefaultAgentKey, text(ch, "message")))
	case c.Operation == "escrow-lock":
		pairs = append(pairs, "0x3333333333333333333333333333333333333333", w.chain.Escrow().Hex())
	case c.Operation == "payment-proof-evm" && w.orderID != "":
		pairs = append(pairs, madeUpHash, w.transfer("0x3333333333333333333333333333333333333333", 1_500_000, 100_000))
	}
	return strings.NewReplacer(pairs...)
}

// TestVectors holds the market's EIP-191 and EIP-712 against signatures of the official libraries.
func TestVectors(t *testing.T) {
	data, err := os.ReadFile("testdata/captures/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Address string
		EIP191  struct{ Message, Signature string } `json:"eip191"`
		X402    struct {
			Digest         string
			PaymentPayload x402Payload
		} `json:"x402"`
	}
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	signer, err := recoverText(v.EIP191.Message, v.EIP191.Signature)
	if err != nil || signer.Hex() != v.Address {
		t.Errorf("EIP-191: got %s %v, want %s", signer, err, v.Address)
	}
	auth, err := v.X402.PaymentPayload.authorization()
	if err != nil {
		t.Fatal(err)
	}
	digest := newWorld(t).m.digest(auth)
	if got := common.BytesToHash(digest).Hex(); got != v.X402.Digest {
		t.Errorf("digest: got %s, want %s", got, v.X402.Digest)
	}
	if signer, err = recoverSigner(digest, auth.Signature); err != nil || signer.Hex() != v.Address {
		t.Errorf("EIP-3009: got %s %v, want %s", signer, err, v.Address)
	}
	if len(auth.Signature) != crypto.SignatureLength {
		t.Errorf("signature of %d bytes", len(auth.Signature))
	}
}

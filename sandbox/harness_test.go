// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/accounts"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/agentd-project/agentd/sandbox/chain"
)

// world is a market on an in-memory chain with a client that knows the protocol by heart.
type world struct {
	*testing.T
	m                          *Market
	chain                      chain.Chain
	clock                      *clock
	key, token                 string
	machineID, pairingID       string
	agentID, agentToken        string
	orderID, searchID, quoteID string
	service                    string
	payHeader                  string
	nonce                      byte
	agentProvider              string
}

// clock is what the market of a test reads the time from.
type clock struct{ now time.Time }

func (c *clock) read() time.Time      { return c.now }
func (c *clock) pass(d time.Duration) { c.now = c.now.Add(d) }

type testOption func(*Options)

func newWorld(t *testing.T, options ...testOption) *world {
	t.Helper()
	// The chain's clock stands still, so that only a test decides what is in time.
	c := &clock{now: time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)}
	funded, err := Accounts()
	if err != nil {
		t.Fatal(err)
	}
	evm, err := chain.NewMemory(chain.Config{Now: c.read, Accounts: funded, BlockTime: -1})
	if err != nil {
		t.Fatal(err)
	}
	opt := Options{Chain: evm, Now: c.read}
	for _, set := range options {
		set(&opt)
	}
	m, err := New(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return &world{T: t, m: m, chain: evm, clock: c, key: DefaultAPIKey, agentProvider: "custom"}
}

// send calls the API and returns the decoded body.
func (w *world) send(method, path string, body any, headers map[string]string) (int, map[string]any) {
	w.Helper()
	var text []byte
	switch b := body.(type) {
	case nil:
	case string:
		text = []byte(b)
	default:
		var err error
		if text, err = json.Marshal(body); err != nil {
			w.Fatal(err)
		}
	}
	r := httptest.NewRequest(method, "http://market.test/api/v1"+path, bytes.NewReader(text))
	if text != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for name, value := range headers {
		if value != "" {
			r.Header.Set(name, value)
		}
	}
	rec := httptest.NewRecorder()
	w.m.Handler().ServeHTTP(rec, r)
	var reply map[string]any
	decoder := json.NewDecoder(rec.Body)
	decoder.UseNumber()
	if rec.Code != http.StatusNoContent {
		if err := decoder.Decode(&reply); err != nil {
			w.Fatalf("%s %s: %d without JSON: %v", method, path, rec.Code, err)
		}
	}
	return rec.Code, reply
}

// platform and pairing call with the secrets of their class.
func (w *world) platform(method, path string, body any) (int, map[string]any) {
	w.Helper()
	return w.send(method, path, body, map[string]string{keyHeader: w.key})
}

func (w *world) pairing(path string, body any) (int, map[string]any) {
	w.Helper()
	return w.send("POST", path, body, map[string]string{keyHeader: w.key, tokenHeader: w.token})
}

// must wants a success and returns the item, or the whole reply where there is none.
func (w *world) must(status int, reply map[string]any) map[string]any {
	w.Helper()
	if status >= 300 {
		w.Fatalf("got %d %v, want a success", status, reply)
	}
	if it, isItem := reply["item"].(map[string]any); isItem {
		return it
	}
	return reply
}

func codeOf(reply map[string]any) string {
	e, _ := reply["error"].(map[string]any)
	code, _ := e["code"].(string)
	return code
}

// wants checks the code of a refusal and that its status is the code's.
func (w *world) wants(code string, status int, reply map[string]any) {
	w.Helper()
	if got := codeOf(reply); got != code {
		w.Fatalf("got %d %q (%v), want code %s", status, got, reply, code)
	}
}

func text(m map[string]any, path string) string {
	var at any = m
	for _, name := range strings.Split(path, ".") {
		object, _ := at.(map[string]any)
		at = object[name]
	}
	if at == nil {
		return ""
	}
	return fmt.Sprint(at)
}

func signText(t testing.TB, key, message string) string {
	t.Helper()
	return hexutil.Encode(signDigest(t, key, accounts.TextHash([]byte(message))))
}

func signDigest(t testing.TB, key string, digest []byte) []byte {
	t.Helper()
	private, err := crypto.ToECDSA(common.FromHex(key))
	if err != nil {
		t.Fatal(err)
	}
	signature, err := crypto.Sign(digest, private)
	if err != nil {
		t.Fatal(err)
	}
	signature[64] += 27
	return signature
}

func (w *world) identityProof(key, ref string) map[string]any {
	w.Helper()
	ch := w.must(w.platform("POST", "/machine-identity/challenges", map[string]any{"identityRef": ref}))
	return map[string]any{"challengeId": text(ch, "challengeId"), "signature": signText(w, key, text(ch, "message"))}
}

func (w *world) agentBody() map[string]any {
	address, _ := AddressOf(DefaultAgentKey)
	return map[string]any{"agentAddress": address.Hex(), "agentProvider": w.agentProvider, "agentRole": "buyer"}
}

func (w *world) agentProof(key string) map[string]any {
	w.Helper()
	ch := w.must(w.platform("POST", "/machines/"+w.machineID+"/agent-pairings/challenges", w.agentBody()))
	return map[string]any{"challengeId": text(ch, "challengeId"), "signature": signText(w, key, text(ch, "message"))}
}

func machineBodyFor(ref string, proof map[string]any) map[string]any {
	return map[string]any{"displayName": "m", "ownerId": "o", "machineType": "robot", "runtimeProfile": "linux", "identityRef": ref,
		"identityProof": proof}
}

// activate makes an active machine.
func (w *world) activate() *world {
	w.Helper()
	ref := "did:peaq:184467"
	made := w.must(w.platform("POST", "/machines", machineBodyFor(ref, w.identityProof(DefaultOwnerKey, ref))))
	w.machineID = text(made, "id")
	w.must(w.platform("PATCH", "/machines/"+w.machineID, map[string]any{"status": "active"}))
	return w
}

// pair makes a pairing with an optional policy.
func (w *world) pair(policy map[string]any) *world {
	w.Helper()
	body := w.agentBody()
	body["agentProof"] = w.agentProof(DefaultAgentKey)
	if policy != nil {
		body["delegationPolicy"] = policy
	}
	made := w.must(w.platform("POST", "/machines/"+w.machineID+"/agent-pairings", body))
	w.pairingID, w.token = text(made, "id"), text(made, "pairingToken")
	return w
}

func (w *world) rotate() map[string]any {
	w.Helper()
	made := w.must(w.platform("POST", w.pairingPath()+"/sessions", map[string]any{"agentProof": w.agentProof(DefaultAgentKey)}))
	w.token = text(made, "pairingToken")
	return made
}

func (w *world) pairingPath() string {
	return "/machines/" + w.machineID + "/agent-pairings/" + w.pairingID
}

// ready is a world that can buy.
func ready(t *testing.T, options ...testOption) *world {
	t.Helper()
	return newWorld(t, options...).activate().pair(nil)
}

// search looks for an operation and remembers the first quote.
func (w *world) search(operation string) map[string]any {
	w.Helper()
	found := w.must(w.pairing("/market/search", map[string]any{"machineId": w.machineID, "agentPairingId": w.pairingID,
		"operation": operation, "allowExternalHandoff": true}))
	quotes, _ := found["quotes"].([]any)
	if len(quotes) == 0 {
		w.Fatalf("no quote for %s", operation)
	}
	q, _ := quotes[0].(map[string]any)
	w.searchID, w.quoteID, w.service = text(found, "id"), text(q, "id"), text(q, "serviceId")
	return q
}

func (w *world) orderBody() map[string]any {
	return map[string]any{"machineId": w.machineID, "agentPairingId": w.pairingID, "serviceId": w.service, "searchId": w.searchID,
		"quoteId": w.quoteID}
}

// order searches and orders, with an input that the provider accepts.
func (w *world) order(operation string) map[string]any {
	w.Helper()
	w.search(operation)
	body := w.orderBody()
	s, _ := w.m.services.get(w.service)
	body["input"] = s.ExampleInput
	made := w.must(w.pairing("/market/orders", body))
	w.orderID = text(made, "id")
	return made
}

func (w *world) orderPath(tail string) string { return "/market/orders/" + w.orderID + tail }

// intend makes the intent of the order and returns the payment.
func (w *world) intend() map[string]any {
	w.Helper()
	return w.must(w.pairing(w.orderPath("/payment-intent"), map[string]any{}))
}

// transfer moves tokens from the agent on the chain and returns the hash of the transaction. With gas too small it fails.
func (w *world) transfer(to string, value int64, gas uint64) string {
	w.Helper()
	key, err := crypto.ToECDSA(common.FromHex(DefaultAgentKey))
	if err != nil {
		w.Fatal(err)
	}
	from := crypto.PubkeyToAddress(key.PublicKey)
	data := append(crypto.Keccak256([]byte("transfer(address,uint256)"))[:4], common.LeftPadBytes(common.HexToAddress(to).Bytes(), 32)...)
	data = append(data, common.LeftPadBytes(big.NewInt(value).Bytes(), 32)...)
	token := w.chain.Token()
	tx, err := types.SignNewTx(key, types.LatestSignerForChainID(new(big.Int).SetUint64(w.chain.ID())), &types.LegacyTx{
		Nonce: w.rpcNumber("eth_getTransactionCount", from.Hex(), "pending"), GasPrice: big.NewInt(5e9), Gas: gas, To: &token, Data: data})
	if err != nil {
		w.Fatal(err)
	}
	raw, err := tx.MarshalBinary()
	if err != nil {
		w.Fatal(err)
	}
	w.rpc("eth_sendRawTransaction", hexutil.Encode(raw))
	return tx.Hash().Hex()
}

func (w *world) rpc(method string, params ...any) any {
	w.Helper()
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	if err != nil {
		w.Fatal(err)
	}
	r := httptest.NewRequest("POST", "http://rpc.test/", bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	rec := httptest.NewRecorder()
	w.chain.Handler().ServeHTTP(rec, r)
	var reply map[string]any
	if err := json.Unmarshal(rec.Body.Bytes(), &reply); err != nil || reply["error"] != nil {
		w.Fatalf("%s: %v %v", method, err, reply["error"])
	}
	return reply["result"]
}

func (w *world) rpcNumber(method string, params ...any) uint64 {
	w.Helper()
	hex, _ := w.rpc(method, params...).(string)
	n, err := hexutil.DecodeUint64(hex)
	if err != nil {
		w.Fatal(err)
	}
	return n
}

// proof is the proof of a transfer for a payment.
func (w *world) proof(payment map[string]any, mode, hash string) map[string]any {
	address, _ := AddressOf(DefaultAgentKey)
	chainName := text(payment, "rail.chain")
	if chainName == "" {
		chainName = "eip155:3338"
	}
	payee := text(payment, "rail.payeeAddress")
	if payee == "" {
		payee = address.Hex()
	}
	body := map[string]any{"verificationMode": mode, "chain": chainName, "token": "USDC", "payerAddress": address.Hex(), "payeeAddress": payee,
		"amount": text(payment, "amount"), "transactionHash": hash}
	if raw := text(payment, "rail.metadata.rawAmount"); raw != "" {
		body["rawAmount"], body["tokenDecimals"] = raw, 6
	}
	return body
}

const madeUpHash = "0xcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"

// holdRecorded brings the order to a held payment with a made-up hash.
func (w *world) holdRecorded(hash string) {
	w.Helper()
	w.must(w.pairing(w.orderPath("/payment-proof"), w.proof(w.intend(), "recorded", hash)))
}

// authorize signs the challenge of a payment; edit may spoil it before the signature.
func (w *world) authorize(payment map[string]any, edit func(*x402Entry, map[string]string)) string {
	w.Helper()
	raw, err := base64.StdEncoding.DecodeString(text(payment, "rail.metadata.paymentRequest.paymentRequired"))
	if err != nil {
		w.Fatal(err)
	}
	var challenge x402Challenge
	if err := json.Unmarshal(raw, &challenge); err != nil {
		w.Fatal(err)
	}
	entry := *challenge.Accepts[0]
	address, _ := AddressOf(DefaultAgentKey)
	w.nonce++
	auth := map[string]string{"from": address.Hex(), "to": entry.PayTo, "value": entry.Amount, "validAfter": "0",
		"validBefore": fmt.Sprint(w.clock.now.Unix() + int64(entry.MaxTimeoutSeconds)), "nonce": hexutil.Encode(bytes.Repeat([]byte{w.nonce}, 32))}
	if edit != nil {
		edit(&entry, auth)
	}
	document := map[string]any{"x402Version": 2, "accepted": entry, "payload": map[string]any{"authorization": auth,
		"signature": "0x" + strings.Repeat("00", 65)}}
	var said x402Payload
	encoded, _ := json.Marshal(document)
	if err := json.Unmarshal(encoded, &said); err != nil {
		w.Fatal(err)
	}
	if parsed, err := said.authorization(); err == nil {
		document["payload"] = map[string]any{"authorization": auth, "signature": hexutil.Encode(signDigest(w, DefaultAgentKey, w.m.digest(parsed)))}
	}
	encoded, _ = json.Marshal(document)
	w.payHeader = base64.StdEncoding.EncodeToString(encoded)
	return w.payHeader
}

// holdX402 orders on the x402 rail and hands an authorisation over.
func (w *world) holdX402() map[string]any {
	w.Helper()
	w.order("fix")
	header := w.authorize(w.intend(), nil)
	return w.must(w.pairing(w.orderPath("/payment-proof"), map[string]any{"payment": map[string]any{"paymentSignature": header}}))
}

func (w *world) execute() (int, map[string]any) {
	w.Helper()
	body := map[string]any{}
	if w.payHeader != "" {
		body["payment"] = map[string]any{"paymentSignature": w.payHeader}
	}
	return w.pairing(w.orderPath("/execute"), body)
}

// enroll makes a machine agent.
func (w *world) enroll(keys ...string) {
	w.Helper()
	made := w.must(w.platform("POST", "/machines/"+w.machineID+"/agents/enrollment", map[string]any{"label": "a", "allowedProviderKeys": keys}))
	w.agentID, w.agentToken = text(made, "id"), text(made, "provisioningToken")
}

func (w *world) beat(edit func(map[string]any)) (int, map[string]any) {
	w.Helper()
	body := map[string]any{"machineId": w.machineID, "agentId": w.agentID, "agentToken": w.agentToken, "leaseTtlSeconds": 90,
		"endpoints": []any{map[string]any{"providerKey": "qvac", "endpointBaseUrl": "http://127.0.0.1:8000/v1?x=1"}}}
	if edit != nil {
		edit(body)
	}
	return w.send("POST", "/machine-agents/heartbeat", body, nil)
}

func (w *world) transfers() []chain.Transfer {
	w.Helper()
	moved, err := w.chain.Transfers(context.Background(), 0)
	if err != nil {
		w.Fatal(err)
	}
	return moved
}

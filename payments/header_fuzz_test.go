// SPDX-License-Identifier: Apache-2.0

package payments

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"testing"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/wallet"
)

// FuzzStoredHeader reads what should be a header that we stored: what is read is
// what it says, and what is no header is an error.
func FuzzStoredHeader(f *testing.F) {
	v := readVector(f)
	f.Add([]byte(v.X402.PaymentSignature))
	f.Add([]byte("e30="))
	f.Add([]byte(base64.StdEncoding.EncodeToString([]byte(`{"payload":{"authorization":{"to":"0x1","value":"-1","nonce":"0x"}},"accepted":{"asset":"0x"}}`))))
	f.Fuzz(func(t *testing.T, header []byte) {
		s, err := readHeader(header)
		if err != nil {
			if s != (storedHeader{}) && s.amount != (money.Amount{}) || len(err.Error()) > 1<<10 {
				t.Fatalf("got %+v, %v", s, err)
			}
			return
		}
		doc, err := base64.StdEncoding.DecodeString(string(header))
		if err != nil || !json.Valid(doc) {
			t.Fatalf("read %q", header)
		}
		if s.token != common.HexToAddress(s.asset) {
			t.Fatalf("asset %q is %s", s.asset, s.token)
		}
	})
}

// FuzzSignedHeader builds a header from any challenge's payable entry and reads it
// again: the same token, payee, amount and nonce, whatever else the seller wrote.
func FuzzSignedHeader(f *testing.F) {
	entry := `{"scheme":"exact","network":"eip155:84532","amount":"10000","asset":"0x036CbD53842c5426634e7929541eC2318f3dCF7e",
		"payTo":"0x3333333333333333333333333333333333333333","maxTimeoutSeconds":300,"extra":{"name":"USDC","version":"2"}MORE}`
	for _, more := range []string{"", `,"x":"\u0022},\u0022payload\u0022:{"`, `,"accepted":{"asset":"0x4444444444444444444444444444444444444444"}`, `,"<&>":["]}",null,1e999]`} {
		f.Add([]byte(`{"x402Version":2,"resource":{"url":"https://a"},"accepts":[`+string(bytes.ReplaceAll([]byte(entry), []byte("MORE"), []byte(more)))+`],"extensions":{"a":1}}`), []byte("nonce"))
	}
	f.Add([]byte(`{"accepts":[{"scheme":"exact","network":"eip155:1","maxAmountRequired":"1","asset":"0x036CbD53842c5426634e7929541eC2318f3dCF7e",
		"pay_to":"0x3333333333333333333333333333333333333333","max_timeout_seconds":1,"extra":{"name":"a","version":"b"}}],"resource":"}"}`), []byte{})
	f.Fuzz(func(t *testing.T, metadata, seed []byte) {
		c, err := ParseChallenge(metadata)
		if err != nil {
			return
		}
		e, reason := c.Choose(func(Entry) policy.Reason { return policy.Allowed })
		if reason != policy.Allowed {
			return
		}
		a := wallet.Authorization{Token: e.Asset, From: common.HexToAddress("0x1563915e194D8CfBA1943570603F7606A3115508"), To: e.PayTo, Value: e.Amount, ValidBefore: 7}
		copy(a.Nonce[:], seed)
		header := buildHeader(c, &e, &a, [65]byte{})
		s, err := readHeader(header)
		if err != nil {
			t.Fatalf("%v: %s", err, header)
		}
		if s.token != e.Asset || s.payee != e.PayTo || s.amount != e.Amount || s.nonce != a.Nonce || s.network != string(e.Network) {
			t.Fatalf("built for %+v, read as %+v", e, s)
		}
		// What the seller reads is one object, in which our entry stands as it was read.
		again, err := ParseChallenge([]byte(`{"accepts":[` + string(e.Raw) + `]}`))
		if err != nil || len(again.Entries()) != 1 || !bytes.Equal(again.Entries()[0].Raw, e.Raw) || again.Entries()[0].Amount != e.Amount || again.Entries()[0].PayTo != e.PayTo {
			t.Fatalf("the echo %s is read as %+v (%v)", e.Raw, again, err)
		}
	})
}

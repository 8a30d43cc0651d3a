// SPDX-License-Identifier: Apache-2.0

package payments_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/payments"
	"github.com/agentd-project/agentd/policy"
)

const goodEntry = `{"scheme":"exact","network":"eip155:84532","asset":"0x036CbD53842c5426634e7929541eC2318f3dCF7e","amount":"10000",` +
	`"payTo":"0x3333333333333333333333333333333333333333","maxTimeoutSeconds":300,"extra":{"name":"USDC","version":"2"}}`

func accepts(entries ...string) string {
	return `{"x402Version":2,"accepts":[` + strings.Join(entries, ",") + `]}`
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func TestWhereTheChallengeIs(t *testing.T) {
	good, other := accepts(goodEntry), accepts(strings.Replace(goodEntry, `"10000"`, `"99"`, 1))
	tests := []struct{ name, metadata, amount string }{
		{"nested", `{"paymentRequest":{"paymentRequired":"` + b64(good) + `","statusCode":402}}`, "10000"},
		{"nested, snake case", `{"payment_request":{"payment_required":"` + b64(good) + `"}}`, "10000"},
		{"direct", `{"paymentRequired":"` + b64(good) + `"}`, "10000"},
		{"direct, snake case", `{"payment_required":"` + b64(good) + `"}`, "10000"},
		{"decoded", good, "10000"},
		{"nested before direct", `{"paymentRequest":{"paymentRequired":"` + b64(good) + `"},"paymentRequired":"` + b64(other) + `"}`, "10000"},
		{"direct before decoded", `{"paymentRequired":"` + b64(good) + `","accepts":[]}`, "10000"},
		{"nested is null", `{"paymentRequest":{"paymentRequired":null},"paymentRequired":"` + b64(good) + `"}`, "10000"},
		{"without padding", `{"paymentRequired":"` + strings.TrimRight(b64(good), "=") + `"}`, "10000"},
		{"alphabet for URLs", `{"paymentRequired":"` + base64.URLEncoding.EncodeToString([]byte(good+`   `)) + `"}`, "10000"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := payments.ParseChallenge(json.RawMessage(tt.metadata))
			if err != nil {
				t.Fatal(err)
			}
			e, reason := c.Choose(func(payments.Entry) policy.Reason { return policy.Allowed })
			if reason != policy.Allowed || e.Amount.String() != tt.amount {
				t.Errorf("entry %+v, %s", e, reason)
			}
		})
	}
}

func TestChallengeSpellings(t *testing.T) {
	replace := func(old, replacement string) string { return strings.Replace(goodEntry, old, replacement, 1) }
	tests := []struct {
		name, entry string
		timeout     time.Duration
	}{
		{"canonical", goodEntry, 300 * time.Second},
		{"first generation", replace(`"amount"`, `"maxAmountRequired"`), 300 * time.Second},
		{"snake case", strings.NewReplacer(`"payTo"`, `"pay_to"`, `"maxTimeoutSeconds"`, `"max_timeout_seconds"`, `"amount"`, `"max_amount_required"`).Replace(goodEntry), 300 * time.Second},
		{"both amounts, equal", replace(`"amount":"10000"`, `"amount":"10000","maxAmountRequired": "10000"`), 300 * time.Second},
		{"no timeout given", replace(`300`, `0`), time.Hour},
		{"a very long timeout", replace(`300`, `18446744073709551615`), 100 * 365 * 24 * time.Hour},
		{"method named", replace(`"version":"2"`, `"version":"2","assetTransferMethod":"EIP3009"`), 300 * time.Second},
		{"method empty", replace(`"version":"2"`, `"version":"2","asset_transfer_method":""`), 300 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := payments.ParseChallenge(json.RawMessage(accepts(tt.entry)))
			if err != nil {
				t.Fatal(err)
			}
			e := c.Entries()[0]
			if e.Amount != money.FromUint64(10000) || e.PayTo != seller || e.MaxTimeout != tt.timeout || e.Name != "USDC" || e.Version != "2" || e.Scheme != "exact" {
				t.Errorf("entry %+v", e)
			}
			if !strings.HasPrefix(string(e.Raw), `{"scheme":"exact","network":"eip155:84532","asset":"0x036CbD53842c5426634e7929541eC2318f3dCF7e","amount":"10000","payTo":`) {
				t.Errorf("echoed as %s", e.Raw)
			}
		})
	}
}

func TestBadEntries(t *testing.T) {
	replace := func(old, replacement string) string {
		changed := strings.Replace(goodEntry, old, replacement, 1)
		if changed == goodEntry {
			t.Fatalf("%s is not in the entry", old)
		}
		return changed
	}
	tests := map[string]string{
		"another scheme":         replace(`"exact"`, `"upto"`),
		"Solana":                 replace(`eip155:84532`, `solana:mainnet`),
		"network by name":        replace(`eip155:84532`, `base-sepolia`),
		"amount is a number":     replace(`"10000"`, `10000`),
		"amount in hexadecimal":  replace(`"10000"`, `"0x2710"`),
		"amount with a point":    replace(`"10000"`, `"10000.0"`),
		"amount with an exp":     replace(`"10000"`, `"1e4"`),
		"negative amount":        replace(`"10000"`, `"-1"`),
		"amount zero":            replace(`"10000"`, `"0"`),
		"amount empty":           replace(`"10000"`, `""`),
		"amount of 300 bits":     replace(`"10000"`, `"`+strings.Repeat("9", 90)+`"`),
		"two amounts":            replace(`"amount":"10000"`, `"amount":"10000","maxAmountRequired":"990000"`),
		"two payees":             replace(`"payTo"`, `"pay_to":"0x4444444444444444444444444444444444444444","payTo"`),
		"payee too short":        replace(`0x3333`, `0x33`),
		"payee without 0x":       replace(`0x3333`, `3333`),
		"payee zero":             replace(`0x3333333333333333333333333333333333333333`, `0x0000000000000000000000000000000000000000`),
		"no payee":               replace(`"payTo"`, `"to"`),
		"asset by name":          replace(`0x036CbD53842c5426634e7929541eC2318f3dCF7e`, `USDC`),
		"timeout is a text":      replace(`300`, `"300"`),
		"timeout negative":       replace(`300`, `-1`),
		"timeout with a point":   replace(`300`, `3.5`),
		"no timeout":             replace(`"maxTimeoutSeconds"`, `"timeout"`),
		"no name":                replace(`"name":"USDC",`, ``),
		"no version":             replace(`,"version":"2"`, ``),
		"version is a number":    replace(`"version":"2"`, `"version":2`),
		"no extra":               replace(`,"extra":{"name":"USDC","version":"2"}`, ``),
		"extra is null":          replace(`{"name":"USDC","version":"2"}`, `null`),
		"permit2":                replace(`"version":"2"`, `"version":"2","assetTransferMethod":"permit2"`),
		"permit2, snake case":    replace(`"version":"2"`, `"version":"2","asset_transfer_method":"permit2"`),
		"permit2 beside eip3009": replace(`"version":"2"`, `"version":"2","assetTransferMethod":"eip3009","asset_transfer_method":"permit2"`),
		"a list":                 `[]`,
		"null":                   `null`,
	}
	for name, entry := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := payments.ParseChallenge(json.RawMessage(accepts(entry))); refusalOf(err) != policy.ReasonChallengeInvalid {
				t.Errorf("error %v", err)
			}
			// Beside a good entry it is never chosen.
			c, err := payments.ParseChallenge(json.RawMessage(accepts(entry, goodEntry)))
			if err != nil {
				t.Fatal(err)
			}
			if e, reason := c.Choose(func(payments.Entry) policy.Reason { return policy.Allowed }); reason != policy.Allowed || e.Amount != price || e.PayTo != seller {
				t.Errorf("chose %+v, %s", e, reason)
			}
		})
	}
}

func TestNoChallenge(t *testing.T) {
	tests := map[string]string{
		"empty":               ``,
		"null":                `null`,
		"nothing in it":       `{}`,
		"status 401":          `{"paymentRequest":{"statusCode":401,"wwwAuthenticate":"Bearer"}}`,
		"no base64":           `{"paymentRequired":"!!!"}`,
		"not a text":          `{"paymentRequired":{"accepts":[]}}`,
		"base64 of no JSON":   `{"paymentRequired":"` + b64("<html>") + `"}`,
		"no accepts":          `{"paymentRequired":"` + b64(`{"x402Version":2}`) + `"}`,
		"accepts is empty":    accepts(),
		"accepts is an entry": `{"accepts":` + goodEntry + `}`,
		"33 entries":          accepts(strings.Split(strings.Repeat(goodEntry+"\n", 32)+goodEntry, "\n")...),
		"too large":           `{"accepts":[` + goodEntry + `],"x":"` + strings.Repeat("x", 300<<10) + `"}`,
		"too large inside":    `{"paymentRequired":"` + b64(accepts(goodEntry)+strings.Repeat(" ", 150<<10)) + `"}`,
	}
	for name, metadata := range tests {
		t.Run(name, func(t *testing.T) {
			c, err := payments.ParseChallenge(json.RawMessage(metadata))
			if refusalOf(err) != policy.ReasonChallengeInvalid || c != nil {
				t.Errorf("%v, error %v", c, err)
			}
		})
	}
}

// The seller's first entry is a wish; what the caller allows is what is signed.
func TestChooseByPolicy(t *testing.T) {
	dear := strings.Replace(goodEntry, `"10000"`, `"990000"`, 1)
	c, err := payments.ParseChallenge(json.RawMessage(accepts(dear, goodEntry, goodEntry)))
	if err != nil {
		t.Fatal(err)
	}
	cheap := func(e payments.Entry) policy.Reason {
		if e.Amount.Cmp(price) > 0 {
			return policy.ReasonMaxPrice
		}
		return policy.Allowed
	}
	if e, reason := c.Choose(cheap); reason != policy.Allowed || e.Amount != price {
		t.Errorf("chose %+v, %s", e, reason)
	}
	e, reason := c.Choose(func(e payments.Entry) policy.Reason {
		if e.Amount.Cmp(price) > 0 {
			return policy.ReasonMaxPrice
		}
		return policy.ReasonPayeeDenied
	})
	if reason != policy.ReasonMaxPrice || !e.Amount.IsZero() {
		t.Errorf("chose %+v, %s, want the first entry's reason", e, reason)
	}
}

// What the seller added is echoed, so that it finds its own entry again.
func TestEchoKeepsWhatTheSellerAdded(t *testing.T) {
	entry := `{"zeta": {"b" : 1}, "extra": {"version": "2", "name": "USDC", "more": "<&>"}, "pay_to": "0x3333333333333333333333333333333333333333",` +
		` "scheme": "exact", "alpha": [1, 2], "amount": "10000", "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e", "network": "eip155:84532", "maxTimeoutSeconds": 0}`
	c, err := payments.ParseChallenge(json.RawMessage(fmt.Sprintf(`{"accepts":[%s],"resource":{ "url" : "u" }}`, entry)))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"scheme":"exact","network":"eip155:84532","asset":"0x036CbD53842c5426634e7929541eC2318f3dCF7e","amount":"10000",` +
		`"payTo":"0x3333333333333333333333333333333333333333","maxTimeoutSeconds":0,"extra":{"version":"2","name":"USDC","more":"<&>"},"alpha":[1,2],"zeta":{"b":1}}`
	if got := string(c.Entries()[0].Raw); got != want {
		t.Errorf("echo\n%s\nwant\n%s", got, want)
	}
}

func FuzzParseChallenge(f *testing.F) {
	f.Add([]byte(accepts(goodEntry)))
	f.Add([]byte(`{"paymentRequest":{"paymentRequired":"` + b64(accepts(goodEntry)) + `"}}`))
	f.Fuzz(func(t *testing.T, metadata []byte) {
		c, err := payments.ParseChallenge(metadata)
		if (err == nil) != (c != nil) || (err != nil && refusalOf(err) != policy.ReasonChallengeInvalid) {
			t.Fatalf("%v, %v", c, err)
		}
		if c == nil {
			return
		}
		for _, e := range c.Entries() {
			if e.Amount.IsZero() || e.MaxTimeout <= 0 || !json.Valid(e.Raw) {
				t.Fatalf("entry %+v", e)
			}
		}
	})
}

// SPDX-License-Identifier: Apache-2.0

package wallet_test

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/wallet"
)

const us = "0x1563915e194D8CfBA1943570603F7606A3115508"

var (
	challengeNow = time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)
	challengeEnd = challengeNow.Add(5 * time.Minute)
)

func pairingWant() wallet.ChallengeWant {
	return wallet.ChallengeWant{
		MachineID: "mach_0001", IdentityRef: "did:peaq:184467", Address: common.HexToAddress(us),
		Provider: "custom", Role: "buyer", Pairing: true,
	}
}

func pairingReply(message string) wallet.ChallengeReply {
	return wallet.ChallengeReply{
		MachineID: "mach_0001", IdentityRef: "did:peaq:184467", Address: us, Provider: "custom", Role: "buyer",
		DID: "did:pkh:eip155:1:" + us, Message: message, ExpiresAt: challengeEnd,
	}
}

func identityWant() wallet.ChallengeWant {
	return wallet.ChallengeWant{IdentityRef: "did:peaq:184467", Address: common.HexToAddress(us)}
}

func identityReply(message string) wallet.ChallengeReply {
	return wallet.ChallengeReply{IdentityRef: "did:peaq:184467", Message: message, ExpiresAt: challengeEnd}
}

const sandboxText = `peaqOS agent pairing challenge
Machine: mach_0001
Machine identity: did:peaq:184467
Agent address: 0x1563915e194D8CfBA1943570603F7606A3115508
Agent DID: did:pkh:eip155:1:0x1563915e194D8CfBA1943570603F7606A3115508
Provider: custom
Role: buyer
Nonce: 6d1c2f0b7a4e9d8c5b3a2f1e0d9c8b7a6d1c2f0b7a4e9d8c5b3a2f1e0d9c8b7a
Issued at: 2026-11-24T08:00:00.000Z
Expires at: 2026-11-24T08:05:00.000Z`

func TestChallengeTextsThatAreSigned(t *testing.T) {
	texts := map[string]string{
		"lines":               sandboxText,
		"windows line ends":   strings.ReplaceAll(sandboxText, "\n", "\r\n"),
		"lower-case address":  strings.ReplaceAll(sandboxText, us, strings.ToLower(us)),
		"upper-case address":  strings.ReplaceAll(sandboxText, us, "0x"+strings.ToUpper(us[2:])),
		"without identity":    "Pair agent " + us + " with machine mach_0001.",
		"without machine id":  "Pair agent " + us + " with did:peaq:184467 as buyer.",
		"alias of identity":   "Pair agent " + us + " with peaqos:machine:184467",
		"equals signs":        "machineId=mach_0001\nagentAddress=" + us + "\nagentRole=buyer\nagentProvider=custom\nexpires=1795507500",
		"milliseconds":        "machine mach_0001\naddress " + us + "\nexp: 1795507500000",
		"one line":            "machine: mach_0001, address: " + us + ", provider: custom, role: buyer, nonce: abc",
		"one line, no commas": "machine: mach_0001 address: " + us + " provider: custom role: buyer nonce: abc",
		"markdown":            "**Machine**: `mach_0001`\n- **Agent address**: `" + us + "`\n- **Role**: `buyer`",
		"json":                `{"purpose":"pairing","machineId":"mach_0001","agentAddress":"` + us + `","agentRole":"buyer","agentProvider":"custom","expiresAt":"2026-11-24T08:05:00.000Z"}`,
		"sign in with ethereum": "market.example wants you to sign in with your Ethereum account:\n" + us + "\n\nPair with machine mach_0001.\n\n" +
			"URI: https://market.example/pair\nVersion: 1\nChain ID: 3338\nNonce: 32891756\nIssued At: 2026-11-24T08:00:00Z\n" +
			"Expiration Time: 2026-11-24T08:05:00Z\nResources:\n- did:peaq:184467",
		"remark":           "machine: mach_0001\naddress: " + us + "\nrole: buyer (may spend)\nprovider: custom / third party",
		"display name":     "Machine: dock-7\nMachine ID: mach_0001\nAddress: " + us,
		"session lifetime": "machine: mach_0001\naddress: " + us + "\nSession expires at: 2026-11-24T09:00:00Z",
		"duration":         "machine: mach_0001\naddress: " + us + "\nexpires: in 300 seconds",
		"other provider":   "machine: mach_0001\naddress: " + us + "\nidentity provider: peaq",
		"not ASCII":        "Kopplung für mach_0001 – " + us,
		"http date":        "machine: mach_0001\naddress: " + us + "\nexpires: Tue, 24 Nov 2026 08:05:00 GMT",
	}
	w := vectorWallet(t)
	for name, text := range texts {
		t.Run(name, func(t *testing.T) {
			c, err := wallet.CheckChallenge(pairingWant(), pairingReply(text), challengeNow)
			if err != nil {
				t.Fatal(err)
			}
			if sig, err := w.SignChallenge(c); err != nil || len(sig) != 132 {
				t.Errorf("signature %q, %v", sig, err)
			}
		})
	}
}

func TestChallengeTextsThatAreNotSigned(t *testing.T) {
	with := func(line string) string { return "machine: mach_0001\naddress: " + us + "\n" + line }
	texts := map[string]string{
		"empty":                   "",
		"white space":             " \n\t",
		"no machine":              "Pair agent " + us,
		"no address":              "Pair agent with machine mach_0001",
		"longer machine id":       "Pair agent " + us + " with machine mach_00012",
		"part of a machine id":    "Pair agent " + us + " with machine xmach_0001",
		"longer identity":         "Pair agent " + us + " with did:peaq:1844670",
		"another machine too":     with("and mach_0002"),
		"another identity too":    with("identity: did:peaq:2"),
		"another alias too":       with("identity: peaqos:machine:2"),
		"another address too":     with("beneficiary 0x3333333333333333333333333333333333333333"),
		"another address, joined": with("0x3333333333333333333333333333333333333333," + us),
		"another agent DID":       with("did: did:pkh:eip155:1:0x3333333333333333333333333333333333333333"),
		"another kind of DID":     with("did: did:web:evil.example"),
		"role":                    with("role: admin"),
		"role, upper case":        with("ROLE: ADMIN"),
		"agent role":              with("agentRole=admin"),
		"role beside ours":        with("role: buyer-admin"),
		"two roles":               with("role: buyer admin"),
		"role twice":              with("role: buyer\nrole: admin"),
		"role in a sentence":      with("You pair machine mach_0001 with role: admin"),
		"role on one line":        "machine: mach_0001, address: " + us + ", role: admin",
		"role in JSON":            `{"machineId":"mach_0001","agentAddress":"` + us + `","role":"admin"}`,
		"provider":                with("provider: evil"),
		"agent provider":          with("Agent Provider : evil"),
		"machine id line":         with("machine_id: 17"),
		"short address":           with("address: 0x15639"),
		"later expiry":            with("expires: 2027-11-24T08:05:00Z"),
		"earlier expiry":          with("expires: 2026-11-24T08:04:00Z"),
		"no expiry":               with("expires: never"),
		"later expiry, number":    with("exp: 1895507500"),
		"control character":       with("role: adm\x00in"),
		"bidirectional override":  with("role: \u202ereyub"),
		"zero width":              with("ro\u200ble: admin"),
		"invalid UTF-8":           with("\xff\xfe"),
		"too long":                with(strings.Repeat("x", 9000)),
		"hash":                    "0x" + strings.Repeat("ab", 32),
		"hash without 0x":         strings.Repeat("ab", 32),
		"hash in lines":           strings.Repeat("ab", 16) + "\n" + strings.Repeat("ab", 16),
		"raw transaction":         "0x02f86c83014a34808459682f008459682f0e82520894333333333333333333333333333333333333333380c0",
		"typed data":              `{"types":{"EIP712Domain":[]},"primaryType":"Permit","domain":{},"message":{"machine":"mach_0001","address":"` + us + `"}}`,
		"typed data in a text":    with(`sign {"domain":{"name":"USDC"},"primaryType":"Permit","message":{}}`),
	}
	for name, text := range texts {
		t.Run(name, func(t *testing.T) {
			_, err := wallet.CheckChallenge(pairingWant(), pairingReply(text), challengeNow)
			var refused *wallet.ChallengeError
			if !errors.As(err, &refused) || refused.Field != "message" {
				t.Errorf("error %v, want a ChallengeError about the message", err)
			}
		})
	}
}

func TestChallengeMembers(t *testing.T) {
	tests := []struct {
		name   string
		change func(*wallet.ChallengeWant, *wallet.ChallengeReply)
		field  string
	}{
		{"as asked", func(*wallet.ChallengeWant, *wallet.ChallengeReply) {}, ""},
		{"machine", func(_ *wallet.ChallengeWant, r *wallet.ChallengeReply) { r.MachineID = "mach_0002" }, "machineId"},
		{"no machine", func(_ *wallet.ChallengeWant, r *wallet.ChallengeReply) { r.MachineID = "" }, "machineId"},
		{"identity", func(_ *wallet.ChallengeWant, r *wallet.ChallengeReply) { r.IdentityRef = "did:peaq:2" }, "machineIdentityRef"},
		{"no identity", func(_ *wallet.ChallengeWant, r *wallet.ChallengeReply) { r.IdentityRef = "" }, "machineIdentityRef"},
		{"identity asked by alias", func(w *wallet.ChallengeWant, _ *wallet.ChallengeReply) { w.IdentityRef = "peaqos:machine:184467" }, ""},
		{"identity not known yet", func(w *wallet.ChallengeWant, _ *wallet.ChallengeReply) { w.IdentityRef = "" }, ""},
		{"address", func(_ *wallet.ChallengeWant, r *wallet.ChallengeReply) {
			r.Address = "0x3333333333333333333333333333333333333333"
		}, "agentAddress"},
		{"address in lower case", func(_ *wallet.ChallengeWant, r *wallet.ChallengeReply) { r.Address = strings.ToLower(us) }, ""},
		{"address with something before it", func(_ *wallet.ChallengeWant, r *wallet.ChallengeReply) { r.Address = "0x00" + us[2:] }, "agentAddress"},
		{"provider", func(_ *wallet.ChallengeWant, r *wallet.ChallengeReply) { r.Provider = "evil" }, "agentProvider"},
		{"role", func(_ *wallet.ChallengeWant, r *wallet.ChallengeReply) { r.Role = "admin" }, "agentRole"},
		{"role in another case", func(_ *wallet.ChallengeWant, r *wallet.ChallengeReply) { r.Role = "Buyer" }, "agentRole"},
		{"no role", func(_ *wallet.ChallengeWant, r *wallet.ChallengeReply) { r.Role = "" }, "agentRole"},
		{"DID of somebody else", func(_ *wallet.ChallengeWant, r *wallet.ChallengeReply) {
			r.DID = "did:pkh:eip155:1:0x3333333333333333333333333333333333333333"
		}, "agentDid"},
		{"DID asked, another came", func(w *wallet.ChallengeWant, _ *wallet.ChallengeReply) { w.DID = "did:peaq:77" }, "agentDid"},
		{"expired this second", func(_ *wallet.ChallengeWant, r *wallet.ChallengeReply) { r.ExpiresAt = challengeNow }, "expiresAt"},
		{"no expiry", func(_ *wallet.ChallengeWant, r *wallet.ChallengeReply) { r.ExpiresAt = time.Time{} }, "expiresAt"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want, got := pairingWant(), pairingReply(sandboxText)
			tt.change(&want, &got)
			_, err := wallet.CheckChallenge(want, got, challengeNow)
			if tt.field == "" {
				if err != nil {
					t.Errorf("error %v, want none", err)
				}
				return
			}
			var refused *wallet.ChallengeError
			if !errors.As(err, &refused) || refused.Field != tt.field {
				t.Errorf("error %v, want one about %s", err, tt.field)
			}
		})
	}
}

func TestIdentityChallenge(t *testing.T) {
	owner := "did:peaq:" + us
	tests := []struct {
		name    string
		ref     string
		text    string
		refused bool
	}{
		{"decimal", "did:peaq:184467", "peaqOS machine identity challenge\nIdentity: did:peaq:184467\nNonce: 1", false},
		{"alias", "peaqos:machine:184467", "Identity: did:peaq:184467", false},
		{"address form, canonical in the text", owner, "Identity: did:peaq:184467", false},
		{"address form, itself in the text", owner, "Identity: " + owner, false},
		{"controller is us", "did:peaq:184467", "Identity: did:peaq:184467\nController: " + us, false},
		{"one of several controllers", "did:peaq:184467", "Identity: did:peaq:184467\nControllers: 0x3333333333333333333333333333333333333333, " + us + "\nNonce: 1", false},
		{"controllers without us", "did:peaq:184467", "Identity: did:peaq:184467\nControllers: 0x3333333333333333333333333333333333333333", true},
		{"another identity", "did:peaq:184467", "Identity: did:peaq:184468", true},
		{"another beside it", "did:peaq:184467", "Identity: did:peaq:184467, did:peaq:184468", true},
		{"another controller", "did:peaq:184467", "Identity: did:peaq:184467\nController: 0x3333333333333333333333333333333333333333", true},
		{"a machine we did not name", "did:peaq:184467", "Identity: did:peaq:184467\nMachine: mach_0001", true},
		{"none", "did:peaq:184467", "Please sign", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := identityWant()
			want.IdentityRef = tt.ref
			_, err := wallet.CheckChallenge(want, identityReply(tt.text), challengeNow)
			if (err != nil) != tt.refused {
				t.Errorf("error %v, want one: %t", err, tt.refused)
			}
		})
	}
}

// A server that knows our machine id must not be able to have its own claim of
// an identity stand for it.
func TestUnknownIdentityIsNoName(t *testing.T) {
	want, got := pairingWant(), pairingReply("Pair "+us+" with did:peaq:5")
	want.IdentityRef, got.IdentityRef = "", "did:peaq:5"
	if _, err := wallet.CheckChallenge(want, got, challengeNow); err == nil {
		t.Error("signed a text that names the server's identity only")
	}
}

func TestChallengeSignatureEqualsTheSDKs(t *testing.T) {
	v, w := readVectors(t), vectorWallet(t)
	want := wallet.ChallengeWant{MachineID: "line", Address: w.Address()}
	got := wallet.ChallengeReply{IdentityRef: "did:peaq:1", Message: v.EIP191.Message, ExpiresAt: challengeEnd}
	c, err := wallet.CheckChallenge(want, got, challengeNow)
	if err != nil {
		t.Fatal(err)
	}
	if sig, err := w.SignChallenge(c); err != nil || sig != v.EIP191.Signature {
		t.Errorf("signature %s, %v, want %s", sig, err, v.EIP191.Signature)
	}
}

func TestUncheckedChallengeIsNotSigned(t *testing.T) {
	w := vectorWallet(t)
	if sig, err := w.SignChallenge(wallet.Challenge{}); err == nil || sig != "" {
		t.Errorf("signed %q", sig)
	}
	another, err := wallet.FromPrivateKey([]byte(strings.Repeat("3", 64)))
	if err != nil {
		t.Fatal(err)
	}
	c, err := wallet.CheckChallenge(pairingWant(), pairingReply(sandboxText), challengeNow)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := another.SignChallenge(c); err == nil {
		t.Error("signed a challenge that was checked for another address")
	}
}

// Whatever is cut out of or put into a good text, no mutation may panic, and none
// that names another machine may be signed.
func TestMutatedChallenges(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	pieces := []string{"mach_0002", "role: admin\n", "\x00", "{", "did:peaq:9", "0x", ":", "=", "\n", us, "\u202e", "expires: ", "provider=x,"}
	for range 4000 {
		text := sandboxText
		for range 1 + r.IntN(3) {
			at := r.IntN(len(text) + 1)
			end := at + r.IntN(min(12, len(text)-at)+1)
			text = text[:at] + pieces[r.IntN(len(pieces))] + text[end:]
		}
		if _, err := wallet.CheckChallenge(pairingWant(), pairingReply(text), challengeNow); err == nil {
			for _, bad := range []string{"\nmach_0002\n", " mach_0002 ", "\x00", "\u202e", "\nrole: admin\n"} {
				if strings.Contains(text, bad) {
					t.Fatalf("signed %q", text)
				}
			}
		}
	}
}

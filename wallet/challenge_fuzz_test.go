// SPDX-License-Identifier: Apache-2.0

package wallet

import (
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/ethereum/go-ethereum/accounts"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
)

const fuzzMachine = "mach_abc123"

// FuzzCheckChallenge has the Market ask for any text and members: what is signed
// names our machine and our address and no others, is a short readable text, and
// is nothing else that a signature could be good for.
func FuzzCheckChallenge(f *testing.F) {
	key, err := crypto.ToECDSA(common.FromHex("0x2222222222222222222222222222222222222222222222222222222222222222"))
	if err != nil {
		f.Fatal(err)
	}
	w := &Wallet{key: key, address: crypto.PubkeyToAddress(key.PublicKey)}
	address := w.address.Hex()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	good := "peaqOS agent pairing\nMachine: " + fuzzMachine + "\nIdentity: did:peaq:184467\nAgent address: " + address +
		"\nProvider: custom\nRole: buyer\nNonce: 1\nExpires at: 2026-01-01T00:05:00Z"
	f.Add(good, fuzzMachine, address, "buyer", int64(300))
	f.Add(strings.ReplaceAll(good, "buyer", "owner"), fuzzMachine, address, "owner", int64(300))
	f.Add("0x"+strings.Repeat("5a", 32), fuzzMachine, address, "buyer", int64(300))
	f.Add(`{"types":{},"domain":{"name":"`+fuzzMachine+address+`"}}`, fuzzMachine, address, "buyer", int64(300))
	f.Add(good+"\nMachine: mach_other", fuzzMachine, address, "buyer", int64(-1))
	f.Add("Machine\u202e "+fuzzMachine+" "+address, fuzzMachine, address, "buyer", int64(1))
	machines := regexp.MustCompile(`(?i)mach_[a-z0-9]+`)
	f.Fuzz(func(t *testing.T, text, machine, agent, role string, life int64) {
		want := ChallengeWant{MachineID: fuzzMachine, IdentityRef: "did:peaq:184467", Address: w.address, Provider: "custom", Role: "buyer", Pairing: true}
		expires := now.Add(time.Duration(life%1_000_000) * time.Second)
		c, err := CheckChallenge(want, ChallengeReply{MachineID: machine, IdentityRef: "did:peaq:184467", Address: agent, Provider: "custom",
			Role: role, Message: text, ExpiresAt: expires}, now)
		if err != nil {
			var refused *ChallengeError
			if c != (Challenge{}) || !errors.As(err, &refused) || len(err.Error()) > 1<<10 {
				t.Fatalf("got %v, %v", c, err)
			}
			if _, err := w.SignChallenge(c); err == nil {
				t.Fatal("a refused challenge was signed")
			}
			return
		}
		lower := strings.ToLower(text)
		switch {
		case machine != fuzzMachine || common.HexToAddress(agent) != w.address || role != "buyer" || !expires.After(now):
			t.Fatalf("accepted machine %q, agent %q, role %q, expiry %s", machine, agent, role, expires)
		case !strings.Contains(text, fuzzMachine) && !strings.Contains(lower, "184467"), !strings.Contains(lower, strings.ToLower(address)):
			t.Fatalf("accepted a text that does not name us: %q", text)
		case len(text) > maxChallenge || !utf8.ValidString(text) || strings.ContainsAny(text, "\x00\x19\x1b\u202e"):
			t.Fatalf("accepted %q", text)
		case json.Valid([]byte(text)) && strings.Contains(text, `"types"`):
			t.Fatalf("accepted JSON with types: %s", text)
		case new(types.Transaction).UnmarshalBinary([]byte(text)) == nil:
			t.Fatalf("accepted a transaction: %x", text)
		}
		for _, m := range machines.FindAllString(text, -1) {
			if !strings.EqualFold(m, fuzzMachine) && !strings.Contains(lower, strings.ToLower(fuzzMachine)) {
				t.Fatalf("accepted another machine %q: %q", m, text)
			}
		}
		signature, err := w.SignChallenge(c)
		if err != nil {
			t.Fatal(err)
		}
		raw := hexutil.MustDecode(signature)
		raw[64] -= 27
		signer, err := crypto.SigToPub(accounts.TextHash([]byte(text)), raw)
		if err != nil || crypto.PubkeyToAddress(*signer) != w.address {
			t.Fatalf("the signature is not one of the text: %v", err)
		}
	})
}

// FuzzEscrowABI reads human-readable interfaces: what is accepted has every
// argument known and its methods apart, and reads the same however it is spaced.
func FuzzEscrowABI(f *testing.F) {
	good := DefaultEscrowText()
	f.Add(good.Lock, good.Release, good.Locked, good.Released)
	f.Add("lock(bytes32 order, address payee, uint256 amount, bytes note)", good.Release, good.Locked, good.Released)
	f.Add("function lock( bytes32  order,address payee , uint256 amount);", "release(bytes32 order)", "event Locked(bytes32 indexed order)", "R(bytes32 indexed order)")
	f.Add("lock(bytes32 order, address payee, uint256 amount, uint256 amount)", "lock(bytes32 order)", "(", ")")
	f.Fuzz(func(t *testing.T, lock, release, locked, released string) {
		text := EscrowText{Lock: lock, Release: release, Refund: good.Refund, Locked: locked, Released: released, Refunded: good.Refunded}
		a, err := ParseEscrowABI(text)
		if err != nil {
			if !errors.Is(err, ErrEscrowABI) || len(err.Error()) > 8<<10 || a.lock.fields != nil {
				t.Fatalf("got %+v, %v", a, err)
			}
			return
		}
		for _, m := range []escrowMethod{a.lock, a.release, a.refund} {
			seen := map[string]bool{}
			for _, field := range m.fields {
				if _, known := fieldTypes[field]; !known || seen[field] {
					t.Fatalf("%+v was accepted from %+v", m, text)
				}
				seen[field] = true
			}
			if !seen["order"] {
				t.Fatalf("%+v has no order", m)
			}
		}
		if a.lock.selector == a.release.selector || a.release.selector == a.refund.selector || a.released == a.refunded {
			t.Fatalf("two of %+v are one", text)
		}
		spaced := text
		spaced.Lock = strings.ReplaceAll(strings.ReplaceAll(lock, ",", " , "), "(", "( ")
		again, err := ParseEscrowABI(spaced)
		if err == nil && again.lock.selector != a.lock.selector {
			t.Fatalf("%q and %q are different methods", lock, spaced.Lock)
		}
	})
}

// SPDX-License-Identifier: Apache-2.0

package wallet

import (
	"fmt"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/accounts"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/crypto"
)

// ChallengeWant is what a challenge was asked for.
type ChallengeWant struct {
	// MachineID is the Market's machine id ("mach_…"); empty before registration.
	MachineID string
	// IdentityRef is the machine's identity in any form the owner may write; empty
	// where it is not known. "peaqos:machine:N" counts as "did:peaq:N". Behind the
	// older address form the server's decimal form is accepted.
	IdentityRef string
	// Address is the address of the key that will sign.
	Address common.Address
	// Provider, Role and DID are the agent's, as sent. DID may be empty.
	Provider, Role, DID string
	// Pairing says that it is a pairing challenge, not a machine identity one.
	Pairing bool
}

// ChallengeReply is the Market's reply, members as received; a member that the
// operation does not have is empty.
type ChallengeReply struct {
	MachineID, IdentityRef, Address, Provider, Role, DID string
	// Message is the text to sign.
	Message string
	// ExpiresAt ends the challenge; zero is refused.
	ExpiresAt time.Time
}

// Challenge is a text that passed [CheckChallenge] for one address. The zero
// Challenge is refused by [Wallet.SignChallenge].
type Challenge struct {
	message string
	address common.Address
	ok      bool
}

// ChallengeError says why a challenge is not signed: a member of the reply, or
// a statement of its text, that is not what was asked for.
type ChallengeError struct {
	// Field is the member ("machineId", "machineIdentityRef", "agentAddress",
	// "agentProvider", "agentRole", "agentDid", "expiresAt") or "message".
	Field string
	// Want is what was asked for, Got what came, shortened.
	Want, Got string
}

// Error implements error.
func (e *ChallengeError) Error() string {
	return fmt.Sprintf("challenge not signed: %s is %q, want %s", e.Field, e.Got, e.Want)
}

func challengeError(field, want, got string) *ChallengeError {
	if len(got) > 80 {
		got = strings.ToValidUTF8(got[:80], "") + "…"
	}
	return &ChallengeError{Field: field, Want: want, Got: got}
}

// CheckChallenge holds the Market's reply against what was asked. It returns a
// [Challenge] only if the members are those asked for, the text names our
// machine (and, for a pairing, our address) and no other, contradicts neither
// provider, role nor expiry, is nothing that could be a transaction, typed data
// or a hash, and has not expired at now. Every error is a [*ChallengeError].
func CheckChallenge(want ChallengeWant, got ChallengeReply, now time.Time) (Challenge, error) {
	ids := identitiesOf(want, got)
	if err := checkMembers(want, got, ids); err != nil {
		return Challenge{}, err
	}
	if got.ExpiresAt.IsZero() {
		return Challenge{}, challengeError("expiresAt", "a time", "")
	}
	if !now.Before(got.ExpiresAt) {
		return Challenge{}, challengeError("expiresAt", "a time after "+now.UTC().Format(time.RFC3339), got.ExpiresAt.UTC().Format(time.RFC3339))
	}
	if err := checkForm(got.Message); err != nil {
		return Challenge{}, err
	}
	if err := checkText(want, got, ids); err != nil {
		return Challenge{}, err
	}
	return Challenge{message: got.Message, address: want.Address, ok: true}, nil
}

func checkMembers(want ChallengeWant, got ChallengeReply, ids identities) error {
	if got.MachineID != want.MachineID && (want.Pairing || got.MachineID != "") {
		return challengeError("machineId", quoted(want.MachineID), got.MachineID)
	}
	if !ids.acceptsReply(got.IdentityRef) {
		return challengeError("machineIdentityRef", quoted(want.IdentityRef), got.IdentityRef)
	}
	sameAddress := common.IsHexAddress(got.Address) && common.HexToAddress(got.Address) == want.Address
	if !sameAddress && (want.Pairing || got.Address != "") {
		return challengeError("agentAddress", want.Address.Hex(), got.Address)
	}
	if got.Provider != want.Provider && (want.Pairing || got.Provider != "") {
		return challengeError("agentProvider", quoted(want.Provider), got.Provider)
	}
	if got.Role != want.Role && (want.Pairing || got.Role != "") {
		return challengeError("agentRole", quoted(want.Role), got.Role)
	}
	if got.DID != "" && !ids.acceptsAgentDID(got.DID) {
		return challengeError("agentDid", quoted(want.DID), got.DID)
	}
	return nil
}

func quoted(s string) string { return fmt.Sprintf("%q", s) }

// SignChallenge signs a checked challenge as EIP-191 personal message and
// returns "0x" and 65 bytes of hexadecimal with v 27 or 28. It refuses the zero
// Challenge and one that was checked for another address.
func (w *Wallet) SignChallenge(c Challenge) (string, error) {
	if !c.ok {
		return "", challengeError("message", "a checked challenge", "")
	}
	if c.address != w.address {
		return "", challengeError("agentAddress", w.address.Hex(), c.address.Hex())
	}
	sig, err := crypto.Sign(accounts.TextHash([]byte(c.message)), w.key)
	if err != nil {
		return "", fmt.Errorf("sign challenge: %w", err)
	}
	sig[crypto.RecoveryIDOffset] += 27
	return hexutil.Encode(sig), nil
}

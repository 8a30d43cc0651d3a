// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"math/big"
	"regexp"
	"slices"
	"strings"

	"github.com/ethereum/go-ethereum/common"
)

var (
	decimalRef = regexp.MustCompile(`^(?:did:peaq|peaqos:machine):(0|[1-9][0-9]{0,77})$`)
	addressRef = regexp.MustCompile(`^did:peaq:(0[xX][0-9a-fA-F]{40})$`)
	maxNumber  = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1))
)

// ref is the canonical form of an identity.
func (i *Identity) ref() string { return "did:peaq:" + i.Number.String() }

func (i *Identity) controllerTexts() []string {
	texts := make([]string, 0, len(i.Controllers))
	for _, a := range i.Controllers {
		texts = append(texts, a.Hex())
	}
	return texts
}

// SetIdentity adds an identity or replaces the one with its number. Without controllers it no longer resolves, as if it had been
// burnt.
func (m *Market) SetIdentity(identity Identity) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.identities = slices.DeleteFunc(m.identities, func(i *Identity) bool { return i.Number.Cmp(identity.Number) == 0 })
	m.identities = append(m.identities, &identity)
	m.journal.state("identity.set", identity.ref(), identity.controllerTexts())
}

// resolve finds the identity that a reference of any accepted form names.
func (m *Market) resolve(text string) (*Identity, error) {
	number, address, err := m.parseRef(text)
	if err != nil {
		return nil, err
	}
	if m.conditions.IdentityDown {
		return nil, refuse(codeIdentityUnavailable, "the identity look-up failed")
	}
	for _, i := range m.identities {
		same := number != nil && i.Number.Cmp(number) == 0 || number == nil && i.Address == address
		if same && len(i.Controllers) > 0 {
			return i, nil
		}
	}
	return nil, notFound("identity", text)
}

// parseRef returns the number of a decimal reference, or nil and the address of the older form.
func (m *Market) parseRef(text string) (*big.Int, common.Address, error) {
	if match := decimalRef.FindStringSubmatch(text); match != nil {
		number, read := new(big.Int).SetString(match[1], 10)
		if read && number.Cmp(maxNumber) <= 0 {
			return number, common.Address{}, nil
		}
	}
	if match := addressRef.FindStringSubmatch(text); match != nil {
		if m.opt.Strict {
			return nil, common.Address{}, invalid("identityRef: the address form is no longer accepted")
		}
		return nil, common.HexToAddress(match[1]), nil
	}
	return nil, common.Address{}, invalid("identityRef must be did:peaq:<decimal> or peaqos:machine:<decimal>")
}

type identityChallenge struct {
	ChallengeID         string   `json:"challengeId"`
	IdentityRef         string   `json:"identityRef"`
	Message             string   `json:"message"`
	ExpiresAt           string   `json:"expiresAt"`
	VerificationMethod  string   `json:"verificationMethod"`
	ControllerAddresses []string `json:"controllerAddresses"`
}

func (m *Market) challengeIdentity(c *call) (answer, error) {
	var body struct {
		IdentityRef string `json:"identityRef"`
	}
	if err := c.decode(&body); err != nil {
		return answer{}, err
	}
	identity, err := m.resolve(body.IdentityRef)
	if err != nil {
		return answer{}, err
	}
	ch := m.newChallenge(binding{identity: identity.ref()},
		"peaqOS Machine Markets machine identity challenge",
		"Identity: "+identity.ref(),
		"Controllers: "+strings.Join(identity.controllerTexts(), ", "))
	return created(identityChallenge{
		ChallengeID: ch.id, IdentityRef: identity.ref(), Message: ch.message, ExpiresAt: stamp(ch.expires),
		VerificationMethod: "eip191", ControllerAddresses: identity.controllerTexts(),
	})
}

// proveIdentity checks the proof of a write to a machine and returns the record to store. The challenge is consumed by commit, once
// nothing else stands against the write.
func (m *Market) proveIdentity(identity *Identity, p *signedProof) (record identityProof, commit func(), err error) {
	if p == nil {
		return identityProof{}, nil, refuse(codeIdentityRequired, "identityProof is missing")
	}
	ch, signer, fault := m.verify(*p, binding{identity: identity.ref()})
	switch {
	case fault == proofExpired:
		return identityProof{}, nil, refuse(codeIdentityExpired, "the identity challenge is past its expiry")
	case fault == proofInvalid || !slices.Contains(identity.Controllers, signer):
		return identityProof{}, nil, refuse(codeIdentityInvalid, "the identity proof is not a controller's signature of an unused challenge")
	}
	return identityProof{
		Method: "eip191", IdentityRef: identity.ref(), SignerAddress: signer.Hex(), ChallengeID: ch.id, VerifiedAt: stamp(m.now()),
		ChallengeExpiresAt: stamp(ch.expires), ControllerAddresses: identity.controllerTexts(), ResolutionSource: "peaqos-mcr",
	}, func() { ch.used = true }, nil
}

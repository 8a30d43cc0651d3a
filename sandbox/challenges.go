// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"errors"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/accounts"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/crypto"
)

// challenge is a text to sign, bound to what it may prove. It serves one success.
type challenge struct {
	id      string
	binding binding
	message string
	expires time.Time
	used    bool
}

// binding is what a challenge is about; it is compared whole. An identity challenge sets the identity alone.
type binding struct {
	machineID, identity, address, did, provider, role string
}

// signedProof is how a client answers a challenge.
type signedProof struct {
	ChallengeID string `json:"challengeId"`
	Signature   string `json:"signature"`
}

func (m *Market) newChallenge(b binding, lines ...string) *challenge {
	now := m.now()
	ch := &challenge{id: m.ids.next("chal"), binding: b, expires: now.Add(m.opt.ChallengeTTL)}
	lines = append(lines, "Nonce: "+m.nonce(), "Issued at: "+stamp(now), "Expires at: "+stamp(ch.expires))
	ch.message = strings.Join(lines, "\n")
	m.challenges[ch.id] = ch
	m.forgetChallenges(now)
	return ch
}

// forgetChallenges drops those that are long past their time; what is younger must still answer "expired".
func (m *Market) forgetChallenges(now time.Time) {
	if len(m.challenges)%256 != 0 {
		return
	}
	for id, ch := range m.challenges {
		if now.Sub(ch.expires) > time.Hour {
			delete(m.challenges, id)
		}
	}
}

// proofFault says why a proof does not hold.
type proofFault int

const (
	proofHolds proofFault = iota
	proofInvalid
	proofExpired
)

// verify checks a proof of an unused challenge with the given binding and returns who signed it.
func (m *Market) verify(p signedProof, b binding) (*challenge, common.Address, proofFault) {
	ch, known := m.challenges[p.ChallengeID]
	if !known || ch.used || ch.binding != b {
		return nil, common.Address{}, proofInvalid
	}
	if !m.now().Before(ch.expires) {
		return nil, common.Address{}, proofExpired
	}
	signer, err := recoverText(ch.message, p.Signature)
	if err != nil {
		return nil, common.Address{}, proofInvalid
	}
	return ch, signer, proofHolds
}

// recoverText returns the signer of an EIP-191 personal message.
func recoverText(message, signature string) (common.Address, error) {
	raw, err := hexutil.Decode(signature)
	if err != nil {
		return common.Address{}, err
	}
	return recoverSigner(accounts.TextHash([]byte(message)), raw)
}

// recoverSigner returns the signer of a digest; the signature has 65 bytes with v 27 or 28.
func recoverSigner(digest, signature []byte) (common.Address, error) {
	if len(signature) != crypto.SignatureLength || signature[64] < 27 || signature[64] > 28 {
		return common.Address{}, errors.New("not a signature of 65 bytes with v 27 or 28")
	}
	raw := append([]byte{}, signature...)
	raw[64] -= 27
	key, err := crypto.SigToPub(digest, raw)
	if err != nil {
		return common.Address{}, err
	}
	return crypto.PubkeyToAddress(*key), nil
}

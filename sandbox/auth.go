// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"crypto/subtle"
	"errors"

	"github.com/golang-jwt/jwt/v5"
)

// admit checks the secrets of a call, and in strict mode its form.
func (m *Market) admit(op operation, c *call) error {
	if m.opt.Strict && c.claimsJSON() {
		return invalid("content-type says JSON, but there is no body")
	}
	token := c.r.Header.Get(tokenHeader)
	switch {
	case op.access == accessNone:
		return nil
	case op.access == accessPlatform, op.access == accessEither && token == "":
		return m.checkKey(c, true)
	}
	if err := m.checkKey(c, m.opt.Strict); err != nil {
		return err
	}
	if token == "" {
		return refuse(codeAgentAuthRequired, "the header x-agent-pairing-token is missing")
	}
	p, err := m.checkToken(token)
	if err != nil {
		return err
	}
	c.pairing = p
	return nil
}

func (m *Market) checkKey(c *call, demanded bool) error {
	if m.opt.OpenPlatform {
		return nil
	}
	key := c.r.Header.Get(keyHeader)
	switch {
	case key == "" && demanded:
		return refuse(codeAuthRequired, "the header x-api-key is missing")
	case key != "" && subtle.ConstantTimeCompare([]byte(key), []byte(m.opt.APIKey)) != 1:
		return refuse(codeAuthInvalid, "the platform key is wrong")
	}
	return nil
}

// claims are what a pairing token says.
type claims struct {
	MachineID    string `json:"machineId"`
	PairingID    string `json:"pairingId"`
	SessionID    string `json:"sessionId"`
	AgentAddress string `json:"agentAddress"`
	AgentDID     string `json:"agentDid"`
	PolicyHash   string `json:"delegationPolicyHash"`
	jwt.RegisteredClaims
}

// checkToken returns the pairing that a token stands for: signed by us, not expired, of an active pairing, of its newest session
// and of its policy as it is now.
func (m *Market) checkToken(token string) (*pairing, error) {
	var said claims
	_, err := jwt.ParseWithClaims(token, &said, func(*jwt.Token) (any, error) { return m.signKey, nil },
		jwt.WithValidMethods([]string{"HS256"}), jwt.WithExpirationRequired(), jwt.WithTimeFunc(m.now))
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return nil, refuse(codeAgentAuthExpired, "the pairing token is past its expiry")
	case err != nil:
		return nil, refuse(codeAgentAuthInvalid, "the pairing token is not one of this market")
	}
	p, known := m.pairings.get(said.PairingID)
	if !known {
		return nil, refuse(codeAgentAuthInvalid, "the pairing token names no pairing")
	}
	if p.status != "active" {
		return nil, refuse(codePairingInactive, "the pairing is %s", p.status)
	}
	if said.SessionID != p.session.id {
		return nil, refuse(codeAgentAuthInvalid, "the pairing token was replaced by a newer session")
	}
	if said.PolicyHash != p.policyHash() {
		return nil, refuse(codeAgentAuthInvalid, "the delegation policy changed since the pairing token was made")
	}
	return p, nil
}

// issue makes the token of a new session and returns it.
func (m *Market) issue(p *pairing) (string, error) {
	now := m.now()
	s := session{id: m.ids.next("sess"), tokenID: m.nonce(), issued: now, expires: now.Add(m.opt.SessionTTL).Truncate(jwt.TimePrecision)}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims{
		MachineID: p.machineID, PairingID: p.id, SessionID: s.id, AgentAddress: p.address.Hex(), AgentDID: p.did,
		PolicyHash: p.policyHash(),
		RegisteredClaims: jwt.RegisteredClaims{
			ID: s.tokenID, IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(s.expires),
		},
	}).SignedString(m.signKey)
	if err != nil {
		return "", err
	}
	s.lastFour = token[len(token)-4:]
	p.session = s
	return token, nil
}

// names checks that a body speaks of the pairing that its token stands for. With demanded, saying nothing is refused.
func (c *call) names(machineID, pairingID string, demanded bool) error {
	if machineID != "" && machineID != c.pairing.machineID {
		return refuse(codeAgentAuthInvalid, "the pairing token is for another machine")
	}
	if pairingID == "" && !demanded {
		return nil
	}
	if pairingID != c.pairing.id {
		return refuse(codePairingRequired, "agentPairingId must name the pairing of the token")
	}
	return nil
}

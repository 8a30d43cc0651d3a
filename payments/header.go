// SPDX-License-Identifier: Apache-2.0

package payments

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/wallet"
)

// HeaderName is the HTTP header in which the Market hands a payment signature to
// the seller.
const HeaderName = "PAYMENT-SIGNATURE"

// nonceOf derives the one nonce under which a purchase can pay, so that however
// often it is signed at most one authorisation can settle.
func nonceOf(signer common.Address, id policy.PurchaseID) [32]byte {
	h := sha256.New()
	h.Write([]byte("agentd x402 v1\n"))
	h.Write(signer[:])
	h.Write([]byte(id))
	return [32]byte(h.Sum(nil))
}

// buildHeader writes the header value for a signed authorisation: base64 of the
// payload, members in the order in which the x402 library writes them.
func buildHeader(c *Challenge, e *Entry, a *wallet.Authorization, signature [65]byte) []byte {
	b := make([]byte, 0, 1024+len(e.Raw)+len(c.resource)+len(c.extensions))
	b = append(b, `{"x402Version":2,"payload":{"authorization":{"from":"`...)
	b = append(b, a.From.Hex()...)
	b = append(b, `","to":"`...)
	b = append(b, e.payTo...)
	b = append(b, `","value":"`...)
	b = append(b, a.Value.String()...)
	b = append(b, `","validAfter":"`...)
	b = strconv.AppendUint(b, a.ValidAfter, 10)
	b = append(b, `","validBefore":"`...)
	b = strconv.AppendUint(b, a.ValidBefore, 10)
	b = append(b, `","nonce":"0x`...)
	b = hex.AppendEncode(b, a.Nonce[:])
	b = append(b, `"},"signature":"0x`...)
	b = hex.AppendEncode(b, signature[:])
	b = append(b, `"},"accepted":`...)
	b = append(b, e.Raw...)
	if c.resource != nil {
		b = append(append(b, `,"resource":`...), c.resource...)
	}
	if c.extensions != nil {
		b = append(append(b, `,"extensions":`...), c.extensions...)
	}
	b = append(b, '}')
	return base64.StdEncoding.AppendEncode(nil, b)
}

// referenceOf returns the name that peaqOS gives to a header value.
func referenceOf(network string, header []byte) string {
	sum := sha256.Sum256(header)
	return "x402:" + network + ":" + hex.EncodeToString(sum[:12])
}

// storedHeader is what a stored header value says.
type storedHeader struct {
	network, asset string
	token, payee   common.Address
	amount         money.Amount
	nonce          [32]byte
}

// readHeader decodes a header value that this package built.
func readHeader(header []byte) (storedHeader, error) {
	doc, err := base64.StdEncoding.DecodeString(string(header))
	if err != nil {
		return storedHeader{}, errors.New("stored payment signature is not base64")
	}
	var p struct {
		Payload struct {
			Authorization struct {
				To    common.Address `json:"to"`
				Value string         `json:"value"`
				Nonce common.Hash    `json:"nonce"`
			} `json:"authorization"`
		} `json:"payload"`
		Accepted struct {
			Network string `json:"network"`
			Asset   string `json:"asset"`
		} `json:"accepted"`
	}
	if err := json.Unmarshal(doc, &p); err != nil || !common.IsHexAddress(p.Accepted.Asset) {
		return storedHeader{}, errors.New("stored payment signature is not a payment payload")
	}
	s := storedHeader{
		network: p.Accepted.Network, asset: p.Accepted.Asset, token: common.HexToAddress(p.Accepted.Asset),
		payee: p.Payload.Authorization.To, nonce: p.Payload.Authorization.Nonce,
	}
	if s.amount, err = money.ParseBase(p.Payload.Authorization.Value); err != nil {
		return storedHeader{}, fmt.Errorf("stored payment signature: %w", err)
	}
	return s, nil
}

// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"encoding/base64"
	"encoding/json"
	"math/big"
	"strings"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/common/math"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/agentd-project/agentd/sandbox/chain"
)

const x402Header = "PAYMENT-SIGNATURE"

// x402Entry is one way to pay, in a challenge and again in its payment.
type x402Entry struct {
	Scheme            string            `json:"scheme"`
	Network           string            `json:"network"`
	Amount            string            `json:"amount"`
	Asset             string            `json:"asset"`
	PayTo             string            `json:"payTo"`
	MaxTimeoutSeconds int               `json:"maxTimeoutSeconds"`
	Extra             map[string]string `json:"extra"`
}

type x402Challenge struct {
	X402Version int               `json:"x402Version"`
	Error       string            `json:"error"`
	Resource    map[string]string `json:"resource"`
	Accepts     []*x402Entry      `json:"accepts"`
}

// x402Payload is what a payment header holds.
type x402Payload struct {
	X402Version int        `json:"x402Version"`
	Accepted    *x402Entry `json:"accepted"`
	Payload     struct {
		Authorization struct {
			From        string `json:"from"`
			To          string `json:"to"`
			Value       string `json:"value"`
			ValidAfter  string `json:"validAfter"`
			ValidBefore string `json:"validBefore"`
			Nonce       string `json:"nonce"`
		} `json:"authorization"`
		Signature string `json:"signature"`
	} `json:"payload"`
}

// x402Payment is an authorisation that was accepted as a payment, and the transaction that settled it.
type x402Payment struct {
	header  string
	auth    chain.Authorization
	settled common.Hash
}

func (m *Market) entryFor(o *order) *x402Entry {
	return &x402Entry{Scheme: "exact", Network: m.chain.CAIP2(), Amount: o.payment.due.String(), Asset: m.chain.Token().Hex(),
		PayTo: o.service.Payee.Hex(), MaxTimeoutSeconds: o.service.timeoutSeconds(),
		Extra: map[string]string{"name": chain.TokenName, "version": chain.TokenVersion}}
}

func challengeText(o *order, entry *x402Entry) string {
	text, err := json.Marshal(x402Challenge{X402Version: 2, Error: "payment required", Accepts: []*x402Entry{entry},
		Resource: map[string]string{"url": "https://provider.example/" + o.service.ProviderKey, "description": o.service.Description,
			"mimeType": "application/json"}})
	if err != nil {
		return ""
	}
	return base64.StdEncoding.EncodeToString(text)
}

// deadAuthorization says that a held x402 payment can never be settled any more, so that another may take its place.
func (m *Market) deadAuthorization(p *payment) bool {
	return p.status == "held" && p.paid.header != "" && p.paid.settled == (common.Hash{}) &&
		big.NewInt(m.now().Unix()).Cmp(p.paid.auth.ValidBefore) >= 0
}

// proveAuthorization takes a signed payment header as the proof of an x402 payment.
func (m *Market) proveAuthorization(c *call, o *order, body proofBody) error {
	p := o.payment
	header := body.Payment.PaymentSignature
	if p.paid.header == header {
		return nil
	}
	auth, err := m.readHeader(p, header)
	if err != nil {
		return err
	}
	key := "x402:" + strings.ToLower(auth.From.Hex()) + ":" + hexutil.Encode(auth.Nonce[:])
	if fresh, err := m.freshAuthorization(o, key); err != nil || !fresh {
		return err
	}
	var used bool
	m.outside(func() { used, err = m.chain.AuthorizationState(c.ctx, auth.From, auth.Nonce) })
	switch {
	case err != nil:
		return refuse(codeRPCError, "the RPC failed")
	case used:
		return invalid("the authorisation's nonce is used")
	}
	if fresh, err := m.freshAuthorization(o, key); err != nil || !fresh {
		return err
	}
	p.paid = x402Payment{header: header, auth: auth}
	metadata := marshalable(body.Metadata)
	metadata["network"], metadata["headerName"] = p.offer.Network, x402Header
	if body.PaymentReference != "" {
		metadata["paymentReference"] = body.PaymentReference
	}
	m.hold(o, key, &proofRecord{Chain: p.offer.Network, Token: tokenSymbol, PayerAddress: auth.From.Hex(), VerifiedAt: stamp(m.now()),
		VerificationMode: "recorded", Metadata: metadata})
	m.journal.state("x402.authorized", o.id, map[string]any{"from": auth.From.Hex(), "nonce": hexutil.Encode(auth.Nonce[:]),
		"value": auth.Value.String(), "validBefore": auth.ValidBefore.String()})
	return nil
}

// freshAuthorization is freshProof, but for a dead authorisation that is signed again under its own nonce.
func (m *Market) freshAuthorization(o *order, key string) (bool, error) {
	if o.payment.reference == key {
		if m.deadAuthorization(o.payment) {
			return true, nil
		}
		return false, conflict("the payment is %s, with another authorisation of the same nonce", o.payment.status)
	}
	return m.freshProof(o, key)
}

// readHeader decodes a payment header and checks all in it that needs no chain.
func (m *Market) readHeader(p *payment, header string) (chain.Authorization, error) {
	var auth chain.Authorization
	text, err := base64.StdEncoding.DecodeString(header)
	if err != nil {
		return auth, invalid("paymentSignature is not base64")
	}
	var said x402Payload
	if err := json.Unmarshal(text, &said); err != nil {
		return auth, invalid("paymentSignature holds no x402 payment")
	}
	entry, want := said.Accepted, p.offer
	if said.X402Version != 2 || entry == nil || entry.Scheme != want.Scheme || entry.Network != want.Network ||
		!strings.EqualFold(entry.Asset, want.Asset) || !strings.EqualFold(entry.PayTo, want.PayTo) || entry.Amount != want.Amount {
		return auth, invalid("the payment accepts other terms than the challenge")
	}
	if auth, err = said.authorization(); err != nil {
		return auth, err
	}
	due, now := p.due.Big(), big.NewInt(m.now().Unix())
	switch {
	case !strings.EqualFold(auth.To.Hex(), want.PayTo):
		return auth, invalid("the authorisation pays somebody else")
	case auth.Value.Cmp(due) < 0:
		return auth, invalid("the authorisation is of %s base units, %s are due", auth.Value, due)
	case auth.ValidAfter.Cmp(now) > 0 || auth.ValidBefore.Cmp(now) <= 0:
		return auth, invalid("the authorisation is not valid now")
	}
	signer, err := recoverSigner(m.digest(auth), auth.Signature)
	if err != nil || signer != auth.From {
		return auth, invalid("the authorisation is not signed by its payer")
	}
	return auth, nil
}

func (s x402Payload) authorization() (chain.Authorization, error) {
	var auth chain.Authorization
	raw := s.Payload.Authorization
	var err error
	if auth.From, err = parseAddress("authorization.from", raw.From); err != nil {
		return auth, err
	}
	if auth.To, err = parseAddress("authorization.to", raw.To); err != nil {
		return auth, err
	}
	for _, number := range []struct {
		to   **big.Int
		text string
	}{{&auth.Value, raw.Value}, {&auth.ValidAfter, raw.ValidAfter}, {&auth.ValidBefore, raw.ValidBefore}} {
		value, read := new(big.Int).SetString(number.text, 10)
		if !read || value.Sign() < 0 || value.BitLen() > 256 {
			return auth, invalid("the numbers of an authorisation are decimal strings of 256 bits")
		}
		*number.to = value
	}
	nonce, err := hexutil.Decode(raw.Nonce)
	if err != nil || len(nonce) != 32 {
		return auth, invalid("authorization.nonce must be 32 bytes of hex")
	}
	copy(auth.Nonce[:], nonce)
	if auth.Signature, err = hexutil.Decode(s.Payload.Signature); err != nil {
		return auth, invalid("the signature must be hex")
	}
	return auth, nil
}

const (
	domainType   = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
	transferType = "TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
)

// digest is what a payer signs: EIP-712 over the message of EIP-3009.
func (m *Market) digest(a chain.Authorization) []byte {
	hash := crypto.Keccak256
	domain := hash(hash([]byte(domainType)), hash([]byte(chain.TokenName)), hash([]byte(chain.TokenVersion)),
		word(new(big.Int).SetUint64(m.chain.ID())), common.LeftPadBytes(m.chain.Token().Bytes(), 32))
	message := hash(hash([]byte(transferType)), common.LeftPadBytes(a.From.Bytes(), 32), common.LeftPadBytes(a.To.Bytes(), 32),
		word(a.Value), word(a.ValidAfter), word(a.ValidBefore), a.Nonce[:])
	return hash([]byte("\x19\x01"), domain, message)
}

func word(n *big.Int) []byte { return math.U256Bytes(new(big.Int).Set(n)) }

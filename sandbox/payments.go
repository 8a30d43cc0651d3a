// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"encoding/json"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"time"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/sandbox/chain"
)

const tokenSymbol = chain.TokenName

// payment is the payment record of an order; it begins with the intent.
type payment struct {
	id, orderID, machineID, status string
	rail                           railRecord
	amount                         money.Value
	due                            money.Amount // in base units of the token
	currency                       string
	proof                          *proofRecord
	created, updated               time.Time
	offer                          *x402Entry // what an x402 authorisation must satisfy
	paid                           x402Payment
	reference                      string // what was proved with: the hash or the header
	locked                         bool   // the chain shows a lock in the escrow contract
}

type railRecord struct {
	Type            string         `json:"type"`
	Chain           string         `json:"chain,omitempty"`
	Token           string         `json:"token,omitempty"`
	TokenAddress    string         `json:"tokenAddress,omitempty"`
	TokenMint       string         `json:"tokenMint,omitempty"`
	EscrowAddress   string         `json:"escrowAddress,omitempty"`
	ExternalURL     string         `json:"externalUrl,omitempty"`
	Provider        string         `json:"provider,omitempty"`
	AccountID       string         `json:"accountId,omitempty"`
	WalletAddress   string         `json:"walletAddress,omitempty"`
	PayerAddress    string         `json:"payerAddress,omitempty"`
	PayeeAddress    string         `json:"payeeAddress,omitempty"`
	PaymentIntentID string         `json:"paymentIntentId,omitempty"`
	Metadata        map[string]any `json:"metadata"`
}

type paymentRecord struct {
	ID        string       `json:"id"`
	OrderID   string       `json:"orderId"`
	MachineID string       `json:"machineId"`
	Status    string       `json:"status"`
	Rail      railRecord   `json:"rail"`
	Amount    decimal      `json:"amount"`
	Currency  string       `json:"currency"`
	Notes     []string     `json:"notes"`
	Proof     *proofRecord `json:"proof"`
	CreatedAt string       `json:"createdAt"`
	UpdatedAt string       `json:"updatedAt"`
}

type proofRecord struct {
	Chain            string         `json:"chain,omitempty"`
	Token            string         `json:"token,omitempty"`
	TransactionHash  string         `json:"transactionHash,omitempty"`
	PayerAddress     string         `json:"payerAddress,omitempty"`
	VerifiedAt       string         `json:"verifiedAt"`
	VerificationMode string         `json:"verificationMode"`
	Metadata         map[string]any `json:"metadata"`
}

func (p *payment) record() paymentRecord {
	return paymentRecord{ID: p.id, OrderID: p.orderID, MachineID: p.machineID, Status: p.status, Rail: p.rail, Amount: decimal(p.amount),
		Currency: p.currency, Notes: []string{"send the exact amount"}, Proof: p.proof, CreatedAt: stamp(p.created), UpdatedAt: stamp(p.updated)}
}

func (p *payment) recordOrNil() *paymentRecord {
	if p == nil {
		return nil
	}
	r := p.record()
	return &r
}

// move brings the payment of an order to a state.
func (m *Market) move(o *order, status string) {
	o.payment.status, o.payment.updated = status, m.now()
	m.record("market", "payment."+status, "payment", o.payment.id, o.machineID, map[string]any{"orderId": o.id, "status": status,
		"rail": o.payment.rail.Type})
}

// hold marks a payment as proved, with what proved it, which serves no other order.
func (m *Market) hold(o *order, reference string, proof *proofRecord) {
	o.payment.reference, o.payment.proof = reference, proof
	m.hashes[reference] = o.id
	m.journal.state("payment.proof", o.payment.id, map[string]any{"orderId": o.id, "transaction": proof.TransactionHash})
	m.move(o, "held")
	if o.status == "created" || o.status == "payment_pending" {
		m.enter(o, "ready", "market")
	}
}

type intentBody struct {
	Rail     *railRecord `json:"rail"`
	Amount   *decimal    `json:"amount"`
	Currency *string     `json:"currency"`
}

func (m *Market) createIntent(c *call) (answer, error) {
	o, err := m.openOrder(c)
	if err != nil {
		return answer{}, err
	}
	var body intentBody
	if err := c.decode(&body); err != nil {
		return answer{}, err
	}
	if o.payment != nil {
		return okItem(o.payment.record())
	}
	var asked railRecord
	if body.Rail != nil {
		asked = *body.Rail
	}
	setText(&asked.Type, o.terms.DefaultRail)
	if !slices.Contains(o.terms.SupportedRails, asked.Type) {
		return answer{}, invalid("rail %q is none of those that the service supports", clip(asked.Type, 40))
	}
	p := &payment{id: m.ids.next("pay"), orderID: o.id, machineID: o.machineID, amount: o.price, currency: o.service.Currency,
		created: m.now(), updated: m.now()}
	if p.rail, err = m.railOf(o, asked); err != nil {
		return answer{}, err
	}
	if p.due, err = money.AmountOf(o.price, chain.TokenDecimals); err != nil {
		return answer{}, err
	}
	o.payment = p
	if asked.Type == "not-required" {
		m.move(o, "not_required")
		m.enter(o, "ready", "market")
		return created(p.record())
	}
	m.describe(o)
	m.move(o, "intent_created")
	m.enter(o, "payment_pending", "market")
	return created(p.record())
}

// railOf fills in the terms of the service: the client chooses the rail and names itself, it does not choose whom it pays.
func (m *Market) railOf(o *order, asked railRecord) (railRecord, error) {
	r := railRecord{Type: asked.Type, Provider: o.terms.Provider, AccountID: asked.AccountID, PaymentIntentID: asked.PaymentIntentID,
		PayerAddress: asked.PayerAddress, TokenMint: asked.TokenMint, Metadata: map[string]any{}}
	maps.Copy(r.Metadata, asked.Metadata)
	if !onToken(r.Type) {
		r.ExternalURL = o.terms.ExternalURL
		return r, nil
	}
	for member, text := range map[string]string{"payerAddress": asked.PayerAddress, "payeeAddress": asked.PayeeAddress,
		"walletAddress": asked.WalletAddress, "escrowAddress": asked.EscrowAddress, "tokenAddress": asked.TokenAddress} {
		if text != "" {
			if _, err := parseAddress("rail."+member, text); err != nil {
				return r, err
			}
		}
	}
	setText(&r.PayerAddress, o.terms.PayerAddress)
	r.Chain, r.Token, r.TokenAddress = m.chain.CAIP2(), tokenSymbol, m.chain.Token().Hex()
	r.PayeeAddress, r.WalletAddress = o.service.Payee.Hex(), o.terms.WalletAddress
	if isEscrow(r.Type) {
		r.EscrowAddress = m.escrowOf(o.service).Hex()
	}
	return r, nil
}

// describe puts the exact amount, and for x402 the challenge, into the metadata.
func (m *Market) describe(o *order) {
	p := o.payment
	if !onToken(p.rail.Type) {
		return
	}
	p.rail.Metadata["rawAmount"] = p.due.String()
	p.rail.Metadata["tokenDecimals"] = chain.TokenDecimals
	if p.rail.Type == "x402" {
		p.offer = m.entryFor(o)
		p.rail.Metadata["paymentRequest"] = map[string]any{"paymentRequired": challengeText(o, p.offer), "statusCode": http.StatusPaymentRequired}
	}
}

func (m *Market) getPayment(c *call) (answer, error) {
	o, err := m.orderOf(c)
	if err != nil {
		return answer{}, err
	}
	return okItem(o.payment.recordOrNil())
}

// paymentOf returns the order of a call with its payment, which must be there.
func (m *Market) paymentOf(c *call, find func(*call) (*order, error)) (*order, error) {
	o, err := find(c)
	if err != nil {
		return nil, err
	}
	if o.payment == nil {
		return nil, notFound("payment of order", o.id)
	}
	return o, nil
}

var transactionHash = regexp.MustCompile(`^0x[0-9a-fA-F]{64}$`)

// freshProof says whether a proof is new to an order that waits for one. The same proof again is not; any other is refused.
func (m *Market) freshProof(o *order, reference string) (bool, error) {
	p := o.payment
	switch {
	case p.reference == reference:
		return false, nil
	case p.status != "intent_created" && !m.deadAuthorization(p):
		return false, conflict("the payment is %s, with another proof or none", p.status)
	}
	if other, used := m.hashes[reference]; used && other != o.id {
		return false, invalid("this proof already pays another order")
	}
	return true, nil
}

// marshalable keeps a client's metadata as it came.
func marshalable(metadata map[string]json.RawMessage) map[string]any {
	out := map[string]any{}
	for k, v := range metadata {
		out[k] = v
	}
	return out
}

// SPDX-License-Identifier: Apache-2.0

package orchestration

import (
	"context"
	"encoding/json"
	"errors"
)

// Payment is the payment record of an order. Amount is decimal text in token
// units and empty if the server named none; the exact base units, where the
// server has them, are rawAmount and tokenDecimals in Rail.Metadata.
type Payment struct {
	ID        string          `json:"id" need:"text"`
	OrderID   string          `json:"orderId" need:"present"`
	MachineID string          `json:"machineId" need:"present"`
	Status    PaymentStatus   `json:"status" need:"text"`
	Rail      Rail            `json:"rail" need:"value"`
	Amount    json.Number     `json:"amount"`
	Currency  string          `json:"currency"`
	Notes     []string        `json:"notes"`
	Proof     *PaymentProof   `json:"proof"`
	CreatedAt Timestamp       `json:"createdAt" need:"present"`
	UpdatedAt Timestamp       `json:"updatedAt" need:"present"`
	Raw       json.RawMessage `json:"-"`
}

// Rail is the way a payment goes, and its parties.
type Rail struct {
	Type            RailType `json:"type" alt:"railType" need:"text"`
	Chain           string   `json:"chain"`
	Token           string   `json:"token"`
	TokenAddress    string   `json:"tokenAddress"`
	TokenMint       string   `json:"tokenMint"`
	EscrowAddress   string   `json:"escrowAddress"`
	ExternalURL     string   `json:"externalUrl"`
	Provider        string   `json:"provider"`
	AccountID       string   `json:"accountId"`
	WalletAddress   string   `json:"walletAddress"`
	PayerAddress    string   `json:"payerAddress"`
	PayeeAddress    string   `json:"payeeAddress"`
	PaymentIntentID string   `json:"paymentIntentId"`
	// Metadata is an object of the server's, untouched. The x402 challenge is here.
	Metadata json.RawMessage `json:"metadata"`
	Raw      json.RawMessage `json:"-"`
}

// PaymentProof is what the server knows of how a payment was made.
type PaymentProof struct {
	Chain            string           `json:"chain"`
	Token            string           `json:"token"`
	TransactionHash  string           `json:"transactionHash"`
	PayerAddress     string           `json:"payerAddress"`
	VerifiedAt       Timestamp        `json:"verifiedAt"`
	VerificationMode VerificationMode `json:"verificationMode"`
	Metadata         *ProofMetadata   `json:"metadata"`
	Raw              json.RawMessage  `json:"-"`
}

// ProofMetadata is the x402 side of a [PaymentProof].
type ProofMetadata struct {
	Network           string          `json:"network"`
	HeaderName        string          `json:"headerName"`
	PaymentSettlement *Settlement     `json:"paymentSettlement"`
	Raw               json.RawMessage `json:"-"`
}

// Settlement is the settled x402 receipt.
type Settlement struct {
	Status       string          `json:"status"`
	Response     json.RawMessage `json:"response"`
	PayerAddress string          `json:"payerAddress"`
}

// PaymentIntentRequest says how the buyer wants to pay. It may be empty.
type PaymentIntentRequest struct {
	Rail     *RailRequest `json:"rail,omitzero"`
	Amount   json.Number  `json:"amount,omitzero"`
	Currency string       `json:"currency,omitzero"`
}

// RailRequest is the rail of a [PaymentIntentRequest].
type RailRequest struct {
	Type            RailType        `json:"type,omitzero"`
	Chain           string          `json:"chain,omitzero"`
	Token           string          `json:"token,omitzero"`
	TokenAddress    string          `json:"tokenAddress,omitzero"`
	TokenMint       string          `json:"tokenMint,omitzero"`
	EscrowAddress   string          `json:"escrowAddress,omitzero"`
	ExternalURL     string          `json:"externalUrl,omitzero"`
	Provider        string          `json:"provider,omitzero"`
	AccountID       string          `json:"accountId,omitzero"`
	WalletAddress   string          `json:"walletAddress,omitzero"`
	PayerAddress    string          `json:"payerAddress,omitzero"`
	PayeeAddress    string          `json:"payeeAddress,omitzero"`
	PaymentIntentID string          `json:"paymentIntentId,omitzero"`
	Metadata        json.RawMessage `json:"metadata,omitzero"` // an object
}

// PaymentProofRequest proves a transfer, on an EVM chain by TransactionHash or on
// Solana by TransactionSignature. Chain is CAIP-2, Token a symbol, Amount decimal
// text in token units, RawAmount the same in base units.
type PaymentProofRequest struct {
	VerificationMode     VerificationMode `json:"verificationMode"`
	Chain                string           `json:"chain"`
	Token                string           `json:"token"`
	PayerAddress         string           `json:"payerAddress"`
	PayeeAddress         string           `json:"payeeAddress"`
	Amount               string           `json:"amount"`
	TransactionHash      string           `json:"transactionHash,omitzero"`
	TransactionSignature string           `json:"transactionSignature,omitzero"`
	TokenAddress         string           `json:"tokenAddress,omitzero"`
	TokenMint            string           `json:"tokenMint,omitzero"`
	TokenDecimals        *int             `json:"tokenDecimals,omitzero"`
	RawAmount            string           `json:"rawAmount,omitzero"`
	Metadata             json.RawMessage  `json:"metadata,omitzero"` // an object
}

// X402ProofRequest hands over a signed x402 authorization.
type X402ProofRequest struct {
	PaymentSignature Secret          `json:"-"` // the header value; sent as payment.paymentSignature
	PaymentReference string          `json:"paymentReference,omitzero"`
	Metadata         json.RawMessage `json:"metadata,omitzero"` // an object
}

// EscrowLockRequest records a locked escrow. All members are required.
type EscrowLockRequest struct {
	TransactionHash string `json:"transactionHash"`
	Chain           string `json:"chain"`
	EscrowAddress   string `json:"escrowAddress"`
}

// ReleaseRequest is the optional body of a release.
type ReleaseRequest struct {
	TransactionHash string `json:"transactionHash,omitzero"`
	Notes           string `json:"notes,omitzero"`
}

// RefundRequest is the optional body of a refund.
type RefundRequest struct {
	TransactionHash string `json:"transactionHash,omitzero"`
	Reason          string `json:"reason,omitzero"`
}

// GetPayment returns the payment record of an order
// (GET /market/orders/{orderId}/payment). It is nil, without an error, before the
// payment intent: servers say so by a null item or by [CodeNotFound].
func (c *Client) GetPayment(ctx context.Context, orderID string) (*Payment, error) {
	if err := notBlank("orderId", orderID); err != nil {
		return nil, err
	}
	var reply struct {
		Item *Payment `json:"item" need:"present"`
	}
	err := c.call(ctx, request{op: opGetPayment, path: joinPath("market", "orders", orderID, "payment")}, &reply)
	var api *APIError
	if errors.As(err, &api) && api.Code == CodeNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return reply.Item, nil
}

// CreatePaymentIntent makes or returns the payment record of an order
// (POST /market/orders/{orderId}/payment-intent). It is idempotent.
func (c *Client) CreatePaymentIntent(ctx context.Context, token Secret, orderID string, r PaymentIntentRequest) (*Payment, error) {
	if r.Rail != nil {
		if err := jsonObject("rail.metadata", r.Rail.Metadata); err != nil {
			return nil, err
		}
	}
	return c.pay(ctx, opCreatePaymentIntent, token, orderID, []string{"payment-intent"}, r)
}

// SubmitPaymentProof proves a transfer
// (POST /market/orders/{orderId}/payment-proof).
func (c *Client) SubmitPaymentProof(ctx context.Context, token Secret, orderID string, r PaymentProofRequest) (*Payment, error) {
	err := notBlank("verificationMode", string(r.VerificationMode), "chain", r.Chain,
		"payerAddress", r.PayerAddress, "payeeAddress", r.PayeeAddress, "amount", r.Amount)
	if err != nil {
		return nil, err
	}
	if err := jsonObject("metadata", r.Metadata); err != nil {
		return nil, err
	}
	return c.pay(ctx, opSubmitPaymentProof, token, orderID, []string{"payment-proof"}, r)
}

// SubmitX402Proof hands over a signed x402 authorization
// (POST /market/orders/{orderId}/payment-proof, x402 form).
func (c *Client) SubmitX402Proof(ctx context.Context, token Secret, orderID string, r X402ProofRequest) (*Payment, error) {
	if err := notBlank("payment.paymentSignature", r.PaymentSignature.Reveal()); err != nil {
		return nil, err
	}
	if err := jsonObject("metadata", r.Metadata); err != nil {
		return nil, err
	}
	body := struct {
		X402ProofRequest
		Payment paymentSignature `json:"payment"`
	}{r, paymentSignature{r.PaymentSignature.Reveal()}}
	return c.pay(ctx, opSubmitX402Proof, token, orderID, []string{"payment-proof"}, body, r.PaymentSignature)
}

// LockEscrow records that the funds are in escrow
// (POST /market/orders/{orderId}/payment/escrow-lock). It is idempotent.
func (c *Client) LockEscrow(ctx context.Context, token Secret, orderID string, r EscrowLockRequest) (*Payment, error) {
	if err := notBlank("transactionHash", r.TransactionHash, "chain", r.Chain, "escrowAddress", r.EscrowAddress); err != nil {
		return nil, err
	}
	return c.pay(ctx, opLockEscrow, token, orderID, []string{"payment", "escrow-lock"}, r)
}

// ReleasePayment releases a confirmed payment to the seller
// (POST /market/orders/{orderId}/payment/release). A nil request sends no body.
func (c *Client) ReleasePayment(ctx context.Context, token Secret, orderID string, r *ReleaseRequest) (*Payment, error) {
	return c.pay(ctx, opReleasePayment, token, orderID, []string{"payment", "release"}, optional(r))
}

// RefundPayment records that a payment went back
// (POST /market/orders/{orderId}/payment/refund). A nil request sends no body.
func (c *Client) RefundPayment(ctx context.Context, token Secret, orderID string, r *RefundRequest) (*Payment, error) {
	return c.pay(ctx, opRefundPayment, token, orderID, []string{"payment", "refund"}, optional(r))
}

// pay performs a write below an order that is answered with its payment record.
func (c *Client) pay(ctx context.Context, op operation, token Secret, orderID string, below []string, body any, secrets ...Secret) (*Payment, error) {
	if err := notBlank("orderId", orderID); err != nil {
		return nil, err
	}
	path := joinPath(append([]string{"market", "orders", orderID}, below...)...)
	return item[Payment](ctx, c, request{op: op, path: path, token: token, body: body, secrets: secrets})
}

// optional turns a nil pointer into no body at all.
func optional[T any](body *T) any {
	if body == nil {
		return nil
	}
	return body
}

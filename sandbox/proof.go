// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"encoding/json"
	"math/big"
	"strings"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/sandbox/chain"
)

type proofBody struct {
	VerificationMode     string                     `json:"verificationMode"`
	Chain                string                     `json:"chain"`
	Token                string                     `json:"token"`
	PayerAddress         string                     `json:"payerAddress"`
	PayeeAddress         string                     `json:"payeeAddress"`
	Amount               string                     `json:"amount"`
	TransactionHash      string                     `json:"transactionHash"`
	TransactionSignature string                     `json:"transactionSignature"`
	TokenAddress         string                     `json:"tokenAddress"`
	TokenMint            string                     `json:"tokenMint"`
	TokenDecimals        *uint8                     `json:"tokenDecimals"`
	RawAmount            string                     `json:"rawAmount"`
	Metadata             map[string]json.RawMessage `json:"metadata"`
	Payment              *executePayment            `json:"payment"`
	PaymentReference     string                     `json:"paymentReference"`
}

type executePayment struct {
	PaymentSignature string `json:"paymentSignature"`
}

func (m *Market) submitProof(c *call) (answer, error) {
	o, err := m.paymentOf(c, m.openOrder)
	if err != nil {
		return answer{}, err
	}
	var body proofBody
	if err := c.decode(&body); err != nil {
		return answer{}, err
	}
	rail := o.payment.rail.Type
	isX402 := body.Payment != nil && body.Payment.PaymentSignature != ""
	switch {
	case isX402 != (rail == "x402"):
		return answer{}, invalid("rail %s takes another form of proof", rail)
	case isX402:
		err = m.proveAuthorization(c, o, body)
	case isEscrow(rail) || rail == "vault-stripe" || rail == "xvv42" || rail == "mpp" || rail == "not-required":
		return answer{}, invalid("rail %s takes no proof of a transfer", rail)
	default:
		err = m.proveTransfer(c, o, body)
	}
	if err != nil {
		return answer{}, err
	}
	return okItem(o.payment.record())
}

// chainAliases are the names that the CLI knows for chains.
var chainAliases = map[string]string{"peaq": "eip155:3338", "agung": "eip155:9990", "base": "eip155:8453", "ethereum": "eip155:1",
	"eth": "eip155:1", "polygon": "eip155:137", "arbitrum": "eip155:42161", "optimism": "eip155:10", "bsc": "eip155:56",
	"solana": "solana:mainnet"}

func normalChain(name string) string {
	name = strings.ToLower(strings.TrimSpace(name))
	if full, isAlias := chainAliases[name]; isAlias {
		return full
	}
	return name
}

// hashKey is the form under which the Market remembers a transaction.
func hashKey(hash string) string { return "tx:" + strings.ToLower(hash) }

// proveTransfer takes the proof of a transfer that the buyer made.
func (m *Market) proveTransfer(c *call, o *order, body proofBody) error {
	if err := blank([2]string{"verificationMode", body.VerificationMode}, [2]string{"chain", body.Chain},
		[2]string{"payerAddress", body.PayerAddress}, [2]string{"payeeAddress", body.PayeeAddress}, [2]string{"amount", body.Amount}); err != nil {
		return err
	}
	if body.VerificationMode != "recorded" && body.VerificationMode != "rpc" {
		return invalid("verificationMode must be recorded or rpc")
	}
	p := o.payment
	hash, named := body.TransactionHash, normalChain(body.Chain)
	solana := strings.HasPrefix(named, "solana")
	if solana {
		setText(&hash, body.TransactionSignature)
	}
	switch {
	case hash == "":
		return invalid("transactionHash is missing")
	case !solana && !transactionHash.MatchString(hash):
		return invalid("transactionHash must be 0x and 64 hex digits")
	case p.rail.Chain != "" && named != p.rail.Chain:
		return invalid("chain is not that of the payment")
	}
	fresh, err := m.freshProof(o, hashKey(hash))
	if err != nil || !fresh {
		return err
	}
	mode := "recorded"
	if body.VerificationMode == "rpc" && !solana {
		if err := m.verifyTransfer(c, p, body); err != nil {
			return err
		}
		if fresh, err = m.freshProof(o, hashKey(hash)); err != nil || !fresh {
			return err
		}
		mode = "rpc"
		if p.rail.Type == "wallet" {
			p.rail.Type = "wdk-usdt-transfer"
		}
	}
	m.hold(o, hashKey(hash), &proofRecord{Chain: named, Token: body.Token, TransactionHash: hash, PayerAddress: body.PayerAddress,
		VerifiedAt: stamp(m.now()), VerificationMode: mode, Metadata: marshalable(body.Metadata)})
	return nil
}

// verifyTransfer looks the transaction up and finds in it the Transfer that the proof and the payment speak of.
func (m *Market) verifyTransfer(c *call, p *payment, body proofBody) error {
	if m.conditions.NoRPC || p.rail.Chain == "" {
		return refuse(codeRPCRequired, "no RPC is configured for this payment's chain")
	}
	payer, err := parseAddress("payerAddress", body.PayerAddress)
	if err != nil {
		return err
	}
	payee, err := parseAddress("payeeAddress", body.PayeeAddress)
	if err != nil {
		return err
	}
	if payee != common.HexToAddress(p.rail.PayeeAddress) || body.TokenAddress != "" && common.HexToAddress(body.TokenAddress) != m.chain.Token() {
		return invalid("payeeAddress or tokenAddress is not that of the payment")
	}
	raw, err := body.baseUnits()
	if err != nil {
		return err
	}
	receipt, err := m.minedReceipt(c, common.HexToHash(body.TransactionHash))
	switch {
	case err != nil:
		return err
	case !transfers(receipt.Logs, m.chain.Token(), payer, payee, raw.Big()):
		return refuse(codeTransferNotFound, "the transaction holds no such transfer")
	case raw.Cmp(p.due) != 0:
		return invalid("the transfer is of %s base units, %s are due", raw, p.due)
	}
	return nil
}

// baseUnits is the raw amount if it was sent, else the amount in token units.
func (b proofBody) baseUnits() (money.Amount, error) {
	decimals := uint8(chain.TokenDecimals)
	if b.TokenDecimals != nil {
		decimals = *b.TokenDecimals
	}
	raw, err := money.Parse(b.Amount, decimals)
	if b.RawAmount != "" {
		raw, err = money.ParseBase(b.RawAmount)
	}
	if err != nil {
		return raw, invalid("amount or rawAmount cannot be read")
	}
	return raw, nil
}

// transfers says whether the logs hold one ERC-20 Transfer of exactly this kind.
func transfers(logs []*types.Log, token, from, to common.Address, value *big.Int) bool {
	for _, l := range logs {
		if moved, ok := readTransfer(l, token); ok && moved.from == from && moved.to == to && moved.value.Cmp(value) == 0 {
			return true
		}
	}
	return false
}

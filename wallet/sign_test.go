// SPDX-License-Identifier: Apache-2.0

package wallet_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math/big"
	"strconv"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/common/math"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/signer/core/apitypes"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/wallet"
)

var (
	signedAt = time.Unix(1795507200, 0)
	usdc     = common.HexToAddress("0x036CbD53842c5426634e7929541eC2318f3dCF7e")
	payee    = common.HexToAddress("0x3333333333333333333333333333333333333333")
	other    = common.HexToAddress("0x4444444444444444444444444444444444444444")
)

func x402Terms() policy.Terms {
	return policy.Terms{
		Rail: policy.RailX402, Chain: "eip155:84532", Token: usdc, Symbol: "USDC", Decimals: 6, Payee: payee,
		Amount: money.FromUint64(10000), Deadline: signedAt.Add(300 * time.Second),
	}
}

func authorization(w *wallet.Wallet) wallet.Authorization {
	return wallet.Authorization{
		ChainID: 84532, Domain: wallet.Domain{Name: "USDC", Version: "2"}, Token: usdc, From: w.Address(), To: payee,
		Value: money.FromUint64(10000), ValidBefore: 1795507500, Nonce: [32]byte(bytes.Repeat([]byte{7}, 32)),
	}
}

func TestAuthorizationEqualsTheLibrarys(t *testing.T) {
	v, w := readVectors(t), vectorWallet(t)
	if w.Address() != v.Address {
		t.Fatalf("address %s, want %s", w.Address(), v.Address)
	}
	if got := wallet.DomainSeparator(wallet.Domain{Name: "USDC", Version: "2"}, 84532, usdc); got != v.X402.DomainSeparator {
		t.Errorf("domain separator %s, want %s", got, v.X402.DomainSeparator)
	}
	sig, err := w.SignAuthorization(grantFor(t, signedAt, x402Terms()), authorization(w))
	if err != nil {
		t.Fatal(err)
	}
	if got := hexutil.Encode(sig[:]); got != v.X402.Signature {
		t.Errorf("signature %s, want %s", got, v.X402.Signature)
	}
}

// The struct hash is written by hand; the generic one of apitypes must recover
// the same signer for any values.
func TestAuthorizationAgreesWithApitypes(t *testing.T) {
	w := vectorWallet(t)
	tests := []struct {
		name   string
		change func(*wallet.Authorization, *policy.Terms)
	}{
		{"vector", func(*wallet.Authorization, *policy.Terms) {}},
		{"large chain id", func(a *wallet.Authorization, m *policy.Terms) {
			a.ChainID, m.Chain = 1<<53, money.ChainID("eip155:"+strconv.FormatUint(1<<53, 10))
		}},
		{"largest amount per purchase", func(a *wallet.Authorization, m *policy.Terms) {
			a.Value = money.FromUint64(5_000_000)
			m.Amount = a.Value
		}},
		{"18 decimals", func(a *wallet.Authorization, m *policy.Terms) {
			a.Value, _ = money.ParseBase("4999999999999999999")
			m.Amount, m.Decimals = a.Value, 18
		}},
		{"long domain", func(a *wallet.Authorization, _ *policy.Terms) {
			a.Domain = wallet.Domain{Name: "A token with a name that is longer than one word of the encoding ü", Version: "1.0-ü"}
		}},
		{"not valid at once", func(a *wallet.Authorization, _ *policy.Terms) { a.ValidAfter = 1795507000 }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, terms := authorization(w), x402Terms()
			tt.change(&a, &terms)
			sig, err := w.SignAuthorization(grantFor(t, signedAt, terms), a)
			if err != nil {
				t.Fatal(err)
			}
			digest, _, err := apitypes.TypedDataAndHash(typedData(a))
			if err != nil {
				t.Fatal(err)
			}
			sig[64] -= 27
			key, err := crypto.SigToPub(digest, sig[:])
			if err != nil {
				t.Fatal(err)
			}
			if got := crypto.PubkeyToAddress(*key); got != w.Address() {
				t.Errorf("recovered %s, want %s", got, w.Address())
			}
		})
	}
}

func typedData(a wallet.Authorization) apitypes.TypedData {
	text := func(n uint64) string { return strconv.FormatUint(n, 10) }
	return apitypes.TypedData{
		Types: apitypes.Types{
			"EIP712Domain":              {{Name: "name", Type: "string"}, {Name: "version", Type: "string"}, {Name: "chainId", Type: "uint256"}, {Name: "verifyingContract", Type: "address"}},
			"TransferWithAuthorization": {{Name: "from", Type: "address"}, {Name: "to", Type: "address"}, {Name: "value", Type: "uint256"}, {Name: "validAfter", Type: "uint256"}, {Name: "validBefore", Type: "uint256"}, {Name: "nonce", Type: "bytes32"}},
		},
		PrimaryType: "TransferWithAuthorization",
		Domain: apitypes.TypedDataDomain{
			Name: a.Domain.Name, Version: a.Domain.Version, VerifyingContract: a.Token.Hex(),
			ChainId: (*math.HexOrDecimal256)(new(big.Int).SetUint64(a.ChainID)),
		},
		Message: apitypes.TypedDataMessage{
			"from": a.From.Hex(), "to": a.To.Hex(), "value": a.Value.String(),
			"validAfter": text(a.ValidAfter), "validBefore": text(a.ValidBefore), "nonce": a.Nonce[:],
		},
	}
}

func TestAuthorizationMustEqualTheGrant(t *testing.T) {
	w := vectorWallet(t)
	granted := grantFor(t, signedAt, x402Terms())
	tests := []struct {
		name   string
		change func(*wallet.Authorization)
		field  string
	}{
		{"chain", func(a *wallet.Authorization) { a.ChainID = 8453 }, "chain"},
		{"token", func(a *wallet.Authorization) { a.Token = other }, "token"},
		{"payee", func(a *wallet.Authorization) { a.To = other }, "payee"},
		{"one unit more", func(a *wallet.Authorization) { a.Value = money.FromUint64(10001) }, "amount"},
		{"one unit less", func(a *wallet.Authorization) { a.Value = money.FromUint64(9999) }, "amount"},
		{"signer", func(a *wallet.Authorization) { a.From = other }, "signer"},
		{"one second longer", func(a *wallet.Authorization) { a.ValidBefore++ }, "validBefore"},
		{"for ever", func(a *wallet.Authorization) { a.ValidBefore = 1<<64 - 1 }, "validAfter"},
		{"never valid", func(a *wallet.Authorization) { a.ValidAfter = a.ValidBefore }, "validAfter"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := authorization(w)
			tt.change(&a)
			sig, err := w.SignAuthorization(granted, a)
			var mismatch *wallet.GrantError
			if !errors.As(err, &mismatch) || mismatch.Field != tt.field {
				t.Errorf("error %v, want a mismatch of %s", err, tt.field)
			}
			if sig != [65]byte{} {
				t.Error("signed all the same")
			}
		})
	}
	t.Run("no grant", func(t *testing.T) {
		if _, err := w.SignAuthorization(policy.Grant{}, authorization(w)); !errors.Is(err, wallet.ErrNoGrant) {
			t.Errorf("error %v, want ErrNoGrant", err)
		}
	})
	t.Run("grant for a transfer", func(t *testing.T) {
		terms := x402Terms()
		terms.Rail = policy.RailWallet
		var mismatch *wallet.GrantError
		if _, err := w.SignAuthorization(grantFor(t, signedAt, terms), authorization(w)); !errors.As(err, &mismatch) || mismatch.Field != "kind" {
			t.Errorf("error %v, want a mismatch of kind", err)
		}
	})
}

func transferTerms() policy.Terms {
	terms := x402Terms()
	terms.Rail, terms.Deadline = policy.RailWallet, time.Time{}
	return terms
}

func transfer() wallet.Transfer {
	return wallet.Transfer{
		Gas:   wallet.Gas{ChainID: 84532, Nonce: 7, Gas: 65000, TipCap: money.FromUint64(1e9), FeeCap: money.FromUint64(3e9)},
		Token: usdc, To: payee, Amount: money.FromUint64(10000),
	}
}

func TestTransferIsWhatItSays(t *testing.T) {
	w := vectorWallet(t)
	signed, err := w.SignTransfer(grantFor(t, signedAt, transferTerms()), transfer())
	if err != nil {
		t.Fatal(err)
	}
	tx := new(types.Transaction)
	if err := tx.UnmarshalBinary(signed.Raw); err != nil {
		t.Fatal(err)
	}
	from, err := types.Sender(types.LatestSignerForChainID(big.NewInt(84532)), tx)
	if err != nil || from != w.Address() || tx.Hash() != signed.Hash {
		t.Errorf("sender %s, hash %s, error %v", from, tx.Hash(), err)
	}
	data := "a9059cbb0000000000000000000000003333333333333333333333333333333333333333" +
		"0000000000000000000000000000000000000000000000000000000000002710"
	if got := hex.EncodeToString(tx.Data()); got != data {
		t.Errorf("calldata %s, want %s", got, data)
	}
	if *tx.To() != usdc || tx.Value().Sign() != 0 || tx.Nonce() != 7 || tx.Gas() != 65000 || tx.Type() != types.DynamicFeeTxType {
		t.Errorf("transaction %+v", tx)
	}
}

func TestTransferMustEqualTheGrant(t *testing.T) {
	w := vectorWallet(t)
	granted := grantFor(t, signedAt, transferTerms())
	tests := []struct {
		name   string
		change func(*wallet.Transfer)
		field  string
	}{
		{"chain", func(a *wallet.Transfer) { a.Gas.ChainID = 1 }, "chain"},
		{"token", func(a *wallet.Transfer) { a.Token = other }, "token"},
		{"payee", func(a *wallet.Transfer) { a.To = other }, "payee"},
		{"amount", func(a *wallet.Transfer) { a.Amount = money.FromUint64(10001) }, "amount"},
		{"tip above the cap", func(a *wallet.Transfer) { a.Gas.TipCap = money.FromUint64(3e9 + 1) }, "fee"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tx := transfer()
			tt.change(&tx)
			signed, err := w.SignTransfer(granted, tx)
			var mismatch *wallet.GrantError
			if !errors.As(err, &mismatch) || mismatch.Field != tt.field || signed.Raw != nil {
				t.Errorf("error %v, want a mismatch of %s", err, tt.field)
			}
		})
	}
	if _, err := w.SignTransfer(policy.Grant{}, transfer()); !errors.Is(err, wallet.ErrNoGrant) {
		t.Errorf("error %v, want ErrNoGrant", err)
	}
	if _, err := w.SignTransfer(grantFor(t, signedAt, x402Terms()), transfer()); err == nil {
		t.Error("a grant for an authorisation signed a transfer")
	}
}

func BenchmarkSignAuthorization(b *testing.B) {
	w := vectorWallet(b)
	g, a := grantFor(b, signedAt, x402Terms()), authorization(w)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.SignAuthorization(g, a); err != nil {
			b.Fatal(err)
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

package wallet

import (
	"bytes"
	"crypto/ecdsa"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
)

// The branch points of opening a key.
var (
	// ErrPassphrase says that the passphrase does not open the keystore file.
	ErrPassphrase = errors.New("wrong passphrase for the keystore file")
	// ErrKeystore says that a file is not a keystore v3 file.
	ErrKeystore = errors.New("not a keystore v3 file")
	// ErrPrivateKey says that a text is not a private key: 64 hexadecimal digits,
	// with or without 0x, between 1 and the order of the curve.
	ErrPrivateKey = errors.New("not a private key of 64 hexadecimal digits")
)

// Wallet holds one key. It is immutable and safe for concurrent use. Printed,
// logged or marshalled it shows its address and nothing else.
type Wallet struct {
	key     *ecdsa.PrivateKey
	address common.Address
}

func newWallet(key *ecdsa.PrivateKey) *Wallet {
	return &Wallet{key: key, address: crypto.PubkeyToAddress(key.PublicKey)}
}

// FromPrivateKey reads a private key from hexadecimal text, with or without 0x
// and surrounding white space: the content of a private key file. It fails with
// [ErrPrivateKey], which does not repeat the text.
func FromPrivateKey(text []byte) (*Wallet, error) {
	text = bytes.TrimSpace(text)
	text = bytes.TrimPrefix(bytes.TrimPrefix(text, []byte("0x")), []byte("0X"))
	raw := make([]byte, 32)
	if len(text) != 64 {
		return nil, ErrPrivateKey
	}
	// The causes of both failures name characters of the key and are dropped.
	if _, err := hex.Decode(raw, text); err != nil {
		return nil, ErrPrivateKey
	}
	key, err := crypto.ToECDSA(raw)
	clear(raw)
	if err != nil {
		return nil, ErrPrivateKey
	}
	return newWallet(key), nil
}

// Address returns the address of the key.
func (w *Wallet) Address() common.Address { return w.address }

// String names the wallet by its address, without the key.
func (w *Wallet) String() string { return "wallet " + w.address.Hex() }

// GoString is [Wallet.String], so that %#v does not print the key.
func (w *Wallet) GoString() string { return w.String() }

// Format writes [Wallet.String] for every verb, so that none prints the key.
func (w *Wallet) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(w.String())) }

// MarshalText writes the address, in JSON and in logs.
func (w *Wallet) MarshalText() ([]byte, error) { return []byte(w.address.Hex()), nil }

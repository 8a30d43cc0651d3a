// SPDX-License-Identifier: Apache-2.0

package wallet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/ethereum/go-ethereum/accounts/keystore"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/google/uuid"
)

// maxKeystore bounds a keystore file; a real one has some 500 bytes.
const maxKeystore = 64 << 10

// Load opens a keystore v3 file. It fails with [ErrPassphrase] or [ErrKeystore].
// Line ends after the passphrase do not count, so that a passphrase file may end
// in one.
//
// Files with geth's standard scrypt parameters need 256 MiB for a second; what
// [New] and [Import] write needs 4 MiB. The memory is handed back to the system
// before Load returns.
func Load(keystoreJSON, passphrase []byte) (*Wallet, error) {
	if len(keystoreJSON) > maxKeystore {
		return nil, fmt.Errorf("%w: %d bytes", ErrKeystore, len(keystoreJSON))
	}
	if err := checkKeystore(keystoreJSON); err != nil {
		return nil, err
	}
	key, err := keystore.DecryptKey(keystoreJSON, trimPassphrase(passphrase))
	// A daemon that idles at 30 MB would otherwise hold the derivation's memory.
	debug.FreeOSMemory()
	switch {
	case errors.Is(err, keystore.ErrDecrypt):
		return nil, ErrPassphrase
	case err != nil:
		// The cause may quote the file; which member is bad is of no use to a person.
		return nil, ErrKeystore
	}
	return newWallet(key.PrivateKey), nil
}

// checkKeystore reads what the library would take for granted: it panics where
// a parameter of the key derivation is missing, and allocates what N and R say.
func checkKeystore(file []byte) error {
	var f struct {
		Version int `json:"version"`
		Crypto  struct {
			KDF    string `json:"kdf"`
			Params struct {
				Salt  *string `json:"salt"`
				DKLen int     `json:"dklen"`
				N     int     `json:"n"`
				R     int     `json:"r"`
				P     int     `json:"p"`
				C     int     `json:"c"`
				PRF   string  `json:"prf"`
			} `json:"kdfparams"`
		} `json:"crypto"`
	}
	if json.Unmarshal(file, &f) != nil || f.Version != 3 {
		return ErrKeystore
	}
	k := f.Crypto.Params
	if k.Salt == nil || k.DKLen < 32 || k.DKLen > 1024 {
		return fmt.Errorf("%w: bad key derivation parameters", ErrKeystore)
	}
	switch f.Crypto.KDF {
	case "scrypt":
		// A factor of four above geth's standard parameters.
		if k.N < 2 || k.N > 1<<20 || k.R < 1 || k.R > 8 || k.P < 1 || k.P > 64 {
			return fmt.Errorf("%w: scrypt parameters N %d, R %d, P %d", ErrKeystore, k.N, k.R, k.P)
		}
	case "pbkdf2":
		if k.C < 1 || k.C > 1<<24 || k.PRF != "hmac-sha256" {
			return fmt.Errorf("%w: pbkdf2 parameters", ErrKeystore)
		}
	default:
		return fmt.Errorf("%w: unknown key derivation", ErrKeystore)
	}
	return nil
}

// New makes a key and returns its keystore v3 file, encrypted under the
// passphrase with light scrypt parameters (N 4096, P 6).
func New(passphrase []byte) (keystoreJSON []byte, address common.Address, err error) {
	key, err := crypto.GenerateKey()
	if err != nil {
		return nil, common.Address{}, fmt.Errorf("make a key: %w", err)
	}
	return newWallet(key).encrypt(passphrase)
}

// Import is [New] for a private key in hexadecimal, as [FromPrivateKey] reads it.
func Import(privateKey, passphrase []byte) (keystoreJSON []byte, address common.Address, err error) {
	w, err := FromPrivateKey(privateKey)
	if err != nil {
		return nil, common.Address{}, err
	}
	return w.encrypt(passphrase)
}

func (w *Wallet) encrypt(passphrase []byte) ([]byte, common.Address, error) {
	id, err := uuid.NewRandom()
	if err != nil {
		return nil, common.Address{}, fmt.Errorf("make a key id: %w", err)
	}
	text := trimPassphrase(passphrase)
	if text == "" {
		return nil, common.Address{}, errors.New("a keystore file needs a passphrase")
	}
	key := &keystore.Key{Id: id, Address: w.address, PrivateKey: w.key}
	file, err := keystore.EncryptKey(key, text, keystore.LightScryptN, keystore.LightScryptP)
	debug.FreeOSMemory()
	if err != nil {
		return nil, common.Address{}, fmt.Errorf("encrypt the key: %w", err)
	}
	return file, w.address, nil
}

func trimPassphrase(passphrase []byte) string { return string(bytes.TrimRight(passphrase, "\r\n")) }

// SPDX-License-Identifier: Apache-2.0

package wallet_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/wallet"
)

const testKey = "2222222222222222222222222222222222222222222222222222222222222222"

func TestKeystoreRoundTrip(t *testing.T) {
	file, address, err := wallet.New([]byte("correct horse\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, passphrase := range []string{"correct horse", "correct horse\n", "correct horse\r\n"} {
		w, err := wallet.Load(file, []byte(passphrase))
		if err != nil || w.Address() != address {
			t.Errorf("load with %q: %v, %v, want %s", passphrase, w, err, address)
		}
	}
	var written struct {
		Version int
		Crypto  struct{ KDFParams struct{ N, P int } }
	}
	if err := json.Unmarshal(file, &written); err != nil || written.Version != 3 || written.Crypto.KDFParams.N != 4096 {
		t.Errorf("file %s: %v", file, err)
	}
	if _, err := wallet.Load(file, []byte("wrong")); !errors.Is(err, wallet.ErrPassphrase) {
		t.Errorf("wrong passphrase: %v", err)
	}
	if _, _, err := wallet.New([]byte("\n")); err == nil {
		t.Error("an empty passphrase was taken")
	}
}

func TestImport(t *testing.T) {
	file, address, err := wallet.Import([]byte("0x"+testKey+"\n"), []byte("p"))
	if err != nil || address != common.HexToAddress("0x1563915e194D8CfBA1943570603F7606A3115508") {
		t.Fatalf("import: %s, %v", address, err)
	}
	if w, err := wallet.Load(file, []byte("p")); err != nil || w.Address() != address {
		t.Errorf("load: %v, %v", w, err)
	}
}

// Files of other programs: geth with its standard parameters (256 MiB), and the
// PBKDF2 vector of the Web3 Secret Storage Definition; both hold the same key.
func TestForeignKeystores(t *testing.T) {
	for _, name := range []string{"scrypt-standard.json", "pbkdf2.json"} {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && strings.HasPrefix(name, "scrypt") {
				t.Skip("needs 256 MiB")
			}
			file, err := os.ReadFile("testdata/" + name)
			if err != nil {
				t.Fatal(err)
			}
			w, err := wallet.Load(file, []byte("testpassword"))
			if err != nil {
				t.Fatal(err)
			}
			if want := common.HexToAddress("0x008AeEda4D805471dF9b2A5B0f38A0C3bCBA786b"); w.Address() != want {
				t.Errorf("address %s, want %s", w.Address(), want)
			}
		})
	}
}

func TestBadKeystores(t *testing.T) {
	good, _, err := wallet.Import([]byte(testKey), []byte("p"))
	if err != nil {
		t.Fatal(err)
	}
	with := func(old, replacement string) string {
		changed := strings.Replace(string(good), old, replacement, 1)
		if changed == string(good) {
			t.Fatalf("%q is not in %s", old, good)
		}
		return changed
	}
	tests := []struct{ name, file string }{
		{"empty", ""},
		{"no JSON", "0x" + testKey},
		{"truncated", string(good[:len(good)/2])},
		{"another version", with(`"version":3`, `"version":1`)},
		{"no salt", with(`"salt"`, `"salz"`)},
		{"no N", with(`"n":4096`, `"m":4096`)},
		{"N that needs a terabyte", with(`"n":4096`, `"n":1073741824`)},
		{"unknown derivation", with(`"kdf":"scrypt"`, `"kdf":"argon2"`)},
		{"too large", string(good) + strings.Repeat(" ", 64<<10)},
		{"null", "null"},
		{"list", "[]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := wallet.Load([]byte(tt.file), []byte("p")); !errors.Is(err, wallet.ErrKeystore) {
				t.Errorf("error %v, want ErrKeystore", err)
			}
		})
	}
}

func TestPrivateKeyTexts(t *testing.T) {
	good := []string{testKey, "0x" + testKey, "0X" + testKey, " " + testKey + "\r\n"}
	for _, text := range good {
		if w, err := wallet.FromPrivateKey([]byte(text)); err != nil || w.Address() != common.HexToAddress("0x1563915e194D8CfBA1943570603F7606A3115508") {
			t.Errorf("%q: %v, %v", text, w, err)
		}
	}
	bad := map[string]string{
		"empty": "", "short": testKey[1:], "long": testKey + "2", "no hex": "z" + testKey[1:],
		"zero":      strings.Repeat("0", 64),
		"the order": "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141",
	}
	for name, text := range bad {
		t.Run(name, func(t *testing.T) {
			_, err := wallet.FromPrivateKey([]byte(text))
			if !errors.Is(err, wallet.ErrPrivateKey) {
				t.Errorf("error %v, want ErrPrivateKey", err)
			}
			if err != nil && len(text) > 10 && strings.Contains(err.Error(), text[:10]) {
				t.Errorf("error %q repeats the key", err)
			}
		})
	}
}

func TestWalletDoesNotPrintItsKey(t *testing.T) {
	w := vectorWallet(t)
	asJSON, err := json.Marshal(map[string]any{"w": w})
	if err != nil {
		t.Fatal(err)
	}
	holder := struct {
		W *wallet.Wallet
		V wallet.Wallet
	}{w, *w}
	decimal := "15488986" // the key's number begins so
	for _, text := range []string{
		string(asJSON), w.String(), fmt.Sprint(w), fmt.Sprintf("%v %+v %#v %s %q %d %x", w, w, w, w, w, w, w),
		fmt.Sprintf("%v %+v %#v", holder.W, holder.W, holder.W),
	} {
		if strings.Contains(text, "2222222222") || strings.Contains(text, decimal) || !strings.Contains(text, "0x1563915e194D8CfBA1943570603F7606A3115508") {
			t.Errorf("printed %s", text)
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/config"
	"github.com/agentd-project/agentd/wallet"
)

type keysCmd struct {
	New     keysNewCmd     `cmd:"" help:"Make a key and write its keystore file."`
	Import  keysImportCmd  `cmd:"" help:"Write the keystore file of an existing private key."`
	Address keysAddressCmd `cmd:"" help:"Print the address of a key."`
}

// keystoreFlags are where a keystore and its passphrase are written.
type keystoreFlags struct {
	Out            string `help:"Keystore file to write; never overwritten." type:"path" default:"agent.json" placeholder:"FILE"`
	PassphraseFile string `help:"File with the passphrase. One that does not exist is made, with a random passphrase. Default: the keystore's name and .passphrase." type:"path" placeholder:"FILE"`
}

type keysNewCmd struct {
	keystoreFlags
}

// Run makes a key.
func (c *keysNewCmd) Run(con *console) error {
	return con.makeKeystore(c.keystoreFlags, wallet.New)
}

type keysImportCmd struct {
	keystoreFlags
	PrivateKeyFile string `help:"File with the private key in hexadecimal; - reads standard input." required:"" placeholder:"FILE"`
}

// Run imports a key.
func (c *keysImportCmd) Run(con *console) error {
	key, err := con.readKey(c.PrivateKeyFile)
	if err != nil {
		return err
	}
	return con.makeKeystore(c.keystoreFlags, func(passphrase []byte) ([]byte, common.Address, error) {
		return wallet.Import(key, passphrase)
	})
}

type keysAddressCmd struct {
	Keystore string `help:"Keystore file; its address is read, not proven." type:"path" placeholder:"FILE"`
	Key      string `help:"Which key of the configuration: agent or owner." enum:"agent,owner" default:"agent"`
}

// Run prints the address of a keystore file, or of a key of the configuration.
func (c *keysAddressCmd) Run(con *console, o *options) error {
	if c.Keystore != "" {
		address, err := keystoreAddress(c.Keystore)
		if err != nil {
			return err
		}
		return con.say(address.Hex())
	}
	cfg, err := con.load(o)
	if err != nil {
		return err
	}
	w, err := openKey(cfg.Keys.ByName(config.KeyName(c.Key)))
	if err != nil {
		return fail(exitConfig, "keys.%s: %s", c.Key, err)
	}
	return con.say(w.Address().Hex())
}

// openKey unlocks a configured key.
func openKey(k config.Key) (*wallet.Wallet, error) {
	switch {
	case k.KeystoreFile != "":
		file, err := config.ReadSecret(k.KeystoreFile)
		if err != nil {
			return nil, err
		}
		passphrase, err := config.ReadSecret(k.PassphraseFile)
		if err != nil {
			return nil, err
		}
		return wallet.Load([]byte(file), []byte(passphrase))
	case k.PrivateKeyFile != "":
		key, err := config.ReadSecret(k.PrivateKeyFile)
		if err != nil {
			return nil, err
		}
		return wallet.FromPrivateKey([]byte(key))
	case !k.PrivateKey.IsZero():
		return wallet.FromPrivateKey([]byte(k.PrivateKey))
	default:
		return nil, errors.New("no such key is configured")
	}
}

// readKey reads a private key in hexadecimal from a file that only its owner may
// read, or from standard input.
func (c *console) readKey(path string) ([]byte, error) {
	if path != "-" {
		if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o077 != 0 {
			return nil, fail(exitNotPermitted, "%s can be read by others: chmod 600 %s", path, path)
		}
		key, err := config.ReadSecret(path)
		if err != nil {
			return nil, err
		}
		return []byte(key), nil
	}
	const longest = 1 << 10
	key, err := io.ReadAll(io.LimitReader(c.in, longest))
	if err != nil {
		return nil, fmt.Errorf("read the private key: %w", err)
	}
	return key, nil
}

func keystoreAddress(path string) (common.Address, error) {
	file, err := config.ReadSecret(path)
	if err != nil {
		return common.Address{}, err
	}
	var body struct {
		Address string `json:"address"`
	}
	if err := json.Unmarshal([]byte(file), &body); err != nil || !common.IsHexAddress(body.Address) {
		return common.Address{}, fail(exitFailure, "%s is no keystore file with an address", path)
	}
	return common.HexToAddress(body.Address), nil
}

// makeKeystore writes a keystore file and, unless it exists, its passphrase, and
// prints the address.
func (c *console) makeKeystore(flags keystoreFlags, encrypt func([]byte) ([]byte, common.Address, error)) error {
	if flags.PassphraseFile == "" {
		flags.PassphraseFile = flags.Out + ".passphrase"
	}
	address, _, err := writeKeystore(flags.Out, flags.PassphraseFile, encrypt)
	if err != nil {
		return err
	}
	return c.say(address.Hex())
}

// writeKeystore returns the address and the files that it made. On an error it
// has made none.
func writeKeystore(out, passphraseFile string, encrypt func([]byte) ([]byte, common.Address, error)) (address common.Address, made []string, err error) {
	defer func() {
		if err != nil {
			removeAll(made)
			made = nil
		}
	}()
	if _, err := os.Lstat(out); err == nil {
		return address, nil, fail(exitFailure, "%s exists and is not overwritten", out)
	}
	passphrase, err := config.ReadSecret(passphraseFile)
	if errors.Is(err, fs.ErrNotExist) {
		passphrase = randomPassphrase()
		if err = writeSecret(passphraseFile, []byte(passphrase+"\n")); err == nil {
			made = append(made, passphraseFile)
		}
	}
	if err != nil {
		return address, made, err
	}
	file, address, err := encrypt([]byte(passphrase))
	if err != nil {
		return address, made, err
	}
	if err = writeSecret(out, append(file, '\n')); err != nil {
		return address, made, err
	}
	return address, append(made, out), nil
}

func removeAll(files []string) {
	for _, f := range files {
		_ = os.Remove(f) // what we made a moment ago
	}
}

func randomPassphrase() config.Secret {
	raw := make([]byte, 24)
	_, _ = rand.Read(raw) // never fails
	return config.Secret(base64.RawURLEncoding.EncodeToString(raw))
}

// writeSecret writes a new file that only its owner may read, through to the disk.
func writeSecret(path string, data []byte) (err error) { return writeNew(path, data, 0o600) }

// writeNew writes a file that must not exist yet, and removes it if that fails
// half-way.
func writeNew(path string, data []byte, mode fs.FileMode) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode) //nolint:gosec // the path is the operator's
	if err != nil {
		return err
	}
	defer func() {
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			_ = os.Remove(path)
		}
	}()
	if _, err = f.Write(data); err != nil {
		return err
	}
	if err = f.Chmod(mode); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // the directory of a file that was just written
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	return d.Sync()
}

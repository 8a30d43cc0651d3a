// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/config"
	"github.com/agentd-project/agentd/wallet"
)

type initCmd struct {
	Dir         string `help:"Directory for agentd.yaml, the key and, without --systemd, the state." type:"path" default:"." placeholder:"DIR"`
	Systemd     bool   `help:"Write for the systemd unit: key and passphrase in DIR/credentials, state and socket where the unit has them."`
	MarketURL   string `name:"market-url" help:"Base URL of the Market." placeholder:"URL"`
	APIKeyFile  string `name:"api-key-file" help:"File with the platform key, if the Market demands one." type:"path" placeholder:"FILE"`
	MachineID   string `help:"The Market's id of the machine." placeholder:"ID"`
	IdentityRef string `help:"The machine's identity, did:peaq:NUMBER; instead of an id, or to register the machine." placeholder:"DID"`

	OwnerKeyFile string `help:"File with the private key that controls the identity; registers the machine if it has no record." type:"path" placeholder:"FILE"`
	OwnerID      string `help:"Owner named in a new machine record." default:"owner" placeholder:"NAME"`
	DisplayName  string `help:"Name of the machine in a new record. Default: the host's name." placeholder:"NAME"`
	AgentKeyFile string `help:"File with an existing private key for the agent; without it a new key is made." type:"path" placeholder:"FILE"`

	RPC       []string `name:"rpc" help:"RPC endpoint of the chain to pay on; may be repeated. Without one, only free purchases are possible." placeholder:"URL"`
	ChainID   string   `help:"Chain to pay on." default:"eip155:3338" placeholder:"CAIP2"`
	ChainName string   `help:"Alias under which the Market may name the chain." default:"" placeholder:"NAME"`
	Token     []string `help:"Token to pay with, SYMBOL:ADDRESS:DECIMALS or SYMBOL:ADDRESS:DECIMALS:EIP712NAME:EIP712VERSION; may be repeated." placeholder:"TOKEN"`

	Currency    string `help:"Currency of the limits." default:"USD"`
	PerPurchase string `help:"The most that one purchase may cost." default:"1.00" placeholder:"PRICE"`
	PerDay      string `help:"The most that is spent in 24 hours." default:"5.00" placeholder:"PRICE"`
	AllowHTTP   bool   `name:"allow-http" help:"Permit plain http beyond loopback."`
}

// Run writes the configuration and the key, checks them as the daemon would, and
// removes them again if they have a fault.
func (c *initCmd) Run(con *console) (err error) {
	if err := c.ask(con); err != nil {
		return err
	}
	p := c.paths()
	var made []string
	defer func() {
		if err != nil {
			removeAll(made)
		}
	}()
	mode := os.FileMode(0o700)
	if c.Systemd {
		mode = 0o755 // the unit's dynamic user reads the configuration; the secrets below it are closed by themselves
	}
	if err := errors.Join(os.MkdirAll(c.Dir, mode), os.MkdirAll(filepath.Dir(p.keystore), 0o700)); err != nil {
		return fail(exitFailure, "make the directory: %s", err)
	}
	text, err := c.text(p)
	if err != nil {
		return err
	}
	encrypt := wallet.New
	if c.AgentKeyFile != "" {
		key, err := con.readKey(c.AgentKeyFile)
		if err != nil {
			return err
		}
		encrypt = func(passphrase []byte) ([]byte, common.Address, error) { return wallet.Import(key, passphrase) }
	}
	address, made, err := writeKeystore(p.keystore, p.passphrase, encrypt)
	if err != nil {
		return err
	}
	if err := writeNew(p.config, []byte(text), 0o644); err != nil {
		return fail(exitFailure, "write the configuration: %s", err)
	}
	made = append(made, p.config)
	if _, err := config.Load(p.config, p.environ); err != nil {
		con.warn("nothing was written, for the configuration would have faults")
		return err
	}
	return c.next(con, p, address)
}

// initPaths are where init writes, and how the configuration names it.
type initPaths struct {
	config, keystore, passphrase string
	keystoreRef, passphraseRef   string
	apiKeyRef, ownerKeyRef       string
	stateDir, socket             string
	environ                      []string
}

func (c *initCmd) paths() initPaths {
	p := initPaths{config: filepath.Join(c.Dir, "agentd.yaml"), apiKeyRef: c.APIKeyFile, ownerKeyRef: c.OwnerKeyFile}
	if !c.Systemd {
		p.keystore = filepath.Join(c.Dir, "agent.json")
		p.passphrase = filepath.Join(c.Dir, "agent-passphrase")
		p.keystoreRef, p.passphraseRef = p.keystore, p.passphrase
		p.stateDir = filepath.Join(c.Dir, "state")
		p.socket = filepath.Join(c.Dir, "agentd.sock")
		return p
	}
	credentials := filepath.Join(c.Dir, "credentials")
	p.keystore = filepath.Join(credentials, "agent-keystore")
	p.passphrase = filepath.Join(credentials, "agent-passphrase")
	p.keystoreRef, p.passphraseRef = credential(p.keystore), credential(p.passphrase)
	if c.APIKeyFile != "" {
		p.apiKeyRef = credential(c.APIKeyFile)
	}
	if c.OwnerKeyFile != "" {
		p.ownerKeyRef = credential(c.OwnerKeyFile)
	}
	p.environ = []string{"CREDENTIALS_DIRECTORY=" + credentials, "STATE_DIRECTORY=/var/lib/agentd"}
	return p
}

// credential names a file as the unit will see it.
func credential(path string) string { return "${CREDENTIALS_DIRECTORY}/" + filepath.Base(path) }

// ask fills in what has no flag and no default: from a terminal by questions,
// elsewhere it is a fault of usage.
func (c *initCmd) ask(con *console) error {
	questions := []struct {
		answer         *string
		flag, question string
		needed         bool
	}{
		{&c.MarketURL, "--market-url", "Base URL of the Market", true},
		{&c.MachineID, "--machine-id or --identity-ref", "The Market's id of this machine (empty: I give its identity)", c.IdentityRef == ""},
	}
	interactive := isTerminal(con.in)
	input := bufio.NewReader(con.in)
	var missing []string
	for _, q := range questions {
		if *q.answer != "" || !q.needed {
			continue
		}
		if !interactive {
			missing = append(missing, q.flag)
			continue
		}
		if err := con.question(input, q.question, q.answer); err != nil {
			return err
		}
	}
	if len(missing) > 0 {
		return fail(exitUsage, "%s needed", strings.Join(missing, " and "))
	}
	if !interactive {
		return nil
	}
	if c.MachineID == "" && c.IdentityRef == "" {
		if err := con.question(input, "The machine's identity (did:peaq:NUMBER)", &c.IdentityRef); err != nil {
			return err
		}
	}
	if len(c.RPC) == 0 {
		var url string
		if err := con.question(input, "RPC endpoint of "+c.ChainID+" (empty: free purchases only)", &url); err != nil {
			return err
		}
		if url != "" {
			c.RPC = []string{url}
		}
	}
	return nil
}

func (c *console) question(input *bufio.Reader, text string, answer *string) error {
	_, _ = fmt.Fprintf(c.err, "%s: ", text)
	line, err := input.ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the answer: %w", err)
	}
	*answer = strings.TrimSpace(line)
	return nil
}

// next says what was written and what to do now.
func (c *initCmd) next(con *console, p initPaths, address common.Address) error {
	lines := []string{
		"wrote " + p.config,
		"wrote " + p.keystore + " and " + p.passphrase + ": keep a copy of both elsewhere",
		"address " + address.Hex() + ": send it what it may spend, and the chain's own coin for fees",
	}
	if c.Systemd {
		for _, file := range []string{c.APIKeyFile, c.OwnerKeyFile} {
			if file != "" {
				lines = append(lines, "add LoadCredential="+filepath.Base(file)+":"+file+" to the unit with systemctl edit agentd")
			}
		}
		lines = append(lines, "next: systemctl enable --now agentd, then agentd status")
	} else {
		lines = append(lines,
			"next: agentd check --online --config "+p.config+", then agentd run --config "+p.config)
	}
	return con.say(strings.Join(lines, "\n"))
}

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/sandbox"
	"github.com/agentd-project/agentd/sandbox/chain"
)

type serveCommand struct {
	Listen       string        `default:"127.0.0.1:0" help:"Loopback address of the API."`
	Control      string        `default:"127.0.0.1:0" help:"Loopback address of the control port: faults, conditions, service knobs."`
	RPCPort      int           `name:"rpc-port" default:"0" help:"Loopback port of the chain's JSON-RPC, 0 for any free one."`
	Strict       bool          `help:"Be as demanding as the newest server may be."`
	NoKey        bool          `name:"no-key" help:"Demand no platform key."`
	Journal      string        `type:"path" placeholder:"FILE" help:"Append every exchange and state change to this file, secrets hashed."`
	SessionTTL   time.Duration `name:"session-ttl" default:"1h" help:"Life of a pairing token."`
	QuoteTTL     time.Duration `name:"quote-ttl" default:"5m" help:"Life of a quote."`
	ChallengeTTL time.Duration `name:"challenge-ttl" default:"5m" help:"Life of a challenge."`
	BlockTime    time.Duration `name:"block-time" default:"1s" help:"Interval of empty blocks, which give confirmations; negative for none."`
	Latency      time.Duration `default:"0s" help:"How long every provider works."`
	Identity     string        `default:"184467" help:"Decimal of the first machine identity."`
	Identities   int           `default:"1" help:"Number of machine identities, counted up from the first; the owner controls all."`
	APIKey       string        `name:"api-key" default:"${apiKey}" help:"Platform key of this sandbox."`
	OwnerKey     string        `name:"owner-key" default:"${ownerKey}" help:"Test key that controls the identities, hex. It stands in the process list: never use one that guards anything."`
	AgentKey     string        `name:"agent-key" default:"${agentKey}" help:"Test key that Info names for the agent, hex; funded like the owner's."`
	Fund         []string      `placeholder:"ADDRESS" help:"Further addresses to fund with gas and tokens."`
}

// Run serves until the context ends.
func (s *serveCommand) Run(ctx context.Context, std streams) (err error) {
	journal, err := s.openJournal()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, journal.Close()) }()
	accounts, err := s.accounts()
	if err != nil {
		return err
	}
	rpc := sandbox.NewRPC()
	evm, err := chain.NewSimulated(chain.Config{HTTPPort: s.RPCPort, Accounts: accounts, BlockTime: s.BlockTime, Wrap: rpc.Wrap})
	if err != nil {
		return fmt.Errorf("start the chain: %w", err)
	}
	defer func() { err = errors.Join(err, evm.Close()) }()
	options, err := s.options(evm, journal)
	if err != nil {
		return err
	}
	options.RPC = rpc
	market, err := sandbox.New(options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, market.Close()) }()
	return market.Serve(ctx, s.Listen, s.Control, func(info sandbox.Info) error {
		return json.NewEncoder(std.out).Encode(info) //nolint:gosec // G117: telling its own test keys is what the sandbox is asked for
	})
}

func (s *serveCommand) openJournal() (io.WriteCloser, error) {
	if s.Journal == "" {
		return nothing{}, nil
	}
	file, err := os.OpenFile(s.Journal, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	return file, nil
}

func (s *serveCommand) accounts() ([]chain.Account, error) {
	accounts, err := sandbox.Accounts(s.OwnerKey, s.AgentKey)
	if err != nil {
		return nil, err
	}
	for _, text := range s.Fund {
		if !common.IsHexAddress(text) {
			return nil, fmt.Errorf("--fund %q is not an address", text)
		}
		accounts = append(accounts, chain.Account{Address: common.HexToAddress(text), Wei: accounts[0].Wei, Tokens: accounts[0].Tokens})
	}
	return accounts, nil
}

func (s *serveCommand) options(evm chain.Chain, journal io.Writer) (sandbox.Options, error) {
	options := sandbox.Options{Chain: evm, Strict: s.Strict, OpenPlatform: s.NoKey, APIKey: s.APIKey, OwnerKey: s.OwnerKey,
		AgentKey: s.AgentKey, SessionTTL: s.SessionTTL, QuoteTTL: s.QuoteTTL, ChallengeTTL: s.ChallengeTTL}
	if s.Journal != "" {
		options.Journal = journal
	}
	owner, err := sandbox.AddressOf(s.OwnerKey)
	if err != nil {
		return options, err
	}
	number, read := new(big.Int).SetString(s.Identity, 10)
	if !read || number.Sign() < 0 {
		return options, fmt.Errorf("--identity %q is not a decimal", s.Identity)
	}
	for i := range max(s.Identities, 1) {
		identity := sandbox.Identity{Number: new(big.Int).Add(number, big.NewInt(int64(i))), Controllers: []common.Address{owner}}
		if i == 0 {
			identity.Address = owner
		}
		options.Identities = append(options.Identities, identity)
	}
	options.Services = sandbox.DefaultServices()
	for i := range options.Services {
		options.Services[i].LatencyMS = int(s.Latency.Milliseconds())
	}
	return options, nil
}

// nothing is the journal of a sandbox that keeps none.
type nothing struct{}

func (nothing) Write(p []byte) (int, error) { return len(p), nil }
func (nothing) Close() error                { return nil }

// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math/big"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/agentd-project/agentd/sandbox/chain"
)

// What a sandbox uses where its options say nothing. The keys are published here: they guard nothing.
const (
	DefaultAPIKey    = "sandbox-platform-key"
	DefaultOwnerKey  = "0x1111111111111111111111111111111111111111111111111111111111111111"
	DefaultAgentKey  = "0x2222222222222222222222222222222222222222222222222222222222222222"
	DefaultKeeperKey = "0x4444444444444444444444444444444444444444444444444444444444444444"
	DefaultIdentity  = 184467

	DefaultSessionTTL   = time.Hour
	DefaultQuoteTTL     = 5 * time.Minute
	DefaultChallengeTTL = 5 * time.Minute
)

// fundedTokens is what the owner and the agent hold at the start, in whole tokens.
const fundedTokens = 1_000_000

// Chain is what the Market asks of its chain.
type Chain interface {
	// CAIP2 is the chain's name on the wire ("eip155:84532").
	CAIP2() string
	// ID is the chain's number in EIP-155 and EIP-712.
	ID() uint64
	// Token and Escrow are the contracts that quotes name.
	Token() common.Address
	Escrow() common.Address
	// RPCURL is where clients reach the chain, empty without sockets.
	RPCURL() string
	// Receipt returns nil and no error for a transaction that is not mined.
	Receipt(ctx context.Context, tx common.Hash) (*types.Receipt, error)
	// AuthorizationState says whether an EIP-3009 nonce is used or cancelled.
	AuthorizationState(ctx context.Context, from common.Address, nonce [32]byte) (bool, error)
	// Settle moves the tokens of an authorisation and returns once that is mined.
	Settle(ctx context.Context, a chain.Authorization) (common.Hash, error)
	// Transfers lists the token's transfers since a block.
	Transfers(ctx context.Context, fromBlock uint64) ([]chain.Transfer, error)
}

// Identity is a machine identity as the chain would hold it.
type Identity struct {
	// Number is the machine id, the decimal of its DID.
	Number *big.Int
	// Address is what the older form of the DID names; it may be zero.
	Address common.Address
	// Controllers may prove the identity; with none it no longer resolves.
	Controllers []common.Address
}

// Options says how a Market is made. The zero value but for Chain is a usable Market.
type Options struct {
	// Chain settles and proves payments.
	Chain Chain
	// RPC stands in front of the chain's endpoint, if the Market's control port is to make that fail too.
	RPC *RPC
	// Strict makes the Market as demanding as the newest server may be: the platform key on pairing calls too, no JSON content
	// type without a body, no address form of an identity, and the chain asked about every escrow.
	Strict bool
	// OpenPlatform lets platform calls pass without a key.
	OpenPlatform bool
	// APIKey, OwnerKey and AgentKey are the Default keys where empty. The private keys are hex; the Market needs them for Info.
	APIKey, OwnerKey, AgentKey string
	// SellerKeys are private keys in hex of payees, beside those of DefaultServices, so that these sellers can pay back.
	SellerKeys []string
	// Identities is one identity, DefaultIdentity, controlled by the owner, where empty.
	Identities []Identity
	// Services are DefaultServices where nil.
	Services []Service
	// SessionTTL, QuoteTTL and ChallengeTTL are the Default durations where zero.
	SessionTTL, QuoteTTL, ChallengeTTL time.Duration
	// Journal receives every exchange and state change as JSON lines.
	Journal io.Writer
	// Now is the clock, time.Now where nil.
	Now func() time.Time
	// Random is where ids, nonces and keys come from, crypto/rand where nil.
	Random io.Reader
}

func (o Options) withDefaults() (Options, error) {
	if o.Chain == nil {
		return o, errors.New("sandbox: options without a chain")
	}
	setText(&o.APIKey, DefaultAPIKey)
	setText(&o.OwnerKey, DefaultOwnerKey)
	setText(&o.AgentKey, DefaultAgentKey)
	setDuration(&o.SessionTTL, DefaultSessionTTL)
	setDuration(&o.QuoteTTL, DefaultQuoteTTL)
	setDuration(&o.ChallengeTTL, DefaultChallengeTTL)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	if o.Journal == nil {
		o.Journal = io.Discard
	}
	owner, err := AddressOf(o.OwnerKey)
	if err != nil {
		return o, fmt.Errorf("sandbox: owner key: %w", err)
	}
	if _, err := AddressOf(o.AgentKey); err != nil {
		return o, fmt.Errorf("sandbox: agent key: %w", err)
	}
	if len(o.Identities) == 0 {
		o.Identities = []Identity{{Number: big.NewInt(DefaultIdentity), Address: owner, Controllers: []common.Address{owner}}}
	}
	if o.Services == nil {
		o.Services = DefaultServices()
	}
	return o, nil
}

func setText(field *string, value string) {
	if *field == "" {
		*field = value
	}
}

func setDuration(field *time.Duration, value time.Duration) {
	if *field == 0 {
		*field = value
	}
}

// AddressOf returns the address of a private key, 32 bytes of hex with or without 0x. The error never holds the key.
func AddressOf(hexKey string) (common.Address, error) {
	key, err := crypto.ToECDSA(common.FromHex(hexKey))
	if err != nil {
		return common.Address{}, errors.New("not a secp256k1 private key of 32 bytes hex")
	}
	return crypto.PubkeyToAddress(key.PublicKey), nil
}

// Accounts funds the addresses of the given private keys with a thousand coins for gas and a million tokens each, for the genesis
// of the chain. Without keys it funds the owner and the agent of the default keys.
func Accounts(hexKeys ...string) ([]chain.Account, error) {
	if len(hexKeys) == 0 {
		hexKeys = []string{DefaultOwnerKey, DefaultAgentKey}
	}
	wei := new(big.Int).Mul(big.NewInt(1000), big.NewInt(1e18))
	tokens := new(big.Int).Mul(big.NewInt(fundedTokens), big.NewInt(1e6))
	accounts := make([]chain.Account, 0, len(hexKeys))
	for _, key := range hexKeys {
		address, err := AddressOf(key)
		if err != nil {
			return nil, fmt.Errorf("sandbox: %w", err)
		}
		accounts = append(accounts, chain.Account{Address: address, Wei: wei, Tokens: tokens})
	}
	return accounts, nil
}

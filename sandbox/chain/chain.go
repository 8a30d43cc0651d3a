// SPDX-License-Identifier: Apache-2.0

package chain

import (
	"context"
	"io"
	"math/big"
	"net/http"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
)

const (
	// ChainID is the EIP-155 id that both chains answer with: Base Sepolia, which the Market lists.
	ChainID uint64 = 84532
	// CAIP2ID is ChainID as a CAIP-2 identifier.
	CAIP2ID = "eip155:84532"
	// TokenName is the token's ERC-20 name and the name in its EIP-712 domain.
	TokenName = "USDC"
	// TokenVersion is the version in the token's EIP-712 domain.
	TokenVersion = "2"
	// TokenDecimals is the token's number of decimals.
	TokenDecimals = 6
	// DefaultBlockTime is the interval of empty blocks where Config.BlockTime is zero.
	DefaultBlockTime = time.Second
)

// TokenAddress is where the token stands: the address of USDC that the Market lists for Base Sepolia.
var TokenAddress = common.HexToAddress("0x036CbD53842c5426634e7929541eC2318f3dCF7e")

// EscrowAddress is where the escrow contract stands.
var EscrowAddress = common.HexToAddress("0xE5C0000000000000000000000000000000084532")

// Chain is what the local Market needs of a chain. Simulated and Memory implement it alike; the contract test runs over both.
type Chain interface {
	// ID returns the EIP-155 chain id.
	ID() uint64
	// CAIP2 returns the chain id as CAIP-2 text.
	CAIP2() string
	// Token returns the address of the test token: six decimals, EIP-712 domain "USDC", "2", EIP-3009.
	Token() common.Address
	// Escrow returns the address of the escrow contract.
	Escrow() common.Address
	// RPCURL returns the URL of the JSON-RPC endpoint, or "" where the chain has no socket.
	RPCURL() string
	// Handler returns the JSON-RPC endpoint (POST, single and batch) for use without a socket.
	Handler() http.Handler
	// Receipt returns the receipt of a mined transaction, or nil and no error where it is not mined.
	Receipt(ctx context.Context, tx common.Hash) (*types.Receipt, error)
	// BalanceOf returns the token balance of an account in base units.
	BalanceOf(ctx context.Context, account common.Address) (*big.Int, error)
	// AuthorizationState reports whether an EIP-3009 nonce of an account is used or cancelled.
	AuthorizationState(ctx context.Context, from common.Address, nonce [32]byte) (bool, error)
	// Settle sends transferWithAuthorization from a facilitator's key and returns once it is mined. An authorization that would
	// revert is not sent: the error wraps ErrReverted. A hash with an error means that the transaction is mined and failed.
	Settle(ctx context.Context, a Authorization) (common.Hash, error)
	// Head returns the header of the newest block.
	Head(ctx context.Context) (*types.Header, error)
	// Transfers returns the token's Transfer events from a block on, oldest first, minting at genesis not included.
	Transfers(ctx context.Context, fromBlock uint64) ([]Transfer, error)
	// Mine makes one block now, with whatever is pending.
	Mine(ctx context.Context) error
	// Close stops the chain and returns once all it started has ended.
	Close() error
}

// Authorization is a signed EIP-3009 transfer. Times are Unix seconds; Signature is 65 bytes, r s v.
type Authorization struct {
	From, To                       common.Address
	Value, ValidAfter, ValidBefore *big.Int
	Nonce                          [32]byte
	Signature                      []byte
}

// Transfer is one Transfer event of the token. Value is in base units, Time is the block's in Unix seconds.
type Transfer struct {
	From, To common.Address
	Value    *big.Int
	Tx       common.Hash
	Block    uint64
	Time     uint64
}

// Account is an account that exists from genesis. Nil amounts are zero.
type Account struct {
	Address     common.Address
	Wei, Tokens *big.Int
}

// Config says what a chain begins with.
type Config struct {
	// Now is the clock that block times follow. Nil means time.Now.
	Now func() time.Time
	// HTTPPort is the loopback port of the JSON-RPC endpoint, 0 for any free one. Memory has no socket and ignores it.
	HTTPPort int
	// Accounts exist from genesis.
	Accounts []Account
	// BlockTime is the interval of empty blocks, which give confirmations to what is mined. Zero means DefaultBlockTime,
	// a negative value none: blocks then come only with transactions and by Mine.
	BlockTime time.Duration
	// Random is where the facilitator's key comes from, crypto/rand where nil.
	Random io.Reader
	// MaxAhead is how far the block time of Simulated may run ahead of the clock where transactions arrive faster than one a second,
	// since each block is a second after its parent. Beyond it they wait in the pool and share a block. Zero means DefaultMaxAhead.
	MaxAhead time.Duration
	// Wrap goes around the JSON-RPC endpoint of Simulated's port, not around the Handler that the Market itself uses. Nil leaves it as
	// it is.
	Wrap func(http.Handler) http.Handler
}

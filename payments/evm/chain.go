// SPDX-License-Identifier: Apache-2.0

package evm

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"sync/atomic"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/ethereum/go-ethereum/rpc"

	"github.com/agentd-project/agentd/money"
)

// Chain is one configured chain behind one or more endpoints. It is safe for
// concurrent use and holds no goroutine.
type Chain struct {
	cfg       Config
	id        uint64
	endpoints []*endpoint
	// current is the endpoint that worked last.
	current atomic.Int64
	// headTime is the time of the newest block seen, in Unix seconds.
	headTime atomic.Int64
	searched searched
}

// Head is a block as far as this package looks at it.
type Head struct {
	Number uint64
	Time   time.Time
	// BaseFee is in wei per gas.
	BaseFee money.Amount
	// Hash names the block; it is not computed, but the endpoint's word.
	Hash common.Hash
}

// Dial makes a chain of its configuration. It does no network traffic; see
// [Chain.VerifyStart].
func Dial(cfg Config) (*Chain, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("chain %s: %w", cfg.ID, err)
	}
	cfg.setDefaults()
	c := &Chain{cfg: cfg}
	c.id, _ = cfg.ID.EVM()
	hc := boundedClient(cfg.HTTPClient)
	for i, raw := range cfg.RPC {
		e, err := newEndpoint(raw, hc)
		if err != nil {
			return nil, fmt.Errorf("chain %s: endpoint %d: %w", cfg.ID, i+1, err)
		}
		c.endpoints = append(c.endpoints, e)
	}
	return c, nil
}

// Close closes the endpoints' idle connections.
func (c *Chain) Close() {
	for _, e := range c.endpoints {
		e.client.Close()
	}
}

// ID returns the chain's CAIP-2 id.
func (c *Chain) ID() money.ChainID { return c.cfg.ID }

// Name returns the configured name.
func (c *Chain) Name() string { return c.cfg.Name }

// Token returns the configured token at an address.
func (c *Chain) Token(address common.Address) (Token, bool) {
	for _, t := range c.cfg.Tokens {
		if t.Address == address {
			return t, true
		}
	}
	return Token{}, false
}

// Tokens returns the configured tokens.
func (c *Chain) Tokens() []Token { return c.cfg.Tokens }

// do runs a request against the endpoints, the one that worked last first, until
// one answers. An answer that refuses is an answer; only an endpoint that does
// not work is left for the next one.
func (c *Chain) do(ctx context.Context, method string, request func(context.Context, *ethclient.Client) error) error {
	var failures []error
	first := int(c.current.Load())
	for i := range c.endpoints {
		n := (first + i) % len(c.endpoints)
		err := c.try(ctx, n, method, request)
		if err == nil {
			c.current.Store(int64(n))
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s: %w", method, ctx.Err())
		}
		if !Classify(err).reaction().next {
			return err
		}
		if errors.Is(err, ErrChainID) {
			c.observe(OutcomeWrongChainID)
		} else {
			c.observe(OutcomeFailover)
		}
		failures = append(failures, err)
	}
	return &Error{Action: ActionFailover, Method: method, Cause: fmt.Errorf("%w: %w", ErrUnavailable, errors.Join(failures...))}
}

func (c *Chain) try(ctx context.Context, n int, method string, request func(context.Context, *ethclient.Client) error) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	e := c.endpoints[n]
	if err := e.verify(ctx, c.id); err != nil {
		return err
	}
	err := wrap(method, request(ctx, e.client))
	if Classify(err).reaction().next || (err != nil && ctx.Err() != nil) {
		// What comes back behind the address may be another node: it is asked anew.
		e.verified.Store(false)
		e.failed.Store(time.Now().UnixNano())
	}
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return &Error{Action: ActionFailover, Method: method, Cause: fmt.Errorf("no answer within %s", c.cfg.Timeout)}
	}
	return err
}

func (c *Chain) observe(outcome string) { c.cfg.Observe(c.cfg.ID, outcome) }

// Head returns the newest block.
func (c *Chain) Head(ctx context.Context) (Head, error) { return c.header(ctx, nil) }

// FinalHead returns the newest block that counts as final. Before the chain has
// one, the error's action is [ActionAbsent].
func (c *Chain) FinalHead(ctx context.Context) (Head, error) {
	if c.cfg.Final.Tag == TagFinalized {
		return c.header(ctx, big.NewInt(rpc.FinalizedBlockNumber.Int64()))
	}
	head, err := c.Head(ctx)
	if err != nil {
		return Head{}, err
	}
	return c.below(ctx, head)
}

// below returns the newest block that has its confirmations as of head.
func (c *Chain) below(ctx context.Context, head Head) (Head, error) {
	depth := c.cfg.Final.Confirmations - 1
	if depth == 0 {
		return head, nil
	}
	if head.Number < depth {
		return Head{}, &Error{Action: ActionAbsent, Method: "eth_getBlockByNumber", Cause: errors.New("no block is final yet")}
	}
	return c.header(ctx, new(big.Int).SetUint64(head.Number-depth))
}

// Heads returns the newest block that counts as final and a newest block that is
// at or above it: what is read as of head knows all that is final.
func (c *Chain) Heads(ctx context.Context) (final, head Head, err error) {
	if c.cfg.Final.Tag == "" {
		if head, err = c.Head(ctx); err != nil {
			return Head{}, Head{}, err
		}
		final, err = c.below(ctx, head)
		return final, head, err
	}
	if final, err = c.FinalHead(ctx); err != nil {
		return Head{}, Head{}, err
	}
	if head, err = c.Head(ctx); err != nil {
		return Head{}, Head{}, err
	}
	if head.Number < final.Number {
		return Head{}, Head{}, &Error{Action: ActionAbsent, Method: "eth_getBlockByNumber", Cause: errors.New("endpoint is behind the final block")}
	}
	return final, head, nil
}

// header reads a block, nil for the newest. Its hash is the endpoint's word: not
// every chain hashes a header as Ethereum does.
func (c *Chain) header(ctx context.Context, number *big.Int) (Head, error) {
	tag := "latest"
	if number != nil {
		tag = rpc.BlockNumber(number.Int64()).String()
		if number.Sign() >= 0 {
			tag = hexutil.EncodeBig(number)
		}
	}
	var h *struct {
		Number  *hexutil.Big   `json:"number"`
		Hash    common.Hash    `json:"hash"`
		Time    hexutil.Uint64 `json:"timestamp"`
		BaseFee *hexutil.Big   `json:"baseFeePerGas"`
	}
	err := c.do(ctx, "eth_getBlockByNumber", func(ctx context.Context, e *ethclient.Client) error {
		err := e.Client().CallContext(ctx, &h, "eth_getBlockByNumber", tag, false)
		if err == nil && h == nil {
			err = ethereum.NotFound
		}
		return err
	})
	if err != nil {
		return Head{}, err
	}
	fee, err := money.FromBig(h.BaseFee.ToInt())
	if err != nil || h.Number == nil || !h.Number.ToInt().IsUint64() || h.Hash == (common.Hash{}) || h.Time > 1<<40 {
		return Head{}, &Error{Action: ActionReport, Method: "eth_getBlockByNumber", Cause: errors.New("impossible block")}
	}
	at := int64(h.Time) //nolint:gosec // bounded above
	if number == nil {
		c.sawTime(at)
	}
	return Head{Number: h.Number.ToInt().Uint64(), Time: time.Unix(at, 0).UTC(), BaseFee: fee, Hash: h.Hash}, nil
}

func (c *Chain) sawTime(at int64) {
	for {
		seen := c.headTime.Load()
		if at <= seen || c.headTime.CompareAndSwap(seen, at) {
			return
		}
	}
}

// LastSeen returns the time of the newest block seen so far, zero before the
// first. It asks nobody.
func (c *Chain) LastSeen() time.Time {
	if at := c.headTime.Load(); at > 0 {
		return time.Unix(at, 0).UTC()
	}
	return time.Time{}
}

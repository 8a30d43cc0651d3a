// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"go.uber.org/zap"

	"github.com/agentd-project/agentd/config"
	"github.com/agentd-project/agentd/market"
	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/payments"
	"github.com/agentd-project/agentd/payments/evm"
	"github.com/agentd-project/agentd/policy"
)

const (
	// gasDecimals are the decimals of a chain's own coin.
	gasDecimals = 18
	// gasAsset names a chain's own coin in status and metrics.
	gasAsset = "gas"
	// pollChain is how often a chain's head and our balances are read.
	pollChain = time.Minute
)

// balance is what the agent's address held of one asset when it was last read.
type balance struct {
	chain    money.ChainID
	asset    string
	amount   money.Amount
	decimals uint8
	low      bool
	at       time.Time
	err      error
}

// chainWatch holds one chain's configuration against the chain, reads its clock
// and our balances. Its pass is a loop's.
type chainWatch struct {
	chain  *evm.Chain
	cfg    *config.Chain
	payer  common.Address
	clock  *clock
	health *health
	log    *zap.Logger

	verifying chan struct{} // one at a time
	// compare holds the ledger against the chain's newest blocks.
	compare func(ctx context.Context, w *chainWatch) error

	mu       sync.Mutex
	verified bool
	compared bool // since the start
	balances []balance
}

func newChainWatch(chain *evm.Chain, cfg *config.Chain, payer common.Address, c *clock, h *health, log *zap.Logger) *chainWatch {
	return &chainWatch{chain: chain, cfg: cfg, payer: payer, clock: c, health: h, log: log, verifying: make(chan struct{}, 1)}
}

// dialChain makes the chain of its configuration, without network traffic.
func dialChain(c *config.Chain, base evm.Config) (*evm.Chain, error) {
	base.ID, base.Name, base.RPC = c.ID, c.Name, c.RPC
	base.Final = evm.Final{Confirmations: c.Final.Confirmations, Tag: string(c.Final.Tag)}
	base.Gas = evm.Gas{MaxFeePerGas: c.Gas.MaxFeePerGas, PerDay: c.Gas.PerDay}
	for _, t := range c.Tokens {
		base.Tokens = append(base.Tokens, evm.Token{Asset: t.Asset(c.ID), Name: t.EIP712.Name, Version: t.EIP712.Version})
	}
	return evm.Dial(base)
}

// verify proves once that chain id, decimals and domains are as configured. A
// configuration that is wrong is a [*payments.Refusal]; any other error means
// that the chain could not be asked.
func (w *chainWatch) verify(ctx context.Context) error {
	if w.isVerified() {
		return nil
	}
	select {
	case w.verifying <- struct{}{}:
		defer func() { <-w.verifying }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if w.isVerified() {
		return nil
	}
	err := w.chain.VerifyStart(ctx)
	mismatch := errors.Is(err, evm.ErrChainID) || errors.Is(err, evm.ErrToken)
	if err == nil || mismatch {
		w.setProblem(problemChainMismatch, mismatch, detailOf(err))
	}
	switch {
	case errors.Is(err, evm.ErrChainID):
		return &payments.Refusal{Reason: policy.ReasonChainMismatch, Err: err}
	case errors.Is(err, evm.ErrToken):
		return &payments.Refusal{Reason: policy.ReasonTokenMismatch, Err: err}
	case err != nil:
		return fmt.Errorf("verify the chain: %w", err)
	}
	w.mu.Lock()
	w.verified = true
	w.mu.Unlock()
	w.log.Info("chain verified", zap.String("chain", string(w.chain.ID())))
	return nil
}

// comparedOnce makes sure that the ledger was held against the chain since the start.
func (w *chainWatch) comparedOnce(ctx context.Context) error {
	w.mu.Lock()
	done := w.compared
	w.mu.Unlock()
	if done || w.compare == nil {
		return nil
	}
	return w.compare(ctx, w)
}

func (w *chainWatch) setCompared() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.compared = true
}

func (w *chainWatch) isVerified() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.verified
}

func (w *chainWatch) setProblem(code string, on bool, detail string) {
	if on {
		w.health.raiseFor(code, string(w.chain.ID()), detail)
		return
	}
	w.health.clearFor(code, string(w.chain.ID()))
}

// pass verifies the chain, shows its clock to ours, and reads the balances.
func (w *chainWatch) pass(ctx context.Context) error {
	err := w.verify(ctx)
	if refused := (*payments.Refusal)(nil); err == nil || errors.As(err, &refused) {
		err = errors.Join(err, w.read(ctx))
	}
	w.setProblem(problemChain, err != nil, detailOf(err))
	return err
}

func (w *chainWatch) read(ctx context.Context) error {
	head, err := w.chain.Head(ctx)
	if err != nil {
		return fmt.Errorf("read the chain's head: %w", err)
	}
	w.clock.observe(string(w.chain.ID()), head.Time, true)
	all := []balance{w.readBalance(gasAsset, gasDecimals, w.cfg.Gas.LowBalance, func() (money.Amount, error) { return w.chain.GasBalance(ctx, w.payer) })}
	for _, t := range w.cfg.Tokens {
		all = append(all, w.readBalance(t.Symbol, t.Decimals, t.LowBalance, func() (money.Amount, error) { return w.chain.TokenBalance(ctx, t.Address, w.payer) }))
	}
	var faults []error
	for i, b := range all {
		code := problemTokenBalance
		if i == 0 {
			code = problemGasBalance
		}
		subject := string(b.chain) + " " + b.asset
		if b.low {
			w.health.raiseFor(code, subject, b.amount.Format(b.decimals))
		} else if b.err == nil {
			w.health.clearFor(code, subject)
		}
		faults = append(faults, b.err)
	}
	w.mu.Lock()
	w.balances = all
	w.mu.Unlock()
	return errors.Join(faults...)
}

func (w *chainWatch) readBalance(asset string, decimals uint8, mark money.Amount, read func() (money.Amount, error)) balance {
	amount, err := read()
	b := balance{chain: w.chain.ID(), asset: asset, amount: amount, decimals: decimals, at: time.Now().UTC(), err: err}
	b.low = err == nil && amount.Cmp(mark) < 0
	return b
}

func (w *chainWatch) state() []balance {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.balances
}

// gatedRails lets a payment be prepared only on a chain that was verified, and
// that the ledger was held against.
type gatedRails struct {
	set    *payments.Set
	chains map[money.ChainID]*chainWatch
}

var _ market.Rails = (*gatedRails)(nil)

// Rail returns the rail of a name, behind the gate.
func (g *gatedRails) Rail(name string) (payments.Rail, bool) {
	rail, ok := g.set.Rail(name)
	if !ok {
		return nil, false
	}
	gated := gatedRail{Rail: rail, chains: g.chains}
	if custodian, ok := rail.(payments.Custodian); ok {
		return &gatedCustodian{gated, custodian}, true
	}
	return &gated, true
}

// Human says whether a person pays on the rail.
func (g *gatedRails) Human(name string) bool { return g.set.Human(name) }

// Forgotten asks a chain that was verified.
func (g *gatedRails) Forgotten(ctx context.Context, id policy.PurchaseID, t policy.Terms) error {
	if w := g.chains[t.Chain]; w != nil {
		if err := w.verify(ctx); err != nil {
			return err
		}
	}
	return g.set.Forgotten(ctx, id, t)
}

type gatedRail struct {
	payments.Rail
	chains map[money.ChainID]*chainWatch
}

// gatedCustodian is a gated rail whose value can come back. What is paid already
// needs no gate.
type gatedCustodian struct {
	gatedRail
	payments.Custodian
}

// Ready verifies the chain of the terms and holds the ledger against it, then
// asks the rail.
func (g *gatedRail) Ready(ctx context.Context, t policy.Terms) error {
	if w := g.chains[t.Chain]; w != nil {
		if err := errors.Join(w.verify(ctx), w.comparedOnce(ctx)); err != nil {
			return err
		}
	}
	return g.Rail.Ready(ctx, t)
}

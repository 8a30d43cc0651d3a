// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"sync"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/market"
	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/orchestration"
	"github.com/agentd-project/agentd/pairing"
	"github.com/agentd-project/agentd/payments"
	"github.com/agentd-project/agentd/payments/evm"
	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/sandbox"
)

// people names the calls that a person's decision makes.
const people = "people"

// life is one run of the buyer's process. Once it is over nothing that is left of
// it has an effect: no write, no request, no answer.
type life struct {
	world  *world
	number int

	ledger  *ledger.Ledger
	store   *store
	market  *market.Market
	node    *evm.Chain
	running sync.WaitGroup
	cancel  context.CancelFunc

	over chan struct{}
	once sync.Once
	died time.Time

	mu   sync.Mutex
	busy map[string]int // who is in the middle of a step
}

// kill ends the life at once.
func (l *life) kill() {
	l.once.Do(func() {
		l.died = time.Now()
		close(l.over)
		l.cancel()
	})
}

func (l *life) dead() bool {
	select {
	case <-l.over:
		return true
	default:
		return false
	}
}

// step passes one point at which the process may die.
func (l *life) step(who, what string) error {
	if l.dead() {
		return errDead
	}
	w := l.world
	w.report.Steps.Add(1)
	if deaths := w.weather().deaths; deaths > 0 && who != "boot" {
		if w.dice.roll(fmt.Sprintf("death/%d/%s", l.number, who)).IntN(deaths) == 0 {
			w.trace.add(who, "dies at %s", what)
			l.kill()
			return errDead
		}
	}
	return nil
}

// refused says whether the disk refuses a write.
func (l *life) refused(who string) bool {
	share := l.world.weather().refusals
	if share == 0 || !chance(l.world.dice.roll(fmt.Sprintf("disk/%d/%s", l.number, who)), share) {
		return false
	}
	l.world.report.fault("write refused")
	return true
}

// nap lets time pass, unless the life or the context ends.
func (l *life) nap(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-l.over:
	}
	switch {
	case l.dead():
		return errDead
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return nil
}

func (l *life) enter(who string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.busy[who]++
}

func (l *life) leave(who string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.busy[who]--; l.busy[who] == 0 {
		delete(l.busy, who)
	}
}

// atWork says whether a purchase's worker is in the middle of a step, and holds
// what a decision about it would wait for.
func (l *life) atWork(id policy.PurchaseID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.busy[string(id)] > 0
}

// clock is the buyer's own clock; whether it is proven depends on how far the
// others are from it.
type clock struct{ world *world }

func (c clock) Now() (time.Time, bool) {
	return time.Now(), c.world.offset().Abs() <= 2*time.Minute
}

// wake starts a life over what is on disk, as the daemon does.
func (w *world) wake() error {
	ctx, cancel := context.WithCancel(context.Background())
	w.lives++
	l := &life{world: w, number: w.lives, cancel: cancel, over: make(chan struct{}), busy: map[string]int{}}
	w.life = l
	var err error
	if l.ledger, err = ledger.Open(ctx, ledger.Config{Path: filepath.Join(w.dir, "ledger.db")}); err != nil {
		return fmt.Errorf("open the ledger: %w", err)
	}
	l.store = &store{Ledger: l.ledger, life: l}
	client := &http.Client{Transport: &link{world: w, life: l}}
	api, err := orchestration.New(orchestration.Config{BaseURL: "http://" + marketHost, APIKey: orchestration.Secret(sandbox.DefaultAPIKey),
		Version: "simulation", HTTPClient: client, Jitter: w.dice.jitter})
	if err != nil {
		return err
	}
	guard, err := policy.NewGuard(policy.GuardConfig{Rules: &w.climate.rules, Store: l.store, Clock: clock{w}})
	if err != nil {
		return err
	}
	token := w.token()
	endpoints := []string{"http://" + chainHost, "http://" + chainHost2}
	l.node, err = evm.Dial(evm.Config{ID: token.Chain, Name: "base-sepolia", RPC: endpoints[:w.climate.endpoints], HTTPClient: client,
		Final: w.climate.final, Poll: blockTime, LogPage: 20_000,
		Gas:    evm.Gas{MaxFeePerGas: money.FromUint64(200e9), PerDay: money.FromUint64(1e18)},
		Tokens: []evm.Token{{Asset: token, Name: "USDC", Version: "2"}}})
	if err != nil {
		return err
	}
	if err := l.node.VerifyStart(as(ctx, "boot")); err != nil {
		return err
	}
	return l.run(ctx, api, guard)
}

func (l *life) run(ctx context.Context, api *orchestration.Client, guard *policy.Guard) error {
	w, token := l.world, l.world.token()
	rails, err := payments.NewSet(payments.SetConfig{Wallet: w.agent, Ledger: l.store, Chains: []*evm.Chain{l.node}})
	if err != nil {
		return err
	}
	files, err := pairing.NewFileStore(w.dir)
	if err != nil {
		return err
	}
	sessions, err := pairing.New(pairing.Config{API: api, Wallet: w.agent, Machine: func() (string, string) { return w.machine, identity },
		Store: files, Guard: guard, Settings: pairing.Settings{Provider: "custom", Role: "buyer"}, Logger: zap.NewNop(), Chance: w.dice.share,
		Now: w.now})
	if err != nil {
		return err
	}
	l.market, err = market.New(market.Config{API: api, Sessions: sessions, Guard: guard, Ledger: l.store, Rails: rails, Needs: w.needs,
		Tokens: []market.Token{{Asset: token, DomainName: "USDC", DomainVersion: "2"}},
		Chains: map[string]money.ChainID{w.chain.CAIP2(): token.Chain, "base-sepolia": token.Chain}, Payer: w.agent.Address(),
		Grace: w.climate.grace, Parallel: 1000, Jitter: w.dice.jitter, NewID: w.newID, Logger: w.logger})
	if err != nil {
		return err
	}
	l.ledger.SetVerified(false)
	l.running.Go(func() { l.audit(as(ctx, "audit")) })
	l.running.Go(func() { _ = sessions.Run(ctx) }) // it ends with the context and then says nothing
	l.running.Go(func() {
		if err := l.market.Run(ctx); err != nil && !errors.Is(err, errDead) {
			w.model.find("the market ended: %v", err)
		}
	})
	synctest.Wait() // what it does at once is done before anybody else does something
	return nil
}

// end waits until all of a life has come to an end and closes its ledger.
func (l *life) end() error {
	l.cancel()
	l.running.Wait()
	l.once.Do(func() { l.died = time.Now(); close(l.over) })
	l.node.Close()
	return l.ledger.Close()
}

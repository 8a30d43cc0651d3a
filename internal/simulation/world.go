// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/agentd-project/agentd/market"
	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/orchestration"
	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/sandbox"
	"github.com/agentd-project/agentd/sandbox/chain"
	"github.com/agentd-project/agentd/wallet"
)

// identity is the machine's, as the sandbox knows it.
const identity = "did:peaq:184467"

// blockTime is the interval of the chain's empty blocks.
const blockTime = 6 * time.Second

// restless is how many steps for each purchase are more than a world needs: it is
// let heal early, and is not waited for.
const restless = 2000

// Config says which world to play.
type Config struct {
	// Seed decides everything.
	Seed uint64
	// Purchases is how many are started.
	Purchases int
	// Older makes older copies of the ledger come back often.
	Older bool
	// Dir takes the ledger and the session; it is empty and the caller's to remove.
	Dir string
	// Trace gets a line for each event; nil drops them.
	Trace io.Writer
	// Logger gets what the buyer logs; nil drops it.
	Logger *zap.Logger
}

// world is one buyer with its Market and its chain, from the first purchase to the
// day on which all of them are over.
type world struct {
	dir     string
	dice    *dice
	trace   *trace
	report  *Report
	model   *model
	climate climate
	logger  *zap.Logger

	chain   *chain.Memory
	seller  *sandbox.Market
	agent   *wallet.Wallet
	machine string
	needs   []market.Need

	life    *life
	lives   int
	ids     int
	errands sync.WaitGroup
	// waiting are the calls that may wait for a block.
	waiting atomic.Int64
	backup  *backup

	mu      sync.Mutex
	sky     weatherNow
	healing bool
}

// weatherNow is what changes while a world runs.
type weatherNow struct {
	calm  climate
	drift time.Duration
}

// Run plays one world. It must be called inside a synctest bubble.
func Run(cfg Config) (*Report, error) {
	w := &world{dir: cfg.Dir, dice: newDice(cfg.Seed), report: newReport(cfg.Seed), logger: cfg.Logger,
		trace: &trace{began: time.Now(), out: cfg.Trace}}
	if w.logger == nil {
		w.logger = zap.NewNop()
	}
	w.climate = newClimate(w.dice.roll("climate"))
	if cfg.Older {
		w.climate.deaths, w.climate.older, w.climate.copies, w.climate.unrest = 200, 0.7, 0.05, 0.5
	}
	w.sky.calm = w.climate.calm()
	w.model = newModel(w)
	if err := w.found(); err != nil {
		return nil, fmt.Errorf("seed %d: %w", cfg.Seed, err)
	}
	over := make(chan struct{})
	var miner sync.WaitGroup
	miner.Go(func() { w.mine(over) })
	err := w.play(cfg.Purchases)
	err = errors.Join(err, w.close())
	close(over)
	miner.Wait()
	w.report.finish(w)
	if err != nil {
		return w.report, fmt.Errorf("seed %d: %w", cfg.Seed, err)
	}
	return w.report, nil
}

// found makes the chain, the Market and the machine's record there.
func (w *world) found() error {
	accounts, err := sandbox.Accounts()
	if err != nil {
		return err
	}
	if w.chain, err = chain.NewMemory(chain.Config{Accounts: accounts, Now: w.now, BlockTime: blockTime, Random: w.dice.stream("chain")}); err != nil {
		return err
	}
	if w.seller, err = sandbox.New(sandbox.Options{Chain: w.chain, Strict: true, Now: w.now, Random: w.dice.stream("market")}); err != nil {
		return err
	}
	if w.agent, err = wallet.FromPrivateKey([]byte(sandbox.DefaultAgentKey)); err != nil {
		return err
	}
	w.needs = newNeeds(w.dice.roll("needs"))
	w.mend()
	return w.register()
}

// register makes the machine's record, over a network on which nothing is lost.
func (w *world) register() error {
	ctx := as(context.Background(), "boot")
	nobody := &life{world: w, over: make(chan struct{}), busy: map[string]int{}}
	api, err := orchestration.New(orchestration.Config{BaseURL: "http://" + marketHost, APIKey: orchestration.Secret(sandbox.DefaultAPIKey),
		Version: "simulation", HTTPClient: httpClient(w, nobody)})
	if err != nil {
		return err
	}
	owner, err := wallet.FromPrivateKey([]byte(sandbox.DefaultOwnerKey))
	if err != nil {
		return err
	}
	c, err := api.CreateIdentityChallenge(ctx, identity)
	if err != nil {
		return err
	}
	expires, err := c.ExpiresAt.Time()
	if err != nil {
		return err
	}
	checked, err := wallet.CheckChallenge(wallet.ChallengeWant{IdentityRef: identity, Address: owner.Address()},
		wallet.ChallengeReply{IdentityRef: c.IdentityRef, Address: c.ControllerAddresses[0], Message: c.Message, ExpiresAt: expires}, time.Now())
	if err != nil {
		return err
	}
	signature, err := owner.SignChallenge(checked)
	if err != nil {
		return err
	}
	m, err := api.CreateMachine(ctx, orchestration.CreateMachineRequest{DisplayName: "robot", OwnerID: "acme", MachineType: "robot",
		RuntimeProfile: "linux-native", IdentityRef: identity, IdentityProof: orchestration.Proof{ChallengeID: c.ChallengeID, Signature: signature}})
	if err != nil {
		return err
	}
	w.machine = m.ID
	_, err = api.UpdateMachine(ctx, m.ID, orchestration.UpdateMachineRequest{Status: orchestration.MachineActive})
	return err
}

// weather is the climate of now.
func (w *world) weather() *climate {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.healing {
		return &w.sky.calm
	}
	return &w.climate
}

// offset is how far the clocks of Market and chain are from the buyer's.
func (w *world) offset() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sky.drift
}

func (w *world) setOffset(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sky.drift = d
}

// now is the time by the clocks of Market and chain.
func (w *world) now() time.Time { return time.Now().Add(w.offset()) }

func (w *world) token() money.Asset {
	return money.Asset{Chain: money.ChainID(w.chain.CAIP2()), Address: w.chain.Token(), Symbol: "USDC", Decimals: 6, Currency: "USD"}
}

// newID makes the ids of purchases: they sort by age, as the daemon's do.
func (w *world) newID() (policy.PurchaseID, error) {
	w.ids++
	ms := time.Now().UnixMilli()
	return policy.PurchaseID(fmt.Sprintf("%08x-%04x-7000-8000-%012x", ms>>16, ms&0xffff, w.ids)), nil
}

// play starts purchases while the world changes, then lets it heal, and judges it.
func (w *world) play(purchases int) error {
	if err := w.wake(); err != nil {
		return err
	}
	r := w.dice.roll("driver")
	for started := 0; started < purchases && w.report.Steps.Load() < int64(purchases)*restless; {
		if err := w.pause(r); err != nil {
			return err
		}
		switch {
		case chance(r, w.climate.unrest):
			w.stir(r)
		default:
			for range 1 + r.IntN(w.climate.crowd) {
				started += w.buy(r)
				synctest.Wait()
			}
		}
		w.decide(r)
		w.model.look()
	}
	if err := w.heal(r); err != nil {
		return err
	}
	w.model.judge()
	return nil
}

// pause lets time pass until the driver's next step; if the buyer dies meanwhile it
// is started again.
func (w *world) pause(r *rand.Rand) error {
	timer := time.NewTimer(span(r, time.Millisecond, w.climate.lull))
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return nil
		case <-w.life.over:
			if err := w.revive(); err != nil {
				return err
			}
		}
	}
}

// mine makes the blocks that somebody waits for: the chain moves only when it is
// called.
func (w *world) mine(over <-chan struct{}) {
	ticker := time.NewTicker(31*time.Second + 7)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if w.waiting.Load() > 0 {
				w.head()
			}
		case <-over:
			return
		}
	}
}

// buy plans one purchase and returns how many that were.
func (w *world) buy(r *rand.Rand) int {
	need := w.needs[r.IntN(len(w.needs))]
	o := market.Order{Need: need.Name}
	if chance(r, 0.1) {
		o.MaxPrice, o.HasMaxPrice = money.Value(1+r.Int64N(60_000)), true
	}
	id, err := w.life.market.Buy(as(context.Background(), people), o)
	if err != nil {
		w.trace.add("driver", "cannot buy %s: %v", need.Name, err)
		return 0
	}
	w.trace.add(string(id), "buy %s", need.Name)
	return 1
}

// heal ends all mischief and gives the purchases three days to end.
func (w *world) heal(r *rand.Rand) error {
	w.mu.Lock()
	w.healing = true
	w.mu.Unlock()
	w.setOffset(0)
	w.seller.SetConditions(sandbox.Conditions{})
	w.chain.SetAutomine(true)
	w.mend()
	before := w.report.Steps.Load()
	for range 3 * 24 * 2 {
		if w.life.dead() {
			if err := w.revive(); err != nil {
				return err
			}
		}
		<-time.After(30*time.Minute + time.Duration(r.Int64N(int64(time.Minute))))
		w.decide(r)
		w.settleDisputes(r)
		w.model.look()
		if w.model.quiet() {
			break
		}
		if w.report.Steps.Load()-before > int64(w.ids)*restless {
			w.report.fault("worlds without rest") // whether a purchase is stuck is judged below
			break
		}
	}
	<-time.After(time.Minute) // the ledger follows the chain
	return nil
}

func (w *world) close() error {
	err := w.life.end()
	w.errands.Wait()
	return errors.Join(err, w.seller.Close(), w.chain.Close())
}

// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"context"
	"encoding/json"
	"fmt"
	"math/big"
	"math/rand/v2"
	"time"

	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/sandbox"
	"github.com/agentd-project/agentd/sandbox/chain"
)

// stir changes the world in one way.
func (w *world) stir(r *rand.Rand) {
	acts := []struct {
		name   string
		weight int
		act    func(*rand.Rand)
	}{
		{"sessions lost", 3, func(*rand.Rand) { w.seller.LoseSessions() }},
		{"seller changes", 10, w.changeSeller},
		{"market conditions", 3, w.changeConditions},
		{"reorganisation", 4, w.reorganise},
		{"transaction dropped", 4, w.drop},
		{"mining held", 4, w.hold},
		{"base fee jumps", 3, w.jumpFee},
		{"clocks drift", 4, w.driftClocks},
		{"copy of the ledger", 8, w.copyLedger},
		{"stopped in order", 2, func(*rand.Rand) { w.stop() }},
		{"foreign transaction", 1, w.foreign},
	}
	weights := make([]int, len(acts))
	for i, a := range acts {
		weights[i] = a.weight
	}
	a := acts[among(r, weights...)]
	w.trace.add("driver", "%s", a.name)
	w.report.fault(mishap(a.name))
	a.act(r)
}

// mend puts every seller in order.
func (w *world) mend() {
	for _, s := range sandbox.DefaultServices() {
		w.setSeller(s, func(*sandbox.Service) {})
	}
}

// setSeller gives a service its default knobs and then those of edit.
func (w *world) setSeller(s sandbox.Service, edit func(*sandbox.Service)) {
	for _, live := range w.seller.Services() {
		if live.Operation != s.Operation {
			continue
		}
		err := w.seller.UpdateService(live.ID, func(now *sandbox.Service) {
			now.Failure, now.Unreachable, now.Settle, now.LatencyMS, now.Result, now.HidePrice, now.MaxTimeoutSeconds = "", false, "", 0, nil, false, 60
			now.Price, now.Unlisted = s.Price, false
			edit(now)
		})
		if err != nil {
			w.model.find("a seller cannot be changed: %v", err)
		}
	}
}

func (w *world) changeSeller(r *rand.Rand) {
	all := sandbox.DefaultServices()
	s := all[r.IntN(6)]
	w.setSeller(s, func(now *sandbox.Service) {
		switch among(r, 3, 1, 1, 2, 2, 1, 2, 1, 2, 1) {
		case 1:
			now.Failure = "out of order"
		case 2:
			now.Unreachable = true
		case 3:
			now.Settle, now.SettleDelayMS = sandbox.SettleLater, r.IntN(900_000)
		case 4:
			now.Settle = sandbox.SettleNever
		case 5:
			now.Result = json.RawMessage(`[]`)
		case 6:
			if now.Price > 0 {
				now.Price = s.Price * money.Value(1+r.Int64N(4)) / 2
			}
		case 7:
			now.HidePrice = now.Price > 0
		case 8:
			now.LatencyMS = r.IntN(40_000)
		case 9:
			now.MaxTimeoutSeconds = 20 + r.IntN(180)
		}
	})
}

func (w *world) changeConditions(r *rand.Rand) {
	var c sandbox.Conditions
	switch among(r, 4, 1, 1, 1, 1) {
	case 1:
		c.NoRPC = true
	case 2:
		c.RPCDown = true
	case 3:
		c.SettleDown = true
	case 4:
		c.PairingDown = true
	}
	w.seller.SetConditions(c)
}

// reorganise replaces fewer blocks than the buyer waits for.
func (w *world) reorganise(r *rand.Rand) {
	deepest := w.climate.final.Confirmations - 1
	if w.climate.lies {
		deepest += 2
	}
	if deepest == 0 {
		return
	}
	if err := w.chain.Reorg(1 + r.Uint64N(deepest)); err != nil {
		w.trace.add("driver", "no reorganisation: %v", err)
	}
}

// drop has the pool forget one of the buyer's transactions.
func (w *world) drop(r *rand.Rand) {
	if sent := w.model.sent(); len(sent) > 0 {
		tx := sent[len(sent)-1-r.IntN(min(len(sent), 4))]
		w.trace.add("driver", "drop %s: %v", tx, w.chain.Drop(tx))
	}
}

// hold stops mining for a while.
func (w *world) hold(r *rand.Rand) {
	w.chain.SetAutomine(false)
	wait := span(r, time.Second, 10*time.Minute)
	w.errands.Go(func() {
		<-time.After(wait)
		w.chain.SetAutomine(true)
	})
}

func (w *world) jumpFee(r *rand.Rand) {
	w.chain.SetBaseFee(new(big.Int).Mul(big.NewInt(1+r.Int64N(300)), big.NewInt(1e9)))
}

// driftClocks moves the clocks of Market and chain against the buyer's.
func (w *world) driftClocks(r *rand.Rand) {
	if !w.climate.drift {
		return
	}
	d := time.Duration(0)
	if chance(r, 0.7) {
		d = span(r, time.Second, 30*time.Minute)
	}
	if chance(r, 0.5) {
		d = -d
	}
	w.setOffset(d)
	w.model.drifted(d)
}

// foreign sends a transaction of the same key that the buyer knows nothing of; it
// moves nothing.
func (w *world) foreign(*rand.Rand) {
	key, err := crypto.ToECDSA(common.FromHex(sandbox.DefaultAgentKey))
	if err != nil {
		return
	}
	eth, err := chain.Dial(w.chain.Handler())
	if err != nil {
		return
	}
	defer eth.Close()
	ctx := context.Background()
	if err := sendForeign(ctx, eth, types.LatestSignerForChainID(new(big.Int).SetUint64(chain.ChainID)), func(s types.Signer, tx *types.DynamicFeeTx) (*types.Transaction, error) {
		return types.SignNewTx(key, s, tx)
	}, w.agent.Address()); err != nil {
		w.trace.add("driver", "no foreign transaction: %v", err)
	}
}

func sendForeign(ctx context.Context, eth *ethclient.Client, signer types.Signer,
	sign func(types.Signer, *types.DynamicFeeTx) (*types.Transaction, error), self common.Address,
) error {
	nonce, err := eth.PendingNonceAt(ctx, self)
	if err != nil {
		return err
	}
	head, err := eth.HeaderByNumber(ctx, nil)
	if err != nil {
		return err
	}
	tip := big.NewInt(1e6)
	tx, err := sign(signer, &types.DynamicFeeTx{ChainID: new(big.Int).SetUint64(chain.ChainID), Nonce: nonce, GasTipCap: tip,
		GasFeeCap: new(big.Int).Add(tip, new(big.Int).Lsh(head.BaseFee, 2)), Gas: 21_000, To: &self})
	if err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	return eth.SendTransaction(ctx, tx)
}

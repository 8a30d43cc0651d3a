// SPDX-License-Identifier: Apache-2.0

package chain

import (
	"errors"
	"fmt"
	"maps"
	"math/big"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/eth"
	"github.com/ethereum/go-ethereum/eth/catalyst"
	"github.com/ethereum/go-ethereum/eth/ethconfig"
	"github.com/ethereum/go-ethereum/eth/filters"
	"github.com/ethereum/go-ethereum/node"
	"github.com/ethereum/go-ethereum/p2p"
	"github.com/ethereum/go-ethereum/params"
	"github.com/ethereum/go-ethereum/rpc"
)

// backend is a node without peers or disk, driven by a simulated beacon. It is put together as ethclient/simulated does it, which
// hides the RPC client that the endpoint needs.
type backend struct {
	node   *node.Node
	eth    *eth.Ethereum
	beacon *catalyst.SimulatedBeacon
	rpc    *rpc.Client
}

func newBackend(config *params.ChainConfig, accounts types.GenesisAlloc) (*backend, error) {
	nodeConfig := node.DefaultConfig
	nodeConfig.DataDir = ""
	nodeConfig.P2P = p2p.Config{NoDiscovery: true}
	stack, err := node.New(&nodeConfig)
	if err != nil {
		return nil, fmt.Errorf("make node: %w", err)
	}
	b := &backend{node: stack}
	if err := b.open(config, accounts); err != nil {
		return nil, errors.Join(fmt.Errorf("start node: %w", err), stack.Close())
	}
	return b, nil
}

func (b *backend) open(config *params.ChainConfig, accounts types.GenesisAlloc) error {
	alloc := core.SystemContractAllocs()
	maps.Copy(alloc, accounts)
	c := ethconfig.Defaults
	c.Genesis = &core.Genesis{
		Config:    config,
		Timestamp: uint64(time.Now().Unix()) - 1, //nolint:gosec // after 1970
		GasLimit:  ethconfig.Defaults.Miner.GasCeil,
		Alloc:     alloc,
	}
	c.NetworkId = ChainID
	c.SyncMode = ethconfig.FullSync
	c.TxPool.NoLocals = true
	c.LogNoHistory = true
	// The pool takes any tip, so blocks must too: a transaction would wait for ever otherwise.
	c.Miner.GasPrice = big.NewInt(1)
	var err error
	if b.eth, err = eth.New(b.node, &c); err != nil {
		return err
	}
	b.node.RegisterAPIs([]rpc.API{{
		Namespace: "eth",
		Service:   filters.NewFilterAPI(filters.NewFilterSystem(b.eth.APIBackend, filters.Config{})),
	}})
	if err := b.node.Start(); err != nil {
		return err
	}
	if b.beacon, err = catalyst.NewSimulatedBeacon(0, common.Address{}, b.eth); err != nil {
		return err
	}
	b.rpc = b.node.Attach()
	return nil
}

// settle waits until the pool has sorted what it took and has seen the newest block. A pool that fails is being closed. The pool
// forgets one of two waiters, so the miner's lock must be held, here and where the beacon seals a block.
func (b *backend) settle() { _ = b.eth.TxPool().Sync() }

// pending returns the number of transactions that a block would have to take.
func (b *backend) pending() int {
	pending, _ := b.eth.TxPool().Stats()
	return pending
}

// head returns the newest block's number and time.
func (b *backend) head() (number, seconds uint64) {
	h := b.eth.BlockChain().CurrentBlock()
	return h.Number.Uint64(), h.Time
}

// fork makes the block that many below the newest one the head.
func (b *backend) fork(depth uint64) error {
	number, _ := b.head()
	if depth >= number {
		return fmt.Errorf("replace %d blocks: %w", depth, ErrTooDeep)
	}
	return b.beacon.Fork(b.eth.BlockChain().GetHeaderByNumber(number - depth).Hash())
}

// mined reports whether a transaction is in a block.
func (b *backend) mined(tx common.Hash) bool {
	found, _, _, _, _ := b.eth.APIBackend.GetCanonicalTransaction(tx) //nolint:dogsled // the library's signature
	return found
}

func (b *backend) close() error {
	b.rpc.Close()
	return errors.Join(b.beacon.Stop(), b.node.Close())
}

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/agentd-project/agentd/sandbox"
	"github.com/agentd-project/agentd/sandbox/chain"
)

// local is a Market with its chain, served by this process.
type local struct {
	market *sandbox.Market
	chain  chain.Chain
	info   sandbox.Info
	stop   context.CancelFunc
	ended  chan error
}

// bothEscrows are the sandbox's services: one escrow rail has the keeper, who takes
// plain transfers, the other the contract, which locks.
func bothEscrows() []sandbox.Service {
	services := sandbox.DefaultServices()
	for i := range services {
		if services[i].Rails[0] == "escrow" {
			services[i].Escrow = sandbox.EscrowKeeper
		}
	}
	return services
}

// startLocal serves a strict Market on free loopback ports. Its block time may
// run ahead of the clock by what is given; 0 is the chain's default.
func startLocal(ctx context.Context, options sandbox.Options, ahead time.Duration) (*local, error) {
	accounts, err := sandbox.Accounts()
	if err != nil {
		return nil, err
	}
	l := &local{ended: make(chan error, 1)}
	setup := chain.Config{Accounts: accounts, MaxAhead: ahead}
	if options.RPC != nil {
		setup.Wrap = options.RPC.Wrap
	}
	if l.chain, err = chain.NewSimulated(setup); err != nil {
		return nil, fmt.Errorf("start the chain: %w", err)
	}
	options.Chain, options.Strict = l.chain, true
	if l.market, err = sandbox.New(options); err != nil {
		return nil, errors.Join(err, l.chain.Close())
	}
	ctx, l.stop = context.WithCancel(ctx)
	ready := make(chan struct{})
	go func() {
		l.ended <- l.market.Serve(ctx, "127.0.0.1:0", "127.0.0.1:0", func(info sandbox.Info) error {
			l.info = info
			close(ready)
			return nil
		})
	}()
	select {
	case <-ready:
		return l, nil
	case err := <-l.ended:
		return nil, errors.Join(err, l.market.Close(), l.chain.Close())
	}
}

// close ends the Market and then its chain.
func (l *local) close() error {
	l.stop()
	err := <-l.ended
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return errors.Join(err, l.market.Close(), l.chain.Close())
}

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/sandbox"
	"github.com/agentd-project/agentd/sandbox/chain"
)

// buyers are the machines of a comparison: one for the daemon and one for each
// peer, each with an agent key of its own, so that the daemon's ledger and its
// transfers on the chain stay the only ones of its key.
var buyers = []string{sandbox.DefaultAgentKey, benchKey("55"), benchKey("66")}

// benchKey repeats one byte of hex; the key guards nothing.
func benchKey(twoDigits string) string {
	key := "0x"
	for range 32 {
		key += twoDigits
	}
	return key
}

// quickChain is the small chain behind a loopback socket. Its blocks may share a
// second, so that hundreds of purchases one after the other need not run ahead
// of the clock, and none has to wait for the next second.
type quickChain struct {
	*chain.Memory
	url string
}

// RPCURL returns the URL of the socket.
func (c quickChain) RPCURL() string { return c.url }

// benchMarket is a strict Market on that chain, served by this process.
type benchMarket struct {
	info     sandbox.Info
	market   *sandbox.Market
	rpc      *http.Server
	requests atomic.Int64 // of others than the Market to the chain
	stop     context.CancelFunc
	ended    chan error
}

// startBenchMarket serves on free loopback ports.
func startBenchMarket(ctx context.Context) (*benchMarket, error) {
	accounts, err := sandbox.Accounts(append([]string{sandbox.DefaultOwnerKey}, buyers...)...)
	if err != nil {
		return nil, err
	}
	memory, err := chain.NewMemory(chain.Config{Accounts: accounts})
	if err != nil {
		return nil, fmt.Errorf("start the chain: %w", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	m := &benchMarket{ended: make(chan error, 2)}
	m.rpc = &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.requests.Add(1)
		memory.Handler().ServeHTTP(w, r)
	})}
	options := sandbox.Options{Strict: true, Services: bothEscrows(), Chain: quickChain{memory, "http://" + listener.Addr().String()}, QuoteTTL: time.Hour, SessionTTL: 6 * time.Hour}
	if options.Identities, err = benchIdentities(); err == nil {
		m.market, err = sandbox.New(options)
	}
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	ctx, m.stop = context.WithCancel(ctx)
	go func() { m.ended <- m.rpc.Serve(listener) }()
	ready := make(chan struct{})
	go func() {
		m.ended <- m.market.Serve(ctx, "127.0.0.1:0", "127.0.0.1:0", func(info sandbox.Info) error {
			m.info = info
			close(ready)
			return nil
		})
	}()
	select {
	case <-ready:
		return m, nil
	case err := <-m.ended:
		m.ended <- nil // stands for the one that is read here
		return nil, errors.Join(err, m.close())
	}
}

// benchIdentities is one machine identity for each buyer, all of the owner.
func benchIdentities() ([]sandbox.Identity, error) {
	owner, err := sandbox.AddressOf(sandbox.DefaultOwnerKey)
	if err != nil {
		return nil, err
	}
	identities := make([]sandbox.Identity, 0, len(buyers))
	for i := range buyers {
		identities = append(identities, sandbox.Identity{Number: big.NewInt(int64(sandbox.DefaultIdentity + i)), Controllers: []common.Address{owner}})
	}
	return identities, nil
}

// close ends both servers and the Market.
func (m *benchMarket) close() error {
	m.stop()
	errs := []error{m.rpc.Close()}
	for range 2 {
		if err := <-m.ended; !errors.Is(err, context.Canceled) && !errors.Is(err, http.ErrServerClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, m.market.Close())...)
}

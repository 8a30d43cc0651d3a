// SPDX-License-Identifier: Apache-2.0

package chain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/rpc"
)

// FinalityDepth is how many blocks below the newest one the block of the tag "finalized" is. A real beacon chain takes minutes.
const FinalityDepth = 2

// closeTimeout bounds the wait for requests under way when a chain closes.
const closeTimeout = 5 * time.Second

// Simulated is go-ethereum's simulated backend, mined on demand, behind a JSON-RPC endpoint on a loopback port. Its methods may be
// called concurrently.
type Simulated struct {
	*settler
	backend  *backend
	endpoint endpoint
	miner    *miner
	server   *http.Server
	url      string
	cancel   context.CancelFunc
	running  sync.WaitGroup
	stop     func() error
}

var _ Chain = (*Simulated)(nil)

// NewSimulated starts a chain. Block times are the wall clock's, so Config.Now must agree with it. The caller must Close it.
func NewSimulated(c Config) (*Simulated, error) {
	if c.Now != nil {
		if skew := time.Until(c.Now()).Abs(); skew > DefaultMaxAhead {
			return nil, fmt.Errorf("start simulated chain: clock is %s off the wall clock, which block times follow", skew)
		}
	}
	if c.BlockTime == 0 {
		c.BlockTime = DefaultBlockTime
	}
	if c.MaxAhead == 0 {
		c.MaxAhead = DefaultMaxAhead
	}
	key, facilitator, err := newFacilitator(c.Random)
	if err != nil {
		return nil, err
	}
	config := chainConfig()
	alloc, err := genesisAlloc(config, append([]Account{facilitator}, c.Accounts...))
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(c.HTTPPort)))
	if err != nil {
		return nil, fmt.Errorf("listen for JSON-RPC: %w", err)
	}
	b, err := newBackend(config, alloc)
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	s := &Simulated{backend: b, url: "http://" + listener.Addr().String()}
	s.endpoint = endpoint{s}
	client, err := Dial(s.endpoint)
	if err != nil {
		return nil, errors.Join(err, listener.Close(), b.close())
	}
	if s.settler, err = newSettler(client, key); err != nil {
		return nil, errors.Join(err, listener.Close(), b.close())
	}
	s.miner = &miner{ahead: c.MaxAhead, backend: b, interval: c.BlockTime, blocks: s.blocks, last: time.Now()}
	s.stop = sync.OnceValue(s.shut)
	var handler http.Handler = s.endpoint
	if c.Wrap != nil {
		handler = c.Wrap(handler)
	}
	s.start(listener, handler)
	return s, nil
}

func (s *Simulated) start(listener net.Listener, handler http.Handler) {
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.server = &http.Server{Handler: handler, ReadHeaderTimeout: closeTimeout}
	s.running.Go(func() { s.miner.run(ctx) })
	s.running.Go(func() {
		// Serve returns when the server is shut and has nothing else to report: the listener is ours.
		_ = s.server.Serve(listener)
	})
}

// RPCURL returns the loopback URL of the JSON-RPC endpoint.
func (s *Simulated) RPCURL() string { return s.url }

// Handler returns the JSON-RPC endpoint.
func (s *Simulated) Handler() http.Handler { return s.endpoint }

// Mine makes one block now, however far ahead of the clock that is. After Close it returns ErrClosed.
func (s *Simulated) Mine(context.Context) error {
	return s.miner.mine()
}

// Reorg replaces the newest blocks by others, and one more. Their transactions wait in the pool again and come into the second of the
// new blocks. It returns ErrTooDeep where genesis is among them, and an error where transactions wait that no block takes.
func (s *Simulated) Reorg(depth uint64) error { return s.miner.reorg(depth) }

// SetAutomine says whether blocks are made without Mine. It is on from the start.
func (s *Simulated) SetAutomine(on bool) { s.miner.hold(!on) }

// Close stops the endpoint, the miner and the node.
func (s *Simulated) Close() error { return s.stop() }

func (s *Simulated) shut() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	err := s.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.server.Close())
	}
	s.cancel()
	s.running.Wait()
	s.miner.close()
	return errors.Join(err, s.backend.close())
}

// dispatch passes a call to the node. A transaction is mined before its answer leaves.
func (s *Simulated) dispatch(ctx context.Context, method string, params []json.RawMessage) (any, error) {
	namespace, _, _ := strings.Cut(method, "_")
	switch {
	case namespace != "eth" && namespace != "net" && namespace != "web3":
		return nil, noMethod(method)
	case method == "eth_subscribe" || method == "eth_unsubscribe":
		return nil, &rpcError{code: codeNoMethod, message: "notifications not supported"}
	}
	params = s.finalize(params)
	args := make([]any, len(params))
	for i, p := range params {
		args[i] = p
	}
	var result json.RawMessage
	indexing := !s.backend.eth.APIBackend.TxIndexDone()
	if err := s.backend.rpc.CallContext(ctx, &result, method, args...); err != nil {
		if indexing && isIndexing(method, err) {
			return nil, nil //nolint:nilnil // JSON-RPC's null
		}
		return nil, err
	}
	if method != "eth_sendRawTransaction" {
		return result, nil
	}
	var hash common.Hash
	if err := json.Unmarshal(result, &hash); err != nil {
		return nil, fmt.Errorf("read transaction hash: %w", err)
	}
	s.miner.accepted(hash)
	return result, nil
}

// isIndexing recognises the node's answer that it still indexes, which it gives until its first block has settled. Everything is
// indexed as it is mined here, so what was not found does not exist.
func isIndexing(method string, err error) bool {
	coded, ok := errors.AsType[rpc.Error](err)
	if !ok || coded.ErrorCode() != codeServer {
		return false
	}
	return method == "eth_getTransactionReceipt" || method == "eth_getTransactionByHash"
}

// finalize puts a block number in the place of the tag "finalized", which the backend moves once in 32 blocks only.
func (s *Simulated) finalize(params []json.RawMessage) []json.RawMessage {
	tagged := false
	for _, p := range params {
		tagged = tagged || strings.Contains(string(p), `"finalized"`)
	}
	if !tagged {
		return params
	}
	head, _ := s.backend.head()
	number := strconv.Quote("0x" + strconv.FormatUint(finalized(head), 16))
	replaced := make([]json.RawMessage, len(params))
	for i, p := range params {
		replaced[i] = json.RawMessage(strings.ReplaceAll(string(p), `"finalized"`, number))
	}
	return replaced
}

// finalized returns the number of the final block below a head.
func finalized(head uint64) uint64 {
	if head < FinalityDepth {
		return 0
	}
	return head - FinalityDepth
}

// SPDX-License-Identifier: Apache-2.0

package market

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/orchestration"
	"github.com/agentd-project/agentd/pairing"
	"github.com/agentd-project/agentd/payments"
	"github.com/agentd-project/agentd/policy"
)

// API is what a purchase asks of the Market; [orchestration.Client] has it.
type API interface {
	Search(ctx context.Context, token orchestration.Secret, r orchestration.SearchRequest) (*orchestration.SearchResult, error)
	GetService(ctx context.Context, token orchestration.Secret, serviceID, machineID string) (*orchestration.Service, error)
	CreateOrder(ctx context.Context, token orchestration.Secret, r orchestration.CreateOrderRequest) (*orchestration.Order, error)
	Orders(ctx context.Context, machineID string, o orchestration.ListOptions) iter.Seq2[orchestration.Order, error]
	GetOrder(ctx context.Context, token orchestration.Secret, orderID string) (*orchestration.Order, error)
	CreatePaymentIntent(ctx context.Context, token orchestration.Secret, orderID string, r orchestration.PaymentIntentRequest) (*orchestration.Payment, error)
	GetPayment(ctx context.Context, orderID string) (*orchestration.Payment, error)
	SubmitPaymentProof(ctx context.Context, token orchestration.Secret, orderID string, r orchestration.PaymentProofRequest) (*orchestration.Payment, error)
	SubmitX402Proof(ctx context.Context, token orchestration.Secret, orderID string, r orchestration.X402ProofRequest) (*orchestration.Payment, error)
	ExecuteOrder(ctx context.Context, token orchestration.Secret, orderID string, r orchestration.ExecuteRequest) (*orchestration.ExecuteReply, error)
	ConfirmOrder(ctx context.Context, token orchestration.Secret, orderID string) (*orchestration.ConfirmReply, error)
	DisputeOrder(ctx context.Context, token orchestration.Secret, orderID string, r orchestration.DisputeRequest) (*orchestration.DisputeReply, error)
	ReleasePayment(ctx context.Context, token orchestration.Secret, orderID string, r *orchestration.ReleaseRequest) (*orchestration.Payment, error)
	RefundPayment(ctx context.Context, token orchestration.Secret, orderID string, r *orchestration.RefundRequest) (*orchestration.Payment, error)
	LockEscrow(ctx context.Context, token orchestration.Secret, orderID string, r orchestration.EscrowLockRequest) (*orchestration.Payment, error)
}

// Sessions gives the pairing token that market calls carry.
type Sessions interface {
	// Token returns the live session, waiting for one until ctx ends.
	Token(ctx context.Context) (pairing.Session, error)
	// Rejected says that the Market refused a session's token; it returns the
	// session that replaces it.
	Rejected(ctx context.Context, used pairing.Session) (pairing.Session, error)
}

// Ledger is what the purchase machine stores; [ledger.Ledger] has it.
type Ledger interface {
	Create(ctx context.Context, p *ledger.Purchase) error
	Advance(ctx context.Context, mv ledger.Move) error
	Release(ctx context.Context, id policy.PurchaseID, mv *ledger.Move) error
	Settle(ctx context.Context, s ledger.Settlement, mv *ledger.Move) error
	Refund(ctx context.Context, id policy.PurchaseID, ref string, mv *ledger.Move) error
	RefundRefTaken(ctx context.Context, ref string) (bool, error)
	Get(ctx context.Context, id policy.PurchaseID) (*ledger.Purchase, error)
	OpenPurchases(ctx context.Context) ([]ledger.Purchase, error)
	Paused(ctx context.Context) (bool, error)
	RequestApproval(ctx context.Context, a ledger.Approval, mv *ledger.Move) error
	DecideApproval(ctx context.Context, id policy.PurchaseID, approve bool, who string) error
	ApprovalOf(ctx context.Context, id policy.PurchaseID) (ledger.Approval, error)
}

// Rails finds the rail of a name; [payments.Set] has it.
type Rails interface {
	Rail(name string) (payments.Rail, bool)
	// Human says whether a rail is known and needs a person to pay.
	Human(name string) bool
	// Forgotten asks the chain whether a purchase for which nothing is signed was
	// paid by a life of which an older ledger, put back since, knows nothing.
	Forgotten(ctx context.Context, id policy.PurchaseID, t policy.Terms) error
}

// Token is a token that the owner listed, with what the owner knows of it.
type Token struct {
	money.Asset
	// DomainName and DomainVersion are its EIP-712 domain; empty if it takes no
	// authorisations.
	DomainName, DomainVersion string
}

// Config holds what a [Market] is made of.
type Config struct {
	API      API
	Sessions Sessions
	Guard    *policy.Guard
	Ledger   Ledger
	Rails    Rails
	Needs    []Need
	Tokens   []Token
	// Escrows are those that the owner listed; any other is refused.
	Escrows []Escrow
	// Chains maps every name that the Market may use for a configured chain, in
	// lower case, to its CAIP-2 id; the id itself is among the names.
	Chains map[string]money.ChainID
	// Payer is the address that pays.
	Payer common.Address
	// Proof is how transfers are proven: rpc or recorded.
	Proof orchestration.VerificationMode
	// Patience is how long after it was sent an order whose creation was not
	// answered may still appear; then it is created again. Default 65 s: a
	// little more than the client waits for an answer.
	Patience time.Duration
	// Grace is how long steps that are under way may go on after a stop.
	// Default 20 s.
	Grace time.Duration
	// Parallel bounds the purchases that act at the same time. Default 32.
	Parallel int
	// MaxOpen bounds the purchases that are not final. Default 1000.
	MaxOpen int
	// Jitter returns a part of most that spreads the waits, NewID the id of a new
	// purchase. Nil draws them; a simulation gives its own, so that it can be
	// replayed.
	Jitter  func(most time.Duration) time.Duration
	NewID   func() (policy.PurchaseID, error)
	Logger  *zap.Logger
	Metrics prometheus.Registerer
}

// Market buys. Make one with [New], start it with [Market.Run].
type Market struct {
	api      API
	sessions Sessions
	guard    *policy.Guard
	ledger   Ledger
	rails    Rails
	needs    map[string]Need
	tokens   []Token
	escrows  []Escrow
	chains   map[string]money.ChainID
	payer    common.Address
	proof    orchestration.VerificationMode
	patience time.Duration
	grace    time.Duration
	maxOpen  int
	jitter   func(time.Duration) time.Duration
	newID    func() (policy.PurchaseID, error)
	log      *zap.Logger
	metrics  *metrics
	rows     map[State]Row
	slots    chan struct{}
	workers  sync.WaitGroup

	mu            sync.Mutex
	running, work context.Context // set while Run runs
	open          map[policy.PurchaseID]*purchase
	// planned are the purchases that this process made before it had read the
	// ledger; nil afterwards.
	planned map[policy.PurchaseID]bool
	changed chan struct{} // closed and replaced whenever a purchase moves
}

// New returns a market; its configuration is checked, nothing is started.
func New(cfg Config) (*Market, error) {
	if cfg.API == nil || cfg.Sessions == nil || cfg.Guard == nil || cfg.Ledger == nil || cfg.Rails == nil {
		return nil, errors.New("market: API, Sessions, Guard, Ledger and Rails are needed")
	}
	m := &Market{
		api: cfg.API, sessions: cfg.Sessions, guard: cfg.Guard, ledger: cfg.Ledger, rails: cfg.Rails,
		needs: make(map[string]Need), tokens: cfg.Tokens, escrows: cfg.Escrows, chains: cfg.Chains, payer: cfg.Payer,
		proof: orDefault(cfg.Proof, orchestration.VerifyRPC), patience: orDefault(cfg.Patience, 65*time.Second),
		grace: orDefault(cfg.Grace, 20*time.Second), maxOpen: orDefault(cfg.MaxOpen, 1000), log: cfg.Logger,
		rows: index(), slots: make(chan struct{}, orDefault(cfg.Parallel, 32)),
		open: make(map[policy.PurchaseID]*purchase), planned: make(map[policy.PurchaseID]bool), changed: make(chan struct{}),
	}
	m.jitter, m.newID = cfg.Jitter, cfg.NewID
	if m.jitter == nil {
		m.jitter = anyUpTo
	}
	if m.newID == nil {
		m.newID = uniqueID
	}
	if m.log == nil {
		m.log = zap.NewNop()
	}
	for _, need := range cfg.Needs {
		if _, twice := m.needs[need.Name]; twice || need.Name == "" {
			return nil, fmt.Errorf("market: need %q has no name or is there twice", need.Name)
		}
		if len(need.Accept.Schema) > 0 {
			if _, err := need.Accept.compile(); err != nil {
				return nil, fmt.Errorf("market: need %s: %w", need.Name, err)
			}
		}
		need.Deadline = orDefault(need.Deadline, defaultDeadline)
		if need.Select == (Selection{}) {
			need.Select = Cheapest
		}
		m.needs[need.Name] = need
	}
	var err error
	m.metrics, err = newMetrics(cfg.Metrics, m)
	return m, err
}

func orDefault[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}

// chain finds the configured chain that the Market means by a name.
func (m *Market) chain(name string) (money.ChainID, bool) {
	id, ok := m.chains[strings.ToLower(strings.TrimSpace(name))]
	return id, ok
}

// token finds the owner's token by address, or by symbol where the Market gives
// no address.
func (m *Market) token(chain money.ChainID, address, symbol string) (Token, bool) {
	for _, t := range m.tokens {
		if t.Chain != chain {
			continue
		}
		if address != "" && common.IsHexAddress(address) && common.HexToAddress(address) == t.Address {
			return t, true
		}
		if address == "" && symbol != "" && strings.EqualFold(symbol, t.Symbol) {
			return t, true
		}
	}
	return Token{}, false
}

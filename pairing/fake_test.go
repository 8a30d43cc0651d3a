// SPDX-License-Identifier: Apache-2.0

package pairing

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/accounts"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/crypto"
	"go.uber.org/zap"

	"github.com/agentd-project/agentd/orchestration"
	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/wallet"
)

const (
	testMachine  = "mach_0001"
	testIdentity = "did:peaq:42"
	testKey      = "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318"
)

// fakeMarket is the Market's side of pairings, with memory and knobs.
type fakeMarket struct {
	mu         sync.Mutex
	life       time.Duration
	machine    orchestration.Machine
	policies   []orchestration.Policy
	pairings   []orchestration.Pairing
	tokens     map[string]string // live token per pairing
	challenges map[string]orchestration.PairingChallenge
	n          int
	calls      map[string]int
	// fail decides whether a call fails before it is processed, lose whether its
	// answer gets lost after.
	fail, lose func(op string, n int) error
	// twist changes a challenge before it is handed out.
	twist func(*orchestration.PairingChallenge)
	hide  bool // leave revoked pairings out of the list
	latch chan struct{}
}

func newFakeMarket() *fakeMarket {
	return &fakeMarket{
		life: time.Hour, tokens: map[string]string{}, challenges: map[string]orchestration.PairingChallenge{}, calls: map[string]int{},
		machine: orchestration.Machine{ID: testMachine, Status: orchestration.MachineActive, IdentityRef: testIdentity},
	}
}

var errNetwork = &orchestration.NetworkError{Operation: "test", Err: errors.New("connection reset")}

func apiError(code orchestration.Code, status int) error {
	return &orchestration.APIError{Code: code, Status: status, Message: "as told"}
}

// enter counts a call and returns what its two knobs say.
func (f *fakeMarket) enter(ctx context.Context, op string) (before, after error) {
	f.calls[op]++
	if err := ctx.Err(); err != nil {
		return &orchestration.NetworkError{Operation: op, Err: err}, nil
	}
	if f.fail != nil {
		before = f.fail(op, f.calls[op])
	}
	if f.lose != nil {
		after = f.lose(op, f.calls[op])
	}
	return before, after
}

func (f *fakeMarket) count(op string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[op]
}

func (f *fakeMarket) GetMachine(ctx context.Context, _ string) (*orchestration.Machine, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err, _ := f.enter(ctx, "GetMachine"); err != nil {
		return nil, err
	}
	m := f.machine
	return &m, nil
}

func (f *fakeMarket) Policies(ctx context.Context) iter.Seq2[orchestration.Policy, error] {
	return func(yield func(orchestration.Policy, error) bool) {
		f.mu.Lock()
		err, _ := f.enter(ctx, "Policies")
		all := slices.Clone(f.policies)
		f.mu.Unlock()
		if err != nil {
			yield(orchestration.Policy{}, err)
			return
		}
		for _, p := range all {
			if !yield(p, nil) {
				return
			}
		}
	}
}

func (f *fakeMarket) Pairings(ctx context.Context, _ string, _ orchestration.ListOptions) iter.Seq2[orchestration.Pairing, error] {
	return func(yield func(orchestration.Pairing, error) bool) {
		f.mu.Lock()
		err, _ := f.enter(ctx, "Pairings")
		all := slices.Clone(f.pairings)
		hide := f.hide
		f.mu.Unlock()
		if err != nil {
			yield(orchestration.Pairing{}, err)
			return
		}
		for _, p := range all {
			if hide && p.Status == orchestration.PairingRevoked {
				continue
			}
			if !yield(p, nil) {
				return
			}
		}
	}
}

func (f *fakeMarket) CreatePairingChallenge(ctx context.Context, machineID string, r orchestration.PairingChallengeRequest) (*orchestration.PairingChallenge, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err, _ := f.enter(ctx, "CreatePairingChallenge"); err != nil {
		return nil, err
	}
	f.n++
	did := r.AgentDID
	if did == "" {
		did = "did:pkh:eip155:1:" + r.AgentAddress
	}
	c := orchestration.PairingChallenge{
		ChallengeID: fmt.Sprintf("chal_%04d", f.n), MachineID: machineID, MachineIdentityRef: testIdentity, AgentAddress: r.AgentAddress,
		AgentDID: did, AgentProvider: r.AgentProvider, AgentRole: r.AgentRole, VerificationMethod: orchestration.MethodEIP191,
		ExpiresAt: stamp(time.Now().Add(5 * time.Minute)),
	}
	c.Message = strings.Join([]string{
		"Pair an agent with a machine", "Machine: " + machineID, "Identity: " + testIdentity, "Agent address: " + r.AgentAddress,
		"Agent DID: " + did, "Provider: " + r.AgentProvider, "Role: " + r.AgentRole, fmt.Sprintf("Nonce: %d", f.n),
	}, "\n")
	if f.twist != nil {
		f.twist(&c)
	}
	f.challenges[c.ChallengeID] = c
	return &c, nil
}

func stamp(t time.Time) orchestration.Timestamp {
	return orchestration.Timestamp(t.UTC().Format(time.RFC3339Nano))
}

// redeem checks a proof and consumes its challenge.
func (f *fakeMarket) redeem(p orchestration.Proof) error {
	c, ok := f.challenges[p.ChallengeID]
	if !ok {
		return apiError(orchestration.CodeAgentPairingProofInvalid, http.StatusUnauthorized)
	}
	sig, err := hexutil.Decode(p.Signature)
	if err != nil || len(sig) != 65 {
		return apiError(orchestration.CodeAgentPairingProofInvalid, http.StatusUnauthorized)
	}
	sig[64] -= 27
	pub, err := crypto.SigToPub(accounts.TextHash([]byte(c.Message)), sig)
	if err != nil || !strings.EqualFold(crypto.PubkeyToAddress(*pub).Hex(), c.AgentAddress) {
		return apiError(orchestration.CodeAgentPairingProofInvalid, http.StatusUnauthorized)
	}
	delete(f.challenges, p.ChallengeID)
	return nil
}

func (f *fakeMarket) CreatePairing(ctx context.Context, machineID string, r orchestration.CreatePairingRequest) (*orchestration.IssuedPairing, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before, after := f.enter(ctx, "CreatePairing")
	if before != nil {
		return nil, before
	}
	if err := f.redeem(r.AgentProof); err != nil {
		return nil, err
	}
	p := orchestration.Pairing{
		ID: fmt.Sprintf("pair_%04d", len(f.pairings)+1), MachineID: machineID, AgentAddress: r.AgentAddress, AgentProvider: r.AgentProvider,
		AgentRole: r.AgentRole, AgentDID: "did:pkh:eip155:1:" + r.AgentAddress, Status: orchestration.PairingActive, CreatedAt: stamp(time.Now()),
	}
	if r.AgentDID != "" {
		p.AgentDID = r.AgentDID
	}
	if r.DelegationPolicy != nil {
		p.DelegationPolicy = *r.DelegationPolicy
	}
	f.pairings = append(f.pairings, p)
	return f.issue(p), after
}

func (f *fakeMarket) CreatePairingSession(ctx context.Context, _, pairingID string, proof orchestration.Proof) (*orchestration.IssuedPairing, error) {
	f.mu.Lock()
	latch := f.latch
	f.mu.Unlock()
	if latch != nil {
		<-latch
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	before, after := f.enter(ctx, "CreatePairingSession")
	if before != nil {
		return nil, before
	}
	if err := f.redeem(proof); err != nil {
		return nil, err
	}
	for _, p := range f.pairings {
		if p.ID != pairingID {
			continue
		}
		if p.Status != orchestration.PairingActive {
			return nil, apiError(orchestration.CodeAgentPairingInactive, http.StatusForbidden)
		}
		if issued := f.issue(p); after == nil {
			return issued, nil
		}
		return nil, after
	}
	return nil, apiError(orchestration.CodeNotFound, http.StatusNotFound)
}

// issue replaces the pairing's live token.
func (f *fakeMarket) issue(p orchestration.Pairing) *orchestration.IssuedPairing {
	f.n++
	token := fmt.Sprintf("token-%04d", f.n)
	f.tokens[p.ID] = token
	p.SessionIssuedAt, p.SessionExpiresAt = stamp(time.Now()), stamp(time.Now().Add(f.life))
	return &orchestration.IssuedPairing{Pairing: p, PairingToken: orchestration.Secret(token)}
}

func (f *fakeMarket) UpdatePairing(ctx context.Context, _, pairingID string, r orchestration.UpdatePairingRequest) (*orchestration.Pairing, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err, _ := f.enter(ctx, "UpdatePairing"); err != nil {
		return nil, err
	}
	for i := range f.pairings {
		if f.pairings[i].ID == pairingID {
			f.pairings[i].DelegationPolicy = *r.DelegationPolicy
			f.tokens[pairingID] = "" // a policy change kills the live token
			p := f.pairings[i]
			return &p, nil
		}
	}
	return nil, apiError(orchestration.CodeNotFound, http.StatusNotFound)
}

func (f *fakeMarket) RevokePairing(ctx context.Context, _, pairingID string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	before, after := f.enter(ctx, "RevokePairing")
	if before != nil {
		return before
	}
	f.set(pairingID, orchestration.PairingRevoked)
	return after
}

// setStatus is the owner at the Market's own front door.
func (f *fakeMarket) setStatus(pairingID string, status orchestration.PairingStatus) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.set(pairingID, status)
}

func (f *fakeMarket) set(pairingID string, status orchestration.PairingStatus) {
	for i := range f.pairings {
		if f.pairings[i].ID == pairingID {
			f.pairings[i].Status = status
		}
	}
}

// use is a call with a token, as a purchase makes it; it takes the Market 300 ms.
func (f *fakeMarket) use(s Session) error {
	time.Sleep(300 * time.Millisecond)
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.pairings {
		if p.ID == s.PairingID && p.Status != orchestration.PairingActive {
			return apiError(orchestration.CodeAgentPairingInactive, http.StatusForbidden)
		}
	}
	if f.tokens[s.PairingID] != s.Token.Reveal() {
		return apiError(orchestration.CodeAgentAuthInvalid, http.StatusUnauthorized)
	}
	return nil
}

// fakeGuard remembers what it was told.
type fakeGuard struct {
	mu     sync.Mutex
	remote policy.Remote
	times  int
}

func (g *fakeGuard) SetRemote(r policy.Remote) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.remote, g.times = r, g.times+1
}

func (g *fakeGuard) last() policy.Remote {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.remote
}

// rig is a service with its surroundings.
type rig struct {
	*Service
	market *fakeMarket
	guard  *fakeGuard
	dir    string
	stop   func()
}

// newRig starts a service against the market on a state directory.
func newRig(t *testing.T, f *fakeMarket, dir string, change func(*Config)) *rig {
	t.Helper()
	store, err := NewFileStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	key, err := wallet.FromPrivateKey([]byte(testKey))
	if err != nil {
		t.Fatal(err)
	}
	guard := &fakeGuard{}
	c := Config{
		API: f, Wallet: key, Machine: func() (string, string) { return testMachine, testIdentity }, Store: store, Guard: guard,
		Settings: Settings{Provider: "custom", Role: "buyer"}, Logger: zap.NewNop(),
	}
	if change != nil {
		change(&c)
	}
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	r := &rig{Service: s, market: f, guard: guard, dir: dir}
	stopped := false
	r.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run returned %v, want nil", err)
		}
	}
	t.Cleanup(r.stop)
	return r
}

func (r *rig) token(t *testing.T) Session {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	s, err := r.Token(ctx)
	if err != nil {
		t.Fatalf("Token: %v", err)
	}
	return s
}

func (r *rig) unavailable(t *testing.T, want policy.Reason) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	_, err := r.Token(ctx)
	var u *Unavailable
	if !errors.As(err, &u) || u.Reason != want {
		t.Fatalf("Token: got %v, want reason %s", err, want)
	}
}

// SPDX-License-Identifier: Apache-2.0

package pairing

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/orchestration"
	"github.com/agentd-project/agentd/policy"
)

// bubble runs a test in fake time.
func bubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, test)
}

func TestFirstPairing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, dir := newFakeMarket(), t.TempDir()
		r := newRig(t, f, dir, nil)
		s := r.token(t)
		if err := f.use(s); err != nil {
			t.Errorf("the Market refuses the session: %v", err)
		}
		if got := f.count("CreatePairing"); got != 1 {
			t.Errorf("created %d pairings, want 1", got)
		}
		info, err := os.Stat(filepath.Join(dir, "pairing.json"))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != 0o600 {
			t.Errorf("record has mode %o, want 600", got)
		}
		if st := r.Status(); st.Standing != StandingActive || !st.Usable || st.PairingID != s.PairingID {
			t.Errorf("status is %+v, want an active, usable pairing", st)
		}
	})
}

func TestTakesOverAnActivePairing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFakeMarket()
		first := newRig(t, f, t.TempDir(), nil)
		old := first.token(t)
		first.stop()

		second := newRig(t, f, t.TempDir(), nil) // the record was lost
		s := second.token(t)
		if s.PairingID != old.PairingID || s.Token == old.Token {
			t.Errorf("got pairing %s and the same token %v, want a new session of %s", s.PairingID, s.Token == old.Token, old.PairingID)
		}
		if got := f.count("CreatePairing"); got != 1 {
			t.Errorf("created %d pairings, want 1", got)
		}
	})
}

func TestRestartNeedsNoNetwork(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, dir := newFakeMarket(), t.TempDir()
		f.machine.PolicyIDs = []string{"pol_1"}
		f.policies = []orchestration.Policy{{ID: "pol_1", NativeOnly: true, HandoffAllowed: true}, {ID: "pol_2", DeniedSkillKeys: []string{"other"}}}
		first := newRig(t, f, dir, nil)
		old := first.token(t)
		synctest.Wait()
		time.Sleep(6 * time.Minute) // a further pass stores nothing new
		first.stop()

		f.fail = func(string, int) error { return errNetwork }
		second := newRig(t, f, dir, nil)
		if s := second.token(t); s.Token != old.Token {
			t.Error("the restarted service has another token than the stored one")
		}
		if got := second.guard.last(); !got.NativeOnly || got.AccountDeniedSkills.Len() != 0 {
			t.Errorf("the stored server policy is not in force after the restart: %+v", got)
		}
	})
}

func TestRevokedIsNeverCreatedAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, dir := newFakeMarket(), t.TempDir()
		first := newRig(t, f, dir, nil)
		s := first.token(t)
		f.setStatus(s.PairingID, orchestration.PairingRevoked)
		if _, err := first.Rejected(t.Context(), s); !isReason(err, policy.ReasonPairingRevoked) {
			t.Fatalf("Rejected: got %v, want %s", err, policy.ReasonPairingRevoked)
		}
		first.stop()

		f.hide = true // the Market drops revoked pairings from its list
		second := newRig(t, f, dir, nil)
		second.unavailable(t, policy.ReasonPairingRevoked)
		time.Sleep(24 * time.Hour)
		second.unavailable(t, policy.ReasonPairingRevoked)
		if got := f.count("CreatePairing"); got != 1 {
			t.Fatalf("created %d pairings, want 1", got)
		}
		if got := second.Status().Standing; got != StandingRevoked {
			t.Errorf("standing is %s, want %s", got, StandingRevoked)
		}

		if err := second.Create(t.Context()); err != nil {
			t.Fatalf("Create: %v", err)
		}
		if s := second.token(t); s.PairingID != "pair_0002" {
			t.Errorf("the operator's new pairing is %s, want pair_0002", s.PairingID)
		}
	})
}

func TestVanishedCountsAsRevoked(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFakeMarket()
		r := newRig(t, f, t.TempDir(), nil)
		s := r.token(t)
		f.hide = true
		f.setStatus(s.PairingID, orchestration.PairingRevoked)
		time.Sleep(6 * time.Minute)
		r.unavailable(t, policy.ReasonPairingRevoked)
		if got := f.count("CreatePairing"); got != 1 {
			t.Errorf("created %d pairings, want 1", got)
		}
	})
}

func TestPausedComesBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFakeMarket()
		r := newRig(t, f, t.TempDir(), nil)
		s := r.token(t)
		f.setStatus(s.PairingID, orchestration.PairingPaused)
		time.Sleep(6 * time.Minute)
		r.unavailable(t, policy.ReasonPairingPaused)
		before := f.count("Pairings")
		time.Sleep(time.Hour)
		if got := f.count("Pairings") - before; got < 50 || got > 90 {
			t.Errorf("a paused pairing was read %d times in an hour, want about 65", got)
		}
		f.setStatus(s.PairingID, orchestration.PairingActive)
		time.Sleep(2 * time.Minute)
		if got := r.token(t); got.PairingID != s.PairingID || f.use(got) != nil {
			t.Errorf("after the pause: %+v, want a live session of %s", got, s.PairingID)
		}
	})
}

func TestOperatorRevokes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, dir := newFakeMarket(), t.TempDir()
		first := newRig(t, f, dir, nil)
		s := first.token(t)
		f.fail = func(op string, _ int) error {
			if op == "RevokePairing" {
				return errNetwork
			}
			return nil
		}
		if err := first.Revoke(t.Context()); err == nil {
			t.Error("Revoke: got nil although the Market was not told")
		}
		first.unavailable(t, policy.ReasonPairingRevoked)
		first.stop()

		f.fail = nil
		second := newRig(t, f, dir, nil) // the revocation goes on after a restart
		second.unavailable(t, policy.ReasonPairingRevoked)
		synctest.Wait()
		if got := f.pairings[0].Status; got != orchestration.PairingRevoked {
			t.Errorf("pairing %s is %s at the Market, want revoked", s.PairingID, got)
		}
		if got := f.count("CreatePairing"); got != 1 {
			t.Errorf("created %d pairings, want 1", got)
		}
	})
}

// TestShortSessions is issue 4, must hold 6: sessions of 60 s, 10 minutes of
// purchases in flight, none fails for its token.
func TestShortSessions(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFakeMarket()
		f.life = time.Minute
		var rotated atomic.Int32
		r := newRig(t, f, t.TempDir(), func(c *Config) {
			c.Observe = func(o Outcome) {
				if o == OutcomeRotated {
					rotated.Add(1)
				}
			}
		})
		end := time.Now().Add(10 * time.Minute)
		var wg sync.WaitGroup
		var calls, repeats atomic.Int32
		for range 8 {
			wg.Go(func() {
				for time.Now().Before(end) {
					s, err := r.Token(t.Context())
					if err != nil {
						t.Errorf("Token: %v", err)
						return
					}
					calls.Add(1)
					if err = f.use(s); err != nil {
						repeats.Add(1)
						if s, err = r.Rejected(t.Context(), s); err != nil {
							t.Errorf("Rejected: %v", err)
							return
						}
						err = f.use(s)
					}
					if err != nil {
						t.Errorf("a call failed for its token at %s: %v", time.Now(), err)
						return
					}
				}
			})
		}
		wg.Wait()
		if got := rotated.Load(); got < 13 || got > 18 {
			t.Errorf("rotated %d times in 10 minutes of 60 s sessions, want about 16", got)
		}
		if r.Status().Contended {
			t.Error("ordinary rotation counts as contention")
		}
		t.Logf("%d calls, %d repeated once, %d rotations", calls.Load(), repeats.Load(), rotated.Load())
	})
}

func TestRejectedRotatesOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFakeMarket()
		r := newRig(t, f, t.TempDir(), nil)
		old := r.token(t)
		f.mu.Lock()
		f.tokens[old.PairingID] = "lost" // the Market lost its sessions
		f.latch = make(chan struct{})
		f.mu.Unlock()
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				s, err := r.Rejected(t.Context(), old)
				if err != nil {
					t.Errorf("Rejected: %v", err)
					return
				}
				if err := f.use(s); err != nil {
					t.Errorf("the new session is refused: %v", err)
				}
			})
		}
		synctest.Wait() // all wait for the one rotation under way
		close(f.latch)
		wg.Wait()
		if got := f.count("CreatePairingSession"); got != 1 {
			t.Errorf("%d sessions for 20 refusals, want 1", got)
		}
	})
}

func TestContention(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFakeMarket()
		r := newRig(t, f, t.TempDir(), nil)
		s := r.token(t)
		start := time.Now()
		for range 10 {
			var err error
			if s, err = r.Rejected(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took < time.Minute {
			t.Errorf("10 refusals of new tokens made 10 sessions in %s, want growing pauses", took)
		}
		if !r.Status().Contended {
			t.Error("Contended is false")
		}
	})
}

func TestLostAnswers(t *testing.T) {
	tests := map[string]string{"of the creation": "CreatePairing", "of the session": "CreatePairingSession"}
	for name, op := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f := newFakeMarket()
				f.lose = func(o string, n int) error {
					if o == op && n == 1 {
						return errNetwork
					}
					return nil
				}
				r := newRig(t, f, t.TempDir(), nil)
				s := r.token(t)
				if op == "CreatePairingSession" {
					var err error
					if s, err = r.Rejected(t.Context(), s); err != nil {
						t.Fatal(err)
					}
				}
				if err := f.use(s); err != nil {
					t.Errorf("the session is refused: %v", err)
				}
				if got := f.count("CreatePairing"); got != 1 {
					t.Errorf("created %d pairings, want 1", got)
				}
			})
		})
	}
}

func TestStorageFirst(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, dir := newFakeMarket(), filepath.Join(t.TempDir(), "state")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		store, err := NewFileStore(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(dir); err != nil {
			t.Fatal(err)
		}
		r := newRigWith(t, f, store)
		time.Sleep(time.Minute)
		if got := f.count("CreatePairingChallenge"); got != 0 {
			t.Errorf("asked for %d challenges with no place for a token, want 0", got)
		}
		if !IsStorage(r.Status().Err) {
			t.Errorf("status says %v, want a storage error", r.Status().Err)
		}
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		r.token(t)
	})
}

func newRigWith(t *testing.T, f *fakeMarket, store *FileStore) *rig {
	return newRig(t, f, t.TempDir(), func(c *Config) { c.Store = store })
}

func TestBadChallengeIsNotSigned(t *testing.T) {
	tests := map[string]func(*orchestration.PairingChallenge){
		"another machine":  func(c *orchestration.PairingChallenge) { c.MachineID = "mach_0002" },
		"another identity": func(c *orchestration.PairingChallenge) { c.MachineIdentityRef = "did:peaq:43" },
		"another address":  func(c *orchestration.PairingChallenge) { c.AgentAddress = "0x1563915e194D8CfBA1943570603F7606A3115508" },
		"another role":     func(c *orchestration.PairingChallenge) { c.AgentRole = "seller" },
		"a hash":           func(c *orchestration.PairingChallenge) { c.Message = "0x" + testKey },
		"expired":          func(c *orchestration.PairingChallenge) { c.ExpiresAt = stamp(time.Now().Add(-time.Second)) },
	}
	for name, twist := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f := newFakeMarket()
				f.twist = twist
				r := newRig(t, f, t.TempDir(), nil)
				r.unavailable(t, policy.ReasonChallengeInvalid)
				if got := f.count("CreatePairing"); got != 0 {
					t.Errorf("sent %d proofs, want 0", got)
				}
				f.mu.Lock()
				f.twist = nil
				f.mu.Unlock()
				time.Sleep(2 * time.Minute)
				r.token(t)
			})
		})
	}
}

func TestKeyRequired(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFakeMarket()
		f.fail = func(string, int) error { return apiError(orchestration.CodeAuthRequired, http.StatusUnauthorized) }
		r := newRig(t, f, t.TempDir(), nil)
		r.unavailable(t, policy.ReasonKeyRequired)
	})
}

func TestPush(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, dir := newFakeMarket(), t.TempDir()
		first := newRig(t, f, dir, nil)
		first.token(t)
		first.stop()
		f.pairings[0].DelegationPolicy = orchestration.DelegationPolicy{
			PerTransactionLimit: "9.5", DailySpendLimit: "10", Currency: "USD", DeniedSkillKeys: []string{"a"},
		}
		push := &Push{PerTransaction: usd("5"), Daily: usd("20"), Currency: "USD", DeniedSkills: []string{"b"}}
		second := newRig(t, f, dir, func(c *Config) { c.Settings.Push = push })
		synctest.Wait()
		s := second.token(t)
		if err := f.use(s); err != nil {
			t.Errorf("no new session after the push: %v", err)
		}
		got := f.pairings[0].DelegationPolicy
		if got.PerTransactionLimit != "5" || got.DailySpendLimit != "10" || len(got.DeniedSkillKeys) != 2 {
			t.Errorf("the Market holds %+v, want limits 5 and 10 and two denied skills", got)
		}
		time.Sleep(time.Hour)
		if got := f.count("UpdatePairing"); got != 1 {
			t.Errorf("pushed %d times, want once", got)
		}
		if got := second.guard.last(); got.PerTransaction != usd("5") || got.Daily != usd("10") {
			t.Errorf("the guard holds %+v", got)
		}
	})
}

func TestServerPolicyIsReadAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFakeMarket()
		r := newRig(t, f, t.TempDir(), nil)
		r.token(t)
		f.mu.Lock()
		f.pairings[0].DelegationPolicy.PerTransactionLimit = "0.5"
		f.mu.Unlock()
		time.Sleep(6 * time.Minute)
		if got := r.guard.last(); !got.HasPerTransaction || got.PerTransaction != usd("0.5") {
			t.Errorf("the guard holds %+v, want a limit of 0.5", got)
		}
	})
}

func TestTokenWaitsForItsContext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFakeMarket()
		f.fail = func(string, int) error { return errNetwork }
		r := newRig(t, f, t.TempDir(), nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if _, err := r.Token(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Token with the Market away: got %v, want the end of the context", err)
		}
		f.mu.Lock()
		f.fail = nil
		f.mu.Unlock()
		start := time.Now()
		r.token(t)
		if took := time.Since(start); took > time.Minute {
			t.Errorf("recovery took %s, want at most a minute", took)
		}
	})
}

func isReason(err error, want policy.Reason) bool {
	var u *Unavailable
	return errors.As(err, &u) && u.Reason == want
}

func usd(text string) money.Value {
	v, err := money.ParseValue(text)
	if err != nil {
		panic(err)
	}
	return v
}

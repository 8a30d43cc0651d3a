// SPDX-License-Identifier: Apache-2.0

package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/policy"
)

// TestWritesShareACommit lets writes of every fate come while another one is
// under way.
func TestWritesShareACommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		commits := 0
		l, err := ledger.Open(t.Context(), ledger.Config{Path: filepath.Join(t.TempDir(), "ledger.db"), Observe: func(time.Duration) { commits++ }})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		if err := l.Create(t.Context(), purchase("taken", "planned")); err != nil {
			t.Fatal(err)
		}
		held, release := make(chan struct{}), make(chan struct{})
		first := make(chan error, 1)
		go func() {
			_, err := l.Reserve(t.Context(), request("slow", 1), policy.Query{At: t0, Trusted: true}, func(*policy.State) policy.Verdict {
				close(held)
				<-release
				return allow
			})
			first <- err
		}()
		<-held
		commits = 0
		gone, leave := context.WithCancel(t.Context())
		const writers = 10
		got := make([]chan error, writers+2)
		write := func(i int, ctx context.Context, id string) {
			got[i] = make(chan error, 1)
			go func() { got[i] <- l.Create(ctx, purchase(policy.PurchaseID(id), "planned")) }()
		}
		for i := range writers {
			write(i, t.Context(), fmt.Sprintf("p%d", i))
		}
		write(writers, t.Context(), "taken")
		write(writers+1, gone, "gone")
		synctest.Wait()
		leave()
		if err := <-got[writers+1]; !errors.Is(err, context.Canceled) {
			t.Errorf("write whose caller left: got %v, want %v", err, context.Canceled)
		}
		close(release)
		if err := <-first; err != nil {
			t.Errorf("first write: got %v", err)
		}
		for i := range writers {
			if err := <-got[i]; err != nil {
				t.Errorf("write %d: got %v", i, err)
			}
		}
		if err := <-got[writers]; !errors.Is(err, ledger.ErrExists) {
			t.Errorf("write that fails: got %v, want %v", err, ledger.ErrExists)
		}
		if commits != 2 {
			t.Errorf("commits: got %d, want one for the first write and one for all others", commits)
		}
		for i := range writers {
			if _, err := l.Get(t.Context(), policy.PurchaseID(fmt.Sprintf("p%d", i))); err != nil {
				t.Errorf("write %d is not stored: %v", i, err)
			}
		}
		if _, err := l.Get(t.Context(), "gone"); !errors.Is(err, ledger.ErrNotFound) {
			t.Errorf("write whose caller left: got %v, want %v", err, ledger.ErrNotFound)
		}
		report, err := l.Verify(t.Context())
		if err != nil || len(report.Findings) > 0 {
			t.Errorf("verify: got %v, %v", report.Findings, err)
		}
	})
}

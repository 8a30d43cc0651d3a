// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"go.uber.org/zap"

	"github.com/agentd-project/agentd/admin"
	"github.com/agentd-project/agentd/config"
	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/payments/evm"
	"github.com/agentd-project/agentd/policy"
)

const (
	// auditEvery is how often the chains are looked at for transfers of ours that
	// no purchase made; the newest blocks only.
	auditEvery = time.Hour
	// auditLimit bounds one such look; a first one may have a whole chain to read.
	auditLimit = 30 * time.Minute
	// auditSpan is how many blocks are read before it is stored that they agree.
	auditSpan = 200_000
	// tailEntries is how much of the journal is checked before anything is spent;
	// the rest is checked after it.
	tailEntries = 10_000
)

// The sources of findings.
const (
	sourceFile   = "file"
	sourceVerify = "verify"
)

// auditor keeps spending shut until the ledger's file is checked and the chains
// were looked at, and shuts it again whenever the ledger turns out to be wrong or
// to have forgotten a payment: an empty or older ledger beside a key that has paid
// means restore or stop, never a fresh start.
type auditor struct {
	a *Agent

	mu      sync.Mutex
	checked bool              // file and tail
	whole   bool              // the whole journal
	tried   bool              // every chain was compared, or was away
	wrong   map[string]string // findings by their source
	unknown []foreign
}

// foreign is a transfer of ours that no purchase made.
type foreign struct {
	evm.Transfer
	chain money.ChainID
	token *config.Token
}

func (f foreign) String() string {
	return fmt.Sprintf("%s on %s: transfer %s of %s to %s is in no purchase", f.token.Symbol, f.chain, f.Tx, f.Amount.Format(f.token.Decimals), f.To)
}

func newAuditor(a *Agent) *auditor {
	a.ledger.SetVerified(false)
	a.health.raise(problemLedgerChecking, "")
	return &auditor{a: a, wrong: map[string]string{}}
}

// found notes that the ledger is wrong; an empty detail, that a source finds
// nothing any more.
func (u *auditor) found(source, detail string, unknown []foreign) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.wrong, source)
	if detail != "" {
		u.wrong[source] = detail
	}
	for _, f := range unknown {
		if !slices.ContainsFunc(u.unknown, func(g foreign) bool { return g.Tx == f.Tx && g.Index == f.Index && g.chain == f.chain }) {
			u.unknown = append(u.unknown, f)
		}
	}
	u.judge()
}

// agreed notes that everything was verified and agrees.
func (u *auditor) agreed() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.checked, u.whole, u.tried, u.unknown = true, true, true, nil
	clear(u.wrong)
	u.judge()
}

// judge opens or shuts spending; u.mu is held.
func (u *auditor) judge() {
	h := u.a.health
	done := u.checked && u.tried
	u.a.ledger.SetVerified(done && len(u.wrong) == 0)
	h.set(problemLedgerChecking, !done && len(u.wrong) == 0, "")
	h.set(problemLedger, len(u.wrong) > 0, joinDetails(u.wrong))
}

// pass checks what was not checked since the start, and the newest blocks.
func (u *auditor) pass(ctx context.Context) error {
	if err := u.checkFile(ctx); err != nil {
		return err
	}
	var faults []error
	for _, w := range u.a.chains {
		if err := u.compareNew(ctx, w); err != nil {
			faults = append(faults, fmt.Errorf("compare the ledger with %s: %w", w.chain.ID(), err))
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	u.mu.Lock()
	u.tried = true // a chain that is away is compared before it is paid on
	u.judge()
	whole := u.whole
	u.mu.Unlock()
	if !whole {
		faults = append(faults, u.checkWhole(ctx))
	}
	return errors.Join(faults...)
}

// checkFile reads the file and the newest entries once.
func (u *auditor) checkFile(ctx context.Context) error {
	u.mu.Lock()
	done := u.checked
	u.mu.Unlock()
	if done {
		return nil
	}
	started := time.Now()
	err := u.a.ledger.CheckFile(ctx)
	detail := ""
	switch {
	case errors.Is(err, ledger.ErrCorrupt):
		detail = err.Error()
	case err != nil:
		return err
	default:
		findings, err := u.a.ledger.CheckTail(ctx, tailEntries)
		if err != nil {
			return err
		}
		if len(findings) > 0 {
			detail = findings[0]
		}
	}
	u.mu.Lock()
	u.checked = true
	u.mu.Unlock()
	u.found(sourceFile, detail, nil)
	u.a.log.Info("ledger file checked", zap.Bool("ok", detail == ""), zap.Float64("seconds", time.Since(started).Seconds()))
	return nil
}

// checkWhole derives every sum again, once after the start, while spending goes on.
func (u *auditor) checkWhole(ctx context.Context) error {
	started := time.Now()
	report, err := u.a.ledger.Verify(ctx)
	if err != nil {
		return err
	}
	detail := ""
	if len(report.Findings) > 0 {
		detail = report.Findings[0]
	}
	u.mu.Lock()
	u.whole = true
	u.mu.Unlock()
	u.found(sourceFile, detail, nil)
	u.a.log.Info("ledger verified", zap.Int64("entries", report.Entries), zap.String("head", report.Head), zap.Int("findings", len(report.Findings)),
		zap.Float64("seconds", time.Since(started).Seconds()))
	return nil
}

// compareNew looks for transfers of ours in the blocks that were not compared
// before. How far they were is stored in the ledger itself: an older copy of it
// knows an older block, and an empty one none.
func (u *auditor) compareNew(ctx context.Context, w *chainWatch) error {
	final, err := w.chain.FinalHead(ctx)
	if evm.Classify(err) == evm.ActionAbsent { // nothing is final, so nothing was paid for good
		return nil
	}
	if err != nil {
		return err
	}
	var unknown []foreign
	for i := range w.cfg.Tokens {
		more, err := u.compareToken(ctx, w, &w.cfg.Tokens[i], final.Number)
		if err != nil {
			return err
		}
		unknown = append(unknown, more...)
	}
	detail := ""
	if len(unknown) > 0 {
		detail = unknown[0].String()
	}
	u.found(string(w.chain.ID()), detail, unknown)
	w.setCompared()
	return nil
}

func (u *auditor) compareToken(ctx context.Context, w *chainWatch, t *config.Token, final uint64) (unknown []foreign, err error) {
	key := fmt.Sprintf("compared:%s:%s", w.chain.ID(), t.Address.Hex())
	next := w.cfg.VerifyFromBlock
	text, ok, err := u.a.ledger.Meta(ctx, key)
	if err != nil {
		return nil, err
	}
	if mark, err := strconv.ParseUint(text, 10, 64); ok && err == nil {
		next = max(next, mark+1)
	}
	for next <= final {
		last := min(next+auditSpan-1, final)
		moved, err := w.chain.TransfersFrom(ctx, t.Address, u.a.wallet.Address(), next, last)
		if err != nil {
			return nil, err
		}
		more, err := u.notOurs(ctx, w, t, moved)
		if err != nil {
			return nil, err
		}
		unknown = append(unknown, more...)
		if next = last + 1; len(unknown) > 0 {
			continue // the mark stays below what is not explained
		}
		if err := u.a.ledger.SetMeta(ctx, key, strconv.FormatUint(last, 10)); err != nil {
			return nil, err
		}
	}
	return unknown, nil
}

// notOurs returns the transfers that neither a settlement nor an open purchase
// explains. Open ones are read first: one that settles in between is in both.
func (u *auditor) notOurs(ctx context.Context, w *chainWatch, t *config.Token, moved []evm.Transfer) ([]foreign, error) {
	if len(moved) == 0 {
		return nil, nil
	}
	under, err := u.a.ledger.UnderWay(ctx)
	if err != nil {
		return nil, err
	}
	want, left := map[transferKey]int{}, len(moved)
	for _, m := range moved {
		want[transferKey{w.chain.ID(), t.Address, m.To, m.Tx, m.Amount}]++
	}
	settled := map[transferKey][]policy.PurchaseID{}
	err = u.a.ledger.EachTransfer(ctx, func(s ledger.Settlement) bool {
		key := transferKey{s.Chain, s.Token, s.Payee, common.HexToHash(s.Ref), s.Amount}
		if want[key] > 0 {
			want[key]--
			left--
			settled[key] = append(settled[key], s.Purchase)
		}
		return left > 0
	})
	if err != nil {
		return nil, err
	}
	m := matching{chain: w.chain.ID(), token: t, after: settled, under: under}
	m.match(moved)
	return m.unknown, nil
}

// LedgerAccept records transfers that the operator answers for, by their
// transactions, and verifies again.
func (f *front) LedgerAccept(ctx context.Context, transactions []string, by string) (*admin.LedgerReport, error) {
	u := f.a.auditor
	u.mu.Lock()
	unknown := slices.Clone(u.unknown)
	u.mu.Unlock()
	for _, tx := range transactions {
		if !slices.ContainsFunc(unknown, func(g foreign) bool { return g.Tx == common.HexToHash(tx) }) {
			return nil, &admin.Error{Code: admin.CodeNotFound, Text: "transaction " + tx + " is no finding", Next: "see agentd ledger verify"}
		}
	}
	for _, g := range unknown {
		if !slices.ContainsFunc(transactions, func(tx string) bool { return common.HexToHash(tx) == g.Tx }) {
			continue
		}
		if err := f.accept(ctx, &g, by); err != nil {
			return nil, fmt.Errorf("accept %s: %w", g.Tx, err)
		}
	}
	for _, w := range f.a.chains {
		if err := u.compareNew(ctx, w); err != nil {
			return nil, fmt.Errorf("compare the ledger with %s: %w", w.chain.ID(), err)
		}
	}
	return f.LedgerVerify(ctx)
}

func (f *front) accept(ctx context.Context, g *foreign, by string) error {
	w, t, known := f.a.tokenOf(g.chain, g.token.Address)
	if !known {
		return errors.New("its token is not configured")
	}
	at, err := w.chain.TimeOf(ctx, g.Block)
	if err != nil {
		return err
	}
	s := ledger.Settlement{
		Purchase: ledger.ForeignID(g.Tx.Hex(), g.Index), Amount: g.Amount, Chain: g.chain, Token: t.Address, Payee: g.To, Ref: g.Tx.Hex(), At: at,
	}
	if t.Currency == f.a.guard.Rules().Currency {
		if s.Value, err = money.ValueOf(g.Amount, t.Decimals); err != nil {
			return err
		}
	}
	return f.a.ledger.Accept(ctx, s, by)
}

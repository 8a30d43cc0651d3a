// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/admin"
	"github.com/agentd-project/agentd/config"
	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/payments/evm"
	"github.com/agentd-project/agentd/policy"
)

// transferKey is what a transfer on the chain and a settled row have in common.
type transferKey struct {
	chain        money.ChainID
	token, payee common.Address
	tx           common.Hash
	amount       money.Amount
}

// LedgerVerify recomputes the hash chain and compares the settled rows with our
// transfers on the chains. A ledger that disagrees stops spending until one that
// agrees is verified.
func (f *front) LedgerVerify(ctx context.Context) (*admin.LedgerReport, error) {
	a := f.a
	report, err := a.ledger.Verify(ctx)
	if err != nil {
		return nil, fmt.Errorf("verify the ledger: %w", err)
	}
	out := &admin.LedgerReport{
		Entries: int(report.Entries), Purchases: int(report.Purchases), Compacted: int(report.Compacted), Head: report.Head,
		Findings: report.Findings, Settled: []admin.SettledSum{},
	}
	settled, err := a.ledger.SettledTransfers(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the settlements: %w", err)
	}
	var unknown []foreign
	for _, w := range a.chains {
		for i := range w.cfg.Tokens {
			more, err := f.compare(ctx, out, w, &w.cfg.Tokens[i], settled)
			if err != nil {
				return nil, err
			}
			unknown = append(unknown, more...)
		}
	}
	for _, s := range settled {
		if _, _, known := a.tokenOf(s.Chain, s.Token); !known {
			out.Unchecked = append(out.Unchecked, fmt.Sprintf("purchase %s: its token on %s is not configured", s.Purchase, s.Chain))
		}
	}
	out.OK = len(out.Findings) == 0 && len(out.Unchecked) == 0
	switch {
	case len(out.Findings) > 0:
		a.auditor.found(sourceVerify, out.Findings[0], unknown)
	case out.OK:
		a.auditor.agreed()
	}
	return out, nil
}

func (a *Agent) tokenOf(chain money.ChainID, address common.Address) (*chainWatch, *config.Token, bool) {
	for _, w := range a.chains {
		for i := range w.cfg.Tokens {
			if t := &w.cfg.Tokens[i]; w.chain.ID() == chain && t.Address == address {
				return w, t, true
			}
		}
	}
	return nil, nil, false
}

// compare holds the settled rows of one token against the chain, and the returns
// of those that were refunded. Purchases go on meanwhile: what was settled before
// the chain was read must be on it, and what was on it must be open or settled
// afterwards. Open ones are read before settled ones, lest one that settles in
// between be in neither.
func (f *front) compare(ctx context.Context, out *admin.LedgerReport, w *chainWatch, t *config.Token, before []ledger.Settlement) ([]foreign, error) {
	chain := w.chain.ID()
	sum := admin.SettledSum{Chain: string(chain), Token: t.Symbol}
	moved, final, readErr := f.ownTransfers(ctx, w, t)
	under, err := f.a.ledger.UnderWay(ctx)
	if err != nil {
		return nil, err
	}
	after, err := f.a.ledger.SettledTransfers(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the settlements: %w", err)
	}
	var total money.Amount
	for _, s := range after {
		if s.Chain != chain || s.Token != t.Address {
			continue
		}
		if total, err = total.Add(s.Amount); err != nil {
			out.Findings = append(out.Findings, fmt.Sprintf("%s on %s: the settled sum is no amount", t.Symbol, chain))
		}
	}
	sum.Ledger = total.Format(t.Decimals)
	returns, returnsErr := f.returns(ctx, w, t, before, final)
	if readErr = errors.Join(readErr, returnsErr); readErr != nil {
		out.Unchecked = append(out.Unchecked, fmt.Sprintf("%s on %s: %v", t.Symbol, chain, readErr))
		out.Settled = append(out.Settled, sum)
		return nil, nil
	}
	m := matching{chain: chain, token: t, before: rowsOf(before, chain, t), after: rowsOf(after, chain, t), under: under}
	onChain := m.match(moved)
	sum.OnChain, sum.Transfers = onChain.Format(t.Decimals), len(moved)
	if open, err := onChain.Sub(total); err == nil && !open.IsZero() && len(m.findings) == 0 {
		sum.Open = open.Format(t.Decimals)
	}
	out.Findings = append(append(out.Findings, m.findings...), returns...)
	out.Settled = append(out.Settled, sum)
	return m.unknown, nil
}

func (f *front) ownTransfers(ctx context.Context, w *chainWatch, t *config.Token) ([]evm.Transfer, uint64, error) {
	final, err := w.chain.FinalHead(ctx)
	if err != nil {
		return nil, 0, err
	}
	moved, err := w.chain.TransfersFrom(ctx, t.Address, f.a.wallet.Address(), w.cfg.VerifyFromBlock, final.Number)
	return moved, final.Number, err
}

// returns holds the refunded rows of one token against the transfers that brought
// their value back.
func (f *front) returns(ctx context.Context, w *chainWatch, t *config.Token, rows []ledger.Settlement, final uint64) (findings []string, err error) {
	var refunded []ledger.Settlement
	for _, s := range rows {
		if s.Refunded && s.Chain == w.chain.ID() && s.Token == t.Address {
			refunded = append(refunded, s)
		}
	}
	if len(refunded) == 0 {
		return nil, nil
	}
	came, err := w.chain.TransfersTo(ctx, t.Address, f.a.wallet.Address(), w.cfg.VerifyFromBlock, final)
	if err != nil {
		return nil, err
	}
	left := map[transferKey]int{}
	for _, c := range came {
		left[transferKey{w.chain.ID(), t.Address, c.From, c.Tx, c.Amount}]++
	}
	for _, s := range refunded {
		tx, _, _ := strings.Cut(s.RefundRef, ":") // <transaction>[:<log index>]
		key := transferKey{s.Chain, s.Token, s.Payee, common.HexToHash(tx), s.Amount}
		if left[key]--; left[key] < 0 {
			findings = append(findings, fmt.Sprintf("%s on %s: purchase %s came back by transaction %s, which the chain does not show", t.Symbol, s.Chain, s.Purchase, tx))
		}
	}
	return findings, nil
}

// rowsOf returns the settled rows of one token by what the chain shows of them.
func rowsOf(settled []ledger.Settlement, chain money.ChainID, t *config.Token) map[transferKey][]policy.PurchaseID {
	rows := map[transferKey][]policy.PurchaseID{}
	for _, s := range settled {
		if s.Chain == chain && s.Token == t.Address {
			key := transferKey{chain, s.Token, s.Payee, common.HexToHash(s.Ref), s.Amount}
			rows[key] = append(rows[key], s.Purchase)
		}
	}
	return rows
}

// matching pairs transfers with rows; what is left on either side is a finding. A
// transfer that an open purchase may have made is none.
type matching struct {
	chain         money.ChainID
	token         *config.Token
	before, after map[transferKey][]policy.PurchaseID // used up
	under         *ledger.UnderWay
	unknown       []foreign
	findings      []string
}

func (m *matching) find(format string, args ...any) {
	m.findings = append(m.findings, fmt.Sprintf("%s on %s: ", m.token.Symbol, m.chain)+fmt.Sprintf(format, args...))
}

// match returns the sum of the transfers.
func (m *matching) match(moved []evm.Transfer) (total money.Amount) {
	for _, t := range moved {
		key := transferKey{m.chain, m.token.Address, t.To, t.Tx, t.Amount}
		switch {
		case len(m.after[key]) > 0:
			m.after[key] = m.after[key][1:]
			if n := len(m.before[key]); n > 0 {
				m.before[key] = m.before[key][1:]
			}
		case m.under.Explains(ledger.TransferTo{Chain: m.chain, Token: m.token.Address, Payee: t.To, Amount: t.Amount, Tx: t.Tx}):
		default:
			one := foreign{chain: m.chain, token: m.token, Transfer: t}
			m.unknown = append(m.unknown, one)
			m.findings = append(m.findings, one.String())
		}
		var err error
		if total, err = total.Add(t.Amount); err != nil {
			m.find("the sum of the transfers is no amount")
		}
	}
	for key, ids := range m.before {
		for _, id := range ids {
			m.find("purchase %s is settled by transaction %s, which the chain does not show", id, key.tx)
		}
	}
	return total
}

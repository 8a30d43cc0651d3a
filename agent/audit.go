// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"fmt"

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
		Entries: int(report.Entries), Purchases: int(report.Purchases), Head: report.Head, Findings: report.Findings, Settled: []admin.SettledSum{},
	}
	settled, err := a.ledger.SettledTransfers(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the settlements: %w", err)
	}
	pending, err := f.pendingTransfers(ctx)
	if err != nil {
		return nil, err
	}
	for _, w := range a.chains {
		for i := range w.cfg.Tokens {
			f.compare(ctx, out, w, &w.cfg.Tokens[i], settled, pending)
		}
	}
	for _, s := range settled {
		if _, _, known := a.tokenOf(s.Chain, s.Token); !known {
			out.Unchecked = append(out.Unchecked, fmt.Sprintf("purchase %s: its token on %s is not configured", s.Purchase, s.Chain))
		}
	}
	out.OK = len(out.Findings) == 0 && len(out.Unchecked) == 0
	disagrees := len(out.Findings) > 0
	if disagrees || out.OK {
		a.ledger.SetVerified(!disagrees)
		detail := ""
		if disagrees {
			detail = out.Findings[0]
		}
		a.health.set(problemLedger, disagrees, detail)
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

// pending is money of a purchase that is under way: it may be on the chain
// already and is in the ledger as a reservation.
type pending struct {
	chain        money.ChainID
	token, payee common.Address
	amount       money.Amount
}

// pendingTransfers lists what the open purchases may have moved.
func (f *front) pendingTransfers(ctx context.Context) (map[pending]int, error) {
	open, err := f.a.ledger.OpenPurchases(ctx)
	if err != nil {
		return nil, fmt.Errorf("read open purchases: %w", err)
	}
	out := map[pending]int{}
	for _, p := range open {
		r, err := f.a.ledger.Reservation(ctx, p.ID)
		if err != nil || r.Terms == nil || r.Status != policy.ReservationOpen {
			continue // nothing is granted, so nothing can have moved
		}
		out[pending{r.Terms.Chain, r.Terms.Token, r.Terms.Payee, r.Terms.Amount}]++
	}
	return out, nil
}

// compare holds the settled rows of one token against the chain.
func (f *front) compare(ctx context.Context, out *admin.LedgerReport, w *chainWatch, t *config.Token, settled []ledger.Settlement, under map[pending]int) {
	chain := w.chain.ID()
	sum := admin.SettledSum{Chain: string(chain), Token: t.Symbol}
	rows := map[transferKey]policy.PurchaseID{}
	var total money.Amount
	for _, s := range settled {
		if s.Chain != chain || s.Token != t.Address {
			continue
		}
		rows[transferKey{chain, s.Token, s.Payee, common.HexToHash(s.Ref), s.Amount}] = s.Purchase
		var err error
		if total, err = total.Add(s.Amount); err != nil {
			out.Findings = append(out.Findings, fmt.Sprintf("%s on %s: the settled sum is no amount", t.Symbol, chain))
		}
	}
	sum.Ledger = total.Format(t.Decimals)
	moved, err := w.chain.OwnTransfers(ctx, t.Address, f.a.wallet.Address(), w.cfg.VerifyFromBlock)
	if err != nil {
		out.Unchecked = append(out.Unchecked, fmt.Sprintf("%s on %s: %v", t.Symbol, chain, err))
		out.Settled = append(out.Settled, sum)
		return
	}
	onChain, findings := match(chain, t, moved, rows, under)
	sum.OnChain, sum.Transfers = onChain.Format(t.Decimals), len(moved)
	out.Findings = append(out.Findings, findings...)
	out.Settled = append(out.Settled, sum)
}

// match pairs transfers with rows; what is left on either side is a finding. A
// transfer that an open purchase may have made is none. rows is used up.
func match(chain money.ChainID, t *config.Token, moved []evm.OwnTransfer, rows map[transferKey]policy.PurchaseID, under map[pending]int) (total money.Amount, findings []string) {
	for _, m := range moved {
		var err error
		key := transferKey{chain, t.Address, m.To, m.Tx, m.Amount}
		open := pending{chain, t.Address, m.To, m.Amount}
		switch _, settled := rows[key]; {
		case settled:
			delete(rows, key)
		case under[open] > 0:
			under[open]--
		default:
			findings = append(findings, fmt.Sprintf("%s on %s: transfer %s of %s to %s is in no purchase", t.Symbol, chain, m.Tx, m.Amount.Format(t.Decimals), m.To))
		}
		if total, err = total.Add(m.Amount); err != nil {
			findings = append(findings, fmt.Sprintf("%s on %s: the sum of the transfers is no amount", t.Symbol, chain))
		}
	}
	for key, id := range rows {
		findings = append(findings, fmt.Sprintf("%s on %s: purchase %s is settled by transaction %s, which the chain does not show", t.Symbol, chain, id, key.tx))
	}
	return total, findings
}

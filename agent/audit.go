// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
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
	for _, w := range a.chains {
		for i := range w.cfg.Tokens {
			if err := f.compare(ctx, out, w, &w.cfg.Tokens[i], settled); err != nil {
				return nil, err
			}
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
		switch {
		case err != nil && !errors.Is(err, ledger.ErrNotFound):
			return nil, fmt.Errorf("read the reservation of %s: %w", p.ID, err)
		case err != nil || r.Terms == nil || r.Status != policy.ReservationOpen:
			continue // nothing is granted, so nothing can have moved
		}
		out[pending{r.Terms.Chain, r.Terms.Token, r.Terms.Payee, r.Terms.Amount}]++
	}
	return out, nil
}

// compare holds the settled rows of one token against the chain. Purchases go on
// meanwhile: what was settled before the chain was read must be on it, and what
// was on it must be open or settled afterwards. Open ones are read before settled
// ones, lest one that settles in between be in neither.
func (f *front) compare(ctx context.Context, out *admin.LedgerReport, w *chainWatch, t *config.Token, before []ledger.Settlement) error {
	chain := w.chain.ID()
	sum := admin.SettledSum{Chain: string(chain), Token: t.Symbol}
	moved, readErr := w.chain.OwnTransfers(ctx, t.Address, f.a.wallet.Address(), w.cfg.VerifyFromBlock)
	under, err := f.pendingTransfers(ctx)
	if err != nil {
		return err
	}
	after, err := f.a.ledger.SettledTransfers(ctx)
	if err != nil {
		return fmt.Errorf("read the settlements: %w", err)
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
	if readErr != nil {
		out.Unchecked = append(out.Unchecked, fmt.Sprintf("%s on %s: %v", t.Symbol, chain, readErr))
		out.Settled = append(out.Settled, sum)
		return nil
	}
	rows, since := rowsOf(before, chain, t), rowsOf(after, chain, t)
	for _, m := range moved {
		key := transferKey{chain, t.Address, m.To, m.Tx, m.Amount}
		if id, settled := since[key]; settled {
			rows[key] = id
		}
	}
	onChain, findings := match(chain, t, moved, rows, under)
	sum.OnChain, sum.Transfers = onChain.Format(t.Decimals), len(moved)
	if open, err := onChain.Sub(total); err == nil && !open.IsZero() && len(findings) == 0 {
		sum.Open = open.Format(t.Decimals)
	}
	out.Findings = append(out.Findings, findings...)
	out.Settled = append(out.Settled, sum)
	return nil
}

// rowsOf returns the settled rows of one token by what the chain shows of them.
func rowsOf(settled []ledger.Settlement, chain money.ChainID, t *config.Token) map[transferKey]policy.PurchaseID {
	rows := map[transferKey]policy.PurchaseID{}
	for _, s := range settled {
		if s.Chain == chain && s.Token == t.Address {
			rows[transferKey{chain, s.Token, s.Payee, common.HexToHash(s.Ref), s.Amount}] = s.Purchase
		}
	}
	return rows
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

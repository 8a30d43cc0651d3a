// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/payments/evm"
	"github.com/agentd-project/agentd/policy"
)

// audit holds the ledger against the chain, as the daemon does at its start; until
// it agrees, nothing is spent.
func (l *life) audit(ctx context.Context) {
	for !l.dead() {
		findings, err := l.compare(ctx)
		if err == nil {
			l.world.trace.add("audit", "%d findings", len(findings))
			l.ledger.SetVerified(len(findings) == 0)
			l.world.model.audited(findings)
			return
		}
		if l.nap(ctx, 5*time.Second) != nil {
			return
		}
	}
}

type transferKey struct {
	payee  common.Address
	tx     common.Hash
	amount money.Amount
}

func (l *life) compare(ctx context.Context) ([]string, error) {
	report, err := l.ledger.Verify(ctx)
	if err != nil {
		return nil, err
	}
	token := l.world.token()
	final, err := l.node.FinalHead(ctx)
	if err != nil {
		return nil, err
	}
	moved, err := l.node.TransfersFrom(ctx, token.Address, l.world.agent.Address(), 0, final.Number)
	if err != nil {
		return nil, err
	}
	under, err := l.underWay(ctx)
	if err != nil {
		return nil, err
	}
	settled, err := l.ledger.SettledTransfers(ctx)
	if err != nil {
		return nil, err
	}
	rows := map[transferKey]policy.PurchaseID{}
	for _, s := range settled {
		rows[transferKey{s.Payee, common.HexToHash(s.Ref), s.Amount}] = s.Purchase
	}
	return append(report.Findings, match(moved, rows, under)...), nil
}

type pending struct {
	payee  common.Address
	amount money.Amount
	tx     common.Hash // zero for an authorisation, which another sends
}

func (l *life) underWay(ctx context.Context) (map[pending]int, error) {
	open, err := l.ledger.OpenPurchases(ctx)
	if err != nil {
		return nil, err
	}
	out := map[pending]int{}
	for _, p := range open {
		r, err := l.ledger.Reservation(ctx, p.ID)
		switch {
		case err != nil && !errors.Is(err, ledger.ErrNotFound):
			return nil, err
		case err != nil || r.Terms == nil || r.Status != policy.ReservationOpen:
			continue
		}
		attempts, err := l.ledger.Attempts(ctx, p.ID)
		if err != nil {
			return nil, err
		}
		authorized := 0
		for _, a := range attempts {
			if !a.ValidBefore.IsZero() {
				authorized = 1
				continue
			}
			out[pending{r.Terms.Receiver(), r.Terms.Amount, common.HexToHash(a.Hash)}] = 1
		}
		out[pending{r.Terms.Receiver(), r.Terms.Amount, common.Hash{}}] += authorized
	}
	return out, nil
}

func match(moved []evm.Transfer, rows map[transferKey]policy.PurchaseID, under map[pending]int) (findings []string) {
	for _, m := range moved {
		signed, authorized := pending{m.To, m.Amount, m.Tx}, pending{m.To, m.Amount, common.Hash{}}
		key := transferKey{m.To, m.Tx, m.Amount}
		switch _, known := rows[key]; {
		case known:
			delete(rows, key)
		case under[signed] > 0:
			under[signed]--
		case under[authorized] > 0:
			under[authorized]--
		default:
			findings = append(findings, fmt.Sprintf("transfer %s of %s to %s is in no purchase", m.Tx, m.Amount, m.To))
		}
	}
	for key, id := range rows {
		findings = append(findings, fmt.Sprintf("purchase %s is settled by transaction %s, which the chain does not show", id, key.tx))
	}
	return findings
}

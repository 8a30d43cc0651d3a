// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/payments/evm"
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

// compare looks for transfers of ours since the last comparison that are in no
// purchase. How far that was is in the ledger: an older one knows an older block.
func (l *life) compare(ctx context.Context) ([]string, error) {
	report, err := l.ledger.Verify(ctx)
	if err != nil {
		return nil, err
	}
	final, err := l.node.FinalHead(ctx)
	if err != nil {
		return nil, err
	}
	next := uint64(0)
	switch mark, ok, err := l.ledger.Meta(ctx, comparedMark); {
	case err != nil:
		return nil, err
	case ok:
		if next, err = strconv.ParseUint(mark, 10, 64); err != nil {
			return nil, err
		}
	}
	if next > final.Number {
		return report.Findings, nil
	}
	moved, err := l.node.TransfersFrom(ctx, l.world.token().Address, l.world.agent.Address(), next, final.Number)
	if err != nil {
		return nil, err
	}
	under, err := l.ledger.UnderWay(ctx)
	if err != nil {
		return nil, err
	}
	settled, err := l.ledger.SettledTransfers(ctx)
	if err != nil {
		return nil, err
	}
	rows := map[transferKey]bool{}
	for _, s := range settled {
		rows[transferKey{s.Payee, common.HexToHash(s.Ref), s.Amount}] = true
	}
	findings := append(report.Findings, match(l.world.token(), moved, rows, under)...)
	if len(findings) > 0 {
		return findings, nil
	}
	return nil, l.ledger.SetMeta(ctx, comparedMark, strconv.FormatUint(final.Number+1, 10))
}

// comparedMark names the block from which the next comparison reads.
const comparedMark = "compared"

func match(token money.Asset, moved []evm.Transfer, rows map[transferKey]bool, under *ledger.UnderWay) (findings []string) {
	for _, m := range moved {
		key := transferKey{m.To, m.Tx, m.Amount}
		switch {
		case rows[key]:
			delete(rows, key)
		case under.Explains(ledger.TransferTo{Chain: token.Chain, Token: token.Address, Payee: m.To, Amount: m.Amount, Tx: m.Tx}):
		default:
			findings = append(findings, fmt.Sprintf("transfer %s of %s to %s is in no purchase", m.Tx, m.Amount, m.To))
		}
	}
	return findings
}

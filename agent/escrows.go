// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"fmt"

	"github.com/agentd-project/agentd/config"
	"github.com/agentd-project/agentd/market"
	"github.com/agentd-project/agentd/payments"
	"github.com/agentd-project/agentd/wallet"
)

// escrowsOf lists the owner's escrows as the rails pay into them and as the market
// chooses between them.
func escrowsOf(cfg *config.Config) ([]payments.Escrow, []market.Escrow, error) {
	var (
		paid   []payments.Escrow
		listed []market.Escrow
	)
	for i := range cfg.Chains {
		c := &cfg.Chains[i]
		for j := range c.Escrows {
			e := &c.Escrows[j]
			p, m := payments.Escrow{Chain: c.ID, Address: e.Address}, market.Escrow{Chain: c.ID, Address: e.Address}
			if e.Mode == config.EscrowContract {
				abi, err := wallet.ParseEscrowABI(e.Contract.Text())
				if err != nil {
					return nil, nil, fmt.Errorf("chain %s: escrow %s: %w", c.ID, e.Address, err)
				}
				p.Contract, m.Lock, m.RefundAfter = &abi, true, e.RefundAfter
			}
			paid, listed = append(paid, p), append(listed, m)
		}
	}
	return paid, listed, nil
}

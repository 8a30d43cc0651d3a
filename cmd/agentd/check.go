// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"

	"github.com/agentd-project/agentd/config"
)

type checkCmd struct {
	Online bool `help:"Also ask the Market and the chains: readiness, chain ids, token decimals, key, balances. Spends nothing."`
}

// Run loads the configuration as run does, and unlocks its keys.
func (c *checkCmd) Run(ctx context.Context, con *console, o *options) error {
	cfg, err := con.load(o)
	if err != nil {
		return err
	}
	if faults := checkKeys(cfg); len(faults) > 0 {
		return faults
	}
	if c.Online {
		if err := checkOnline(ctx, con, cfg); err != nil {
			return err
		}
	}
	return con.say("ok")
}

// checkKeys unlocks every configured key: a wrong passphrase is a fault of the
// configuration.
func checkKeys(cfg *config.Config) config.Faults {
	var faults config.Faults
	for _, name := range []config.KeyName{config.KeyAgent, config.KeyOwner} {
		key := cfg.Keys.ByName(name)
		if key.IsZero() {
			continue
		}
		if _, err := openKey(key); err != nil {
			faults = append(faults, config.Fault{
				Key: "keys." + string(name), Found: err.Error(), Allowed: "a key that its passphrase opens",
			})
		}
	}
	return faults
}

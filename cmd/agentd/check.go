// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"

	"github.com/agentd-project/agentd/agent"
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
		return con.checkOnline(ctx, cfg)
	}
	return con.say("ok")
}

// checkOnline prints what the Market and the chains answered. What is wrong there
// is a fault of the configuration too: it names them.
func (c *console) checkOnline(ctx context.Context, cfg *config.Config) error {
	version, _ := buildVersion()
	checks := agent.CheckOnline(ctx, agent.Options{Config: cfg, Version: version})
	t := newTable(c.out)
	failed := 0
	for _, check := range checks {
		mark, detail := "ok", check.Detail
		if check.Err != nil {
			mark, detail = "FAIL", check.Err.Error()
			failed++
		}
		t.row(mark, check.Name, detail)
	}
	if err := t.flush(); err != nil {
		return err
	}
	if failed > 0 {
		return fail(exitConfig, "%s failed", plural(failed, "check"))
	}
	return nil
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

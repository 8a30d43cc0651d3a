// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/agentd-project/agentd/agent"
	"github.com/agentd-project/agentd/config"
	"github.com/agentd-project/agentd/wallet"
)

type runCmd struct{}

// Run loads the configuration and runs the daemon until SIGINT or SIGTERM.
func (c *runCmd) Run(ctx context.Context, con *console, o *options) error {
	if err := guardSecrets(); err != nil {
		return err
	}
	cfg, err := config.Load(con.configFile(o), con.environ)
	if err != nil {
		return err
	}
	log, level, err := newLogger(con.err, cfg.Log)
	if err != nil {
		return fmt.Errorf("make the log: %w", err)
	}
	version, revision := buildVersion()
	a, err := agent.New(agent.Options{Config: cfg, Logger: log, Level: &level, Version: version, Revision: revision})
	if err != nil {
		return keyFault(err)
	}
	if err := a.Run(ctx); err != nil {
		log.Error("daemon ended", zap.Error(err))
		return keyFault(err)
	}
	return nil
}

// keyFault gives a key that does not open the exit code of a configuration with
// a fault: starting again would only fail again.
func keyFault(err error) error {
	if errors.Is(err, wallet.ErrPassphrase) || errors.Is(err, wallet.ErrKeystore) || errors.Is(err, wallet.ErrPrivateKey) {
		return fail(exitConfig, "%s", err)
	}
	return err
}

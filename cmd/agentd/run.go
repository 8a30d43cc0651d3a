// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"

	"github.com/agentd-project/agentd/config"
)

type runCmd struct{}

// Run loads the configuration and runs the daemon until it is told to stop.
func (c *runCmd) Run(ctx context.Context, con *console, o *options) error {
	cfg, err := con.load(o)
	if err != nil {
		return err
	}
	_ = cfg
	_ = ctx
	return errors.New("not landed")
}

func checkOnline(context.Context, *console, *config.Config) error { return nil }

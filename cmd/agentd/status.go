// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"

	"github.com/agentd-project/agentd/admin"
)

type statusCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Run prints the daemon's state.
func (c *statusCmd) Run(ctx context.Context, con *console, o *options) error {
	status, err := con.client(o).Status(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(con.out, status)
	}
	return admin.WriteStatus(con.out, status)
}

type healthcheckCmd struct {
	Ready bool `help:"Succeed only if the daemon could buy now."`
}

// Run fails if the daemon does not answer, or is not live. It is made for
// container engines: no output but the reason.
func (c *healthcheckCmd) Run(ctx context.Context, con *console, o *options) error {
	ctx, cancel := context.WithTimeout(ctx, healthLimit)
	defer cancel()
	status, err := con.client(o).Status(ctx)
	switch {
	case err != nil:
		return fail(exitFailure, "not healthy: %s", err)
	case !status.Live:
		return fail(exitFailure, "not live: see agentd status")
	case c.Ready && !status.Ready:
		return fail(exitFailure, "not ready: see agentd status")
	default:
		return nil
	}
}

type pauseCmd struct{}

// Run stops spending.
func (c *pauseCmd) Run(ctx context.Context, con *console, o *options) error {
	if err := con.client(o).Pause(ctx); err != nil {
		return err
	}
	return con.say("paused: nothing is spent until agentd resume; heartbeats and open payments go on")
}

type resumeCmd struct{}

// Run lets spending go on.
func (c *resumeCmd) Run(ctx context.Context, con *console, o *options) error {
	if err := con.client(o).Resume(ctx); err != nil {
		return err
	}
	return con.say("resumed")
}

type logLevelCmd struct {
	Level string `arg:"" optional:"" enum:"debug,info,warn,error," help:"New level: debug, info, warn or error; none shows the present one." default:""`
}

// Run shows or changes the log level.
func (c *logLevelCmd) Run(ctx context.Context, con *console, o *options) error {
	client := con.client(o)
	if c.Level != "" {
		return client.SetLogLevel(ctx, c.Level)
	}
	level, err := client.LogLevel(ctx)
	if err != nil {
		return err
	}
	return con.say(level)
}

func (c *console) say(text string) error {
	_, err := fmt.Fprintln(c.out, text)
	return err
}

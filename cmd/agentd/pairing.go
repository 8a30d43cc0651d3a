// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"

	"github.com/agentd-project/agentd/admin"
)

type pairingCmd struct {
	Show   pairingShowCmd   `cmd:"" help:"Show the pairing and its session."`
	Rotate pairingRotateCmd `cmd:"" help:"Ask for a new session now."`
	Create pairingCreateCmd `cmd:"" help:"Pair anew, also after a revocation."`
	Revoke pairingRevokeCmd `cmd:"" help:"Revoke the pairing; nothing is bought until agentd pairing create."`
}

type pairingShowCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Run shows the pairing.
func (c *pairingShowCmd) Run(ctx context.Context, con *console, o *options) error {
	p, err := con.client(o).Pairing(ctx)
	return con.showPairing(p, err, c.JSON)
}

type pairingRotateCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Run rotates the session.
func (c *pairingRotateCmd) Run(ctx context.Context, con *console, o *options) error {
	p, err := con.client(o).RotatePairing(ctx)
	return con.showPairing(p, err, c.JSON)
}

type pairingCreateCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Run pairs anew.
func (c *pairingCreateCmd) Run(ctx context.Context, con *console, o *options) error {
	p, err := con.client(o).CreatePairing(ctx)
	return con.showPairing(p, err, c.JSON)
}

type pairingRevokeCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Run revokes the pairing.
func (c *pairingRevokeCmd) Run(ctx context.Context, con *console, o *options) error {
	p, err := con.client(o).RevokePairing(ctx)
	return con.showPairing(p, err, c.JSON)
}

func (c *console) showPairing(p *admin.Pairing, err error, asJSON bool) error {
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(c.out, p)
	}
	t := newTable(c.out)
	t.row("pairing", p.ID)
	t.row("status", p.Status)
	t.row("machine", p.Machine)
	t.row("address", p.Address)
	t.row("provider", p.Provider)
	t.row("role", p.Role)
	t.row("session ends", clock(p.SessionExpires))
	t.row("next rotation", clock(p.NextRotation))
	if p.Problem != "" {
		t.row("problem", p.Problem)
	}
	return t.flush()
}

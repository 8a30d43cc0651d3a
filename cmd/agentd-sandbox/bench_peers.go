// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/agentd-project/agentd/sandbox"
)

// peer is what the Python loop prints: the machine and the pairing it made, and
// what its purchases cost.
type peer struct {
	MachineID    string              `json:"machineId"`
	PairingID    string              `json:"pairingId"`
	PairingToken string              `json:"pairingToken"` //nolint:gosec // G117: a token of the local Market
	Costs        map[string]peerCost `json:"costs"`
}

type peerCost struct {
	Purchases   int     `json:"purchases"`
	CPUSeconds  float64 `json:"cpuSeconds"`
	WallSeconds float64 `json:"wallSeconds"`
}

func (c peerCost) cost() cost {
	return cost{purchases: c.Purchases, cpu: seconds(c.CPUSeconds), wall: seconds(c.WallSeconds)}
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// peerEnvironment keeps the official clients from the home folder's settings and
// from their telemetry.
func peerEnvironment(home string, more ...string) []string {
	return append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "LANG=C.UTF-8", "PEAQOS_TELEMETRY=0"}, more...)
}

// loop runs the Python loop on the SDK as the buyer of this number, with no
// purchases to pair only. CPU is what the process measured of itself between the
// first and the last purchase: starting and pairing are not in it.
func (c *compareCommand) loop(ctx context.Context, dir string, info sandbox.Info, buyer, purchases int) (*peer, error) {
	info.IdentityRef, info.AgentKey = info.IdentityRefs[buyer], buyers[buyer]
	text, err := json.Marshal(info) //nolint:gosec // G117: keys that guard nothing
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "info.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return nil, err
	}
	args := []string{c.Loop, file, "--purchases", fmt.Sprint(purchases)}
	for _, rail := range c.peerRails() {
		args = append(args, "--rail", rail)
	}
	cmd := exec.CommandContext(ctx, c.Python, args...) //nolint:gosec // the peer that is measured
	cmd.Env, cmd.Dir = peerEnvironment(dir), dir
	out, err := output(cmd)
	if err != nil {
		return nil, err
	}
	var p peer
	if err := json.Unmarshal(out, &p); err != nil {
		return nil, fmt.Errorf("read what %s printed: %w", c.Loop, err)
	}
	return &p, nil
}

// peerRails are the rails that all buyers pay by themselves.
func (c *compareCommand) peerRails() []string {
	var rails []string
	for _, rail := range c.Rails {
		if rail == "not-required" || rail == "x402" {
			rails = append(rails, rail)
		}
	}
	return rails
}

// commandLine buys with the official CLI.
type commandLine struct {
	bin, dir string
	info     sandbox.Info
	peer     *peer
	token    string // file
	cpu      time.Duration
}

func (c *compareCommand) newCommandLine(ctx context.Context, dir string, info sandbox.Info, buyer int) (*commandLine, error) {
	p, err := c.loop(ctx, dir, info, buyer, 0)
	if err != nil {
		return nil, err
	}
	l := &commandLine{bin: c.CLI, dir: dir, info: info, peer: p, token: filepath.Join(dir, "pairing-token")}
	l.info.AgentKey = buyers[buyer]
	return l, os.WriteFile(l.token, []byte(p.PairingToken+"\n"), 0o600)
}

// measure makes the purchases of one rail after one that is not counted. CPU is
// of all its processes, each from its start to its end.
func (l *commandLine) measure(ctx context.Context, rail string, purchases int) (cost, error) {
	for _, s := range l.info.Services {
		if s.Rail != rail || s.Handoff {
			continue
		}
		if err := l.buy(ctx, s); err != nil {
			return cost{}, err
		}
		l.cpu = 0
		begin := time.Now()
		for range purchases {
			if err := l.buy(ctx, s); err != nil {
				return cost{}, err
			}
		}
		return cost{purchases: purchases, wall: time.Since(begin), cpu: l.cpu}, nil
	}
	return cost{}, fmt.Errorf("no service on %s", rail)
}

// buy makes one whole purchase: search, order (which pays and executes, and on
// x402 confirms), and received, which confirms what was free.
func (l *commandLine) buy(ctx context.Context, s sandbox.ServiceInfo) error {
	input := filepath.Join(l.dir, "input.json")
	if err := os.WriteFile(input, s.ExampleInput, 0o600); err != nil {
		return err
	}
	var search struct {
		ID     string `json:"id"`
		Quotes []struct {
			ID        string `json:"id"`
			ServiceID string `json:"service_id"`
		} `json:"quotes"`
	}
	if err := l.run(ctx, &search, "search", "--machine-id", l.peer.MachineID, "--agent-pairing-id", l.peer.PairingID,
		"--service-type", s.ServiceType, "--operation", s.Operation); err != nil {
		return err
	}
	if len(search.Quotes) != 1 || search.Quotes[0].ServiceID != s.ID {
		return fmt.Errorf("the search for %s answered %+v", s.Operation, search)
	}
	var placed struct {
		Order struct {
			ID     string `json:"id"`
			Status string `json:"status"`
		} `json:"order"`
	}
	if err := l.run(ctx, &placed, "order", s.ID, "--machine-id", l.peer.MachineID, "--agent-pairing-id", l.peer.PairingID, "--search-id", search.ID,
		"--quote-id", search.Quotes[0].ID, "--operation", s.Operation, "--input", input, "--yes"); err != nil {
		return err
	}
	if placed.Order.Status != "delivered" {
		return fmt.Errorf("order %s is %s", placed.Order.ID, placed.Order.Status)
	}
	if s.Rail == "x402" {
		return nil
	}
	if err := l.run(ctx, &placed, "order", "received", placed.Order.ID); err != nil {
		return err
	}
	if placed.Order.Status != "confirmed" {
		return fmt.Errorf("order %s is %s", placed.Order.ID, placed.Order.Status)
	}
	return nil
}

// run runs one command of the CLI, counts its CPU and reads its JSON.
func (l *commandLine) run(ctx context.Context, answer any, args ...string) error {
	cmd := exec.CommandContext(ctx, l.bin, append(append([]string{"scale"}, args...), "--pairing-token-file", l.token, "--json")...) //nolint:gosec // the peer that is measured
	cmd.Dir = l.dir
	cmd.Env = peerEnvironment(l.dir, "PEAQOS_ORCHESTRATION_URL="+l.info.BaseURL, "PEAQOS_ORCH_API_KEY="+l.info.APIKey,
		"PEAQOS_RPC_URL="+l.info.RPCURL, "PEAQOS_PRIVATE_KEY="+l.info.AgentKey)
	out, err := output(cmd)
	if err != nil {
		return err
	}
	l.cpu += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if err := json.Unmarshal(out, answer); err != nil {
		return fmt.Errorf("read what %s %s printed: %w", l.bin, args[0], err)
	}
	return nil
}

// output runs a command to its end; its error tells what it said.
func output(cmd *exec.Cmd) ([]byte, error) {
	var out, faults bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &faults
	if err := cmd.Run(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", cmd.Args[0], err), errors.New(faults.String()))
	}
	return out.Bytes(), nil
}

// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/orchestration"
	"github.com/agentd-project/agentd/sandbox"
)

// machines returns the Market's records of machines.
func (w *world) machines() []orchestration.Machine {
	w.t.Helper()
	var all []orchestration.Machine
	for m, err := range w.owner.Machines(w.t.Context(), orchestration.ListOptions{}) {
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, m)
	}
	return all
}

func (w *world) inject(op string, kind sandbox.FaultKind) {
	w.t.Helper()
	if _, err := w.market.Inject(sandbox.Fault{Operation: op, Nth: 1, Kind: kind}); err != nil {
		w.t.Fatal(err)
	}
}

func TestRegistrationSurvivesFaults(t *testing.T) {
	operations := []string{"identity-challenge", "machines-list", "machine-create", "machine-get", "machine-update"}
	kinds := []sandbox.FaultKind{sandbox.FaultRefuse, sandbox.FaultDropAfter, sandbox.FaultStatusAfter, sandbox.FaultNotJSON, sandbox.FaultRateLimit}
	for _, op := range operations {
		for _, kind := range kinds {
			t.Run(op+" "+string(kind), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					w := newWorld(t, nil)
					w.inject(op, kind)
					d := w.start(w.config())
					d.ready(2 * time.Minute)
					if all := w.machines(); len(all) != 1 || all[0].Status != orchestration.MachineActive {
						t.Errorf("the Market has %+v, want one active machine", all)
					}
				})
			})
		}
	}
}

func TestRegisteredMachineIsTakenOver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		first := w.start(w.config())
		first.ready(time.Minute)
		id := first.status().Machine.ID
		first.stop()

		w.dir = t.TempDir() // the state is lost
		second := w.start(w.config())
		second.ready(time.Minute)
		if got := second.status().Machine.ID; got != id || len(w.machines()) != 1 {
			t.Errorf("machine %s of %d, want %s, the only one", got, len(w.machines()), id)
		}
		if got := w.market.Calls("machine-create"); got != 1 {
			t.Errorf("created %d times, want once", got)
		}
	})
}

// TestMachineIsRemembered restarts without a Market.
func TestMachineIsRemembered(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		cfg := w.config()
		first := w.start(cfg)
		first.ready(time.Minute)
		want := first.status().Machine
		first.stop()
		w.cut.Store(true)
		second := w.start(cfg)
		time.Sleep(time.Minute)
		if got := second.status(); got.Machine.ID != want.ID || got.Machine.Identity != want.Identity || got.Pairing.SessionExpires.IsZero() {
			t.Errorf("after a restart without a Market: machine %+v, pairing %+v", got.Machine, got.Pairing)
		}
	})
}

// TestInactiveMachineRecovers has no register section: nothing is activated
// here.
func TestInactiveMachineRecovers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		first := w.start(w.config())
		first.ready(time.Minute)
		id := first.status().Machine.ID
		first.stop()
		set := func(status orchestration.MachineStatus) {
			if _, err := w.owner.UpdateMachine(t.Context(), id, orchestration.UpdateMachineRequest{Status: status}); err != nil {
				t.Fatal(err)
			}
		}
		set(orchestration.MachineBlocked)

		w.dir = t.TempDir()
		d := w.start(w.config("machine: {id: "+id+"}", "heartbeat: {interval: 30s}"))
		time.Sleep(10 * time.Minute)
		if s := d.status(); !s.Live || s.Ready || !slices.Contains(d.problems(), problemMachineInactive) {
			t.Errorf("blocked machine: live %v, ready %v, problems %v", s.Live, s.Ready, d.problems())
		}
		set(orchestration.MachineActive)
		d.ready(2 * time.Minute)
		d.mustSettle("price")
		if s := d.status(); s.Heartbeat.Enabled {
			t.Error("a heartbeat is enabled without an endpoint")
		}
		if got := w.market.Calls("heartbeat"); got > 1 {
			t.Errorf("sent %d heartbeats, want none from the second daemon", got)
		}
	})
}

func TestIdentityFaults(t *testing.T) {
	other := sandbox.Identity{Number: big.NewInt(sandbox.DefaultIdentity), Controllers: []common.Address{{1}}}
	tests := []struct {
		name    string
		change  func(*sandbox.Options)
		machine string
		want    string
	}{
		{"the key is no controller", func(o *sandbox.Options) { o.Identities = []sandbox.Identity{other} }, "", problemIdentity},
		{"no record and none to be made", nil, "machine: {identity_ref: did:peaq:184467, identity_key: owner}", problemMachineUnknown},
		{"unknown id", nil, "machine: {id: mach_none}", problemMachineUnknown},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, tt.change)
				var settings []string
				if tt.machine != "" {
					settings = append(settings, tt.machine)
				}
				d := w.start(w.config(settings...))
				time.Sleep(5 * time.Minute)
				if !slices.Contains(d.problems(), tt.want) || !d.status().Live {
					t.Errorf("problems %v, live %v; want %s and live", d.problems(), d.status().Live, tt.want)
				}
				if got := w.market.Calls("machine-create"); got != 0 {
					t.Errorf("tried to create %d machines, want 0", got)
				}
			})
		})
	}
}

// TestOtherIdentity configures an id whose record is of another machine.
func TestOtherIdentity(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		first := w.start(w.config())
		first.ready(time.Minute)
		id := first.status().Machine.ID
		first.stop()
		w.dir = t.TempDir()
		d := w.start(w.config("machine: {id: " + id + ", identity_ref: did:peaq:99}"))
		time.Sleep(time.Minute)
		if !slices.Contains(d.problems(), problemIdentity) || d.status().Ready {
			t.Errorf("problems %v, want %s and not ready", d.problems(), problemIdentity)
		}
	})
}

// TestOldIdentityForm uses the address form, which the newest servers refuse.
func TestOldIdentityForm(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, func(o *sandbox.Options) { o.Strict = false })
		ref := "did:peaq:" + w.info.OwnerAddress
		d := w.start(w.config("machine: {identity_ref: \"" + ref + "\", identity_key: owner, register: {display_name: dock-7, owner_id: acme, machine_type: robot, runtime_profile: linux-native}}"))
		d.ready(time.Minute)
		if got := d.status().Machine.Identity; got != w.info.IdentityRef {
			t.Errorf("identity %s, want the canonical %s", got, w.info.IdentityRef)
		}
	})
}

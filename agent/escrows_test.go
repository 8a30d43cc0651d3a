// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/config"
	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/payments"
	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/wallet"
)

func escrowConfig(change func(*config.Escrow)) *config.Config {
	e := config.Escrow{Address: common.HexToAddress("0xe5"), Mode: config.EscrowContract, RefundAfter: 36 * time.Hour}
	change(&e)
	return &config.Config{Chains: []config.Chain{{ID: "eip155:3338", Escrows: []config.Escrow{e}}}}
}

// Each key of an escrow changes what is paid into or what is called.
func TestEscrowsOf(t *testing.T) {
	fields := wallet.EscrowFields{Order: common.Hash{1}, Payee: common.HexToAddress("0xaa"), Deadline: 7}
	same, listed, err := escrowsOf(escrowConfig(func(*config.Escrow) {}))
	if err != nil || len(same) != 1 || len(listed) != 1 || !listed[0].Lock || listed[0].RefundAfter != 36*time.Hour || same[0].Contract == nil ||
		listed[0].Chain != "eip155:3338" || same[0].Address != listed[0].Address {
		t.Fatalf("%+v, %+v, %v", same, listed, err)
	}
	built := wallet.DefaultEscrowABI()
	if !reflect.DeepEqual(*same[0].Contract, built) {
		t.Errorf("the interface is %+v, want the built-in one", *same[0].Contract)
	}
	tests := []struct {
		name    string
		change  func(*config.EscrowInterface)
		differs func(a, b *wallet.EscrowABI) bool
	}{
		{"lock", func(i *config.EscrowInterface) { i.Lock = "deposit(address payee, bytes32 order, uint256 amount)" },
			func(a, b *wallet.EscrowABI) bool { return !bytes.Equal(a.LockCall(fields), b.LockCall(fields)) }},
		{"release", func(i *config.EscrowInterface) { i.Release = "pay(bytes32 order)" },
			func(a, b *wallet.EscrowABI) bool { return !bytes.Equal(a.ReleaseCall(fields), b.ReleaseCall(fields)) }},
		{"refund", func(i *config.EscrowInterface) { i.Refund = "back(bytes32 order)" },
			func(a, b *wallet.EscrowABI) bool { return !bytes.Equal(a.RefundCall(fields), b.RefundCall(fields)) }},
		{"locked", func(i *config.EscrowInterface) { i.Locked = "Deposited(bytes32 indexed order)" },
			func(a, b *wallet.EscrowABI) bool { return a.LockedTopic() != b.LockedTopic() }},
		{"released", func(i *config.EscrowInterface) { i.Released = "Paid(bytes32 indexed order)" },
			func(a, b *wallet.EscrowABI) bool { return a.ReleasedTopic() != b.ReleasedTopic() }},
		{"refunded", func(i *config.EscrowInterface) { i.Refunded = "Back(bytes32 indexed order)" },
			func(a, b *wallet.EscrowABI) bool { return a.RefundedTopic() != b.RefundedTopic() }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, _, err := escrowsOf(escrowConfig(func(e *config.Escrow) { tt.change(&e.Contract) }))
			if err != nil || !tt.differs(got[0].Contract, &built) {
				t.Errorf("the key changes nothing (%v)", err)
			}
		})
	}
	plain, listed, err := escrowsOf(escrowConfig(func(e *config.Escrow) { e.Mode = config.EscrowTransfer }))
	if err != nil || plain[0].Contract != nil || listed[0].Lock || listed[0].RefundAfter != 0 {
		t.Errorf("transfer mode: %+v, %+v, %v", plain, listed, err)
	}
	if _, _, err := escrowsOf(escrowConfig(func(e *config.Escrow) { e.Contract.Lock = "lock(bytes32 order, uint256 fee)" })); err == nil {
		t.Error("an interface with an argument that nobody knows")
	}
}

// The gate in front of a rail hides neither what can give value back nor that
// there is nothing to give.
func TestGateKeepsCustodians(t *testing.T) {
	w, err := wallet.FromPrivateKey([]byte("2222222222222222222222222222222222222222222222222222222222222222"))
	if err != nil {
		t.Fatal(err)
	}
	set, err := payments.NewSet(payments.SetConfig{Wallet: w, Ledger: &ledger.Ledger{}})
	if err != nil {
		t.Fatal(err)
	}
	gated := &gatedRails{set: set}
	for rail, want := range map[string]bool{policy.RailWallet: true, policy.RailUSDTTransfer: true, policy.RailX402: true,
		policy.RailEscrow: true, policy.RailOnchainEscrow: true, policy.RailNotRequired: false} {
		r, ok := gated.Rail(rail)
		if !ok {
			t.Fatalf("no rail %s", rail)
		}
		if _, got := r.(payments.Custodian); got != want {
			t.Errorf("%s: custodian %t, want %t", rail, got, want)
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

package chain

import (
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/agentd-project/agentd/sandbox/contracts"
)

// Gas of the in-memory chain: the protocol's price of a transaction and its data, and a fixed price for each contract method, near
// what the compiled contract costs.
const (
	gasTransaction  = 21_000
	gasZeroByte     = 4
	gasNonZeroByte  = 16
	gasRevert       = 3_000
	gasView         = 2_500
	gasWrite        = 30_000
	gasSettlement   = 54_000
	gasEscrowLock   = 140_000
	gasEscrowPayout = 60_000
)

// frame is one call: who calls what, when, and the logs it leaves.
type frame struct {
	*ledger
	from, to common.Address
	time     uint64
	logs     []*types.Log
}

// method is one method of a native contract: its gas and what it does. Arguments and results are those of the ABI.
type method struct {
	gas uint64
	run func(*frame, []any) ([]any, error)
}

// native is a contract written in Go behind the ABI of the compiled one.
type native struct {
	abi     abi.ABI
	methods map[string]method
}

// machine runs calls on a ledger without an EVM: transfers of ether, and the methods of the token and the escrow.
type machine struct {
	contracts map[common.Address]native
}

func newMachine() (*machine, error) {
	token, err := contracts.TestToken()
	if err != nil {
		return nil, err
	}
	escrow, err := contracts.Escrow()
	if err != nil {
		return nil, err
	}
	return &machine{contracts: map[common.Address]native{
		TokenAddress:  {token.ABI, tokenMethods(tokenContract{token.ABI})},
		EscrowAddress: {escrow.ABI, escrowMethods(escrowContract{escrow.ABI, tokenContract{token.ABI}})},
	}}, nil
}

// revertError is a call that the contract refused, with the ABI-encoded error.
type revertError struct {
	name string
	data []byte
}

// Error returns the message of a node.
func (e *revertError) Error() string { return "execution reverted" }

// refuse returns the contract's declared error with its arguments.
func refuse(a abi.ABI, name string, args ...any) error {
	declared, ok := a.Errors[name]
	if !ok {
		return fmt.Errorf("contract declares no error %s", name)
	}
	packed, err := declared.Inputs.Pack(args...)
	if err != nil {
		return fmt.Errorf("pack error %s: %w", name, err)
	}
	return &revertError{name: name, data: append(declared.ID.Bytes()[:4:4], packed...)}
}

// emit appends a log of the frame's contract. Indexed arguments come first, as 32-byte words.
func (f *frame) emit(address common.Address, event abi.Event, topics []common.Hash, args ...any) error {
	data, err := event.Inputs.NonIndexed().Pack(args...)
	if err != nil {
		return fmt.Errorf("pack event %s: %w", event.Name, err)
	}
	f.logs = append(f.logs, &types.Log{Address: address, Topics: append([]common.Hash{event.ID}, topics...), Data: data})
	return nil
}

func addressTopic(a common.Address) common.Hash { return common.BytesToHash(a[:]) }

// run executes one call on the ledger and returns its result, its logs and the gas beyond the transaction's own. After an error
// the ledger is as before.
func (m *machine) run(l *ledger, seconds uint64, from, to common.Address, value *big.Int, input []byte) (ret []byte, logs []*types.Log, gas uint64, err error) {
	mark := l.mark()
	f := &frame{ledger: l, from: from, to: to, time: seconds}
	if ret, gas, err = m.enter(f, orZero(value), input); err != nil {
		l.revert(mark)
		return nil, nil, gasRevert, err
	}
	return ret, f.logs, gas, nil
}

func (m *machine) enter(f *frame, value *big.Int, input []byte) ([]byte, uint64, error) {
	contract, ok := m.contracts[f.to]
	if !ok {
		if orZero(f.wei[f.from]).Cmp(value) < 0 {
			return nil, 0, core.ErrInsufficientFundsForTransfer
		}
		f.move(f.wei, f.from, f.to, value)
		return nil, 0, nil
	}
	if value.Sign() != 0 || len(input) < 4 {
		return nil, 0, &revertError{}
	}
	called, err := contract.abi.MethodById(input[:4])
	if err != nil {
		return nil, 0, &revertError{}
	}
	implemented, ok := contract.methods[called.Name]
	if !ok {
		return nil, 0, &revertError{}
	}
	args, err := called.Inputs.Unpack(input[4:])
	if err != nil {
		return nil, 0, &revertError{}
	}
	results, err := implemented.run(f, args)
	if err != nil {
		return nil, 0, err
	}
	ret, err := called.Outputs.Pack(results...)
	if err != nil {
		return nil, 0, fmt.Errorf("pack result of %s: %w", called.Name, err)
	}
	return ret, implemented.gas, nil
}

// intrinsicGas returns what a transaction costs before it does anything.
func intrinsicGas(input []byte) uint64 {
	gas := uint64(gasTransaction)
	for _, b := range input {
		if b == 0 {
			gas += gasZeroByte
		} else {
			gas += gasNonZeroByte
		}
	}
	return gas
}

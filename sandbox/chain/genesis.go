// SPDX-License-Identifier: Apache-2.0

package chain

import (
	"fmt"
	"maps"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/state"
	"github.com/ethereum/go-ethereum/core/tracing"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/core/vm"
	"github.com/ethereum/go-ethereum/params"
	"github.com/holiman/uint256"

	"github.com/agentd-project/agentd/sandbox/contracts"
)

// genesisGas bounds each call made while genesis is built: far above any of them, so that running out is a fault.
const genesisGas = 30_000_000

// chainConfig returns the rules of the simulated chain. The library's configuration is a shared pointer, hence the copy; the fork
// that is not yet scheduled anywhere is switched off, as it triples the price of gas.
func chainConfig() *params.ChainConfig {
	c := *params.AllDevChainProtocolChanges
	c.ChainID = new(big.Int).SetUint64(ChainID)
	c.BogotaTime = nil
	return &c
}

// deployer runs constructors and calls on a scratch state and records what they leave in storage. Running the constructor at the
// final address fills the immutables as a deployment there would; the compiler's runtime code has zeros in their place.
type deployer struct {
	evm     *vm.EVM
	state   *state.StateDB
	storage map[common.Address]map[common.Hash]common.Hash
}

func newDeployer(config *params.ChainConfig) (*deployer, error) {
	db, err := state.New(types.EmptyRootHash, state.NewDatabaseForTesting())
	if err != nil {
		return nil, fmt.Errorf("open scratch state: %w", err)
	}
	d := &deployer{state: db, storage: map[common.Address]map[common.Hash]common.Hash{}}
	hooked := state.NewHookedState(db, &tracing.Hooks{OnStorageChange: d.record})
	d.evm = vm.NewEVM(vm.BlockContext{
		CanTransfer: core.CanTransfer,
		Transfer:    core.Transfer,
		GetHash:     func(uint64) common.Hash { return common.Hash{} },
		BlockNumber: new(big.Int),
		Difficulty:  new(big.Int),
		BaseFee:     new(big.Int),
		BlobBaseFee: new(big.Int),
		GasLimit:    genesisGas,
		Random:      &common.Hash{},
	}, hooked, config, vm.Config{})
	return d, nil
}

func (d *deployer) record(address common.Address, slot, _, value common.Hash) {
	if d.storage[address] == nil {
		d.storage[address] = map[common.Hash]common.Hash{}
	}
	d.storage[address][slot] = value
}

func (d *deployer) call(to common.Address, input []byte) ([]byte, error) {
	ret, _, err := d.evm.Call(common.Address{}, to, input, vm.NewGasBudget(genesisGas, 0), new(uint256.Int))
	if err != nil {
		return nil, fmt.Errorf("build genesis: call %s: %w", to, err)
	}
	return ret, nil
}

func (d *deployer) deploy(to common.Address, a contracts.Artifact) error {
	d.state.SetCode(to, a.Bytecode, tracing.CodeChangeGenesis)
	runtime, err := d.call(to, nil)
	if err != nil {
		return err
	}
	d.state.SetCode(to, runtime, tracing.CodeChangeGenesis)
	return nil
}

func (d *deployer) account(address common.Address) types.Account {
	return types.Account{Code: d.state.GetCode(address), Storage: maps.Clone(d.storage[address]), Balance: new(big.Int), Nonce: 1}
}

// genesisAlloc returns the contracts at their addresses and the accounts with their balances.
func genesisAlloc(config *params.ChainConfig, accounts []Account) (types.GenesisAlloc, error) {
	token, err := contracts.TestToken()
	if err != nil {
		return nil, err
	}
	escrow, err := contracts.Escrow()
	if err != nil {
		return nil, err
	}
	d, err := newDeployer(config)
	if err != nil {
		return nil, err
	}
	if err := d.deploy(TokenAddress, token); err != nil {
		return nil, err
	}
	if err := d.deploy(EscrowAddress, escrow); err != nil {
		return nil, err
	}
	alloc := types.GenesisAlloc{}
	for _, a := range accounts {
		wei := new(big.Int).Set(orZero(a.Wei))
		alloc[a.Address] = types.Account{Balance: wei.Add(wei, orZero(alloc[a.Address].Balance))}
		if orZero(a.Tokens).Sign() == 0 {
			continue
		}
		input, err := token.ABI.Pack("mint", a.Address, a.Tokens)
		if err != nil {
			return nil, fmt.Errorf("build genesis: %w", err)
		}
		if _, err := d.call(TokenAddress, input); err != nil {
			return nil, err
		}
	}
	alloc[TokenAddress], alloc[EscrowAddress] = d.account(TokenAddress), d.account(EscrowAddress)
	return alloc, nil
}

func orZero(n *big.Int) *big.Int {
	if n == nil {
		return new(big.Int)
	}
	return n
}

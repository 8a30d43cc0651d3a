// SPDX-License-Identifier: Apache-2.0

package contracts

import (
	_ "embed" // The artifacts are embedded.
	"encoding/json"
	"fmt"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common/hexutil"
)

//go:embed TestToken.json
var testToken []byte

//go:embed Escrow.json
var escrow []byte

// Artifact is a compiled contract.
type Artifact struct {
	// Contract is the name in the source.
	Contract string `json:"contract"`
	// Compiler is solc's full version.
	Compiler string `json:"compiler"`
	// ABI is the contract's interface.
	ABI abi.ABI `json:"abi"`
	// Bytecode runs the constructor and returns the runtime code.
	Bytecode hexutil.Bytes `json:"bytecode"`
	// DeployedBytecode is the runtime code with every immutable zero, as the compiler leaves it.
	DeployedBytecode hexutil.Bytes `json:"deployedBytecode"`
}

// TestToken returns the compiled token.
func TestToken() (Artifact, error) { return parse(testToken) }

// Escrow returns the compiled escrow.
func Escrow() (Artifact, error) { return parse(escrow) }

func parse(text []byte) (Artifact, error) {
	var a Artifact
	if err := json.Unmarshal(text, &a); err != nil {
		return Artifact{}, fmt.Errorf("read contract artifact: %w", err)
	}
	return a, nil
}

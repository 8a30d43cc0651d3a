// SPDX-License-Identifier: Apache-2.0

package chain

import (
	"encoding/json"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/rpc"
)

// callArgs is the call object of eth_call and eth_estimateGas.
type callArgs struct {
	From  *common.Address `json:"from"`
	To    *common.Address `json:"to"`
	Value *hexutil.Big    `json:"value"`
	Data  *hexutil.Bytes  `json:"data"`
	Input *hexutil.Bytes  `json:"input"`
}

func (a callArgs) from() common.Address {
	if a.From == nil {
		return common.Address{}
	}
	return *a.From
}

func (a callArgs) input() []byte {
	switch {
	case a.Input != nil:
		return *a.Input
	case a.Data != nil:
		return *a.Data
	}
	return nil
}

func (a callArgs) value() *big.Int {
	return orZero((*big.Int)(a.Value))
}

// required decodes a positional parameter that must be there.
func required[T any](params []json.RawMessage, i int) (T, error) {
	var value T
	if i >= len(params) || string(params[i]) == "null" {
		return value, &rpcError{code: codeInvalidParams, message: fmt.Sprintf("missing value for required argument %d", i)}
	}
	if err := json.Unmarshal(params[i], &value); err != nil {
		return value, &rpcError{code: codeInvalidParams, message: fmt.Sprintf("invalid argument %d: %v", i, err)}
	}
	return value, nil
}

// optional decodes a positional parameter that has a default.
func optional[T any](params []json.RawMessage, i int, fallback T) (T, error) {
	if i >= len(params) || string(params[i]) == "null" {
		return fallback, nil
	}
	return required[T](params, i)
}

// reference decodes a block number, tag or hash; without one it is the newest block.
func reference(params []json.RawMessage, i int) (rpc.BlockNumberOrHash, error) {
	return optional(params, i, rpc.BlockNumberOrHashWithNumber(rpc.LatestBlockNumber))
}

// merge returns the JSON object of a value with more members.
func merge(value any, more map[string]any) (map[string]any, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(text, &raw); err != nil {
		return nil, err
	}
	out := make(map[string]any, len(raw)+len(more))
	for k, v := range raw {
		out[k] = v
	}
	for k, v := range more {
		out[k] = v
	}
	return out, nil
}

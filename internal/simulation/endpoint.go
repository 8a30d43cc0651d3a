// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"bytes"
	"context"
	"encoding/json"

	"github.com/ethereum/go-ethereum/common/hexutil"
)

// rpcCall is a JSON-RPC request as far as an endpoint that lies looks at it.
type rpcCall struct {
	Version string            `json:"jsonrpc"`
	ID      json.RawMessage   `json:"id"`
	Method  string            `json:"method"`
	Params  []json.RawMessage `json:"params"`
}

type rpcReply struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   json.RawMessage `json:"error,omitempty"`
}

// methodOf finds the method without decoding the whole.
func methodOf(body []byte) string {
	_, rest, found := bytes.Cut(body, []byte(`"method":"`))
	name, _, ended := bytes.Cut(rest, []byte(`"`))
	if !found || !ended {
		return "batch"
	}
	return string(name)
}

// head is the number of the chain's newest block.
func (w *world) head() uint64 {
	h, err := w.chain.Head(context.Background())
	if err != nil {
		w.model.find("the chain has no head: %v", err)
		return 0
	}
	return h.Number.Uint64()
}

// behind is the newest block of an endpoint that lags.
func (w *world) behind() uint64 {
	head := w.head()
	return head - min(head, w.weather().lag)
}

// asked is what an endpoint makes of a request: one that lags takes its own newest
// block for the chain's.
func (w *world) asked(x *exchange) []byte {
	if x.plan.mishap != staleHead || !bytes.Contains(x.body, []byte(`"latest"`)) {
		return x.body
	}
	return bytes.ReplaceAll(x.body, []byte(`"latest"`), []byte(`"`+hexutil.EncodeUint64(w.behind())+`"`))
}

// answered changes an endpoint's answer into its lie.
func (w *world) answered(x *exchange, out *recorder) {
	var edit func(result json.RawMessage) json.RawMessage
	switch {
	case x.plan.mishap == missing:
		edit = func(json.RawMessage) json.RawMessage { return json.RawMessage("null") }
	case x.plan.mishap == wrongNonce:
		edit = func(result json.RawMessage) json.RawMessage { return shifted(result, -int64(x.plan.later%3)) }
	case x.plan.mishap == falseFinality:
		edit = func(result json.RawMessage) json.RawMessage { return ahead(result, int64(x.plan.later%4)) }
	case x.plan.mishap == staleHead && x.name == "eth_getTransactionReceipt":
		edit = func(result json.RawMessage) json.RawMessage {
			var receipt struct {
				BlockNumber hexutil.Uint64 `json:"blockNumber"`
			}
			if json.Unmarshal(result, &receipt) == nil && uint64(receipt.BlockNumber) > w.behind() {
				return json.RawMessage("null")
			}
			return result
		}
	default:
		return
	}
	var reply rpcReply
	if json.Unmarshal(out.body.Bytes(), &reply) != nil || reply.Error != nil {
		return
	}
	reply.Result = edit(reply.Result)
	text, err := json.Marshal(reply)
	if err != nil {
		return
	}
	out.body.Reset()
	_, _ = out.body.Write(text) // a buffer takes everything
}

// shifted adds to a number.
func shifted(result json.RawMessage, by int64) json.RawMessage {
	var n hexutil.Uint64
	if json.Unmarshal(result, &n) != nil {
		return result
	}
	moved := max(int64(n)+by, 0)                                            //nolint:gosec // a count of transactions
	return json.RawMessage(`"` + hexutil.EncodeUint64(uint64(moved)) + `"`) //nolint:gosec // not negative
}

// ahead adds to the number of a block.
func ahead(result json.RawMessage, by int64) json.RawMessage {
	var block map[string]json.RawMessage
	if json.Unmarshal(result, &block) != nil || block == nil {
		return result
	}
	block["number"] = shifted(block["number"], by)
	text, err := json.Marshal(block)
	if err != nil {
		return result
	}
	return text
}

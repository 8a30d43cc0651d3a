// SPDX-License-Identifier: Apache-2.0

package evm

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/rpc"
)

// Code -32005 is "limit exceeded" (EIP-1474): of requests, or of a log query.
const (
	codeLimit          = -32005
	codeTooLarge       = -32003
	codeMethodNotFound = -32601
	codeReverted       = 3
)

// refusals are the texts of nodes' transaction pools and log queries, the only
// thing by which they can be told apart: all come with code -32000.
var refusals = []struct {
	text   string
	action Action
}{
	{"already known", ActionAskReceipt},
	{"known transaction", ActionAskReceipt},
	{"already imported", ActionAskReceipt},
	{"already in mempool", ActionAskReceipt},
	{"nonce too low", ActionAskReceipt},
	{"oldnonce", ActionAskReceipt},
	{"replacement transaction underpriced", ActionAskReceipt},
	{"underpriced", ActionWaitFee},
	{"max fee per gas less than block base fee", ActionWaitFee},
	{"fee cap less than block base fee", ActionWaitFee},
	{"feetoolow", ActionWaitFee},
	{"txpool is full", ActionWaitFee},
	{"insufficient funds", ActionFund},
	{"execution reverted", ActionReverted},
	{"vm execution error", ActionReverted},
	{"revert", ActionReverted},
	{"query returned more than", ActionSplit},
	{"block range", ActionSplit},
	{"range too large", ActionSplit},
	{"response size exceeded", ActionSplit},
	{"header not found", ActionAbsent},
	{"unknown block", ActionAbsent},
	{"block not found", ActionAbsent},
	{"missing trie node", ActionAbsent},
	{"historical state", ActionAbsent},
	{"too many requests", ActionFailover},
	{"rate limit", ActionFailover},
	{"method not found", ActionFailover},
	{"does not exist/is not available", ActionFailover},
}

// Classify says what to do about an error of an endpoint.
func Classify(err error) Action {
	var (
		own  *Error
		http rpc.HTTPError
		data rpc.Error
	)
	switch {
	case err == nil:
		return ActionNone
	case errors.As(err, &own):
		return own.Action
	case errors.Is(err, context.Canceled):
		return ActionLeave
	case errors.Is(err, ethereum.NotFound):
		return ActionAbsent
	case errors.As(err, &http):
		return classifyHTTP(http.StatusCode)
	case errors.As(err, &data):
		return classifyCode(data.ErrorCode(), data.Error())
	case errors.Is(err, types.ErrTxTypeNotSupported):
		return ActionReport
	}
	return ActionFailover
}

func classifyHTTP(status int) Action {
	if status == http.StatusRequestEntityTooLarge {
		return ActionSplit
	}
	return ActionFailover
}

func classifyCode(code int, message string) Action {
	message = strings.ToLower(message)
	for _, r := range refusals {
		if strings.Contains(message, r.text) {
			return r.action
		}
	}
	switch code {
	case codeReverted:
		return ActionReverted
	case codeTooLarge:
		return ActionSplit
	case codeLimit, codeMethodNotFound:
		return ActionFailover
	}
	return ActionReport
}

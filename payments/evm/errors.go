// SPDX-License-Identifier: Apache-2.0

package evm

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/rpc"
)

// The branch points of this package.
var (
	// ErrChainID says that no endpoint serves the configured chain.
	ErrChainID = errors.New("endpoint serves another chain")
	// ErrToken says that a token contract is not what the configuration says.
	ErrToken = errors.New("token differs from its configuration")
	// ErrReverted says that the chain refuses or has reverted the call. From a
	// transaction it means that a final block holds it as failed.
	ErrReverted = errors.New("call reverted")
	// ErrCancelled says that a final block holds our cancellation in the place of
	// the call.
	ErrCancelled = errors.New("call was cancelled")
	// ErrNoEffect says that a transaction succeeded without what it was signed for.
	// What happened is for a person to find out.
	ErrNoEffect = errors.New("transaction succeeded without its effect")
	// ErrFeeCeiling says that the chain asks for more per gas than is allowed.
	ErrFeeCeiling = errors.New("fee above the ceiling")
	// ErrGasBudget says that the transaction could exceed the gas budget of a day.
	ErrGasBudget = errors.New("gas budget of the day is used up")
	// ErrGasBalance says that the account cannot pay the transaction's gas.
	ErrGasBalance = errors.New("not enough of the chain's coin for gas")
	// ErrLate says that the grant's deadline had passed before anything was sent.
	ErrLate = errors.New("deadline has passed")
	// ErrUnavailable says that no endpoint answered; what was asked is not known.
	ErrUnavailable = errors.New("no endpoint answered")
)

// Action says what to do about an error of an endpoint. [Classify] is the only
// place that looks at such errors.
type Action int

// The actions.
const (
	// ActionNone is for no error.
	ActionNone Action = iota
	// ActionFailover asks the next endpoint: this one does not work.
	ActionFailover
	// ActionLeave stops and changes nothing: our own context ended.
	ActionLeave
	// ActionAskReceipt looks for the receipt of our hash: the chain knows the
	// transaction or another one with its nonce.
	ActionAskReceipt
	// ActionWaitFee keeps the signed bytes and tries later: their fee is too low now.
	ActionWaitFee
	// ActionFund keeps the signed bytes and tries later: the account lacks coin.
	ActionFund
	// ActionReverted means that the call reverts on the state as it is.
	ActionReverted
	// ActionAbsent means that the thing asked for is not known to this endpoint (yet).
	ActionAbsent
	// ActionSplit asks for less: the answer would be too large.
	ActionSplit
	// ActionReport is for everything else: the endpoint understood and refused.
	ActionReport
	actionEnd
)

var actionNames = [...]string{"none", "failover", "leave", "ask_receipt", "wait_fee", "fund", "reverted", "absent", "split", "report"}

// String returns the action's name.
func (a Action) String() string {
	if a < 0 || a >= actionEnd {
		return fmt.Sprintf("action(%d)", int(a))
	}
	return actionNames[a]
}

// Error is a request that an endpoint did not answer as asked. Its text holds
// neither the endpoint's address nor the body of an HTTP error.
type Error struct {
	// Action says what to do about it.
	Action Action
	// Method is the JSON-RPC method.
	Method string
	// Cause is the error without what may be secret.
	Cause error
}

// Error implements error.
func (e *Error) Error() string { return e.Method + ": " + e.Cause.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

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

// wrap makes an [Error] of an endpoint's error, once, and takes out what may
// hold a credential: the URL and the body of an HTTP error.
func wrap(method string, err error) error {
	var own *Error
	if err == nil || errors.As(err, &own) {
		return err
	}
	action := Classify(err)
	var (
		location *url.Error
		answer   rpc.HTTPError
	)
	switch {
	case errors.As(err, &answer):
		err = fmt.Errorf("HTTP status %d", answer.StatusCode)
	case errors.As(err, &location):
		err = location.Err
	}
	return &Error{Action: action, Method: method, Cause: err}
}

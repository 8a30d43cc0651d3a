// SPDX-License-Identifier: Apache-2.0

package evm

import (
	"errors"
	"fmt"
	"net/url"

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
	// ErrNothingToCancel says that the purchase has no transaction under way that
	// would pay.
	ErrNothingToCancel = errors.New("nothing under way to cancel")
	// ErrDisagree says that two endpoints tell of different blocks or results. Until
	// they agree nothing is decided.
	ErrDisagree = errors.New("endpoints disagree")
	// ErrLate says that the grant's deadline had passed before anything was sent.
	ErrLate = errors.New("deadline has passed")
	// ErrUnavailable says that no endpoint answered; what was asked is not known.
	ErrUnavailable = errors.New("no endpoint answered")
)

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

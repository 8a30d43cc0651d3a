// SPDX-License-Identifier: Apache-2.0

package orchestration

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// ConfigError says what is wrong with a [Config]. Nothing was sent.
type ConfigError struct {
	Field      string // the member of Config
	Constraint string // what it has to be
}

// Error implements error.
func (e *ConfigError) Error() string {
	return fmt.Sprintf("orchestration: configuration: %s %s", e.Field, e.Constraint)
}

// ValidationError says which argument the client refused. Nothing was sent.
type ValidationError struct {
	Field      string // the member as the API spells it
	Constraint string // what it has to be
}

// Error implements error.
func (e *ValidationError) Error() string {
	return fmt.Sprintf("orchestration: %s %s", e.Field, e.Constraint)
}

// NetworkError is a call without an answer: the connection failed, the time was
// up, or the caller's context ended. Unwrap gives the cause.
type NetworkError struct {
	Operation string
	Err       error
	// Unsent says that no attempt had a connection to put the request on, so that
	// the server knows nothing of the call.
	Unsent bool
	text   string // of Err, without the secrets of the call
}

// Error implements error.
func (e *NetworkError) Error() string {
	text := e.text
	if text == "" && e.Err != nil {
		text = e.Err.Error()
	}
	return fmt.Sprintf("orchestration: %s: no answer: %s", e.Operation, text)
}

// Unwrap returns the cause, for errors.Is with context.Canceled and the like.
func (e *NetworkError) Unwrap() error { return e.Err }

// APIError is an answer that is an error, or that cannot be used: then the code
// is [CodeBadResponse] or [CodeInvalidResponseShape].
type APIError struct {
	Code Code
	// Status is the HTTP status. It is 0 with CodeInvalidResponseShape.
	Status int
	// Message is the server's text, or what is wrong with the answer (beginning
	// with the member's path for CodeInvalidResponseShape). Without credentials,
	// control characters and more than 500 bytes.
	Message string
	// Details is the server's JSON, with every value redacted whose name tells of
	// a credential. It is nil if there was none or it was too long.
	Details   json.RawMessage
	Operation string
	// RetryAfter is how long the server asks to wait, at most an hour. Zero if it
	// does not say.
	RetryAfter time.Duration
}

// Error implements error.
func (e *APIError) Error() string {
	text := fmt.Sprintf("orchestration: %s: %s", e.Operation, e.Code)
	if e.Status != 0 {
		text += fmt.Sprintf(" (HTTP %d)", e.Status)
	}
	if e.Message != "" {
		text += ": " + e.Message
	}
	return text
}

// CodeOf returns the code of an [APIError], or "" for any other error.
func CodeOf(err error) Code {
	var api *APIError
	if errors.As(err, &api) {
		return api.Code
	}
	return ""
}

// shapeFault is a member of a reply that is not as it has to be.
type shapeFault struct {
	member  string
	problem string
}

const missing = "is missing"

// Error implements error.
func (f *shapeFault) Error() string { return f.member + " " + f.problem }

// below puts the fault under the member of that name, or the element "[n]".
func (f *shapeFault) below(name string) *shapeFault {
	switch {
	case f.member == "":
		f.member = name
	case f.member[0] == '[':
		f.member = name + f.member
	default:
		f.member = name + "." + f.member
	}
	return f
}

func shapeError(op operation, f *shapeFault) *APIError {
	return &APIError{Code: CodeInvalidResponseShape, Message: f.Error(), Operation: op.name}
}

func badResponse(op operation, status int, problem string) *APIError {
	return &APIError{Code: CodeBadResponse, Status: status, Message: problem, Operation: op.name}
}

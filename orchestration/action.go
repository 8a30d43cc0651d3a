// SPDX-License-Identifier: Apache-2.0

package orchestration

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
)

// Action is what a caller should do about an error.
type Action int

// Actions. Callers switch on these and not on codes.
const (
	ActionNone             Action = 0  // no error, or none of this package
	ActionFixConfiguration Action = 1  // an operator has to act; retry slowly
	ActionRotate           Action = 2  // get a fresh pairing token, then repeat the call once
	ActionRechallenge      Action = 3  // ask for a new challenge, once
	ActionResearch         Action = 4  // search again and take another quote
	ActionWait             Action = 5  // back off and repeat with the same bytes; never pay again
	ActionRecordProof      Action = 6  // send the same proof in recorded mode
	ActionAsk              Action = 7  // read the order, the payment and the chain, then decide
	ActionRefusedByPolicy  Action = 8  // end this purchase with the reason
	ActionOwnersSwitch     Action = 9  // the owner paused or revoked the pairing: stop buying
	ActionMachine          Action = 10 // the machine is not active: stop buying, poll slowly
	ActionRegistration     Action = 11 // find the machine's record by its identity, take it over
	ActionOurFault         Action = 12 // end this attempt: the same call fails again
)

var actionNames = map[Action]string{
	ActionNone:             "none",
	ActionFixConfiguration: "fix_configuration",
	ActionRotate:           "rotate",
	ActionRechallenge:      "rechallenge",
	ActionResearch:         "research",
	ActionWait:             "wait",
	ActionRecordProof:      "record_proof",
	ActionAsk:              "ask",
	ActionRefusedByPolicy:  "refused_by_policy",
	ActionOwnersSwitch:     "owners_switch",
	ActionMachine:          "machine",
	ActionRegistration:     "registration",
	ActionOurFault:         "our_fault",
}

// String returns the action's name in lower case, such as "fix_configuration".
func (a Action) String() string {
	if name, ok := actionNames[a]; ok {
		return name
	}
	return fmt.Sprintf("action(%d)", int(a))
}

// Classify says what to do about an error of this package. A network error is to
// be waited out; whether a write may be repeated then is for [Ambiguous] and the
// operation to say. A known code decides by itself; an unknown one and an
// unreadable answer go by the HTTP status. [CodeNotFound] is to be looked into
// below an order and the caller's fault elsewhere.
func Classify(err error) Action {
	var (
		api     *APIError
		network *NetworkError
		invalid *ValidationError
		config  *ConfigError
	)
	switch {
	case errors.As(err, &api):
		return classifyAPI(api)
	case errors.As(err, &network):
		return ActionWait
	case errors.As(err, &invalid):
		return ActionOurFault
	case errors.As(err, &config):
		return ActionFixConfiguration
	}
	return ActionNone
}

func classifyAPI(e *APIError) Action {
	action, known := codes[e.Code]
	switch {
	case e.Code == CodeNotFound && orderOperation(e.Operation):
		return ActionAsk
	case known && e.Code != CodeBadResponse && e.Code != CodeInvalidResponseShape:
		return action
	case e.Status >= http.StatusInternalServerError || e.Status == http.StatusTooManyRequests:
		return ActionWait
	}
	return ActionAsk
}

// Ambiguous says whether a failed call may have taken effect on the server. That
// is so for a call that was sent and not answered, for every 5xx, and for an
// answer that cannot be read. It is not so for what the client refused, for a
// connection that was never made, and for a 4xx with an error of the API. Reads
// are judged the same way; for them it does not matter.
func Ambiguous(err error) bool {
	var (
		api     *APIError
		network *NetworkError
	)
	switch {
	case errors.As(err, &api):
		return api.Status >= http.StatusInternalServerError ||
			api.Code == CodeBadResponse || api.Code == CodeInvalidResponseShape
	case errors.As(err, &network):
		return !network.Unsent
	}
	return false
}

// neverSent says whether the error shows by its type that no connection was made.
func neverSent(err error) bool {
	var (
		op  *net.OpError
		dns *net.DNSError
	)
	return errors.As(err, &dns) || errors.As(err, &op) && op.Op == "dial"
}

// contextEnded says whether the error comes from the end of a context.
func contextEnded(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/agentd-project/agentd/admin"
	"github.com/agentd-project/agentd/config"
	"github.com/agentd-project/agentd/policy"
)

// The exit codes. Go's runtime ends a crashed process with 2, so 2 means nothing
// else. 3 to 7 are the answers of buy --wait.
const (
	exitOK           = 0
	exitFailure      = 1
	exitRefused      = 3
	exitNoMatch      = 4
	exitWaiting      = 5
	exitUnsettled    = 6
	exitHandedOff    = 7
	exitUsage        = 64
	exitNotPermitted = 77
	exitConfig       = 78
)

// exitError is an error with an exit code of its own. An empty text prints
// nothing: the command has said what there is to say.
type exitError struct {
	code int
	text string
}

// Error returns the text.
func (e *exitError) Error() string { return e.text }

func fail(code int, format string, args ...any) error {
	return &exitError{code: code, text: fmt.Sprintf(format, args...)}
}

// report prints an error and returns its exit code.
func report(errs io.Writer, err error) int {
	code := codeOf(err)
	var faults config.Faults
	if errors.As(err, &faults) {
		for _, f := range faults {
			_, _ = fmt.Fprintln(errs, f)
		}
		_, _ = fmt.Fprintf(errs, "agentd: the configuration has %s\n", plural(len(faults), "fault"))
		return code
	}
	if text := err.Error(); text != "" {
		_, _ = fmt.Fprintln(errs, "agentd:", text)
	}
	return code
}

// codeOf maps an error to its exit code.
func codeOf(err error) int {
	var exit *exitError
	var faults config.Faults
	var failure *admin.Error
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &exit):
		return exit.code
	case errors.As(err, &faults):
		return exitConfig
	case errors.As(err, &failure):
		switch failure.Code {
		case admin.CodeUsage:
			return exitUsage
		case admin.CodeNotPermitted:
			return exitNotPermitted
		default:
			return exitFailure
		}
	case errors.Is(err, fs.ErrPermission):
		return exitNotPermitted
	default:
		return exitFailure
	}
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// outcome is the exit code of a purchase that was waited for.
func outcome(p *admin.Purchase) int {
	switch {
	case p.HandedOff:
		return exitHandedOff
	case p.Settled:
		return exitOK
	case p.Waiting:
		return exitWaiting
	case p.State == "no_match":
		return exitNoMatch
	case p.State == "denied", p.State == "rejected" && refusedByMarket(p.Reason):
		return exitRefused
	case p.Final:
		return exitFailure
	default:
		return exitUnsettled
	}
}

// refusedByMarket says whether a reason is the word of the Market's policies;
// other rejections are offers that were not what they should be.
func refusedByMarket(reason string) bool {
	switch policy.Reason(reason) {
	case policy.ReasonServerPolicyDenied, policy.ReasonServerLimit, policy.ReasonAccountPolicyDenied:
		return true
	default:
		return false
	}
}

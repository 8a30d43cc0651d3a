// SPDX-License-Identifier: Apache-2.0

package pairing

import (
	"fmt"

	"github.com/agentd-project/agentd/policy"
)

// Unavailable is the error of [Service.Token] and [Service.Rejected] when there
// is no session and waiting for one is pointless: the owner must act, in the
// Market or here.
type Unavailable struct {
	// Reason is one of the pairing_, machine_, key_ and challenge_ reasons.
	Reason policy.Reason
	// Err is what was seen, for the log.
	Err error
}

// Error says why there is no session.
func (u *Unavailable) Error() string {
	if u.Err == nil {
		return fmt.Sprintf("no pairing session: %s", u.Reason)
	}
	return fmt.Sprintf("no pairing session: %s: %v", u.Reason, u.Err)
}

// Unwrap returns what was seen.
func (u *Unavailable) Unwrap() error { return u.Err }

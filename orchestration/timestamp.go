// SPDX-License-Identifier: Apache-2.0

package orchestration

import (
	"fmt"
	"time"
)

// Timestamp is an ISO 8601 time as the API sent it. The text is kept: it may be
// in a form that Go does not parse, and a record is readable all the same.
type Timestamp string

// Time parses the timestamp. A missing or unreadable one is an error.
func (t Timestamp) Time() (time.Time, error) {
	at, err := time.Parse(time.RFC3339Nano, string(t))
	if err != nil {
		return time.Time{}, fmt.Errorf("timestamp %.40q is not ISO 8601 with a zone", string(t))
	}
	return at, nil
}

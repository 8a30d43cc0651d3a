// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"errors"
)

var errWip = errors.New("wip")

// Verify checks the audit chain and derives every sum again from the journal.
func (l *Ledger) Verify(ctx context.Context) (Report, error) { return Report{}, errWip }

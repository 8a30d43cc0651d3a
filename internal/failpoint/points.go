// SPDX-License-Identifier: Apache-2.0

package failpoint

// The write boundaries. Those of [Transport] have a suffix that names the
// request: the JSON-RPC method, or the last word of the path.
const (
	BeforeCommit  = "ledger-commit-before"
	AfterCommit   = "ledger-commit-after"
	BeforeRename  = "store-rename-before"
	AfterRename   = "store-rename-after"
	BeforeRequest = "request-before"
	AfterRequest  = "request-after"
)

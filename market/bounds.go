// SPDX-License-Identifier: Apache-2.0

package market

import "strings"

// The bounds of what a purchase keeps of what others say: the journal grows with
// purchases, not with the length of the Market's answers.
const (
	// maxQuotes is how many quotes of one search are read; the API gives no more.
	maxQuotes = 500
	// maxShown is how many of them are kept with the reason why they fell out.
	maxShown = 50
	// maxName is the longest name or address that is acted on, in bytes.
	maxName = 256
	// maxNotes is how many remarks of a handoff are kept.
	maxNotes = 8
	// maxDetail is what is kept of a text that is for display only.
	maxDetail = 2048
)

// clip shortens a text that is for display only.
func clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// overlong says whether one of the names is too long to be acted on.
func overlong(names ...string) bool {
	for _, name := range names {
		if len(name) > maxName {
			return true
		}
	}
	return false
}

// SPDX-License-Identifier: Apache-2.0

// Package money holds exact amounts: [Amount] counts the base units of an
// asset, [Value] counts millionths of a currency. Nothing here is a floating
// point number, and nothing rounds silently: a text with more digits than the
// asset has is an error, and the one conversion that must round, from a token
// amount to a currency value, rounds up, so that a limit is never overrun by
// the rest.
//
// The package reads the decimal text of JSON numbers and strings as they stand
// on the wire. It knows no exchange rates: a token counts at the value that its
// configuration declares, one token to one unit of its currency.
package money

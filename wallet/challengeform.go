// SPDX-License-Identifier: Apache-2.0

package wallet

import (
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/rlp"
)

// maxChallenge bounds the text of a challenge, in bytes.
const maxChallenge = 8 << 10

// checkForm refuses a text that something other than the Market could take for
// more than a login: a transaction, typed data, a hash, or characters that show
// a person another text than the one that is signed.
func checkForm(message string) error {
	trimmed := strings.TrimSpace(message)
	switch {
	case trimmed == "":
		return challengeError("message", "a text", message)
	case len(message) > maxChallenge:
		return challengeError("message", "at most 8192 bytes", strconv.Itoa(len(message))+" bytes")
	case !utf8.ValidString(message):
		return challengeError("message", "UTF-8 text", strings.ToValidUTF8(message, "?"))
	case strings.ContainsFunc(message, hidden):
		return challengeError("message", "text without control characters", message)
	case isHex(trimmed):
		return challengeError("message", "a text, not a hash or a transaction in hexadecimal", message)
	case isTransaction([]byte(message)) || isTransaction([]byte(trimmed)):
		return challengeError("message", "a text, not a transaction", message)
	case isTypedData(trimmed):
		return challengeError("message", "a text, not EIP-712 typed data", message)
	}
	return nil
}

func hidden(r rune) bool {
	return r != '\n' && r != '\r' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029')
}

// isHex covers the 32 bytes of a hash and a raw transaction alike: no login
// text is one hexadecimal number.
func isHex(s string) bool {
	s = strings.TrimPrefix(strings.TrimPrefix(s, "0x"), "0X")
	s = strings.Join(strings.Fields(s), "")
	if len(s)%2 == 1 {
		s = "0" + s
	}
	_, err := hex.DecodeString(s)
	return err == nil
}

func isTransaction(b []byte) bool {
	if new(types.Transaction).UnmarshalBinary(b) == nil {
		return true
	}
	// Unsigned payloads: a bare RLP list, or one behind an EIP-2718 type byte.
	for _, payload := range [][]byte{b, b[1:]} {
		kind, _, rest, err := rlp.Split(payload)
		if err == nil && kind == rlp.List && len(rest) == 0 {
			return true
		}
	}
	return false
}

// isTypedData says whether the text, or a JSON object inside it, has the
// members of EIP-712 typed data.
func isTypedData(s string) bool {
	for at := strings.IndexByte(s, '{'); at >= 0; {
		var members map[string]json.RawMessage
		if json.NewDecoder(strings.NewReader(s[at:])).Decode(&members) == nil {
			_, hasTypes := members["types"]
			_, hasPrimary := members["primaryType"]
			_, hasDomain := members["domain"]
			return hasTypes || hasPrimary || hasDomain
		}
		next := strings.IndexByte(s[at+1:], '{')
		if next < 0 {
			return false
		}
		at += 1 + next
	}
	return false
}

// SPDX-License-Identifier: Apache-2.0

package wallet

import (
	"encoding/hex"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/ethereum/go-ethereum/common"
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

var (
	machineToken = regexp.MustCompile(`(?i)\bmach_[a-z0-9_\-]+`)
	addressToken = regexp.MustCompile(`(?i)(?:^|[^a-z0-9])(0x[0-9a-f]{40})(?:[^a-z0-9]|$)`)
	didToken     = regexp.MustCompile(`(?i)\b(?:did:[a-z0-9]+|peaqos:machine):[a-z0-9._:%\-]+`)
	// statement finds "key: value", "key=value" and their JSON spelling, anywhere.
	statement = regexp.MustCompile(`(?i)([a-z][a-z0-9 _\-]{0,30}?)["'*` + "`" + `]{0,3}[ \t]{0,8}[:=][ \t]{0,8}["'*` + "`" + `]{0,3}[ \t]{0,8}([^\n\r]*)`)
)

// checkText holds what the text says against what was asked. Its format is not
// published: what is understood must agree, what is not is left alone.
func checkText(want ChallengeWant, got ChallengeReply, ids identities) error {
	text := got.Message
	if !ids.namedIn(text) {
		return challengeError("message", "the machine's id or identity in the text", text)
	}
	if want.Pairing && !containsToken(text, want.Address.Hex()) {
		return challengeError("message", want.Address.Hex()+" in the text", text)
	}
	for _, m := range machineToken.FindAllString(text, -1) {
		if trimPunctuation(m) != want.MachineID {
			return challengeError("message", "no machine but "+quoted(want.MachineID), m)
		}
	}
	for _, a := range addresses(text) {
		if !ids.acceptsAddress(a) {
			return challengeError("message", "no address but "+want.Address.Hex(), a.Hex())
		}
	}
	for _, d := range didToken.FindAllString(text, -1) {
		if d = trimPunctuation(d); !ids.acceptsDID(d) {
			return challengeError("message", "no identity but ours", d)
		}
	}
	return checkStatements(want, got, ids)
}

func addresses(text string) []common.Address {
	var found []common.Address
	for len(text) > 0 {
		at := addressToken.FindStringSubmatchIndex(text)
		if at == nil {
			return found
		}
		found = append(found, common.HexToAddress(text[at[2]:at[3]]))
		text = text[at[3]:]
	}
	return found
}

// checkStatements reads every "key: value" of the text, several on a line too.
func checkStatements(want ChallengeWant, got ChallengeReply, ids identities) error {
	for line := range strings.Lines(got.Message) {
		for len(line) > 0 {
			at := statement.FindStringSubmatchIndex(line)
			if at == nil {
				break
			}
			key, value := line[at[2]:at[3]], line[at[4]:at[5]]
			if err := checkStatement(key, value, want, got, ids); err != nil {
				return err
			}
			line = line[at[4]:]
		}
	}
	return nil
}

func checkStatement(key, value string, want ChallengeWant, got ChallengeReply, ids identities) error {
	words := keyWords(key)
	switch {
	case isAbout(words, "provider"):
		if want.Provider != "" && !says(value, want.Provider) {
			return challengeError("message", "provider "+quoted(want.Provider), value)
		}
	case isAbout(words, "role"):
		if want.Role != "" && !says(value, want.Role) {
			return challengeError("message", "role "+quoted(want.Role), value)
		}
	case endsIn(words, "machineid"):
		if want.MachineID == "" || !says(value, want.MachineID) {
			return challengeError("message", "machine "+quoted(want.MachineID), value)
		}
	case endsIn(words, "identity"), endsIn(words, "identityref"):
		if !ids.namedIn(value) && !containsToken(value, canonical(ids.server)) {
			return challengeError("message", "identity "+quoted(want.IdentityRef), value)
		}
	case endsIn(words, "address"):
		if !says(value, want.Address.Hex()) {
			return challengeError("message", "address "+want.Address.Hex(), value)
		}
	case isExpiry(words):
		if !agrees(value, got.ExpiresAt) {
			return challengeError("message", "expiry "+got.ExpiresAt.UTC().Format(time.RFC3339), value)
		}
	}
	return nil
}

// keyWords splits "Agent Role", "agent_role" and "agentRole" into the same words.
func keyWords(key string) []string {
	var spaced strings.Builder
	lower := false
	for _, r := range key {
		if unicode.IsUpper(r) && lower {
			spaced.WriteByte(' ')
		}
		lower = unicode.IsLower(r)
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			r = ' '
		}
		spaced.WriteRune(unicode.ToLower(r))
	}
	return strings.Fields(spaced.String())
}

// isAbout says whether a key means the agent's provider or role: alone, behind
// "agent", or at the end of a sentence. "Identity provider" is something else.
func isAbout(words []string, word string) bool {
	n := len(words)
	if n == 0 || words[n-1] != word {
		return n == 1 && words[0] == "agent"+word
	}
	return n != 2 || words[0] == "agent"
}

func endsIn(words []string, name string) bool {
	return strings.HasSuffix(strings.Join(words, ""), name)
}

// isExpiry says whether a key means the end of the challenge; the session that
// it opens has an end of its own.
func isExpiry(words []string) bool {
	key := strings.Join(words, "")
	if strings.Contains(key, "session") || strings.Contains(key, "token") {
		return false
	}
	for _, end := range []string{"expires", "expiresat", "expireson", "expiry", "expiration", "expirationtime", "validuntil", "notafter"} {
		if strings.HasSuffix(key, end) {
			return true
		}
	}
	return key == "exp"
}

// says whether a value begins with want, ignoring case, and ends there or goes
// on with something that starts a new statement or a remark.
func says(value, want string) bool {
	if len(value) < len(want) || !strings.EqualFold(value[:len(want)], want) {
		return false
	}
	rest := strings.TrimRight(value[len(want):], " \t")
	if rest == "" || strings.ContainsRune(`"'*,;|&)]}(/`+"`", rune(rest[0])) {
		return true
	}
	if rest == "." {
		return true
	}
	return (rest[0] == ' ' || rest[0] == '\t') && startsRemark(strings.TrimLeft(rest, " \t"))
}

var nextStatement = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9 _\-]{0,30}["'*]{0,3}\s*[:=]`)

func startsRemark(rest string) bool {
	return strings.ContainsRune(`("'*,;|&)]}/-`, rune(rest[0])) || nextStatement.MatchString(rest)
}

// expiryLayouts are the spellings of a time that a text may hold.
var expiryLayouts = []string{time.RFC3339Nano, time.RFC1123, time.RFC1123Z, "2006-01-02 15:04:05 MST", "2006-01-02 15:04:05Z07:00", "2006-01-02T15:04:05", "2006-01-02 15:04:05"}

// agrees says whether a stated expiry is the reply's, to two seconds. A text
// with digits that is not understood (a duration) is left alone; one without
// ("never") contradicts.
func agrees(value string, want time.Time) bool {
	value = strings.TrimRight(value, " \t\"'*`,;)]}.")
	if value == "" || !strings.ContainsAny(value, "0123456789") {
		return false
	}
	stated, ok := parseExpiry(value)
	return !ok || stated.Sub(want).Abs() <= 2*time.Second
}

func parseExpiry(value string) (time.Time, bool) {
	word, _, _ := strings.Cut(value, " ")
	word = strings.TrimRight(word, "\"'*`,;)]}.")
	for _, layout := range expiryLayouts {
		for _, text := range []string{value, word} {
			if t, err := time.Parse(layout, text); err == nil {
				return t, true
			}
		}
	}
	n, err := strconv.ParseInt(word, 10, 64)
	switch {
	case err != nil || n < 1e9:
		return time.Time{}, false
	case n < 1e11:
		return time.Unix(n, 0), true
	default:
		return time.UnixMilli(n), true
	}
}

// containsToken says whether text contains token, ignoring case, not as part of
// a longer word: "mach_1" is not in "mach_12".
func containsToken(text, token string) bool {
	if token == "" {
		return false
	}
	text, token = strings.ToLower(text), strings.ToLower(token)
	for from := 0; ; {
		i := strings.Index(text[from:], token)
		if i < 0 {
			return false
		}
		start, end := from+i, from+i+len(token)
		if (start == 0 || !wordByte(text[start-1])) && (end == len(text) || !wordByte(text[end])) {
			return true
		}
		from = start + 1
	}
}

func wordByte(b byte) bool {
	return b == '_' || b == '-' || b >= 0x80 || (b >= '0' && b <= '9') || (b >= 'a' && b <= 'z')
}

func trimPunctuation(s string) string { return strings.TrimRight(s, ".:-%") }

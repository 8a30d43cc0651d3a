// SPDX-License-Identifier: Apache-2.0

package wallet

import (
	"regexp"
	"strings"

	"github.com/ethereum/go-ethereum/common"
)

var (
	machineToken = regexp.MustCompile(`(?i)\bmach_[a-z0-9_\-]+`)
	addressToken = regexp.MustCompile(`(?i)(?:^|[^a-z0-9])(0x[0-9a-f]{40})(?:[^a-z0-9]|$)`)
	didToken     = regexp.MustCompile(`(?i)\b(?:did:[a-z0-9]+|peaqos:machine):[a-z0-9._:%\-]+`)
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
	for _, a := range addresses(withoutControllers(want, text)) {
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

// withoutControllers leaves out the line of an identity challenge that lists the
// identity's controllers, provided that we are one of them.
func withoutControllers(want ChallengeWant, text string) string {
	if want.Pairing {
		return text
	}
	var rest strings.Builder
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(line, ":")
		words := keyWords(key)
		if ok && (endsIn(words, "controllers") || endsIn(words, "controlleraddresses")) && containsToken(value, want.Address.Hex()) {
			continue
		}
		rest.WriteString(line)
	}
	return rest.String()
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

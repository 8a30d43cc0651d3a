// SPDX-License-Identifier: Apache-2.0

package wallet

import (
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// statement finds "key: value", "key=value" and their JSON spelling, anywhere.
var statement = regexp.MustCompile(`(?i)([a-z][a-z0-9 _\-]{0,30}?)["'*` + "`" + `]{0,3}[ \t]{0,8}[:=][ \t]{0,8}["'*` + "`" + `]{0,3}[ \t]{0,8}([^\n\r]*)`)

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

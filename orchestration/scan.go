// SPDX-License-Identifier: Apache-2.0

package orchestration

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// The functions below split JSON text that is known to be valid (encoding/json
// has looked it through once), without copying it. Splitting by encoding/json
// itself costs about ten times as much, which a machine that buys all day feels.

// eachMember calls f with every member of an object, until f reports a fault.
func eachMember(object []byte, f func(name, value []byte) *shapeFault) *shapeFault {
	i := skipSpace(object, 1)
	for object[i] != '}' {
		end := skipString(object, i)
		name := object[i+1 : end-1]
		i = skipSpace(object, skipSpace(object, end)+1) // over the colon
		end = skipValue(object, i)
		if fault := f(plainName(name), object[i:end:end]); fault != nil {
			return fault
		}
		i = skipComma(object, end)
	}
	return nil
}

// eachElement calls f with every element of an array, until f reports a fault.
func eachElement(array []byte, f func(value []byte) *shapeFault) *shapeFault {
	i := skipSpace(array, 1)
	for array[i] != ']' {
		end := skipValue(array, i)
		if fault := f(array[i:end:end]); fault != nil {
			return fault
		}
		i = skipComma(array, end)
	}
	return nil
}

// plainName resolves escapes in a member's name, which are rare.
func plainName(name []byte) []byte {
	if bytes.IndexByte(name, '\\') < 0 {
		return name
	}
	var s string
	if json.Unmarshal(append(append([]byte{'"'}, name...), '"'), &s) != nil {
		return name
	}
	return []byte(s)
}

// plainString returns the text between the quotes if it stands for itself.
func plainString(raw []byte) (string, bool) {
	if len(raw) < 2 || raw[0] != '"' {
		return "", false
	}
	inner := raw[1 : len(raw)-1]
	if bytes.IndexByte(inner, '\\') >= 0 || !utf8.Valid(inner) {
		return "", false
	}
	return string(inner), true
}

func skipSpace(text []byte, i int) int {
	for i < len(text) && (text[i] == ' ' || text[i] == '\n' || text[i] == '\t' || text[i] == '\r') {
		i++
	}
	return i
}

func skipComma(text []byte, i int) int {
	if i = skipSpace(text, i); text[i] == ',' {
		i = skipSpace(text, i+1)
	}
	return i
}

// skipString returns the place behind the string that begins at i.
func skipString(text []byte, i int) int {
	for i++; text[i] != '"'; i++ {
		if text[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// skipValue returns the place behind the value that begins at i.
func skipValue(text []byte, i int) int {
	depth := 0
	for ; i < len(text); i++ {
		switch text[i] {
		case '"':
			if i = skipString(text, i) - 1; depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i // of the value around it: a number or a word ended
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',', ' ', '\n', '\t', '\r':
			if depth == 0 {
				return i
			}
		}
	}
	return i
}

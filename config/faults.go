// SPDX-License-Identifier: Apache-2.0

package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Fault is one thing that is wrong with a configuration.
type Fault struct {
	// Source is the file, or the environment variable; empty if neither has the key.
	Source string
	// Line is the line in the file, from 1; 0 if the fault is not in the file.
	Line int
	// Key is the key's path, such as policy.windows[0].limit.
	Key string
	// Found says what stands there, without any secret.
	Found string
	// Allowed says what may stand there.
	Allowed string
	// Hint says how to repair it, where that is more than Allowed says.
	Hint string
}

// String returns the fault as one line.
func (f Fault) String() string {
	var b strings.Builder
	if f.Source != "" {
		b.WriteString(f.Source)
		if f.Line > 0 {
			fmt.Fprintf(&b, ":%d", f.Line)
		}
		b.WriteString(": ")
	}
	if f.Key != "" {
		b.WriteString(f.Key + ": ")
	}
	b.WriteString("found " + f.Found)
	if f.Allowed != "" {
		b.WriteString("; allowed: " + f.Allowed)
	}
	if f.Hint != "" {
		b.WriteString(" (" + f.Hint + ")")
	}
	return b.String()
}

// Faults are all faults of a configuration, those of the file first and by line.
type Faults []Fault

// Error returns every fault on a line of its own.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i := range f {
		lines[i] = f[i].String()
	}
	return strings.Join(lines, "\n")
}

func (f Faults) sort() {
	slices.SortStableFunc(f, func(a, b Fault) int {
		if (a.Line == 0) != (b.Line == 0) {
			return cmp.Compare(b.Line, a.Line)
		}
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Source, b.Source))
	})
}

// place is where a value came from.
type place struct {
	source string
	line   int
}

// fault records one fault at a key. The place is that of the key or, if it does
// not stand anywhere, of the nearest key around it.
func (l *loader) fault(key, found, allowed, hint string) {
	for path := parentOf(key); path != ""; path = parentOf(path) {
		if l.broken[path] {
			return // what is below was never read
		}
	}
	at := l.locate(key)
	l.faults = append(l.faults, Fault{
		Source: at.source, Line: at.line, Key: key, Found: found, Allowed: allowed, Hint: hint,
	})
}

func (l *loader) locate(key string) place {
	for path := key; path != ""; path = parentOf(path) {
		if at, ok := l.at[path]; ok {
			return at
		}
	}
	return place{source: l.name}
}

// parentOf cuts the last member or index off a key path.
func parentOf(path string) string {
	return path[:max(strings.LastIndexAny(path, ".["), 0)]
}

// isSet says whether the key stands in the file or in the environment.
func (l *loader) isSet(key string) bool {
	_, ok := l.at[key]
	return ok
}

// nearest returns the candidate that is spelt most like the name, or "" if none
// is close.
func nearest(name string, candidates []string) string {
	best, bestAt := "", max(2, len(name)/3)+1
	for _, c := range candidates {
		if d := editDistance(name, c); d < bestAt {
			best, bestAt = c, d
		}
	}
	return best
}

// editDistance is the number of inserted, deleted and replaced bytes between two texts.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// didYouMean turns the nearest candidate into a hint.
func didYouMean(name string, candidates []string) string {
	if near := nearest(name, candidates); near != "" {
		return "did you mean " + near + "?"
	}
	return ""
}

// quote shows a foreign text in a fault, short and on one line.
func quote(text string) string {
	const longest = 60
	if looksSecret(text) {
		return "what looks like a key"
	}
	if r := []rune(text); len(r) > longest {
		text = string(r[:longest]) + "…"
	}
	return fmt.Sprintf("%q", text)
}

// looksSecret recognises a private key that was pasted where something else
// belongs: 32 bytes in hexadecimal. Transaction hashes look the same, and no
// key of the configuration takes one.
func looksSecret(text string) bool {
	hex := strings.TrimPrefix(strings.ToLower(strings.TrimSpace(text)), "0x")
	return len(hex) >= 64 && strings.Trim(hex, "0123456789abcdef") == ""
}

// list joins allowed words.
func list[T ~string](words []T) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = string(w)
		if w == "" {
			quoted[i] = `""`
		}
	}
	return strings.Join(quoted, ", ")
}

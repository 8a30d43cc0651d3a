// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"slices"
	"strings"

	"github.com/ethereum/go-ethereum/common"
)

// smallSet is the size up to which a set is kept in a small table of its own,
// whose look-up costs less than that of a map.
const smallSet = 32

// Set is a compiled, immutable set of strings. Looking something up allocates
// nothing. Members that are 20-byte hexadecimal addresses are also found as
// addresses, whatever their case. The zero Set is empty.
type Set struct {
	c *compiledSet
}

type compiledSet struct {
	// lengths has a bit for each length of a member modulo 64: most names that are
	// not members are told by it alone.
	lengths uint64
	names   []string
	// table holds the names by slot, at most half full; it is nil if hashed is used.
	table     []string
	hashed    map[string]struct{}
	addresses []common.Address
	byAddress map[common.Address]struct{}
}

// NewSet compiles a set; blank members and repetitions are dropped.
func NewSet(members ...string) Set {
	c := &compiledSet{}
	for _, m := range members {
		m = strings.TrimSpace(m)
		if m == "" {
			continue
		}
		c.names = append(c.names, m)
		c.lengths |= lengthBit(m)
		if isAddress(m) {
			c.addresses = append(c.addresses, common.HexToAddress(m))
		}
	}
	if len(c.names) == 0 {
		return Set{}
	}
	slices.Sort(c.names)
	c.names = slices.Compact(c.names)
	slices.SortFunc(c.addresses, common.Address.Cmp)
	c.addresses = slices.Compact(c.addresses)
	c.index()
	if len(c.addresses) > smallSet {
		c.byAddress = make(map[common.Address]struct{}, len(c.addresses))
		for _, a := range c.addresses {
			c.byAddress[a] = struct{}{}
		}
	}
	return Set{c: c}
}

// index makes the names findable.
func (c *compiledSet) index() {
	if len(c.names) > smallSet {
		c.hashed = make(map[string]struct{}, len(c.names))
		for _, n := range c.names {
			c.hashed[n] = struct{}{}
		}
		return
	}
	size := 4
	for size < 2*len(c.names) {
		size *= 2
	}
	c.table = make([]string, size)
	for _, n := range c.names {
		i := slot(n) & (size - 1)
		for c.table[i] != "" {
			i = (i + 1) & (size - 1)
		}
		c.table[i] = n
	}
}

// slot mixes the length and three letters of a name that is not empty: enough to
// part the few names of a small set.
func slot(name string) int {
	n := len(name)
	return n + int(name[0])*3 + int(name[n/2])*7 + int(name[n-1])*31
}

func isAddress(text string) bool {
	return (strings.HasPrefix(text, "0x") || strings.HasPrefix(text, "0X")) && common.IsHexAddress(text)
}

// Len returns the number of members.
func (s Set) Len() int {
	if s.c == nil {
		return 0
	}
	return len(s.c.names)
}

func lengthBit(name string) uint64 { return 1 << (uint(len(name)) & 63) }

// Has says whether name is a member, letter by letter.
func (s Set) Has(name string) bool { return s.c != nil && s.c.has(name) }

func (c *compiledSet) has(name string) bool {
	return c.lengths&lengthBit(name) != 0 && c.find(name)
}

func (c *compiledSet) find(name string) bool {
	if c.table == nil || name == "" {
		_, ok := c.hashed[name]
		return ok
	}
	mask := len(c.table) - 1
	for i := slot(name) & mask; ; i = (i + 1) & mask {
		if c.table[i] == name {
			return true
		}
		if c.table[i] == "" {
			return false
		}
	}
}

// HasFold says whether name is a member, whatever its case.
func (s Set) HasFold(name string) bool {
	if s.c == nil {
		return false
	}
	for i := range s.c.names {
		if len(name) == len(s.c.names[i]) && strings.EqualFold(s.c.names[i], name) {
			return true
		}
	}
	return false
}

// HasAddress says whether the address is a member.
func (s Set) HasAddress(a common.Address) bool { return s.c != nil && s.c.hasAddress(a) }

func (c *compiledSet) hasAddress(a common.Address) bool {
	if c.byAddress != nil {
		_, ok := c.byAddress[a]
		return ok
	}
	for i := range c.addresses {
		if c.addresses[i] == a {
			return true
		}
	}
	return false
}

// Members returns the members in order, in a slice of the caller's own.
func (s Set) Members() []string {
	if s.c == nil {
		return nil
	}
	return slices.Clone(s.c.names)
}

// Equal says whether both sets have the same members.
func (s Set) Equal(o Set) bool { return slices.Equal(s.Members(), o.Members()) }

// texts returns the members that are not addresses.
func (s Set) texts() []string {
	return slices.DeleteFunc(s.Members(), isAddress)
}

func (s Set) hasToken(symbol string, a common.Address) bool {
	return s.c != nil && (s.c.hasAddress(a) || (symbol != "" && s.HasFold(symbol)))
}

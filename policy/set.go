// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"slices"
	"strings"

	"github.com/ethereum/go-ethereum/common"
)

// smallSet is the size up to which comparing each member beats hashing.
const smallSet = 8

// Set is a compiled, immutable set of strings. Looking something up allocates
// nothing. Members that are 20-byte hexadecimal addresses are also found as
// addresses, whatever their case. The zero Set is empty.
type Set struct {
	c *compiledSet
}

type compiledSet struct {
	// lengths has a bit for each length of a member modulo 64: most names that are
	// not members are told by it alone.
	lengths   uint64
	names     []string
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
	if len(c.names) > smallSet {
		c.hashed = make(map[string]struct{}, len(c.names))
		for _, n := range c.names {
			c.hashed[n] = struct{}{}
		}
	}
	if len(c.addresses) > smallSet {
		c.byAddress = make(map[common.Address]struct{}, len(c.addresses))
		for _, a := range c.addresses {
			c.byAddress[a] = struct{}{}
		}
	}
	return Set{c: c}
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

// Has says whether name is a member, letter by letter.
func (s Set) Has(name string) bool { return s.c != nil && s.c.has(name) }

func lengthBit(name string) uint64 { return 1 << (uint(len(name)) & 63) }

func (c *compiledSet) has(name string) bool {
	if c.lengths&lengthBit(name) == 0 {
		return false
	}
	if c.hashed != nil {
		_, ok := c.hashed[name]
		return ok
	}
	for i := range c.names {
		if c.names[i] == name {
			return true
		}
	}
	return false
}

// HasFold says whether name is a member, whatever its case.
func (s Set) HasFold(name string) bool {
	if s.c == nil || s.c.lengths&lengthBit(name) == 0 {
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

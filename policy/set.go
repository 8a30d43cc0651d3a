// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"encoding/binary"
	"slices"
	"strings"

	"github.com/ethereum/go-ethereum/common"
)

// smallSet is the size up to which comparing each member beats hashing.
const smallSet = 16

// Set is a compiled, immutable set of strings. Looking something up allocates
// nothing. Members that are 20-byte hexadecimal addresses are also found as
// addresses, whatever their case. The zero Set is empty.
type Set struct {
	c *compiledSet
}

type compiledSet struct {
	names []string
	// keys has the key of each name: what differs is told by it alone, mostly.
	keys      []uint64
	addresses []addressKey
	// hashed and byAddress are used instead where a set is large.
	hashed    map[string]struct{}
	byAddress map[common.Address]struct{}
}

// addressKey is an address as words, which compare faster than its bytes.
type addressKey struct {
	a, b uint64
	c    uint32
}

func addressKeyOf(a *common.Address) addressKey {
	return addressKey{binary.LittleEndian.Uint64(a[0:8]), binary.LittleEndian.Uint64(a[8:16]), binary.LittleEndian.Uint32(a[16:20])}
}

// keyOf packs the length and the last eight letters of a name.
func keyOf(name string) uint64 {
	n := len(name)
	key := uint64(n) << 56
	if n >= 8 {
		s := name[n-8:]
		return key ^ (uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
			uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56)
	}
	if n >= 4 {
		s, e := name[:4], name[n-4:]
		return key ^ (uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24) ^
			(uint64(e[0])<<32 | uint64(e[1])<<40 | uint64(e[2])<<48 | uint64(e[3])<<56)
	}
	for i := range n {
		key ^= uint64(name[i]) << (8 * i)
	}
	return key
}

// NewSet compiles a set; blank members and repetitions are dropped.
func NewSet(members ...string) Set {
	c := &compiledSet{}
	var addresses []common.Address
	for _, m := range members {
		m = strings.TrimSpace(m)
		if m == "" {
			continue
		}
		c.names = append(c.names, m)
		if isAddress(m) {
			addresses = append(addresses, common.HexToAddress(m))
		}
	}
	if len(c.names) == 0 {
		return Set{}
	}
	slices.Sort(c.names)
	c.names = slices.Compact(c.names)
	c.index(addresses)
	return Set{c: c}
}

// index makes the members findable.
func (c *compiledSet) index(addresses []common.Address) {
	if len(c.names) > smallSet {
		c.hashed = make(map[string]struct{}, len(c.names))
		c.byAddress = make(map[common.Address]struct{}, len(addresses))
	}
	for _, n := range c.names {
		c.keys = append(c.keys, keyOf(n))
		if c.hashed != nil {
			c.hashed[n] = struct{}{}
		}
	}
	for i := range addresses {
		c.addresses = append(c.addresses, addressKeyOf(&addresses[i]))
		if c.byAddress != nil {
			c.byAddress[addresses[i]] = struct{}{}
		}
	}
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
func (s Set) Has(name string) bool { return s.hasKey(keyOf(name), name) }

// hasKey is Has for who knows the name's key already.
func (s Set) hasKey(key uint64, name string) bool { return s.c != nil && s.c.find(key, name) }

func (c *compiledSet) find(key uint64, name string) bool {
	if c.hashed != nil {
		_, ok := c.hashed[name]
		return ok
	}
	for i, k := range c.keys {
		if k == key && c.names[i] == name {
			return true
		}
	}
	return false
}

// HasFold says whether name is a member, whatever the case of its ASCII letters.
func (s Set) HasFold(name string) bool {
	if s.c == nil {
		return false
	}
	for i := range s.c.names {
		n := s.c.names[i]
		if len(n) == len(name) && (n == name || strings.EqualFold(n, name)) {
			return true
		}
	}
	return false
}

// HasAddress says whether the address is a member.
func (s Set) HasAddress(a common.Address) bool { return s.c != nil && s.c.findAddress(&a) }

func (c *compiledSet) findAddress(a *common.Address) bool {
	if c.byAddress != nil {
		_, ok := c.byAddress[*a]
		return ok
	}
	key := addressKeyOf(a)
	for i := range c.addresses {
		if c.addresses[i] == key {
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

// hasToken says whether a token is a member by its symbol, whatever its case, or
// by its address.
func (s Set) hasToken(symbol string, a *common.Address) bool {
	return s.c != nil && (s.HasFold(symbol) || s.c.findAddress(a))
}

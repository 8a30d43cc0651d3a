// SPDX-License-Identifier: Apache-2.0

package wallet

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
)

// EscrowText is the part of an escrow contract's interface that is used, in
// human-readable form. The names of the arguments say what they are: order, token,
// payee, payer, amount and deadline.
type EscrowText struct {
	// Lock, Release and Refund are methods, as in "release(bytes32 order)". Each
	// takes the order; Lock also takes the amount and the payee.
	Lock, Release, Refund string
	// Locked, Released and Refunded are events, whose first indexed argument is the
	// order, as in "Released(bytes32 indexed order, address payee)".
	Locked, Released, Refunded string
}

// DefaultEscrowText returns the interface that is used where none is configured.
func DefaultEscrowText() EscrowText {
	return EscrowText{
		Lock:     "lock(bytes32 order, address token, address payee, uint256 amount, uint256 deadline)",
		Release:  "release(bytes32 order)",
		Refund:   "refund(bytes32 order)",
		Locked:   "Locked(bytes32 indexed order, address indexed payer, address indexed payee, address token, uint256 amount, uint256 deadline)",
		Released: "Released(bytes32 indexed order, address indexed payee, uint256 amount)",
		Refunded: "Refunded(bytes32 indexed order, address indexed payer, uint256 amount)",
	}
}

// ErrEscrowABI says that a text is not an interface of an escrow contract whose
// every argument is known. The error names the argument.
var ErrEscrowABI = errors.New("not an escrow interface")

// EscrowABI is the checked interface of an escrow contract. The zero EscrowABI is
// none and builds no calldata.
type EscrowABI struct {
	lock, release, refund      escrowMethod
	locked, released, refunded common.Hash
}

// escrowMethod is a method's selector and the fields that its arguments are, in order.
type escrowMethod struct {
	selector [4]byte
	fields   []string
}

// DefaultEscrowABI returns the interface of [DefaultEscrowText].
func DefaultEscrowABI() EscrowABI {
	a, err := ParseEscrowABI(DefaultEscrowText())
	if err != nil {
		panic("wallet: default escrow interface: " + err.Error()) // a constant text, held by a test
	}
	return a
}

// ParseEscrowABI reads the interface of an escrow contract. It refuses, with an
// [ErrEscrowABI] that names it, every argument of a method of which it is not
// known what belongs there.
func ParseEscrowABI(t EscrowText) (EscrowABI, error) {
	var (
		a      EscrowABI
		faults []error
	)
	for _, m := range []struct {
		what, text string
		into       *escrowMethod
		needs      []string
	}{
		{"lock", t.Lock, &a.lock, []string{"order", "payee", "amount"}},
		{"release", t.Release, &a.release, []string{"order"}},
		{"refund", t.Refund, &a.refund, []string{"order"}},
	} {
		var err error
		if *m.into, err = parseMethod(m.text, m.needs); err != nil {
			faults = append(faults, fmt.Errorf("%w: %s: %w", ErrEscrowABI, m.what, err))
		}
	}
	for _, e := range []struct {
		what, text string
		into       *common.Hash
	}{
		{"locked", t.Locked, &a.locked},
		{"released", t.Released, &a.released},
		{"refunded", t.Refunded, &a.refunded},
	} {
		var err error
		if *e.into, err = parseEvent(e.text); err != nil {
			faults = append(faults, fmt.Errorf("%w: %s: %w", ErrEscrowABI, e.what, err))
		}
	}
	if len(faults) > 0 {
		return EscrowABI{}, errors.Join(faults...)
	}
	if a.released == a.refunded || a.lock.selector == a.release.selector || a.lock.selector == a.refund.selector || a.release.selector == a.refund.selector {
		return EscrowABI{}, fmt.Errorf("%w: two of the methods or events are one", ErrEscrowABI)
	}
	return a, nil
}

// fieldTypes lists what a method's arguments may be and the types they may have.
var fieldTypes = map[string][]string{
	"order":    {"bytes32"},
	"token":    {"address"},
	"payee":    {"address"},
	"payer":    {"address"},
	"amount":   {"uint256"},
	"deadline": {"uint256", "uint64"},
}

// maxSignature bounds a signature text, in bytes.
const maxSignature = 512

// argument is one of a signature's.
type argument struct {
	kind, name string
	indexed    bool
}

// parseSignature splits "name(type [indexed] name, ...)" and returns the hash of
// its canonical form.
func parseSignature(text string) (common.Hash, []argument, error) {
	text = strings.TrimSuffix(strings.TrimSpace(text), ";")
	for _, keyword := range []string{"function ", "event "} {
		text = strings.TrimSpace(strings.TrimPrefix(text, keyword))
	}
	name, rest, found := strings.Cut(text, "(")
	list, closed := strings.CutSuffix(rest, ")")
	if len(text) > maxSignature || !found || !closed || !isWord(name) || strings.TrimSpace(list) == "" {
		return common.Hash{}, nil, fmt.Errorf("%.40q is not a signature like name(type name, ...)", text)
	}
	var (
		args  []argument
		kinds []string
	)
	for _, part := range strings.Split(list, ",") {
		words := strings.Fields(part)
		a := argument{}
		if len(words) == 3 && words[1] == "indexed" {
			a.indexed = true
			words = []string{words[0], words[2]}
		}
		if len(words) != 2 || !isWord(words[1]) {
			return common.Hash{}, nil, fmt.Errorf("argument %.40q is not a type and a name", strings.TrimSpace(part))
		}
		a.kind, a.name = words[0], words[1]
		args, kinds = append(args, a), append(kinds, a.kind)
	}
	return crypto.Keccak256Hash([]byte(name + "(" + strings.Join(kinds, ",") + ")")), args, nil
}

func isWord(s string) bool {
	for i, r := range s {
		letter := r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}

func parseMethod(text string, needs []string) (escrowMethod, error) {
	hash, args, err := parseSignature(text)
	if err != nil {
		return escrowMethod{}, err
	}
	m := escrowMethod{selector: [4]byte(hash[:4])}
	for _, a := range args {
		switch types, known := fieldTypes[a.name]; {
		case !known:
			return escrowMethod{}, fmt.Errorf("argument %q is none of order, token, payee, payer, amount and deadline", a.name)
		case a.indexed || !slices.Contains(types, a.kind):
			return escrowMethod{}, fmt.Errorf("argument %q has the type %s, not %s", a.name, a.kind, strings.Join(types, " or "))
		case slices.Contains(m.fields, a.name):
			return escrowMethod{}, fmt.Errorf("argument %q is there twice", a.name)
		}
		m.fields = append(m.fields, a.name)
	}
	for _, need := range needs {
		if !slices.Contains(m.fields, need) {
			return escrowMethod{}, fmt.Errorf("argument %q is missing", need)
		}
	}
	return m, nil
}

// eventTypes are the types that an event's further arguments may have. They are
// not read, but the event's hash is made of them.
var eventTypes = []string{"address", "bool", "bytes32", "uint8", "uint32", "uint64", "uint128", "uint256"}

// parseEvent returns the topic of an event whose first indexed argument is the order.
func parseEvent(text string) (common.Hash, error) {
	hash, args, err := parseSignature(text)
	if err != nil {
		return common.Hash{}, err
	}
	for _, a := range args {
		if !slices.Contains(eventTypes, a.kind) {
			return common.Hash{}, fmt.Errorf("argument %q has the type %s, which is not supported", a.name, a.kind)
		}
	}
	first := slices.IndexFunc(args, func(a argument) bool { return a.indexed })
	if first < 0 || args[first].name != "order" || args[first].kind != "bytes32" {
		return common.Hash{}, errors.New(`the first indexed argument is not "bytes32 indexed order"`)
	}
	return hash, nil
}

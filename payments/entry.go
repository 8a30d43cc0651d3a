// SPDX-License-Identifier: Apache-2.0

package payments

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/money"
)

// entryMembers lists the members of an entry in the order in which it is echoed,
// each with the spellings that are read. maxAmountRequired is the first
// generation's amount.
var entryMembers = [][]string{
	{"scheme"},
	{"network"},
	{"asset"},
	{"amount", "maxAmountRequired", "max_amount_required"},
	{"payTo", "pay_to"},
	{"maxTimeoutSeconds", "max_timeout_seconds"},
	{"extra"},
}

// readEntry reads one entry of accepts; what makes it unpayable is its fault.
func readEntry(raw json.RawMessage) Entry {
	e := Entry{}
	m, err := object(raw)
	if err != nil {
		e.fault = err
		return e
	}
	found, err := m.unambiguous()
	if err != nil {
		e.fault = err
		return e
	}
	e.fault = errors.Join(e.readNames(found), e.readAmount(found), e.readTimeout(found), e.readExtra(found))
	if e.fault == nil {
		e.Raw, e.fault = m.echo(found)
	}
	return e
}

// unambiguous returns the known members by canonical name. A member that is
// there in two spellings with two values is refused: the seller might read the
// other one.
func (m members) unambiguous() (members, error) {
	found := members{}
	for _, spellings := range entryMembers {
		for _, s := range spellings {
			raw, ok := m[s]
			if !ok {
				continue
			}
			name := spellings[0]
			if seen, twice := found[name]; twice && !bytes.Equal(bytes.TrimSpace(seen), bytes.TrimSpace(raw)) {
				return nil, fmt.Errorf("%s is given twice", name)
			}
			found[name] = raw
		}
	}
	return found, nil
}

func (m members) text(name string) (string, error) {
	var s string
	raw, ok := m[name]
	if !ok || isNull(raw) || json.Unmarshal(raw, &s) != nil || s == "" {
		return "", fmt.Errorf("%s is not a text", name)
	}
	return s, nil
}

func (e *Entry) readNames(m members) error {
	var errs [4]error
	e.Scheme, errs[0] = m.text("scheme")
	e.network, errs[1] = m.text("network")
	e.asset, errs[2] = m.text("asset")
	e.payTo, errs[3] = m.text("payTo")
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	e.Network = money.ChainID(e.network)
	if e.Scheme != "exact" {
		return fmt.Errorf("scheme %q is not exact", clip(e.Scheme))
	}
	if _, ok := e.Network.EVM(); !ok {
		return fmt.Errorf("network %q is not an EVM chain", clip(e.network))
	}
	var err error
	if e.Asset, err = address("asset", e.asset); err != nil {
		return err
	}
	e.PayTo, err = address("payTo", e.payTo)
	return err
}

func address(name, text string) (common.Address, error) {
	if !strings.HasPrefix(text, "0x") || !common.IsHexAddress(text) {
		return common.Address{}, fmt.Errorf("%s %q is not an address", name, clip(text))
	}
	a := common.HexToAddress(text)
	if a == (common.Address{}) {
		return common.Address{}, fmt.Errorf("%s is the zero address", name)
	}
	return a, nil
}

// readAmount takes a string of digits only: a JSON number may have gone through
// a float on its way.
func (e *Entry) readAmount(m members) error {
	text, err := m.text("amount")
	if err != nil {
		return errors.New("amount is not a string of base units")
	}
	if strings.Trim(text, "0123456789") != "" {
		return fmt.Errorf("amount %q is not a string of base units", clip(text))
	}
	if e.Amount, err = money.ParseBase(text); err != nil {
		return fmt.Errorf("amount: %w", err)
	}
	if e.Amount.IsZero() {
		return errors.New("amount is zero")
	}
	return nil
}

func (e *Entry) readTimeout(m members) error {
	raw, ok := m["maxTimeoutSeconds"]
	if !ok {
		return errors.New("maxTimeoutSeconds is missing")
	}
	seconds, err := strconv.ParseUint(string(bytes.TrimSpace(raw)), 10, 64)
	switch {
	case err != nil:
		return fmt.Errorf("maxTimeoutSeconds %q is not a whole number", clip(string(raw)))
	case seconds == 0:
		e.MaxTimeout = defaultTimeout
	case seconds > uint64(maxTimeout/time.Second):
		e.MaxTimeout = maxTimeout
	default:
		e.MaxTimeout = time.Duration(seconds) * time.Second //nolint:gosec // bounded by maxTimeout
	}
	return nil
}

func (e *Entry) readExtra(m members) error {
	extra, err := object(m["extra"])
	if err != nil {
		return errors.New("extra is not an object")
	}
	var errs [2]error
	e.Name, errs[0] = extra.text("name")
	e.Version, errs[1] = extra.text("version")
	if err := errors.Join(errs[:]...); err != nil {
		return fmt.Errorf("extra: %w", err)
	}
	for _, name := range []string{"assetTransferMethod", "asset_transfer_method"} {
		raw, ok := extra[name]
		if !ok || isNull(raw) {
			continue
		}
		var method string
		if json.Unmarshal(raw, &method) != nil || (method != "" && !strings.EqualFold(method, "eip3009")) {
			return fmt.Errorf("%s %q is not eip3009", name, clip(string(raw)))
		}
	}
	return nil
}

// echo writes the entry as it is shown to the seller: the known members in
// canonical order, then what the seller added, each value as received.
func (m members) echo(found members) (json.RawMessage, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	add := func(name string, value json.RawMessage) error {
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		key, err := json.Marshal(name)
		if err != nil {
			return err
		}
		b.Write(key)
		b.WriteByte(':')
		return json.Compact(&b, value)
	}
	known := map[string]bool{}
	for _, spellings := range entryMembers {
		for _, s := range spellings {
			known[s] = true
		}
		if err := add(spellings[0], found[spellings[0]]); err != nil {
			return nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if known[name] {
			continue
		}
		if err := add(name, m[name]); err != nil {
			return nil, err
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// clip keeps foreign text in an error message short.
func clip(s string) string {
	if len(s) > 60 {
		return strings.ToValidUTF8(s[:60], "") + "…"
	}
	return s
}

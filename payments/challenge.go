// SPDX-License-Identifier: Apache-2.0

package payments

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
)

// The bounds of a challenge.
const (
	maxChallenge = 64 << 10
	maxAccepts   = 32
	// defaultTimeout is what maxTimeoutSeconds 0 means to the x402 libraries.
	defaultTimeout = time.Hour
	// maxTimeout keeps a timeout inside a time.Duration; the policy's bound is
	// far below.
	maxTimeout = 100 * 365 * 24 * time.Hour
)

// Challenge is an x402 challenge: what a seller would accept. It is immutable.
type Challenge struct {
	entries    []Entry
	resource   json.RawMessage
	extensions json.RawMessage
}

// Entry is one way to pay that a seller accepts.
type Entry struct {
	// Scheme is "exact".
	Scheme string
	// Network is the chain, Asset the token and PayTo the payee.
	Network money.ChainID
	Asset   common.Address
	PayTo   common.Address
	// Amount is in base units.
	Amount money.Amount
	// MaxTimeout is how long the authorisation should be valid.
	MaxTimeout time.Duration
	// Name and Version are the token's EIP-712 domain, as the seller states it.
	Name, Version string
	// Raw is the entry as it is echoed to the seller: its members as received, the
	// known ones first, in the canonical spelling and order.
	Raw json.RawMessage

	// network, asset and payTo are spelled as received.
	network, asset, payTo string
	// fault says why the entry can never be paid.
	fault error
}

// ParseChallenge reads the challenge from a payment intent's rail metadata:
// base64 in paymentRequest.paymentRequired, base64 in paymentRequired, or
// accepts, in this order. Both generations' spellings are read, camelCase and
// snake_case. An error is a [*Refusal] with reason challenge_invalid. Entries
// that cannot be paid are kept out by [Challenge.Choose], not here, unless all are.
func ParseChallenge(metadata json.RawMessage) (*Challenge, error) {
	c, err := parseChallenge(metadata)
	if err != nil {
		return nil, &Refusal{Reason: policy.ReasonChallengeInvalid, Err: fmt.Errorf("x402 challenge: %w", err)}
	}
	return c, nil
}

func parseChallenge(metadata json.RawMessage) (*Challenge, error) {
	if len(metadata) > 4*maxChallenge {
		return nil, fmt.Errorf("metadata of %d bytes", len(metadata))
	}
	top, err := object(metadata)
	if err != nil {
		return nil, fmt.Errorf("metadata: %w", err)
	}
	request, nested := top.get("paymentRequest", "payment_request")
	if nested {
		inner, err := object(request)
		if err != nil {
			return nil, fmt.Errorf("paymentRequest: %w", err)
		}
		if header, ok := inner.get("paymentRequired", "payment_required"); ok && !isNull(header) {
			return decodeHeader(header)
		}
		if _, ok := top.get("paymentRequired", "payment_required"); !ok {
			if _, ok := top.get("accepts"); !ok {
				return nil, noHeader(inner)
			}
		}
	}
	if header, ok := top.get("paymentRequired", "payment_required"); ok && !isNull(header) {
		return decodeHeader(header)
	}
	return readChallenge(top)
}

// noHeader tells what the provider answered instead of a challenge.
func noHeader(request members) error {
	var status int
	if raw, ok := request.get("statusCode", "status_code"); ok && json.Unmarshal(raw, &status) == nil && status != 0 {
		return fmt.Errorf("the provider answered status %d without one", status)
	}
	return errors.New("there is none")
}

func decodeHeader(raw json.RawMessage) (*Challenge, error) {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		return nil, errors.New("paymentRequired is not a string")
	}
	text = strings.TrimRight(text, "=")
	if len(text) > 2*maxChallenge {
		return nil, fmt.Errorf("paymentRequired has %d characters", len(text))
	}
	doc, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		doc, err = base64.RawURLEncoding.DecodeString(text)
	}
	if err != nil {
		return nil, errors.New("paymentRequired is not base64")
	}
	top, err := object(doc)
	if err != nil {
		return nil, fmt.Errorf("paymentRequired: %w", err)
	}
	return readChallenge(top)
}

func readChallenge(top members) (*Challenge, error) {
	raw, ok := top.get("accepts")
	var list []json.RawMessage
	if !ok || json.Unmarshal(raw, &list) != nil || len(list) == 0 {
		return nil, errors.New("accepts is missing or empty")
	}
	if len(list) > maxAccepts {
		return nil, fmt.Errorf("accepts has %d entries", len(list))
	}
	c := &Challenge{}
	var err error
	if c.resource, err = compactMember(top, "resource"); err != nil {
		return nil, err
	}
	if c.extensions, err = compactMember(top, "extensions"); err != nil {
		return nil, err
	}
	var faults []error
	for i, raw := range list {
		e := readEntry(raw)
		if e.fault != nil {
			faults = append(faults, fmt.Errorf("entry %d: %w", i+1, e.fault))
		}
		c.entries = append(c.entries, e)
	}
	if len(faults) == len(list) {
		return nil, errors.Join(faults...)
	}
	return c, nil
}

// Entries returns the entries that could be paid.
func (c *Challenge) Entries() []Entry {
	var payable []Entry
	for _, e := range c.entries {
		if e.fault == nil {
			payable = append(payable, e)
		}
	}
	return payable
}

// Choose returns the first entry that allow answers with [policy.Allowed]. It
// asks only about entries that could be paid. Where none is allowed it returns
// the reason of the first one.
func (c *Challenge) Choose(allow func(Entry) policy.Reason) (Entry, policy.Reason) {
	first := policy.ReasonChallengeInvalid
	for i, e := range c.Entries() {
		reason := allow(e)
		if reason == policy.Allowed {
			return e, policy.Allowed
		}
		if i == 0 {
			first = reason
		}
	}
	return Entry{}, first
}

// members is a JSON object with its members unread.
type members map[string]json.RawMessage

func object(raw json.RawMessage) (members, error) {
	if len(raw) > 4*maxChallenge {
		return nil, fmt.Errorf("%d bytes", len(raw))
	}
	var m members
	if err := json.Unmarshal(raw, &m); err != nil || m == nil {
		return nil, errors.New("not a JSON object")
	}
	return m, nil
}

// get returns the first of the spellings that is there.
func (m members) get(spellings ...string) (json.RawMessage, bool) {
	for _, s := range spellings {
		if raw, ok := m[s]; ok {
			return raw, true
		}
	}
	return nil, false
}

func isNull(raw json.RawMessage) bool { return string(bytes.TrimSpace(raw)) == "null" }

// compactMember returns a member without white space, nil where it is absent or
// null.
func compactMember(m members, name string) (json.RawMessage, error) {
	raw, ok := m.get(name)
	if !ok || isNull(raw) {
		return nil, nil
	}
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		return nil, fmt.Errorf("%s: not JSON", name)
	}
	return b.Bytes(), nil
}

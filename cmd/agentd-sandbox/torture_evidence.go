// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/sandbox/chain"
)

// evidence is what the Market and the chain saw. Nothing in it comes from the
// daemon but what it sent to them.
type evidence struct {
	orders    map[string]*seenOrder
	claims    map[common.Hash]string // transaction -> the order that it pays
	doubly    []string               // transactions that were claimed for two orders
	transfers []chain.Transfer       // of the token, out of the agent's account
	returned  []chain.Transfer       // of the token, into the agent's account
}

// seenOrder is an order as the Market's journal has it.
type seenOrder struct {
	id     string
	number int // of the purchase
	payee  common.Address
	price  money.Value
	paid   []chain.Transfer
}

// journalEntry is a line of the Market's journal.
type journalEntry struct {
	Kind, Event, ID string
	Data            struct {
		OrderID, Transaction, Payee, Price string
		Input                              map[string]json.RawMessage
	}
}

// gather reads the journal and the chain, and writes the chain's log beside the journal.
func (c *campaign) gather(ctx context.Context) (*evidence, error) {
	e := &evidence{orders: map[string]*seenOrder{}, claims: map[common.Hash]string{}}
	if err := e.readJournal(filepath.Join(c.dir, "journal.jsonl")); err != nil {
		return nil, fmt.Errorf("read the Market's journal: %w", err)
	}
	all, err := c.local.chain.Transfers(ctx, 0)
	if err != nil {
		return nil, err
	}
	agent := common.HexToAddress(c.local.info.AgentAddress)
	for _, t := range all {
		switch agent {
		case t.From:
			e.transfers = append(e.transfers, t)
			if o := e.orders[e.claims[t.Tx]]; o != nil {
				o.paid = append(o.paid, t)
			}
		case t.To:
			e.returned = append(e.returned, t)
		}
	}
	return e, writeLines(filepath.Join(c.dir, "chain.jsonl"), all)
}

func (e *evidence) readJournal(name string) error {
	file, err := os.Open(name) //nolint:gosec // in the folder of the run
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // only read
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if !strings.Contains(lines.Text(), `"kind":"state"`) {
			continue
		}
		var entry journalEntry
		if json.Unmarshal(lines.Bytes(), &entry) == nil { // other events have other data
			if err := e.note(entry); err != nil {
				return err
			}
		}
	}
	return lines.Err()
}

func (e *evidence) note(entry journalEntry) error {
	switch entry.Event {
	case "order.asked":
		o := &seenOrder{id: entry.ID, payee: common.HexToAddress(entry.Data.Payee)}
		price, err := money.ParseValue(entry.Data.Price)
		if err != nil {
			return err
		}
		if o.price = price; json.Unmarshal(entry.Data.Input[numberKey], &o.number) != nil {
			o.number = -1
		}
		e.orders[o.id] = o
	case "payment.proof", "payment.settlement":
		tx := common.HexToHash(entry.Data.Transaction)
		if tx == (common.Hash{}) {
			return nil
		}
		if other, claimed := e.claims[tx]; claimed && other != entry.Data.OrderID {
			e.doubly = append(e.doubly, tx.Hex())
		}
		e.claims[tx] = entry.Data.OrderID
	}
	return nil
}

// writeLines writes values as JSON lines.
func writeLines[T any](name string, values []T) (err error) {
	file, err := os.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600) //nolint:gosec // in the folder of the run
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	encoder := json.NewEncoder(file)
	for _, v := range values {
		if err := encoder.Encode(v); err != nil {
			return err
		}
	}
	return nil
}

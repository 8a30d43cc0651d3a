// SPDX-License-Identifier: Apache-2.0

package market

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/orchestration"
	"github.com/agentd-project/agentd/policy"
)

// View is what a purchase shows of its document.
type View struct {
	Terms Shown
	// Symbol and Amount say what is paid, in base units of Decimals decimals.
	Symbol   string
	Decimals uint8
	Amount   money.Amount
	Offers   []Explained
	// Reference is the transaction, the operator's reference, or empty.
	Reference  string
	Duplicates []string
	Handoff    *orchestration.Handoff
	Result     json.RawMessage
	ResultErr  string
	// ResultFile is where an accepted result was delivered.
	ResultFile string
	// Unknown says that value may have moved and the ledger does not have it yet.
	Unknown bool
	// Trouble is what the last unsuccessful step said; only for open purchases.
	Trouble string
}

// View reads the document of a stored purchase.
func (m *Market) View(record *ledger.Purchase) (View, error) {
	var doc document
	if err := json.Unmarshal(record.Doc, &doc); err != nil {
		return View{}, fmt.Errorf("purchase %s: stored document: %w", record.ID, err)
	}
	v := View{
		Terms: doc.Terms.shown(), Symbol: doc.Terms.Symbol, Decimals: doc.Terms.Decimals, Amount: doc.Terms.Amount, Offers: doc.Offer,
		Duplicates: doc.Duplicates, Result: doc.Result, ResultErr: doc.ResultErr, ResultFile: doc.Need.Deliver.File,
		Reference: orDefault(doc.SpentRef, orDefault(doc.TxHash, doc.Reference)), Unknown: unaccounted(State(record.State), &doc),
	}
	if !isNull(doc.Handoff) {
		if err := json.Unmarshal(doc.Handoff, &v.Handoff); err != nil {
			return View{}, fmt.Errorf("purchase %s: stored handoff: %w", record.ID, err)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.open[record.ID]; p != nil && p.trouble != nil {
		v.Trouble = p.trouble.Error()
	}
	return v, nil
}

// unaccounted says whether the value of a purchase may have moved without the
// ledger having it yet, or is on its way back.
func unaccounted(s State, doc *document) bool {
	locked := s == Reclaiming && doc.ReturnRef == ""
	return doc.Committed && (!doc.Accounted || locked) && s.Kind() != Final
}

// unknown is unaccounted for an open purchase; m.mu is held. The stored document
// is read, since the worker may be changing the other one.
func (m *Market) unknown(p *purchase) bool {
	var doc document
	return json.Unmarshal(p.Doc, &doc) == nil && unaccounted(State(p.State), &doc)
}

// Trouble says why an open purchase does not move on; the reason is empty if
// it does.
func (m *Market) Trouble(id policy.PurchaseID) (policy.Reason, string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.open[id]
	if p == nil || p.trouble == nil {
		return "", ""
	}
	var w *waitError
	if errors.As(p.trouble, &w) {
		return w.reason, p.trouble.Error()
	}
	return policy.ReasonMarketUnavailable, p.trouble.Error()
}

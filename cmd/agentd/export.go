// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/csv"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/config"
	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/money"
)

// exporter writes records as they come. Equal ledgers give equal bytes.
type exporter interface {
	receipt(r *ledger.Receipt) error
	fee(f *ledger.Fee) error
	flush() error
}

// tokenNames know the tokens of the configuration, for receipts without terms.
type tokenNames struct {
	currency string
	tokens   map[ledger.Token]config.Token
}

func namesOf(cfg *config.Config) *tokenNames {
	n := &tokenNames{currency: "value", tokens: map[ledger.Token]config.Token{}}
	if cfg == nil {
		return n
	}
	if cfg.Policy.Currency != "" {
		n.currency = cfg.Policy.Currency
	}
	for _, c := range cfg.Chains {
		for _, t := range c.Tokens {
			n.tokens[ledger.Token{Chain: c.ID, Address: t.Address}] = t
		}
	}
	return n
}

// amount returns what moved in whole units and the token's symbol; known is false
// where nobody says how many decimals the token has.
func (n *tokenNames) amount(r *ledger.Receipt) (units, symbol string, known bool) {
	if r.Symbol != "" {
		return r.Amount.Format(r.Decimals), r.Symbol, true
	}
	if t, ok := n.tokens[ledger.Token{Chain: r.Chain, Address: r.Token}]; ok {
		return r.Amount.Format(t.Decimals), t.Symbol, true
	}
	return "", "", false
}

// gasDecimals are the decimals of a chain's own coin.
const gasDecimals = 18

// record is a line of the JSON export; kind is purchase or fee. Values are in
// units of the policy's currency, amounts in whole units and in base units.
type record struct {
	Kind      string      `json:"kind"`
	At        time.Time   `json:"at"`
	Purchase  string      `json:"purchase,omitempty"`
	Need      string      `json:"need,omitempty"`
	OrderID   string      `json:"orderId,omitempty"`
	Service   string      `json:"service,omitempty"`
	Provider  string      `json:"provider,omitempty"`
	Rail      string      `json:"rail,omitempty"`
	State     string      `json:"state,omitempty"`
	Reason    string      `json:"reason,omitempty"`
	Chain     string      `json:"chain,omitempty"`
	Token     string      `json:"token,omitempty"`
	Symbol    string      `json:"symbol,omitempty"`
	Payee     string      `json:"payee,omitempty"`
	Amount    string      `json:"amount,omitempty"`
	BaseUnits string      `json:"baseUnits,omitempty"`
	Value     money.Value `json:"value"`
	Currency  string      `json:"currency,omitempty"`
	Tx        string      `json:"tx,omitempty"`
	RefundTx  string      `json:"refundTx,omitempty"`
	Refunded  time.Time   `json:"refunded,omitzero"`
	Created   time.Time   `json:"created,omitzero"`
	Entries   int64       `json:"entries,omitempty"`
	Digest    string      `json:"digest,omitempty"`
	Hashes    []string    `json:"hashes,omitempty"`
}

func (n *tokenNames) record(r *ledger.Receipt) *record {
	out := &record{
		Kind: "purchase", At: r.At, Purchase: string(r.Purchase), Need: r.Need, OrderID: r.OrderID, Service: r.Service, Provider: r.Provider,
		Rail: r.Rail, State: r.State, Reason: string(r.Reason), Value: r.Value, Currency: n.currency, Tx: r.Ref, RefundTx: r.RefundRef,
		Refunded: r.RefundAt, Created: r.Created, Entries: r.Entries, Digest: r.Digest, Hashes: r.Hashes,
	}
	if r.Chain == "" {
		return out
	}
	out.Chain, out.Token, out.Payee, out.BaseUnits = string(r.Chain), r.Token.Hex(), r.Payee.Hex(), r.Amount.String()
	out.Amount, out.Symbol, _ = n.amount(r)
	return out
}

func feeRecord(f *ledger.Fee) *record {
	return &record{Kind: "fee", At: f.Start, Chain: string(f.Chain), Amount: f.Wei.Format(gasDecimals), BaseUnits: f.Wei.String()}
}

type jsonExport struct {
	enc   *json.Encoder
	names *tokenNames
}

func newJSONExport(out io.Writer, names *tokenNames) *jsonExport {
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	return &jsonExport{enc, names}
}

func (e *jsonExport) receipt(r *ledger.Receipt) error { return e.enc.Encode(e.names.record(r)) }
func (e *jsonExport) fee(f *ledger.Fee) error         { return e.enc.Encode(feeRecord(f)) }
func (e *jsonExport) flush() error                    { return nil }

type csvExport struct {
	out    *csv.Writer
	names  *tokenNames
	headed bool
}

func newCSVExport(out io.Writer, names *tokenNames) *csvExport {
	return &csvExport{out: csv.NewWriter(out), names: names}
}

// columns are the header of the CSV export.
var columns = []string{
	"kind", "at", "purchase", "need", "order_id", "service", "provider", "rail", "state", "reason", "chain", "token", "symbol", "payee", "amount",
	"base_units", "value", "currency", "tx", "refund_tx", "refunded", "created", "entries", "digest",
}

func (e *csvExport) write(r *record) error {
	if !e.headed {
		e.headed = true
		if err := e.out.Write(columns); err != nil {
			return err
		}
	}
	row := []string{
		r.Kind, stamp(r.At), r.Purchase, r.Need, r.OrderID, r.Service, r.Provider, r.Rail, r.State, r.Reason, r.Chain, r.Token, r.Symbol, r.Payee, r.Amount,
		r.BaseUnits, r.Value.String(), r.Currency, r.Tx, r.RefundTx, stamp(r.Refunded), stamp(r.Created), strconv.FormatInt(r.Entries, 10), r.Digest,
	}
	for i := range row {
		row[i] = plainCell(row[i])
	}
	return e.out.Write(row)
}

func (e *csvExport) receipt(r *ledger.Receipt) error { return e.write(e.names.record(r)) }
func (e *csvExport) fee(f *ledger.Fee) error         { return e.write(feeRecord(f)) }

func (e *csvExport) flush() error {
	e.out.Flush()
	return e.out.Error()
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// plainCell keeps a spreadsheet from taking a foreign name for a formula.
func plainCell(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r", rune(text[0])) {
		return "'" + text
	}
	return text
}

// hledgerExport writes plain-text accounting: a transaction for each payment, one
// for each return, and one for each minute's fees. What cost nothing is left out.
type hledgerExport struct {
	out   io.Writer
	names *tokenNames
	begun bool
}

func (e *hledgerExport) receipt(r *ledger.Receipt) error {
	amount, commodity, from := e.posting(r)
	if r.Amount.IsZero() && r.Value == 0 {
		return nil
	}
	to := account("expenses", "market", orElse(r.Service, "unknown"))
	tags := []string{
		"purchase:" + tagValue(string(r.Purchase)), "order:" + tagValue(r.OrderID), "need:" + tagValue(r.Need), "rail:" + tagValue(r.Rail), "at:" + stamp(r.At),
	}
	if r.Payee != (common.Address{}) {
		tags = append(tags, "payee:"+r.Payee.Hex())
	}
	if err := e.transaction(r.At, r.Ref, tag(orElse(r.Service, "unknown")), tags, to, from, amount, commodity); err != nil || !r.Refunded() {
		return err
	}
	return e.transaction(r.RefundAt, r.RefundRef, "refund of "+tag(orElse(r.Service, "unknown")), tags, from, to, amount, commodity)
}

// posting says what moved and out of which account: an amount of a token, base
// units of one that nobody knows, or a value that moved on no chain.
func (e *hledgerExport) posting(r *ledger.Receipt) (amount, commodity, from string) {
	if r.Chain == "" {
		return r.Value.String(), e.names.currency, account("assets", "outside")
	}
	units, symbol, known := e.names.amount(r)
	if !known {
		units, symbol = r.Amount.String(), "units of "+r.Token.Hex()
	}
	return units, symbol, account("assets", string(r.Chain), orElse(symbol, "token"))
}

func (e *hledgerExport) fee(f *ledger.Fee) error {
	if f.Wei.IsZero() {
		return nil
	}
	return e.transaction(f.Start, "", "transaction fees", []string{"chain:" + tagValue(string(f.Chain))},
		account("expenses", "fees", string(f.Chain)), account("assets", string(f.Chain), "coin"), f.Wei.Format(gasDecimals), "coin of "+string(f.Chain))
}

func (e *hledgerExport) transaction(at time.Time, code, text string, tags []string, to, from, amount, commodity string) error {
	var b strings.Builder
	if !e.begun {
		e.begun = true
		b.WriteString("decimal-mark .\n\n")
	}
	b.WriteString(at.UTC().Format(time.DateOnly) + " * ")
	if code != "" {
		b.WriteString("(" + tag(code) + ") ")
	}
	b.WriteString(text + "\n    ; " + strings.Join(tags, ", ") + "\n")
	amount += ` "` + tag(commodity) + `"`
	b.WriteString("    " + to + "  " + amount + "\n    " + from + "  -" + amount + "\n\n")
	_, err := io.WriteString(e.out, b.String())
	return err
}

func (e *hledgerExport) flush() error { return nil }

// account joins the parts of an account's name; a part has no colon of its own.
func account(parts ...string) string {
	for i, p := range parts {
		parts[i] = tagValue(p)
	}
	return strings.Join(parts, ":")
}

// tagValue is tag for places where a colon begins something.
func tagValue(text string) string { return strings.ReplaceAll(tag(text), ":", "-") }

// tag makes foreign text harmless in a journal, in which two blanks, quotes,
// brackets, commas and semicolons mean something.
func tag(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("-_./:# ", r):
			return r
		}
		return '_'
	}, strings.Join(strings.Fields(text), " "))
}

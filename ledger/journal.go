// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/agentd-project/agentd/policy"
)

// link is an entry in the form that its hash covers. The order of the members is
// part of the format.
type link struct {
	Seq      int64
	At       int64
	Purchase policy.PurchaseID
	Kind     EntryKind
	From     string
	To       string
	Event    string
	Reason   policy.Reason
	Detail   string
	Row      string
	Body     string
}

// hash returns the hex hash of the entry, chained to the hash before it.
func (k *link) hash(prev string) (string, error) {
	payload, err := k.payload([]byte(prev))
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(payload)
	return hex.EncodeToString(sum[:]), nil
}

// payload appends the entry as [json.Marshal] writes it. Plain text, which is
// nearly all there is, is written here: a verification does it for every entry.
func (k *link) payload(b []byte) ([]byte, error) {
	members := [...]struct{ name, text string }{
		{`,"Purchase":`, string(k.Purchase)}, {`,"Kind":`, string(k.Kind)}, {`,"From":`, k.From}, {`,"To":`, k.To}, {`,"Event":`, k.Event},
		{`,"Reason":`, string(k.Reason)}, {`,"Detail":`, k.Detail}, {`,"Row":`, k.Row}, {`,"Body":`, k.Body},
	}
	start := len(b)
	b = strconv.AppendInt(append(b, `{"Seq":`...), k.Seq, 10)
	b = strconv.AppendInt(append(b, `,"At":`...), k.At, 10)
	for _, m := range members {
		var plain bool
		if b, plain = appendText(append(b, m.name...), m.text); !plain {
			whole, err := json.Marshal(k)
			return append(b[:start], whole...), err
		}
	}
	return append(b, '}'), nil
}

// appendText appends a JSON string; plain is false if it holds anything but
// printable ASCII without what [json.Marshal] escapes for HTML.
func appendText(b []byte, text string) (_ []byte, plain bool) {
	b = append(b, '"')
	for i := range len(text) {
		switch c := text[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ' || c > '~' || c == '<' || c == '>' || c == '&':
			return b, false
		default:
			b = append(b, c)
		}
	}
	return append(b, '"'), true
}

// rowHash is the hash of a purchase as a move leaves it, so that a row that was
// changed behind the journal's back is found.
func rowHash(p *Purchase) (string, error) {
	row := *p
	row.Created, row.Updated = fromMicros(micros(p.Created)), fromMicros(micros(p.Updated))
	row.Deadline = fromMicros(micros(p.Deadline))
	doc := sha256.Sum256(p.Doc)
	row.Doc = nil
	payload, err := json.Marshal(&row)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	h.Write(payload)
	h.Write(doc[:])
	return hex.EncodeToString(h.Sum(nil)), nil
}

const selectHead = `SELECT seq, hash FROM journal ORDER BY seq DESC LIMIT 1`

func head(q querier) (seq int64, hash string, err error) {
	err = q.row(selectHead, nil, &seq, &hash)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, "", nil
	}
	return seq, hash, err
}

// loadHead makes the head known. What takes entries out does it first: the newest
// of them may be the head.
func (t *txn) loadHead() (err error) {
	if t.w.headKnown {
		return nil
	}
	t.w.seq, t.w.hash, err = head(t)
	t.w.headKnown = err == nil
	return err
}

// appendEntry writes one entry behind the last; body is stored as JSON, nil as nothing.
func (t *txn) appendEntry(k link, body any) error {
	if err := t.loadHead(); err != nil {
		return err
	}
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		k.Body = string(text)
	}
	k.Seq, k.At = t.w.seq+1, micros(t.now)
	hash, err := k.hash(t.w.hash)
	if err != nil {
		return err
	}
	_, err = t.exec(`INSERT INTO journal (seq, at, purchase, kind, from_state, to_state, event, reason, detail, row_hash, body, hash)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		k.Seq, k.At, string(k.Purchase), string(k.Kind), k.From, k.To, k.Event, string(k.Reason), k.Detail, k.Row, k.Body, hash)
	t.w.seq, t.w.hash = k.Seq, hash // forgotten unless the commit follows
	return err
}

// Head returns the number and the hash of the last entry, for the log: a chain
// proves nothing to who can rewrite the whole file, unless its head was seen
// elsewhere. An empty journal has number 0.
func (l *Ledger) Head(ctx context.Context) (seq int64, hash string, err error) {
	err = l.query(ctx, "head", func(q querier) error {
		seq, hash, err = head(q)
		return err
	})
	return seq, hash, err
}

const entryColumns = `seq, at, purchase, kind, from_state, to_state, event, reason, detail, row_hash, body, hash`

func scanLink(scan func(...any) error) (k link, hash string, err error) {
	err = scan(&k.Seq, &k.At, &k.Purchase, &k.Kind, &k.From, &k.To, &k.Event, &k.Reason, &k.Detail, &k.Row, &k.Body, &hash)
	return k, hash, err
}

// History returns the journal of one purchase, the oldest entry first; it is
// empty for a purchase that is not known.
func (l *Ledger) History(ctx context.Context, id policy.PurchaseID) (entries []Entry, err error) {
	err = l.query(ctx, fmt.Sprintf("history of %s", id), func(q querier) error {
		entries, err = collect(q, scanEntry, `SELECT `+entryColumns+` FROM journal WHERE purchase = ? ORDER BY seq`, string(id))
		return err
	})
	return entries, err
}

func scanEntry(scan func(...any) error) (Entry, error) {
	k, hash, err := scanLink(scan)
	e := Entry{
		Seq: k.Seq, At: fromMicros(k.At), Purchase: k.Purchase, Kind: k.Kind, From: k.From, To: k.To,
		Event: k.Event, Reason: k.Reason, Detail: k.Detail, Hash: hash,
	}
	if k.Body != "" {
		e.Body = json.RawMessage(k.Body)
	}
	return e, err
}

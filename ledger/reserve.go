// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
)

// reserveBody is what the journal keeps of a reservation. Was is the state of
// the one it replaces.
type reserveBody struct {
	Value    money.Value
	Was      policy.ReservationStatus `json:",omitempty"`
	At       int64
	Need     string
	Service  string
	Provider string
	Rail     string
	Approved bool `json:",omitempty"`
}

// bindBody is what the journal keeps of a grant. Value replaces the reservation's.
type bindBody struct {
	Value money.Value
	Terms policy.Terms
}

// Reserve implements [policy.Store]; the request's Record is nil or a *[Move].
// A purchase may reserve again while it was never granted: an open reservation is
// replaced, a released one is opened again. Otherwise it is [ErrClosed].
func (l *Ledger) Reserve(ctx context.Context, req policy.Request, query policy.Query, decide func(*policy.State) policy.Verdict) (policy.Verdict, error) {
	m, err := moveOf(req.Record)
	if err != nil {
		return policy.Verdict{}, err
	}
	var v policy.Verdict
	err = l.write(ctx, "reserve for "+string(req.Purchase), func(t *txn) error {
		query.Purchase = req.Purchase
		st, err := computeState(t, query, l.verified.Load())
		if err != nil {
			return err
		}
		if !mayReserve(st.Own) {
			return ErrClosed
		}
		if v = decide(st); !v.Allowed() {
			return errUnchanged
		}
		if err := t.putReservation(&req, st, query.Trusted); err != nil {
			return err
		}
		return t.move(req.Purchase, m, KindReserve, reserveBody{
			Value: req.Reserves(), Was: statusOf(st.Own), At: micros(st.At), Need: req.Need, Service: req.Service, Provider: req.Provider,
			Rail: req.Rail, Approved: req.Approved,
		})
	})
	if err != nil {
		return policy.Verdict{}, err
	}
	return v, nil
}

func mayReserve(own *policy.Reservation) bool {
	if own == nil {
		return true
	}
	return own.Terms == nil && (own.Status == policy.ReservationOpen || own.Status == policy.ReservationReleased)
}

func statusOf(own *policy.Reservation) policy.ReservationStatus {
	if own == nil {
		return ""
	}
	return own.Status
}

func moveOf(record any) (*Move, error) {
	switch m := record.(type) {
	case nil:
		return nil, nil
	case *Move:
		return m, nil
	default:
		return nil, fmt.Errorf("ledger: record is a %T, not a *ledger.Move", record)
	}
}

// putReservation writes the row and adds it to the sums. Only trusted time
// raises the floor.
func (t *txn) putReservation(req *policy.Request, st *policy.State, trusted bool) error {
	value, freed, opened := req.Reserves(), money.Value(0), int64(1)
	if statusOf(st.Own) == policy.ReservationOpen {
		freed, opened = st.Own.Value, 0
	}
	token, payee := "", ""
	if req.HasToken {
		token = req.Token.Hex()
	}
	if req.HasPayee {
		payee = req.Payee.Hex()
	}
	_, err := t.exec(`INSERT INTO reservations (purchase, need, service, provider, rail, chain, token, payee, value, status, at, terms)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'open', ?, '')
		ON CONFLICT (purchase) DO UPDATE SET need = excluded.need, service = excluded.service, provider = excluded.provider,
			rail = excluded.rail, chain = excluded.chain, token = excluded.token, payee = excluded.payee,
			value = excluded.value, status = 'open', at = excluded.at`,
		string(req.Purchase), req.Need, req.Service, req.Provider, req.Rail, string(req.Chain), token, payee,
		int64(value), micros(st.At))
	if err != nil {
		return err
	}
	floor := int64(0)
	if trusted {
		floor = micros(st.At)
	}
	if err := t.addOpen(value-freed, opened, floor); err != nil {
		return err
	}
	if !req.Approved {
		return nil
	}
	_, err = t.exec(`UPDATE approvals SET decision = 'used' WHERE purchase = ? AND decision = 'approved'`, string(req.Purchase))
	return err
}

// addOpen changes the sum and the number of open reservations; the floor only rises.
func (t *txn) addOpen(value money.Value, count, floor int64) error {
	_, err := t.exec(`UPDATE control SET reserved = reserved + ?, open_count = open_count + ?, floor = max(floor, ?) WHERE id = 1`,
		int64(value), count, floor)
	return err
}

// Bind implements [policy.Store]; record is nil or a *[Move]. Binding the terms
// that are bound already changes nothing but the purchase. A purchase without a
// reservation is [ErrNotFound], one whose reservation is closed [ErrClosed].
func (l *Ledger) Bind(ctx context.Context, id policy.PurchaseID, terms policy.Terms, value money.Value, query policy.Query, decide func(*policy.State) policy.Verdict, record any) (policy.Verdict, error) {
	m, err := moveOf(record)
	if err != nil {
		return policy.Verdict{}, err
	}
	text, err := json.Marshal(terms)
	if err != nil {
		return policy.Verdict{}, fmt.Errorf("ledger: bind: %w", err)
	}
	var v policy.Verdict
	err = l.write(ctx, "bind terms of "+string(id), func(t *txn) error {
		query.Purchase = id
		st, err := computeState(t, query, l.verified.Load())
		switch {
		case err != nil:
			return err
		case st.Own == nil:
			return ErrNotFound
		case st.Own.Status != policy.ReservationOpen:
			return ErrClosed
		case st.Own.Terms != nil && sameTerms(st.Own.Terms, &terms):
			v = policy.Verdict{Reason: policy.Allowed, Window: -1}
			return t.again(id, m)
		}
		if v = decide(st); !v.Allowed() {
			return errUnchanged
		}
		if value > st.Own.Value {
			return fmt.Errorf("%w: %s is reserved, %s is asked for", ErrConflict, st.Own.Value, value)
		}
		return t.putTerms(st, &terms, string(text), value, query, m)
	})
	if err != nil {
		return policy.Verdict{}, err
	}
	return v, nil
}

func sameTerms(a, b *policy.Terms) bool {
	x, y := *a, *b
	x.Deadline, y.Deadline = time.Time{}, time.Time{}
	x.RefundFrom, y.RefundFrom = time.Time{}, time.Time{}
	return x == y && a.Deadline.Equal(b.Deadline) && a.RefundFrom.Equal(b.RefundFrom)
}

func (t *txn) putTerms(st *policy.State, terms *policy.Terms, text string, value money.Value, query policy.Query, m *Move) error {
	id := st.Own.Purchase
	if _, err := t.exec(`UPDATE reservations SET value = ?, terms = ? WHERE purchase = ?`, int64(value), text, string(id)); err != nil {
		return err
	}
	floor := int64(0)
	if query.Trusted {
		floor = micros(st.At)
	}
	if err := t.addOpen(value-st.Own.Value, 0, floor); err != nil {
		return err
	}
	_, err := t.exec(`INSERT INTO payees (provider, payee, seq, purchase, at)
		VALUES (?, ?, (SELECT COALESCE(max(seq), 0) + 1 FROM payees WHERE provider = ?), ?, ?) ON CONFLICT DO NOTHING`,
		query.Provider, terms.Payee.Hex(), query.Provider, string(id), micros(st.At))
	if err != nil {
		return err
	}
	return t.move(id, m, KindBind, bindBody{Value: value, Terms: *terms})
}

const reservationColumns = `purchase, need, service, provider, rail, chain, token, payee, value, status, at, terms`

func scanReservation(scan func(...any) error) (r policy.Reservation, err error) {
	var token, payee, terms string
	var at int64
	err = scan(&r.Purchase, &r.Need, &r.Service, &r.Provider, &r.Rail, &r.Chain, &token, &payee, &r.Value, &r.Status, &at, &terms)
	if err != nil {
		return r, err
	}
	r.At = fromMicros(at)
	if token != "" {
		r.HasToken, r.Token = true, common.HexToAddress(token)
	}
	if payee != "" {
		r.HasPayee, r.Payee = true, common.HexToAddress(payee)
	}
	if terms != "" {
		r.Terms = new(policy.Terms)
		err = json.Unmarshal([]byte(terms), r.Terms)
	}
	return r, err
}

func reservationOf(q querier, id policy.PurchaseID) (policy.Reservation, error) {
	return one(q, scanReservation, `SELECT `+reservationColumns+` FROM reservations WHERE purchase = ?`, string(id))
}

// Reservation returns the reservation of a purchase, or [ErrNotFound].
func (l *Ledger) Reservation(ctx context.Context, id policy.PurchaseID) (r policy.Reservation, err error) {
	err = l.query(ctx, fmt.Sprintf("reservation of %s", id), func(q querier) error {
		r, err = reservationOf(q, id)
		return err
	})
	return r, err
}

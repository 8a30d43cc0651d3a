// SPDX-License-Identifier: Apache-2.0

package market

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/policy"
)

// fate is what the model knows of the value of a purchase.
type fate int

const (
	untouched fate = iota // nothing left our hands, or it is proven dead
	unknown               // signed bytes are out
	moved                 // the chain shows it, or a person says so
)

// walker drives one purchase through the real table by events at random.
type walker struct {
	m     *Market
	p     *purchase
	value fate
}

// rails are one of each kind.
var rails = []string{policy.RailNotRequired, "wallet", policy.RailX402, policy.RailEscrow}

func allEvents() []Event {
	var events []Event
	for _, row := range Table() {
		for event := range row.Edges {
			if !slices.Contains(events, event) {
				events = append(events, event)
			}
		}
	}
	slices.Sort(events)
	return events
}

func newWalker(rail string) *walker {
	w := &walker{m: &Market{rows: index()}, p: &purchase{Purchase: ledger.Purchase{ID: "p", State: string(Planned), Deadline: time.Now().Add(time.Hour)}}}
	w.p.doc.Terms.Rail = rail
	w.p.doc.Terms.Lock = rail == policy.RailEscrow
	return w
}

// well is the way of a purchase on which nothing goes wrong, by rail.
func well(rail string) []Event {
	way := []Event{EventMatched, EventReserved, EventOrdered}
	switch rail {
	case policy.RailNotRequired:
		way = append(way, EventFree)
	case policy.RailX402:
		way = append(way, EventIntended, EventPay, EventProven, EventExecute)
	default:
		way = append(way, EventIntended, EventPay, EventPaid, EventProven, EventExecute)
	}
	return append(way, EventDelivered, EventConfirmed, EventAccounted, EventSettled)
}

// admissible says whether the code can come to this event here at all: some
// edges are for one kind of purchase only, and some events are proofs.
func (w *walker) admissible(event Event) bool {
	free := w.p.doc.Terms.free()
	switch {
	case event == EventFree:
		return free
	case event == EventIntended, event == EventReference:
		return !free
	case event == EventDeadline:
		return w.p.state() != Executing || w.m.cancellable(w.p, w.m.rows[Executing])
	case event == EventCancel && w.p.state() == NeedsOperator:
		return !w.p.doc.Committed
	case event == EventUnpaid, event == EventRenew:
		return w.value != moved // it carries the chain's proof, or nothing was due
	case event == EventStillHeld, event == EventStillWrong:
		return w.p.paid()
	case event == EventExpired:
		return w.p.doc.Terms.Lock && w.p.doc.Committed
	case event == EventRefunded:
		return w.value == moved // the ledger refunds what it has settled only
	case event == EventSettled:
		return free || w.value == moved
	default:
		return true
	}
}

// follow notes what an event that was taken says of the value.
func (w *walker) follow(event Event) {
	switch event {
	case EventPay:
		w.p.doc.Committed, w.value = true, unknown
	case EventPaid:
		w.value = moved
	case EventReference:
		w.p.doc.Committed, w.value = true, moved
	case EventAccounted:
		w.value = moved
	case EventUnpaid, EventRenew:
		w.p.doc.Committed, w.value = false, untouched
	}
}

// clean are the ends that say that nothing was spent.
var clean = []State{NoMatch, Denied, Rejected, Cancelled, Failed}

// failing is what a property needs of a test.
type failing interface{ Fatalf(string, ...any) }

func (w *walker) step(t failing, event Event) {
	from := w.p.state()
	row := w.m.rows[from]
	mv, err := w.p.move(row, step{event: event, reason: policy.ReasonHeld})
	if w.p.state() != from {
		t.Fatalf("%s in %s changed the purchase before it was stored", event, from)
	}
	if err != nil {
		return
	}
	if from.Kind() == Final {
		t.Fatalf("%s leaves %s, which is final", event, from)
	}
	if !w.admissible(event) {
		return
	}
	w.p.adopt(mv)
	w.follow(event)
	to := w.p.state()
	if w.p.Final != (to.Kind() == Final) || w.p.Reason != policy.ReasonHeld || mv.From != string(from) {
		t.Fatalf("%s from %s to %s: stored as final %v (%s) from %s", event, from, to, w.p.Final, w.p.Reason, mv.From)
	}
	if w.value != untouched && slices.Contains(clean, to) {
		t.Fatalf("%s takes a purchase whose value may have moved from %s to %s", event, from, to)
	}
	if released(event) && w.value != untouched {
		t.Fatalf("%s in %s gives the budget back although the value may have moved", event, from)
	}
	if w.value != untouched && w.m.cancellable(w.p, w.m.rows[to]) && !w.p.doc.Terms.free() {
		t.Fatalf("%s leads from %s to %s, where the deadline counts although the value may have moved", event, from, to)
	}
}

// released are the events with which the engine gives a reservation back.
func released(event Event) bool {
	return slices.Contains([]Event{EventDeadline, EventCancel, EventDenied, EventRefused, EventUnpaid, EventRequote}, event)
}

// reach returns whether a state for which ok holds can be reached by events that
// are neither a person's nor the mere passing of time.
func (w *walker) reach(from State, ok func(State) bool) bool {
	person := []Event{EventApproved, EventStillHeld, EventStillWrong, EventReference, EventCancel}
	todo, seen := []State{from}, map[State]bool{from: true}
	for len(todo) > 0 {
		s := todo[0]
		todo = todo[1:]
		if ok(s) {
			return true
		}
		for event, to := range w.m.rows[s].Edges {
			if !seen[to] && !slices.Contains(person, event) {
				seen[to] = true
				todo = append(todo, to)
			}
		}
	}
	return false
}

// No sequence of events leaves a final state, ends a purchase as unpaid whose
// value may have moved, or stands where nothing leads on.
func TestTableHoldsForAnyEvents(t *testing.T) {
	events := allEvents()
	rapid.Check(t, func(t *rapid.T) {
		w := newWalker(rapid.SampledFrom(rails).Draw(t, "rail"))
		way := well(w.p.doc.Terms.Rail)
		for _, event := range way[:rapid.IntRange(0, len(way)).Draw(t, "steps that go well")] {
			w.step(t, event)
		}
		t.Repeat(map[string]func(*rapid.T){
			// An event that the state knows, so that walks are long.
			"known": func(t *rapid.T) {
				var known []Event
				for event := range w.m.rows[w.p.state()].Edges {
					known = append(known, event)
				}
				if len(known) == 0 {
					t.Skip("final")
				}
				slices.Sort(known)
				w.step(t, rapid.SampledFrom(known).Draw(t, "event"))
			},
			"any": func(t *rapid.T) { w.step(t, rapid.SampledFrom(events).Draw(t, "event")) },
			"": func(t *rapid.T) {
				s := w.p.state()
				if s.Kind() == Active && !w.reach(s, func(s State) bool { return s.Kind() != Active }) {
					t.Fatalf("nothing leads from %s to a state that waits or is final", s)
				}
				if s.Kind() != Final && !slices.ContainsFunc(mapValues(w.m.rows[s].Edges), func(to State) bool { return to != s }) {
					t.Fatalf("nothing leads out of %s", s)
				}
			},
		})
	})
}

// Every state of every kind of purchase is visited, and every event tried in it.
func TestTableHoldsEverywhere(t *testing.T) {
	type place struct {
		rail, state string
		committed   bool
		value       fate
	}
	of := func(w *walker) place { return place{w.p.doc.Terms.Rail, w.p.State, w.p.doc.Committed, w.value} }
	var todo []*walker
	for _, rail := range rails {
		todo = append(todo, newWalker(rail))
	}
	seen := map[place]bool{}
	for len(todo) > 0 {
		w := todo[0]
		todo = todo[1:]
		if seen[of(w)] {
			continue
		}
		seen[of(w)] = true
		for _, event := range allEvents() {
			next := &walker{m: w.m, p: &purchase{Purchase: w.p.Purchase, doc: w.p.doc}, value: w.value}
			next.step(t, event)
			todo = append(todo, next)
		}
	}
	for _, row := range Table() {
		visited := false
		for at := range seen {
			visited = visited || at.state == string(row.State)
		}
		if !visited {
			t.Errorf("%s was never visited", row.State)
		}
	}
}

func mapValues(edges map[Event]State) []State {
	var states []State
	for _, to := range edges {
		states = append(states, to)
	}
	return states
}

// The events that give the budget back are those that the engine gives it back
// with: the model above would otherwise prove something else.
func TestReleasingEventsAreTheEngines(t *testing.T) {
	for _, row := range Table() {
		for event, to := range row.Edges {
			if slices.Contains(clean, to) && to != NoMatch && !released(event) {
				t.Errorf("%s ends in %s by %s and keeps its budget", row.State, to, event)
			}
		}
	}
}

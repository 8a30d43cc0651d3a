// SPDX-License-Identifier: Apache-2.0

package orchestration

import (
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"sync"
)

// Replies are decoded by the struct tags of their types, and not by encoding/json
// as a whole, for four reasons: a missing member is an error that names its path,
// names match exactly, a record keeps its object in Raw, and it is faster. Tags:
//
//	json:"name"     the member
//	alt:"name"      a second name, used if the first is absent or null
//	need:"present"  has to be there, may be null
//	need:"value"    has to be there and not null
//	need:"text"     has to be a text with at least one character

// maxText bounds one text of a reply, as it stands in the JSON. What has no type
// of its own (a result, metadata) is bounded by the reply only.
const maxText = 64 << 10

// faulty is a record with a condition that tags cannot express.
type faulty interface{ fault() *shapeFault }

// plan is how to decode one struct type.
type plan struct {
	members []member
	slots   map[string][]int // by name; more than one if an embedding type repeats it
	count   int              // of slots: one for each member and one for each second name
	raw     []int            // index of the Raw member, nil if there is none
}

type member struct {
	index []int
	name  string
	alt   int // slot of the second name, 0 if there is none
	need  string
}

var plans sync.Map // of reflect.Type to *plan

func planOf(t reflect.Type) *plan {
	if p, ok := plans.Load(t); ok {
		return p.(*plan)
	}
	p := &plan{slots: map[string][]int{}}
	var alts []string
	p.add(t, nil, &alts)
	p.count = len(p.members)
	for i, alt := range alts {
		if alt != "" {
			p.members[i].alt = p.count
			p.slots[alt] = append(p.slots[alt], p.count)
			p.count++
		}
	}
	plans.Store(t, p)
	return p
}

func (p *plan) add(t reflect.Type, at []int, alts *[]string) {
	for i := range t.NumField() {
		f := t.Field(i)
		index := append(append([]int(nil), at...), i)
		switch {
		case f.Anonymous:
			p.add(f.Type, index, alts)
		case f.Name == "Raw":
			p.raw = index
		default:
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			p.slots[name] = append(p.slots[name], len(p.members))
			p.members = append(p.members, member{index: index, name: name, need: f.Tag.Get("need")})
			*alts = append(*alts, f.Tag.Get("alt"))
		}
	}
}

// decode reads a JSON value, valid and without space around it, into v, which is
// addressable. The fault's member is relative to the value.
func decode(raw []byte, v reflect.Value) *shapeFault {
	switch {
	case isNull(raw):
		return nil
	case v.Type() == rawType:
		v.SetBytes(raw)
		return nil
	}
	if v.Kind() == reflect.String && len(raw) > maxText {
		return &shapeFault{problem: "is longer than 65536 bytes"}
	}
	switch v.Kind() {
	case reflect.Pointer:
		target := reflect.New(v.Type().Elem())
		v.Set(target)
		return decode(raw, target.Elem())
	case reflect.Struct:
		return decodeObject(raw, v)
	case reflect.Slice:
		return decodeArray(raw, v)
	case reflect.String:
		if v.Type() != numberType {
			if s, ok := plainString(raw); ok {
				v.SetString(s)
				return nil
			}
		}
	}
	if json.Unmarshal(raw, v.Addr().Interface()) != nil {
		return &shapeFault{problem: "is not " + kindName(v.Type())}
	}
	return nil
}

func decodeArray(raw []byte, v reflect.Value) *shapeFault {
	if raw[0] != '[' {
		return &shapeFault{problem: "is not an array"}
	}
	n := 0
	_ = eachElement(raw, func([]byte) *shapeFault { n++; return nil }) // which reports none
	v.Set(reflect.MakeSlice(v.Type(), n, n))
	i := -1
	return eachElement(raw, func(element []byte) *shapeFault {
		i++
		f := decode(element, v.Index(i))
		if isNull(element) && v.Index(i).Kind() == reflect.Struct {
			f = &shapeFault{problem: "is null"}
		}
		if f != nil {
			return f.below("[" + strconv.Itoa(i) + "]")
		}
		return nil
	})
}

func decodeObject(raw []byte, v reflect.Value) *shapeFault {
	if raw[0] != '{' {
		return &shapeFault{problem: "is not an object"}
	}
	p := planOf(v.Type())
	var few [32][]byte // enough for every record, so that they stay on the stack
	values := few[:]
	if p.count > len(few) {
		values = make([][]byte, p.count)
	}
	_ = eachMember(raw, func(name, value []byte) *shapeFault { // which reports none
		for _, slot := range p.slots[string(name)] {
			values[slot] = value
		}
		return nil
	})
	for i := range p.members {
		m := &p.members[i]
		value := values[i]
		if m.alt != 0 && values[m.alt] != nil && (value == nil || isNull(value)) {
			value = values[m.alt]
		}
		if f := m.decode(value, v); f != nil {
			return f.below(m.name)
		}
	}
	if p.raw != nil {
		v.FieldByIndex(p.raw).SetBytes(withoutTokens(raw))
	}
	if record, ok := v.Addr().Interface().(faulty); ok {
		return record.fault()
	}
	return nil
}

// decode reads the member's value, nil if it is absent, into the struct.
func (m *member) decode(raw []byte, object reflect.Value) *shapeFault {
	switch {
	case raw == nil && m.need != "":
		return &shapeFault{problem: missing}
	case raw == nil:
		return nil
	case isNull(raw) && (m.need == "value" || m.need == "text"):
		return &shapeFault{problem: "is null"}
	}
	v := object.FieldByIndex(m.index)
	if f := decode(raw, v); f != nil {
		return f
	}
	if m.need == "text" && v.Len() == 0 {
		return &shapeFault{problem: "is empty"}
	}
	return nil
}

func isNull(raw []byte) bool { return string(raw) == "null" }

var (
	rawType    = reflect.TypeFor[json.RawMessage]()
	numberType = reflect.TypeFor[json.Number]()
)

// kindName says in the words of JSON what a member has to be.
func kindName(t reflect.Type) string {
	switch {
	case t == numberType:
		return "a number"
	case t.Kind() == reflect.String:
		return "a string"
	case t.Kind() == reflect.Bool:
		return "a boolean"
	case t.Kind() == reflect.Map:
		return "an object of strings"
	}
	return "an integer"
}

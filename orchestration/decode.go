// SPDX-License-Identifier: Apache-2.0

package orchestration

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"sync"
)

// Replies are decoded by the struct tags of their types, and not by encoding/json
// as a whole, for three reasons: a missing member is an error that names its
// path, names match exactly, and a record keeps its object in Raw. Tags:
//
//	json:"name"     the member
//	alt:"name"      a second name, used if the first is absent or null
//	need:"present"  has to be there, may be null
//	need:"value"    has to be there and not null
//	need:"text"     has to be a text with at least one character

// faulty is a record with a condition that tags cannot express.
type faulty interface{ fault() *shapeFault }

// plan is how to decode one struct type.
type plan struct {
	members []member
	raw     []int // index of the Raw member, nil if there is none
}

type member struct {
	index     []int
	name, alt string
	need      string
}

var plans sync.Map // of reflect.Type to *plan

func planOf(t reflect.Type) *plan {
	if p, ok := plans.Load(t); ok {
		return p.(*plan)
	}
	p := &plan{}
	p.add(t, nil)
	plans.Store(t, p)
	return p
}

func (p *plan) add(t reflect.Type, at []int) {
	for i := range t.NumField() {
		f := t.Field(i)
		index := append(append([]int(nil), at...), i)
		switch {
		case f.Anonymous:
			p.add(f.Type, index)
		case f.Name == "Raw":
			p.raw = index
		default:
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			p.members = append(p.members, member{index: index, name: name, alt: f.Tag.Get("alt"), need: f.Tag.Get("need")})
		}
	}
}

// decode reads the JSON value into v, which is addressable. Path is where the
// value stands in the reply.
func decode(raw json.RawMessage, v reflect.Value, path string) *shapeFault {
	switch {
	case isNull(raw):
		return nil
	case v.Kind() == reflect.Pointer:
		target := reflect.New(v.Type().Elem())
		v.Set(target)
		return decode(raw, target.Elem(), path)
	case v.Kind() == reflect.Struct:
		return decodeObject(raw, v, path)
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct:
		return decodeArray(raw, v, path)
	}
	if json.Unmarshal(raw, v.Addr().Interface()) != nil {
		return &shapeFault{member: path, problem: "is not " + kindName(v.Type())}
	}
	return nil
}

func decodeArray(raw json.RawMessage, v reflect.Value, path string) *shapeFault {
	var elements []json.RawMessage
	if json.Unmarshal(raw, &elements) != nil {
		return &shapeFault{member: path, problem: "is not an array"}
	}
	v.Set(reflect.MakeSlice(v.Type(), len(elements), len(elements)))
	for i, element := range elements {
		at := path + "[" + strconv.Itoa(i) + "]"
		if isNull(element) {
			return &shapeFault{member: at, problem: "is null"}
		}
		if f := decodeObject(element, v.Index(i), at); f != nil {
			return f
		}
	}
	return nil
}

func decodeObject(raw json.RawMessage, v reflect.Value, path string) *shapeFault {
	var object map[string]json.RawMessage
	if json.Unmarshal(raw, &object) != nil || object == nil {
		if path == "" {
			path = "the reply"
		}
		return &shapeFault{member: path, problem: "is not an object"}
	}
	p := planOf(v.Type())
	for _, m := range p.members {
		value, ok := object[m.name]
		if alt, has := object[m.alt]; m.alt != "" && has && (!ok || isNull(value)) {
			value, ok = alt, true
		}
		if f := m.decode(value, ok, v.FieldByIndex(m.index), dotted(path, m.name)); f != nil {
			return f
		}
	}
	if p.raw != nil {
		v.FieldByIndex(p.raw).SetBytes(withoutTokens(raw))
	}
	if record, ok := v.Addr().Interface().(faulty); ok {
		if f := record.fault(); f != nil {
			return f.below(path)
		}
	}
	return nil
}

func (m member) decode(raw json.RawMessage, ok bool, v reflect.Value, path string) *shapeFault {
	switch {
	case !ok && m.need != "":
		return &shapeFault{member: path, problem: missing}
	case !ok:
		return nil
	case isNull(raw) && (m.need == "value" || m.need == "text"):
		return &shapeFault{member: path, problem: "is null"}
	}
	if f := decode(raw, v, path); f != nil {
		return f
	}
	if m.need == "text" && v.Len() == 0 {
		return &shapeFault{member: path, problem: "is empty"}
	}
	return nil
}

func dotted(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func isNull(raw json.RawMessage) bool { return bytes.Equal(bytes.TrimSpace(raw), []byte("null")) }

// kindName says in the words of JSON what a member has to be.
func kindName(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[json.Number]():
		return "a number"
	case t.Kind() == reflect.String:
		return "a string"
	case t.Kind() == reflect.Bool:
		return "a boolean"
	case t.Kind() == reflect.Slice:
		return "an array of strings"
	case t.Kind() == reflect.Map:
		return "an object of strings"
	}
	return "an integer"
}

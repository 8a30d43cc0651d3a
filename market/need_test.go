// SPDX-License-Identifier: Apache-2.0

package market

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/agentd-project/agentd/orchestration"
)

func TestAcceptance(t *testing.T) {
	const schema = `{"type":"object","required":["price"],"properties":{"price":{"type":"string","pattern":"^[0-9.]+$"}}}`
	tests := []struct {
		name   string
		accept Acceptance
		result string
		want   string // part of the error; empty accepts
	}{
		{"no schema takes anything", Acceptance{}, `[1]`, ""},
		{"a fitting result", Acceptance{Schema: json.RawMessage(schema)}, `{"price":"1.5"}`, ""},
		{"a missing member", Acceptance{Schema: json.RawMessage(schema)}, `{}`, "schema"},
		{"a wrong type", Acceptance{Schema: json.RawMessage(schema)}, `{"price":1.5}`, "schema"},
		{"null is no result", Acceptance{Schema: json.RawMessage(schema)}, `null`, "no result"},
		{"nothing is no result", Acceptance{}, ``, "no result"},
		{"not JSON", Acceptance{Schema: json.RawMessage(schema)}, `{"price":`, "not JSON"},
		{"at the size limit", Acceptance{MaxBytes: 4}, `"ab"`, ""},
		{"one past the size limit", Acceptance{MaxBytes: 4}, `"abc"`, "more than 4"},
		{"a number beyond all use", Acceptance{Schema: json.RawMessage(`{"items":{"multipleOf":1}}`)}, `[1,1e1000001]`, "exponent"},
		{"a large number", Acceptance{Schema: json.RawMessage(`{"type":"number"}`)}, `1e308`, ""},
		{"a schema with a number beyond all use", Acceptance{Schema: json.RawMessage(`{"multipleOf":1e-1000001}`)}, `1`, "exponent"},
		{"a schema cannot fetch", Acceptance{Schema: json.RawMessage(`{"$ref":"https://example.invalid/x.json"}`)}, `1`, "not followed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.accept.check(json.RawMessage(tt.result))
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("got %v, want acceptance", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestInputFitsContract(t *testing.T) {
	contract := &orchestration.OperationContract{InputFields: []orchestration.ContractField{
		{Key: "pair", Type: "string"}, {Key: "depth", Type: "integer"}, {Key: "raw", Type: "bytes"},
	}}
	tests := []struct {
		name, input string
		contract    *orchestration.OperationContract
		ok          bool
	}{
		{"all known", `{"pair":"A/B","depth":3}`, contract, true},
		{"a part of it", `{"pair":"A/B"}`, contract, true},
		{"nothing", ``, contract, true},
		{"a type nobody published", `{"raw":1}`, contract, true},
		{"an unknown member", `{"pairs":"A/B"}`, contract, false},
		{"a wrong type", `{"pair":1}`, contract, false},
		{"not an object", `[1]`, contract, false},
		{"no contract", `{"anything":1}`, nil, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := fits(tt.contract, json.RawMessage(tt.input)); (err == nil) != tt.ok {
				t.Errorf("got %v, want ok %v", err, tt.ok)
			}
		})
	}
}

func TestDeliveryKeepsEarlierResults(t *testing.T) {
	d := Delivery{File: filepath.Join(t.TempDir(), "price.json"), Keep: 2}
	for _, result := range []string{`1`, `2`, `3`, `3`, `4`} {
		if err := d.write(json.RawMessage(result)); err != nil {
			t.Fatalf("write %s: %v", result, err)
		}
	}
	for name, want := range map[string]string{d.File: `4`, d.File + ".1": `3`, d.File + ".2": `2`} {
		got, err := os.ReadFile(name)
		if err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v, want %q", filepath.Base(name), got, err, want)
		}
	}
	if _, err := os.Stat(d.File + ".3"); err == nil {
		t.Error("got a third earlier result, want two")
	}
}

func TestDeliveryFailsLoudly(t *testing.T) {
	d := Delivery{File: filepath.Join(t.TempDir(), "missing", "price.json")}
	if err := d.write(json.RawMessage(`1`)); err == nil {
		t.Error("got nil, want an error for a directory that is not there")
	}
}

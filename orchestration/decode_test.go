// SPDX-License-Identifier: Apache-2.0

package orchestration

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func read[T any](t *testing.T, text string) (*T, *shapeFault) {
	t.Helper()
	if !json.Valid([]byte(text)) {
		t.Fatalf("not JSON: %s", text)
	}
	v := new(T)
	f := decode([]byte(text), reflect.ValueOf(v).Elem())
	if f != nil {
		f = f.below("item")
	}
	return v, f
}

const railText = `{"id":"p","orderId":"o","machineId":"m","status":"held","createdAt":"","updatedAt":"","rail":%}`

func TestSecondNames(t *testing.T) {
	for name, tc := range map[string]struct{ rail, want, fault string }{
		"first":           {`{"type":"x402"}`, "x402", ""},
		"second":          {`{"railType":"wallet"}`, "wallet", ""},
		"both":            {`{"type":"x402","railType":"wallet"}`, "x402", ""},
		"first is null":   {`{"type":null,"railType":"wallet"}`, "wallet", ""},
		"none":            {`{}`, "", "item.rail.type is missing"},
		"empty":           {`{"type":""}`, "", "item.rail.type is empty"},
		"of another case": {`{"Type":"x402"}`, "", "item.rail.type is missing"},
		"number":          {`{"type":1}`, "", "item.rail.type is not a string"},
	} {
		p, f := read[Payment](t, strings.Replace(railText, "%", tc.rail, 1))
		switch {
		case tc.fault == "" && f != nil:
			t.Errorf("%s: %v", name, f)
		case tc.fault != "" && (f == nil || f.Error() != tc.fault):
			t.Errorf("%s: got %v, want %s", name, f, tc.fault)
		case tc.fault == "" && string(p.Rail.Type) != tc.want:
			t.Errorf("%s: got %q, want %q", name, p.Rail.Type, tc.want)
		}
	}
	agent, f := read[MachineAgent](t, `{"id":"a","machineId":"m","label":"l","status":"provisioned","createdAt":"","updatedAt":"","agentToken":"MARKER"}`)
	if f != nil || agent.ProvisioningToken != "MARKER" {
		t.Errorf("got %v, %v", agent.ProvisioningToken.Reveal(), f)
	}
}

func TestUnknownMembersAndValuesAreKept(t *testing.T) {
	text := `{"id":"p","orderId":"o","machineId":"m","status":"half_held","createdAt":"t","updatedAt":"t","amount":1.10,
		"rail":{"type":"mpp","metadata":{"rawAmount":"1","snake_key":{"b":null}},"brandNew":1},"brandNew":{"a":[1]}}`
	p, f := read[Payment](t, text)
	if f != nil {
		t.Fatal(f)
	}
	if p.Status != "half_held" || p.Rail.Type != RailMPP || p.Amount != "1.10" {
		t.Errorf("got %q, %q, %q", p.Status, p.Rail.Type, p.Amount)
	}
	if string(p.Raw) != text || string(p.Rail.Metadata) != `{"rawAmount":"1","snake_key":{"b":null}}` || !strings.Contains(string(p.Rail.Raw), "brandNew") {
		t.Errorf("raw %s, metadata %s, rail %s", p.Raw, p.Rail.Metadata, p.Rail.Raw)
	}
}

func TestRawHoldsNoToken(t *testing.T) {
	pairing := `{"id":"p","machineId":"m","agentAddress":"a","agentProvider":"p","agentRole":"r","status":"active","hasAuthToken":true,
		"delegationPolicy":{},"createdAt":"","updatedAt":"","tokenLastFour":"RKER","pairingToken":"MARKER","more":[{"pairingToken":"MARKER"}]}`
	listed, f := read[Pairing](t, pairing)
	if f != nil {
		t.Fatal(f)
	}
	issued, f := read[IssuedPairing](t, pairing)
	if f != nil || issued.PairingToken != "MARKER" || issued.ID != "p" {
		t.Fatalf("got %+v, %v", issued, f)
	}
	for name, raw := range map[string]json.RawMessage{"list": listed.Raw, "create": issued.Raw} {
		if text := string(raw); strings.Contains(text, "MARKER") || !strings.Contains(text, `"tokenLastFour":"RKER"`) {
			t.Errorf("%s: got %s", name, text)
		}
	}
}

func TestNumbersKeepTheirText(t *testing.T) {
	for text, want := range map[string]string{
		"0.1": "0.1", "1e-7": "1e-7", "100000000000000000000000000.000000000000000001": "100000000000000000000000000.000000000000000001",
		"-1": "-1", `"1.5"`: "1.5", "null": "",
		`"NaN"`: "!", `"Infinity"`: "!", "true": "!", "{}": "!", `""`: "!",
	} {
		p, f := read[Pricing](t, `{"mode":"fixed","amount":`+text+`}`)
		switch {
		case want == "!" && (f == nil || f.Error() != "item.amount is not a number"):
			t.Errorf("%s: got %v, want a refusal", text, f)
		case want != "!" && (f != nil || string(p.Amount) != want):
			t.Errorf("%s: got %q, %v, want %q", text, p.Amount, f, want)
		}
	}
}

func TestWrongTypesAreNamed(t *testing.T) {
	for text, want := range map[string]string{
		`[]`:                           "item is not an object",
		`{"mode":"fixed","notes":"x"}`: "item.notes is not an array",
		`{"mode":"fixed","notes":[1]}`: "item.notes[0] is not a string",
		`{"mode":{}}`:                  "item.mode is not a string",
		`{"mode":"fixed","currency":7,"notes":[]}`: "item.currency is not a string",
	} {
		if _, f := read[Pricing](t, text); f == nil || f.Error() != want {
			t.Errorf("%s: got %v, want %s", text, f, want)
		}
	}
	if _, f := read[SkillManifest](t, `{"key":"k","providerKey":"p","label":"l","summary":"s","inputs":[null],"outputs":[]}`); f == nil || f.Error() != "item.inputs[0] is null" {
		t.Errorf("got %v", f)
	}
}

func TestExecutionForms(t *testing.T) {
	run, outcome := `"run":{"id":"r","status":"completed"}`, `"outcome":{"id":"o","status":"failed","skillKey":"k","serviceId":"s","executionMode":"native"}`
	for text, want := range map[string]string{
		`{"statusCode":200,` + run + `,` + outcome + `}`:                    "",
		`{"statusCode":202,"handoff":{"label":"l","url":"u"}}`:              "",
		`{"statusCode":200,` + outcome + `}`:                                "item.run is missing",
		`{"statusCode":200,` + run + `}`:                                    "item.outcome is missing",
		`{"statusCode":202,` + run + `,` + outcome + `}`:                    "item.handoff is missing",
		`{"statusCode":201,` + run + `,` + outcome + `}`:                    "item.statusCode is neither 200 nor 202",
		`{"statusCode":"200",` + run + `,` + outcome + `}`:                  "item.statusCode is not an integer",
		`{` + run + `,` + outcome + `}`:                                     "item.statusCode is missing",
		`{"statusCode":200,"run":null,` + outcome + `}`:                     "item.run is missing",
		`{"statusCode":200,"run":{"id":"r"},` + outcome + `}`:               "item.run.status is missing",
		`{"statusCode":202,"handoff":{"label":"l"},` + run + `}`:            "item.handoff.url is missing",
		`{"statusCode":202,"handoff":{"label":"l","url":"u"},"run":"none"}`: "item.run is not an object",
	} {
		_, f := read[Execution](t, text)
		if got := fault(f); got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}

func fault(f *shapeFault) string {
	if f == nil {
		return ""
	}
	return f.Error()
}

func TestTimestamp(t *testing.T) {
	at, err := Timestamp("2026-11-24T08:05:00.123+02:00").Time()
	if err != nil || at.UTC().String() != "2026-11-24 06:05:00.123 +0000 UTC" {
		t.Errorf("got %v, %v", at, err)
	}
	for _, text := range []Timestamp{"", "tomorrow", "2026-11-24T08:05:00"} {
		if _, err := text.Time(); err == nil {
			t.Errorf("%q: no error", text)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"id":"o","payment":{"defaultRail":"wallet","required":true},"handoff":{"label":"l","url":"u"}}`))
	f.Add([]byte(`{"quotes":[{"pricing":{"amount":1}}],"normalizedTask":null}`))
	f.Add([]byte(` { "a\\u0062" : [ null , { } ,"x\\"}" , -1.5e3,[[ ]] ] , "a":1,"a":{"b":"]"} } `))
	f.Add([]byte(`{"items":[null],"\xff":"\xff"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if !json.Valid(text) {
			return
		}
		trimmed := bytes.TrimSpace(text)
		for _, v := range []any{&Order{}, &SearchResult{}, &Payment{}, &ExecuteReply{}, &IssuedPairing{}, &Machine{}, &Service{}} {
			_ = decode(trimmed, reflect.ValueOf(v).Elem())
		}
		splitsLikeEncodingJSON(t, trimmed)
	})
}

// splitsLikeEncodingJSON compares the splitting of valid text with that of
// encoding/json, to the bottom.
func splitsLikeEncodingJSON(t *testing.T, text []byte) {
	t.Helper()
	switch text[0] {
	case '{':
		want := map[string]json.RawMessage{}
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatal(err)
		}
		got := map[string]json.RawMessage{}
		_ = eachMember(text, func(name, value []byte) *shapeFault {
			got[strings.ToValidUTF8(string(name), "\uFFFD")] = value
			return nil
		})
		for name := range want {
			if strings.Contains(name, "\uFFFD") {
				return // several spellings of what is no text
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%s (-want +got):\n%s", text, diff)
		}
		for _, value := range got {
			splitsLikeEncodingJSON(t, value)
		}
	case '[':
		var want, got []json.RawMessage
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatal(err)
		}
		_ = eachElement(text, func(value []byte) *shapeFault { got = append(got, value); return nil })
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("%s (-want +got):\n%s", text, diff)
		}
		for _, value := range got {
			splitsLikeEncodingJSON(t, value)
		}
	case '"':
		var want string
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatal(err)
		}
		if got, ok := plainString(text); ok && got != want {
			t.Fatalf("%s: got %q, want %q", text, got, want)
		}
	}
}

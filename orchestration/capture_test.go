// SPDX-License-Identifier: Apache-2.0

package orchestration

import (
	"encoding/json"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"sort"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// capture is a recorded exchange of the official SDK, see the README beside them.
type capture struct {
	Requests []struct {
		Variant, Method, Path string
		Query, Headers        map[string]string
		Body                  json.RawMessage
		BodySent              bool
	}
	Responses struct{ Minimal, Full reply }
	Decoder   struct{ Checked map[string][]string }
}

type reply struct {
	Status int
	Body   json.RawMessage
}

func captures(t testing.TB) map[string]capture {
	t.Helper()
	files, err := filepath.Glob("testdata/captures/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no captures: %v", err)
	}
	all := map[string]capture{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var c capture
		if err := json.Unmarshal(text, &c); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all[strings.TrimSuffix(filepath.Base(file), ".json")] = c
	}
	return all
}

// sent is what the recorder saw of a request.
type sent struct {
	Method, Path string
	Query        map[string]string
	Headers      map[string]string
	BodySent     bool
	Body         any
	raw          []byte
}

// recorder is a server that answers everything with one reply and keeps the last
// request.
type recorder struct {
	*httptest.Server
	reply reply
	last  sent
	calls int
}

func newRecorder(t *testing.T) *recorder {
	t.Helper()
	r := &recorder{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			t.Errorf("reading the request: %v", err)
		}
		r.calls++
		r.last = sent{
			Method: req.Method, Path: req.URL.EscapedPath(), Query: flat(req.URL.Query()),
			Headers: map[string]string{}, BodySent: len(body) > 0, raw: body,
		}
		for _, name := range []string{"x-api-key", "x-agent-pairing-token", "content-type"} {
			if v := req.Header.Get(name); v != "" {
				r.last.Headers[name] = v
			}
		}
		if len(body) > 0 {
			r.last.Body = value(t, body)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(r.reply.Status)
		if r.reply.Status != http.StatusNoContent {
			_, _ = w.Write(r.reply.Body)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *recorder) client(t *testing.T) *Client {
	t.Helper()
	c, err := New(Config{BaseURL: r.URL, APIKey: "platform-key-EXAMPLE", Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func flat(v url.Values) map[string]string {
	out := map[string]string{}
	for name := range v {
		out[name] = v.Get(name)
	}
	return out
}

func value(t *testing.T, text []byte) any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("not JSON: %v: %.200s", err, text)
	}
	return v
}

// sameNumber compares 2.0 and 2 as equal.
var sameNumber = cmp.Comparer(func(a, b json.Number) bool {
	x, ok := new(big.Rat).SetString(a.String())
	y, ok2 := new(big.Rat).SetString(b.String())
	return ok && ok2 && x.Cmp(y) == 0
})

// heartbeatAsDocumented turns the SDK's heartbeat body into the documented form:
// camelCase entries, unset members left out.
func heartbeatAsDocumented(body any) any {
	names := map[string]string{
		"provider_key": "providerKey", "endpoint_base_url": "endpointBaseUrl", "auth_type": "authType", "auth_token": "authToken",
		"model_alias": "modelAlias", "network_scope": "networkScope", "probe_path": "probePath",
	}
	switch v := body.(type) {
	case map[string]any:
		out := map[string]any{}
		for name, member := range v {
			if camel, ok := names[name]; ok {
				name = camel
			}
			if member != nil {
				out[name] = heartbeatAsDocumented(member)
			}
		}
		return out
	case []any:
		for i := range v {
			v[i] = heartbeatAsDocumented(v[i])
		}
	}
	return body
}

func TestEveryCaptureIsReplayed(t *testing.T) {
	for name, c := range captures(t) {
		for _, r := range c.Requests {
			if replays[name][r.Variant] == nil {
				t.Errorf("%s: variant %q has no replay", name, r.Variant)
			}
		}
		if got, want := len(replays[name]), len(c.Requests); got != want {
			t.Errorf("%s: %d replays, want %d", name, got, want)
		}
	}
}

func TestRequestsEqualTheSDKs(t *testing.T) {
	rec := newRecorder(t)
	client := rec.client(t)
	for name, c := range captures(t) {
		for _, r := range c.Requests {
			t.Run(name+"/"+r.Variant, func(t *testing.T) {
				rec.reply = c.Responses.Minimal
				if _, err := replays[name][r.Variant](t.Context(), client); err != nil {
					t.Fatalf("call: %v", err)
				}
				want := sent{Method: r.Method, Path: r.Path, Query: r.Query, Headers: r.Headers, BodySent: r.BodySent}
				delete(want.Headers, "user-agent") // ours is agentd's, see TestUserAgent
				if r.BodySent {
					want.Body = value(t, r.Body)
				}
				if name == "agent-heartbeat" {
					want.Body = heartbeatAsDocumented(want.Body)
				}
				if diff := cmp.Diff(want, rec.last, sameNumber, cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".raw" }, cmp.Ignore())); diff != "" {
					t.Errorf("request differs (-SDK +ours):\n%s", diff)
				}
			})
		}
	}
}

func TestRepliesAreReadWhole(t *testing.T) {
	rec := newRecorder(t)
	client := rec.client(t)
	for name, c := range captures(t) {
		for which, reply := range map[string]reply{"minimal": c.Responses.Minimal, "full": c.Responses.Full} {
			t.Run(name+"/"+which, func(t *testing.T) {
				rec.reply = reply
				got, err := replays[name][c.Requests[0].Variant](t.Context(), client)
				if err != nil {
					t.Fatalf("call: %v", err)
				}
				if got == nil || reply.Status == http.StatusNoContent {
					return
				}
				want := value(t, reply.Body).(map[string]any)
				have := projection(t, reflect.ValueOf(got))
				if item, ok := want["item"].(map[string]any); ok {
					want = item
				}
				containsAll(t, "", want, have)
			})
		}
	}
}

// projection turns a decoded record back into what JSON would show of it, by the
// tags that the decoder uses.
func projection(t *testing.T, v reflect.Value) any {
	t.Helper()
	switch {
	case v.Kind() == reflect.Pointer && v.IsNil():
		return nil
	case v.Kind() == reflect.Pointer:
		return projection(t, v.Elem())
	case v.Type() == reflect.TypeFor[json.RawMessage]():
		if v.Len() == 0 {
			return nil
		}
		return value(t, v.Bytes())
	case v.Type() == reflect.TypeFor[json.Number]():
		return json.Number(v.String())
	case v.Type() == reflect.TypeFor[Secret]():
		return v.Interface().(Secret).Reveal()
	case v.Kind() == reflect.Struct && strings.HasPrefix(v.Type().Name(), "Page["):
		return map[string]any{"items": projection(t, v.FieldByName("Items")), "nextCursor": v.FieldByName("Next").String()}
	case v.Kind() == reflect.Struct:
		out := map[string]any{}
		for _, m := range planOf(v.Type()).members {
			out[m.name] = projection(t, v.FieldByIndex(m.index))
		}
		return out
	case v.Kind() == reflect.Slice:
		out := []any{}
		for i := range v.Len() {
			out = append(out, projection(t, v.Index(i)))
		}
		return out
	case v.Kind() == reflect.Map:
		out := map[string]any{}
		for _, key := range v.MapKeys() {
			out[key.String()] = projection(t, v.MapIndex(key))
		}
		return out
	case v.Kind() == reflect.Bool:
		return v.Bool()
	case v.Kind() == reflect.Int:
		return json.Number(big.NewInt(v.Int()).String())
	}
	return v.String()
}

// containsAll fails for every leaf of want that have does not show.
func containsAll(t *testing.T, path string, want, have any) {
	t.Helper()
	switch w := want.(type) {
	case nil:
		return
	case map[string]any:
		h, _ := have.(map[string]any)
		names := make([]string, 0, len(w))
		for name := range w {
			names = append(names, name)
		}
		sort.Strings(names)
		for _, name := range names {
			containsAll(t, path+"."+name, w[name], h[name])
		}
	case []any:
		h, _ := have.([]any)
		if len(h) != len(w) {
			t.Errorf("%s: got %v, want %v", path, have, want)
			return
		}
		for i := range w {
			containsAll(t, path, w[i], h[i])
		}
	default:
		if diff := cmp.Diff(want, have, sameNumber); diff != "" {
			t.Errorf("%s: got %v, want %v", path, have, want)
		}
	}
}

// failing are the outcomes by which the SDK shows that it cannot do without a
// member.
var failing = map[string]bool{"INVALID_RESPONSE_SHAPE": true, "KeyError": true, "TypeError": true}

func TestAbsentMembersAreNamed(t *testing.T) {
	rec := newRecorder(t)
	client := rec.client(t)
	for name, c := range captures(t) {
		for path, outcomes := range c.Decoder.Checked {
			if !failing[outcomes[0]] {
				continue
			}
			t.Run(name+"/"+path, func(t *testing.T) {
				rec.reply = reply{c.Responses.Full.Status, edit(t, c.Responses.Full.Body, path, true)}
				if name == "health" {
					rec.reply.Body = []byte(`{}`)
				}
				_, err := replays[name][c.Requests[0].Variant](t.Context(), client)
				wantShape(t, err, path)
			})
		}
	}
}

func TestNullMembersThatTheSDKRefuses(t *testing.T) {
	rec := newRecorder(t)
	client := rec.client(t)
	for name, c := range captures(t) {
		for path, outcomes := range c.Decoder.Checked {
			if !failing[outcomes[1]] {
				continue
			}
			// A null label or address of a handoff is the reader's to deal with: only
			// the strict decoder of execute refuses it.
			if strings.HasPrefix(name, "order-execute") && strings.Contains(path, "handoff.") {
				continue
			}
			t.Run(name+"/"+path, func(t *testing.T) {
				rec.reply = reply{c.Responses.Full.Status, edit(t, c.Responses.Full.Body, path, false)}
				_, err := replays[name][c.Requests[0].Variant](t.Context(), client)
				wantShape(t, err, path)
			})
		}
	}
}

func wantShape(t *testing.T, err error, path string) {
	t.Helper()
	api, ok := err.(*APIError) //nolint:errorlint // the client returns it unwrapped, which is part of the test
	if !ok || api.Code != CodeInvalidResponseShape || api.Status != 0 {
		t.Fatalf("got %v, want %s", err, CodeInvalidResponseShape)
	}
	if at := strings.ReplaceAll(path, "[]", "[0]"); !strings.HasPrefix(api.Message, at+" ") {
		t.Errorf("message %q does not name %s", api.Message, at)
	}
}

// edit removes the member at the path, or sets it to null.
func edit(t *testing.T, body []byte, path string, remove bool) []byte {
	t.Helper()
	root := value(t, body)
	at := root
	parts := strings.Split(path, ".")
	for i, part := range parts {
		name, isArray := strings.CutSuffix(part, "[]")
		object, ok := at.(map[string]any)
		if !ok {
			t.Fatalf("%s: no object above %s", path, part)
		}
		switch {
		case i < len(parts)-1 && isArray:
			at = object[name].([]any)[0]
		case i < len(parts)-1:
			at = object[name]
		case remove:
			delete(object, name)
		default:
			object[name] = nil
		}
	}
	out, err := json.Marshal(root)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// SPDX-License-Identifier: Apache-2.0

package orchestration

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// calls are all replays, in a fixed order.
func calls() (names []string, do []replay) {
	for capture, variants := range replays {
		for variant := range variants {
			names = append(names, capture+"\x00"+variant)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		capture, variant, _ := strings.Cut(name, "\x00")
		do = append(do, replays[capture][variant])
	}
	return names, do
}

// shows says whether a text holds a credential of the calls.
func shows(text string) bool {
	for _, secret := range []Secret{"platform-key-EXAMPLE", testToken} {
		if strings.Contains(text, secret.Reveal()) {
			return true
		}
	}
	return false
}

// FuzzReplies answers every operation with any bytes: they are a reply of the
// documented shape or a typed error, which shows no credential and has an action.
func FuzzReplies(f *testing.F) {
	names, do := calls()
	all := captures(f)
	for i, name := range names {
		capture, _, _ := strings.Cut(name, "\x00")
		for _, r := range []reply{all[capture].Responses.Minimal, all[capture].Responses.Full} {
			f.Add(uint16(i), uint16(r.Status-200), []byte(r.Body)) //nolint:gosec // few, and a status
		}
	}
	f.Add(uint16(0), uint16(200), []byte(`{"item":{"id":"platform-key-EXAMPLE"}}`))
	f.Add(uint16(3), uint16(404), []byte(`{"error":{"code":"NOT_FOUND","message":"pairing-token-EXAMPLE","details":{"token":"x"}}}`))
	f.Fuzz(func(t *testing.T, which, status uint16, body []byte) {
		code := 200 + int(status)%229 // below 429: what is repeated would wait
		sent := 0
		c := fakeClient(t, func(r *http.Request) (*http.Response, error) {
			sent++
			return respond(r, code, nil, string(body)), nil
		})
		got, err := do[int(which)%len(do)](t.Context(), c)
		if sent > 1 {
			t.Fatalf("%d requests for one answer of status %d", sent, code)
		}
		var api *APIError
		switch {
		case err == nil && code >= 300:
			if code != http.StatusNotFound || sent == 0 || got != (*Payment)(nil) {
				t.Fatalf("%q: no error for status %d", names[int(which)%len(do)], code)
			}
		case err == nil:
		case shows(err.Error()):
			t.Fatalf("the error shows a credential: %s", err)
		case len(err.Error()) > 2<<10:
			t.Fatalf("the error has %d bytes", len(err.Error()))
		case Classify(err) == ActionNone:
			t.Fatalf("no action for %v", err)
		case errors.As(err, &api) && len(api.Details) > maxDetails*6:
			t.Fatalf("details of %d bytes", len(api.Details))
		}
	})
}

// FuzzErrors reads error envelopes and Retry-After: a code is a code, the wait is
// bounded, no text is longer than its bound or shows a credential.
func FuzzErrors(f *testing.F) {
	f.Add(uint16(401), "", []byte(`{"error":{"code":"AGENT_AUTH_INVALID","message":"no pairing-token-EXAMPLE","details":{"a":[1,{"token":"b"}]}}}`))
	f.Add(uint16(429), "31536000", []byte(`{"error":{"code":"RATE_LIMITED","message":""}}`))
	f.Add(uint16(503), "Fri, 31 Dec 9999 23:59:59 GMT", []byte(`<html>`))
	f.Add(uint16(302), "-1", []byte(`{"error":{"code":"platform-key-EXAMPLE"}}`))
	f.Fuzz(func(t *testing.T, status uint16, wait string, body []byte) {
		c := fakeClient(t, nil)
		a := &answer{status: 300 + int(status)%300, header: http.Header{"Retry-After": {wait}}, body: body}
		err := c.apiError(request{op: opCreateOrder, token: testToken}, a)
		var api *APIError
		if !errors.As(err, &api) {
			t.Fatalf("got %T", err)
		}
		if api.RetryAfter < 0 || api.RetryAfter > retryAfterCap {
			t.Fatalf("Retry-After %q: wait %s", wait, api.RetryAfter)
		}
		most := func(d time.Duration) time.Duration { return d }
		if d := backoff(most)(retryWaitMin, retryWaitMax, 1, &http.Response{Header: a.header}); d < 0 || d > retryAfterMax {
			t.Fatalf("Retry-After %q: pause %s", wait, d)
		}
		if !wellFormed(api.Code, redactor{}) || shows(api.Error()) || shows(string(api.Details)) {
			t.Fatalf("%+v", api)
		}
		if len(api.Message) > maxMessage+8 || !utf8.ValidString(api.Message) {
			t.Fatalf("message of %d bytes: %q", len(api.Message), api.Message)
		}
		if len(api.Details) > 0 && !json.Valid(api.Details) {
			t.Fatalf("details %s", api.Details)
		}
		if api.Status >= 500 && !Ambiguous(err) {
			t.Fatalf("status %d is not ambiguous", api.Status)
		}
		if _, known := codes[api.Code]; !known && Classify(err) != ActionWait && Classify(err) != ActionAsk {
			t.Fatalf("unknown code %s: %s", api.Code, Classify(err))
		}
	})
}

// FuzzPages walks lists whose pages are any bytes: the walk ends, and by an error
// unless the last page names no further one.
func FuzzPages(f *testing.F) {
	f.Add([]byte(`{"items":[],"nextCursor":"a"}`), []byte(`{"items":[],"nextCursor":"a"}`))
	f.Add([]byte(`{"items":[],"nextCursor":null}`), []byte(``))
	f.Add([]byte(`{"items":[null]}`), []byte(`{"items":7}`))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		asked := 0
		c := fakeClient(t, func(r *http.Request) (*http.Response, error) {
			asked++
			if asked == 1 {
				return respond(r, 200, nil, string(first)), nil
			}
			return respond(r, 200, nil, string(second)), nil
		})
		var last error
		for _, err := range c.Orders(t.Context(), "m", ListOptions{}) {
			last = err
		}
		if asked > 3 {
			t.Fatalf("%d pages of two", asked)
		}
		if asked == 3 && last == nil {
			t.Fatal("a page was read twice without an error")
		}
		if last != nil && Classify(last) == ActionNone {
			t.Fatalf("no action for %v", last)
		}
	})
}

// FuzzTexts reads the small texts of the API: a time and an identity.
func FuzzTexts(f *testing.F) {
	f.Add("2026-01-01T00:00:00.000Z")
	f.Add("did:peaq:184467")
	f.Add("peaqos:machine:18")
	f.Add("did:peaq:0x1111111111111111111111111111111111111111")
	f.Fuzz(func(t *testing.T, text string) {
		if at, err := Timestamp(text).Time(); err == nil {
			again, err := Timestamp(at.Format(time.RFC3339Nano)).Time()
			if err != nil || !again.Equal(at) {
				t.Fatalf("%q is %s, and that %s (%v)", text, at, again, err)
			}
		}
		ref, err := ParseIdentityRef(text)
		if err != nil {
			if len(err.Error()) > 2<<10 {
				t.Fatalf("error of %d bytes", len(err.Error()))
			}
			return
		}
		again, err := ParseIdentityRef(ref.String())
		if err != nil || again.String() != ref.String() {
			t.Fatalf("%q is %s, and that %s (%v)", text, ref, again, err)
		}
	})
}

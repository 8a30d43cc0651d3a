// SPDX-License-Identifier: Apache-2.0

package orchestration

import (
	"encoding/json"
	"net/http"
	"os"
	"reflect"
	"testing"
)

func captured(b *testing.B, name string) json.RawMessage {
	b.Helper()
	text, err := os.ReadFile("testdata/captures/" + name + ".json")
	if err != nil {
		b.Fatal(err)
	}
	var c capture
	if err := json.Unmarshal(text, &c); err != nil {
		b.Fatal(err)
	}
	return c.Responses.Full.Body
}

// BenchmarkGetOrder is a whole call without a network.
func BenchmarkGetOrder(b *testing.B) {
	body := string(captured(b, "order-get"))
	c, err := New(Config{BaseURL: "https://market.example", HTTPClient: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		return respond(r, 200, nil, body), nil
	})}})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.GetOrder(b.Context(), testToken, "ord_0001"); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecodeSearch reads one search with one quote.
func BenchmarkDecodeSearch(b *testing.B) {
	body := captured(b, "search-get")
	b.ReportAllocs()
	for b.Loop() {
		var reply struct {
			Item SearchResult `json:"item" need:"value"`
		}
		if f := decode(body, reflect.ValueOf(&reply).Elem()); f != nil {
			b.Fatal(f)
		}
	}
}

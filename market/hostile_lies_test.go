// SPDX-License-Identifier: Apache-2.0

package market_test

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"sync/atomic"
)

// lie edits one reply of the Market.
type lie func(reply map[string]any)

const stranger = "0x00000000000000000000000000000000000BADD1"

// on tells lies in the replies of one operation.
func on(operation string, lies ...lie) edit {
	return func(op string, reply map[string]any) {
		if op == operation {
			for _, tell := range lies {
				tell(reply)
			}
		}
	}
}

// each tells several lies at a time.
func each(edits ...edit) edit {
	return func(op string, reply map[string]any) {
		for _, tell := range edits {
			tell(op, reply)
		}
	}
}

// since tells lies from the first call of an operation on.
func since(operation string, tell edit) edit {
	var begun atomic.Bool
	return func(op string, reply map[string]any) {
		if op == operation {
			begun.Store(true)
		}
		if begun.Load() {
			tell(op, reply)
		}
	}
}

// quote edits every quote of a search.
func quote(edit func(quote map[string]any)) lie {
	return func(reply map[string]any) {
		for _, q := range item(reply)["quotes"].([]any) {
			edit(q.(map[string]any))
		}
	}
}

func item(reply map[string]any) map[string]any {
	if m, ok := reply["item"].(map[string]any); ok {
		return m
	}
	return map[string]any{"quotes": []any{}}
}

// listed edits every record of a list.
func listed(edit lie) lie {
	return func(reply map[string]any) {
		items, _ := reply["items"].([]any)
		for _, record := range items {
			edit(map[string]any{"item": record})
		}
	}
}

func child(m map[string]any, name string) map[string]any {
	c, ok := m[name].(map[string]any)
	if !ok {
		c = map[string]any{}
		m[name] = c
	}
	return c
}

// member sets a member of the record.
func member(name string, value any) lie {
	return func(reply map[string]any) { item(reply)[name] = value }
}

// offered sets a member of every quote, and pays one of how it is paid.
func offered(name string, value any) lie {
	return quote(func(q map[string]any) { q[name] = value })
}

func pays(name string, value any) lie {
	return quote(func(q map[string]any) { child(q, "payment")[name] = value })
}

func price(text string) lie {
	return quote(func(q map[string]any) { child(q, "pricing")["amount"] = json.Number(text) })
}

// payment edits the recommendation on an order.
func payment(name string, value any) lie {
	return func(reply map[string]any) { child(item(reply), "payment")[name] = value }
}

// rail edits the rail of an intent.
func rail(name string, value any) lie {
	return func(reply map[string]any) { child(item(reply), "rail")[name] = value }
}

func metadata(name string, value any) lie {
	return func(reply map[string]any) { child(child(item(reply), "rail"), "metadata")[name] = value }
}

// amounts changes both spellings of what an intent asks for.
func amounts(units, base string) lie {
	return func(reply map[string]any) {
		item(reply)["amount"] = json.Number(units)
		metadata("rawAmount", base)(reply)
	}
}

// challengeText edits the text of the x402 challenge inside an intent.
func challengeText(edit func(text string) string) lie {
	return func(reply map[string]any) {
		request := child(child(child(item(reply), "rail"), "metadata"), "paymentRequest")
		text, err := base64.StdEncoding.DecodeString(request["paymentRequired"].(string))
		if err != nil {
			panic(err)
		}
		request["paymentRequired"] = base64.StdEncoding.EncodeToString([]byte(edit(string(text))))
	}
}

// challenge edits the x402 challenge inside an intent.
func challenge(edit func(c map[string]any)) lie {
	return challengeText(func(text string) string {
		decoder := json.NewDecoder(strings.NewReader(text))
		decoder.UseNumber()
		var c map[string]any
		if err := decoder.Decode(&c); err != nil {
			panic(err)
		}
		edit(c)
		edited, err := json.Marshal(c)
		if err != nil {
			panic(err)
		}
		return string(edited)
	})
}

// entry edits the first entry of the challenge.
func entry(name string, value any) lie {
	return challenge(func(c map[string]any) { c["accepts"].([]any)[0].(map[string]any)[name] = value })
}

func without(name string) lie {
	return challenge(func(c map[string]any) { delete(c["accepts"].([]any)[0].(map[string]any), name) })
}

// accepts replaces the entries by copies of the honest one, each with other
// members.
func accepts(changes ...map[string]any) lie {
	return challenge(func(c map[string]any) {
		good := c["accepts"].([]any)[0].(map[string]any)
		var list []any
		for _, change := range changes {
			next := maps.Clone(good)
			maps.Copy(next, change)
			list = append(list, next)
		}
		c["accepts"] = list
	})
}

// lost drops the first answers of an operation after it was processed.
func lost(operation string, times int) serve {
	var seen atomic.Int64
	return func(op string, w http.ResponseWriter, _ *http.Request, honest func() *recorded) {
		rec := honest()
		if op == operation && seen.Add(1) <= int64(times) {
			panic(http.ErrAbortHandler)
		}
		send(w, rec)
	}
}

// lostThen loses the first answer of an operation and tells lies in others.
func lostThen(operation string, tell edit) serve {
	lose := lost(operation, 1)
	return func(op string, w http.ResponseWriter, r *http.Request, honest func() *recorded) {
		lose(op, w, r, func() *recorded {
			rec := honest()
			tell.apply(op, rec)
			return rec
		})
	}
}

// instead answers an operation without asking the Market.
func instead(operation string, answer http.HandlerFunc) serve {
	return func(op string, w http.ResponseWriter, r *http.Request, honest func() *recorded) {
		if op == operation {
			answer(w, r)
			return
		}
		send(w, honest())
	}
}

// refusal answers an operation with an error of the API.
func refusal(operation string, status int, code string) serve {
	return instead(operation, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(`{"error":{"code":"` + code + `","message":"the Market says so"}}`))
	})
}

// text rewrites the bytes of an operation's replies.
func text(operation string, rewrite func(body string) string) serve {
	return func(op string, w http.ResponseWriter, _ *http.Request, honest func() *recorded) {
		rec := honest()
		if op == operation {
			body := rewrite(rec.Body.String())
			rec.Body.Reset()
			rec.Body.WriteString(body)
			rec.Header().Del("Content-Length")
		}
		send(w, rec)
	}
}

// replaced puts other text for some of it.
func replaced(operation, old, by string) serve {
	return text(operation, func(body string) string { return strings.Replace(body, old, by, 1) })
}

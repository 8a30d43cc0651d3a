// SPDX-License-Identifier: Apache-2.0

package orchestration

import (
	"fmt"
	"iter"
	"net/http"
	"strings"
	"testing"
)

// pages serves one skill a page; next maps a cursor to the JSON of nextCursor.
func pages(t *testing.T, next func(cursor string) string) (*Client, *[]string) {
	t.Helper()
	item := string(captures(t)["skill-get"].Responses.Minimal.Body)
	item = strings.TrimSuffix(strings.TrimPrefix(strings.Join(strings.Fields(item), ""), `{"item":`), "}")
	var asked []string
	return fakeClient(t, func(r *http.Request) (*http.Response, error) {
		cursor := r.URL.Query().Get("cursor")
		asked = append(asked, r.URL.RawQuery)
		return respond(r, 200, nil, `{"items":[`+item+`],"nextCursor":`+next(cursor)+`}`), nil
	}), &asked
}

func count[T any](seq iter.Seq2[T, error], stopAt int) (n int, err error) {
	for _, e := range seq {
		if e != nil {
			return n, e
		}
		if n++; n == stopAt {
			break
		}
	}
	return n, nil
}

func TestIteration(t *testing.T) {
	for name, tc := range map[string]struct {
		next   map[string]string
		start  ListOptions
		stopAt int
		want   int
		asked  string
		fault  string
	}{
		"ends with null":    {map[string]string{"": `"a"`, "a": `"b"`, "b": "null"}, ListOptions{}, 0, 3, "[ cursor=a cursor=b]", ""},
		"ends with empty":   {map[string]string{"": `"a"`, "a": `""`}, ListOptions{}, 0, 2, "[ cursor=a]", ""},
		"limit on each":     {map[string]string{"": `"a"`, "a": "null"}, ListOptions{Limit: 7}, 0, 2, "[limit=7 cursor=a&limit=7]", ""},
		"from a cursor":     {map[string]string{"x": `"y"`, "y": "null"}, ListOptions{Cursor: "x"}, 0, 2, "[cursor=x cursor=y]", ""},
		"caller stops":      {map[string]string{"": `"a"`, "a": `"b"`}, ListOptions{}, 2, 2, "[ cursor=a]", ""},
		"cursor comes back": {map[string]string{"": `"a"`, "a": `"b"`, "b": `"a"`}, ListOptions{}, 0, 3, "[ cursor=a cursor=b]", "nextCursor names a page that was read already"},
		"cursor of itself":  {map[string]string{"x": `"x"`}, ListOptions{Cursor: "x"}, 0, 1, "[cursor=x]", "nextCursor names a page that was read already"},
		"cursor is no text": {map[string]string{"": "7"}, ListOptions{}, 0, 0, "[]", "nextCursor is not a string"},
		"limit is refused":  {map[string]string{"": "null"}, ListOptions{Limit: 501}, 0, 0, "[]", "limit must be from 1 to 500"},
	} {
		t.Run(name, func(t *testing.T) {
			c, asked := pages(t, func(cursor string) string { return tc.next[cursor] })
			n, err := count(c.Skills(t.Context(), SkillQuery{}, tc.start), tc.stopAt)
			if n != tc.want {
				t.Errorf("got %d skills, want %d", n, tc.want)
			}
			if got := fmt.Sprint(*asked); got != tc.asked {
				t.Errorf("asked %s, want %s", got, tc.asked)
			}
			if (err == nil) != (tc.fault == "") || err != nil && !strings.Contains(err.Error(), tc.fault) {
				t.Errorf("got %v, want %q", err, tc.fault)
			}
		})
	}
}

func TestIterationIsBounded(t *testing.T) {
	i := 0
	c, asked := pages(t, func(string) string { i++; return fmt.Sprintf(`"c%d"`, i) })
	n, err := count(c.Skills(t.Context(), SkillQuery{}, ListOptions{}), 0)
	if n != maxPages || len(*asked) != maxPages || CodeOf(err) != CodeInvalidResponseShape {
		t.Errorf("got %d records of %d pages, %v", n, len(*asked), err)
	}
}

func TestListsWithoutACursorSayWhenTheyAreCut(t *testing.T) {
	all := captures(t)
	for name, call := range map[string]func(*Client) (int, error){
		"agents-list":       func(c *Client) (int, error) { return count(c.Agents(t.Context(), "m"), 0) },
		"policies-list":     func(c *Client) (int, error) { return count(c.Policies(t.Context()), 0) },
		"audit-events-list": func(c *Client) (int, error) { return count(c.AuditEvents(t.Context(), AuditQuery{}), 0) },
	} {
		rec := newRecorder(t)
		rec.reply = all[name].Responses.Full // with a nextCursor
		n, err := call(rec.client(t))
		if n != 1 || CodeOf(err) != CodeInvalidResponseShape || !strings.Contains(err.Error(), "nextCursor") {
			t.Errorf("%s: got %d, %v", name, n, err)
		}
		rec.reply = all[name].Responses.Minimal
		if n, err := call(rec.client(t)); n != 1 || err != nil {
			t.Errorf("%s, whole: got %d, %v", name, n, err)
		}
		if len(rec.last.Query) != 0 {
			t.Errorf("%s: query %v was sent", name, rec.last.Query)
		}
	}
}

func TestOtherIterators(t *testing.T) {
	all := captures(t)
	for name, call := range map[string]func(*Client, ListOptions) (int, error){
		"machines-list":          func(c *Client, o ListOptions) (int, error) { return count(c.Machines(t.Context(), o), 0) },
		"pairings-list":          func(c *Client, o ListOptions) (int, error) { return count(c.Pairings(t.Context(), "m", o), 0) },
		"runtime-endpoints-list": func(c *Client, o ListOptions) (int, error) { return count(c.RuntimeEndpoints(t.Context(), "m", o), 0) },
		"services-list": func(c *Client, o ListOptions) (int, error) {
			return count(c.Services(t.Context(), testToken, ServiceQuery{}, o), 0)
		},
		"orders-list": func(c *Client, o ListOptions) (int, error) { return count(c.Orders(t.Context(), "m", o), 0) },
	} {
		rec := newRecorder(t)
		rec.reply = all[name].Responses.Minimal
		if n, err := call(rec.client(t), page); n != 1 || err != nil || rec.last.Query["cursor"] != "cur_1" {
			t.Errorf("%s: got %d, %v, query %v", name, n, err, rec.last.Query)
		}
		rec.reply = reply{403, []byte(`{"error":{"code":"AUTH_INVALID","message":"m"}}`)}
		if n, err := call(rec.client(t), page); n != 0 || CodeOf(err) != CodeAuthInvalid {
			t.Errorf("%s, refused: got %d, %v", name, n, err)
		}
	}
}

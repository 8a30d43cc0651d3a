// SPDX-License-Identifier: Apache-2.0

package orchestration

import (
	"context"
	"iter"
	"net/url"
	"strconv"
)

// Limits of the member limit of a list call.
const (
	MinLimit = 1
	MaxLimit = 500
)

// maxPages bounds one iteration, so that a server whose cursors never end cannot
// hold a caller for ever.
const maxPages = 1_000

// ListOptions chooses a page of a list.
type ListOptions struct {
	// Limit is the size of a page, 1 to 500. Zero leaves it to the server (100).
	Limit int
	// Cursor is the Next member of the page before. It is opaque and short-lived.
	Cursor string
}

// Page is one page of a list.
type Page[T any] struct {
	// Items are the records, in the server's order.
	Items []T
	// Next is the cursor of the next page. It is empty at the end.
	Next string
}

func (o ListOptions) addTo(query url.Values) error {
	if o.Cursor != "" {
		query.Set("cursor", o.Cursor)
	}
	return addLimit(query, o.Limit)
}

func addLimit(query url.Values, limit int) error {
	if limit == 0 {
		return nil
	}
	if limit < MinLimit || limit > MaxLimit {
		return &ValidationError{Field: "limit", Constraint: "must be from 1 to 500"}
	}
	query.Set("limit", strconv.Itoa(limit))
	return nil
}

// list performs a list call and reads one page.
func list[T any](ctx context.Context, c *Client, q request) (*Page[T], error) {
	var reply struct {
		Items []T    `json:"items" need:"value"`
		Next  string `json:"nextCursor"`
	}
	if err := c.call(ctx, q, &reply); err != nil {
		return nil, err
	}
	return &Page[T]{Items: reply.Items, Next: reply.Next}, nil
}

// pageQuery is list for the calls that take a limit and a cursor.
func pageQuery[T any](ctx context.Context, c *Client, q request, o ListOptions) (*Page[T], error) {
	if q.query == nil {
		q.query = url.Values{}
	}
	if err := o.addTo(q.query); err != nil {
		return nil, err
	}
	return list[T](ctx, c, q)
}

// walk yields the records of all pages from the one that o names. It ends at the
// first error, which is yielded with a zero record.
func walk[T any](op operation, o ListOptions, next func(ListOptions) (*Page[T], error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		at, seen := o, map[string]bool{o.Cursor: true}
		for range maxPages {
			page, err := next(at)
			if err != nil {
				yield(zero, err)
				return
			}
			for _, item := range page.Items {
				if !yield(item, nil) {
					return
				}
			}
			if page.Next == "" {
				return
			}
			if seen[page.Next] {
				yield(zero, unfollowable(op, "names a page that was read already"))
				return
			}
			seen[page.Next], at.Cursor = true, page.Next
		}
		yield(zero, unfollowable(op, "does not come to an end"))
	}
}

// whole yields the one page of a list that takes no cursor. A reply that says
// that there is more is an error: what is missing cannot be asked for.
func whole[T any](op operation, only func() (*Page[T], error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		page, err := only()
		if err != nil {
			yield(zero, err)
			return
		}
		for _, item := range page.Items {
			if !yield(item, nil) {
				return
			}
		}
		if page.Next != "" {
			yield(zero, unfollowable(op, "names a further page, which this list cannot be asked for"))
		}
	}
}

func unfollowable(op operation, problem string) error {
	return shapeError(op, &shapeFault{member: "nextCursor", problem: problem})
}

// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"encoding/base64"
	"net/url"
	"strconv"
	"strings"
)

const (
	defaultLimit = 100
	mostLimit    = 500
)

// list is the reply of every list call.
type list[T any] struct {
	Items      []T     `json:"items"`
	NextCursor *string `json:"nextCursor"`
}

// page cuts one page out of the records that a call may see. The cursor is the id of the last record of the page before.
func page[T any](query url.Values, records []T, idOf func(T) string) (list[T], error) {
	limit, err := limitOf(query)
	if err != nil {
		return list[T]{}, err
	}
	start := 0
	if cursor := query.Get("cursor"); cursor != "" {
		id, ok := openCursor(cursor)
		if !ok {
			return list[T]{}, invalid("cursor is not one of this list")
		}
		start = -1
		for i, record := range records {
			if idOf(record) == id {
				start = i + 1
				break
			}
		}
		if start < 0 {
			return list[T]{}, invalid("cursor is not one of this list")
		}
	}
	end := min(start+limit, len(records))
	reply := list[T]{Items: append([]T{}, records[start:end]...)}
	if end < len(records) {
		next := sealCursor(idOf(records[end-1]))
		reply.NextCursor = &next
	}
	return reply, nil
}

func limitOf(query url.Values) (int, error) {
	text := query.Get("limit")
	if text == "" && !query.Has("limit") {
		return defaultLimit, nil
	}
	limit, err := strconv.Atoi(text)
	if err != nil || limit < 1 || limit > mostLimit {
		return 0, invalid("limit must be an integer from 1 to %d", mostLimit)
	}
	return limit, nil
}

func sealCursor(id string) string {
	return base64.RawURLEncoding.EncodeToString([]byte("after:" + id))
}

func openCursor(cursor string) (string, bool) {
	plain, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return "", false
	}
	return strings.CutPrefix(string(plain), "after:")
}

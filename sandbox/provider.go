// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

func fields(keys string) []Field {
	out := []Field{}
	for _, key := range strings.Fields(keys) {
		out = append(out, Field{Key: key, Type: typeOf(key), Description: key})
	}
	return out
}

func typeOf(key string) string {
	switch key {
	case "latitude", "longitude", "accuracyMetres", "size":
		return "number"
	case "args":
		return "array"
	}
	return "string"
}

// provide is the provider at work: it answers its result, or why it rejects the input.
func (s *Service) provide(input json.RawMessage, now time.Time) (result json.RawMessage, failure string) {
	if s.Failure != "" {
		return nil, s.Failure
	}
	given := map[string]json.RawMessage{}
	if len(input) > 0 {
		if err := json.Unmarshal(input, &given); err != nil {
			return nil, "input is not an object"
		}
	}
	for _, field := range s.Inputs {
		if _, present := given[field.Key]; !present {
			return nil, fmt.Sprintf("input lacks %q", field.Key)
		}
	}
	if len(s.Result) > 0 {
		return s.Result, ""
	}
	result, err := json.Marshal(s.data(given, string(input), now))
	if err != nil {
		return nil, "the provider's data cannot be encoded"
	}
	return result, ""
}

// data makes the result of a default service; it satisfies the service's schema.
func (s *Service) data(given map[string]json.RawMessage, input string, now time.Time) any {
	sum := sha256.Sum256([]byte(input))
	id, at := hex.EncodeToString(sum[:8]), stamp(now)
	switch s.Schema {
	case "price":
		return map[string]any{"pair": given["pair"], "price": fmt.Sprintf("0.%04d", 1000+int(sum[0])), "at": at}
	case "storage":
		return map[string]any{"blobId": id, "size": len(given["content"]), "storedAt": at}
	case "compute":
		return map[string]any{"jobId": id, "status": "done", "output": given["args"]}
	case "location":
		return map[string]any{"latitude": json.Number("52.520008"), "longitude": json.Number("13.404954"),
			"accuracyMetres": json.Number("0.02"), "at": at}
	case "device":
		return map[string]any{"device": given["device"], "state": "done", "at": at}
	}
	return map[string]any{"recordId": id, "at": at}
}

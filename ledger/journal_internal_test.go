// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"encoding/json"
	"testing"

	"pgregory.net/rapid"

	"github.com/agentd-project/agentd/policy"
)

// The hashed form of an entry is its JSON, whatever the text.
func TestPayloadIsJSON(t *testing.T) {
	text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[ -~]*`))
	rapid.Check(t, func(t *rapid.T) {
		k := link{
			Seq: rapid.Int64().Draw(t, "seq"), At: rapid.Int64().Draw(t, "at"), Purchase: policy.PurchaseID(text.Draw(t, "purchase")),
			Kind: EntryKind(text.Draw(t, "kind")), From: text.Draw(t, "from"), To: text.Draw(t, "to"), Event: text.Draw(t, "event"),
			Reason: policy.Reason(text.Draw(t, "reason")), Detail: text.Draw(t, "detail"), Row: text.Draw(t, "row"), Body: text.Draw(t, "body"),
		}
		want, err := json.Marshal(&k)
		if err != nil {
			t.Fatal(err)
		}
		got, err := k.payload([]byte("before"))
		if err != nil || string(got) != "before"+string(want) {
			t.Fatalf("got %q, %v, want %q", got, err, want)
		}
	})
}

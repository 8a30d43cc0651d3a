// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/agentd-project/agentd/market"
)

func httpClient(w *world, l *life) *http.Client {
	return &http.Client{Transport: &link{world: w, life: l}}
}

// kinds are what can be bought of the sandbox: one of each rail that pays by
// itself, and some on which people have to act.
var kinds = []struct {
	serviceType, operation, input string
	weight                        int
	handoff                       bool
}{
	{"oracle.price-feed", "latest-price", `{"pair":"PEAQ/USD"}`, 2, false},
	{"storage.object", "put", `{"name":"log.txt","content":"hello"}`, 6, false},
	{"compute.marketplace", "run", `{"image":"sum:1","args":["1","2"]}`, 6, false},
	{"data.location", "fix", `{"receiver":"base-1"}`, 9, false},
	{"machine.commerce", "log-delivery", `{"note":"pallet 7"}`, 1, false},
	{"identity.proof-of-person", "verify", `{}`, 1, true},
}

// newNeeds draws what the owner of a world wants bought.
func newNeeds(r *rand.Rand) []market.Need {
	var needs []market.Need
	for i, k := range kinds {
		for j := range k.weight {
			need := market.Need{Name: fmt.Sprintf("%s-%d-%d", k.operation, i, j),
				Search: market.Search{ServiceType: k.serviceType, Operation: k.operation, MaxResults: 20, AllowExternalHandoff: k.handoff},
				Input:  json.RawMessage(k.input), MaxPrice: 1_000_000, HasMaxPrice: true, Deadline: 10 * time.Minute,
				Accept: market.Acceptance{Schema: json.RawMessage(`{"type":"object","minProperties":1}`)}}
			switch {
			case chance(r, 0.1):
				need.Accept.Schema = json.RawMessage(`{"type":"object","required":["nothing like it"]}`)
				need.Hold = chance(r, 0.3)
			case chance(r, 0.1):
				need.Deadline = 20 * time.Second
			case chance(r, 0.1):
				need.Deadline = 24 * time.Hour
			}
			needs = append(needs, need)
		}
	}
	return needs
}

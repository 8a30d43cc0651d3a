// SPDX-License-Identifier: Apache-2.0

package orchestration_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/agentd-project/agentd/orchestration"
)

// A paged list is read by an iterator, and an error is turned into an action.
func Example() {
	market := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/v1/market/orders" && r.Method == http.MethodPost {
			w.WriteHeader(http.StatusConflict)
			_, _ = fmt.Fprint(w, `{"error":{"code":"QUOTE_EXPIRED","message":"the quote is too old"}}`)
			return
		}
		_, _ = fmt.Fprint(w, `{"items":[{"id":"pol_1","name":"fleet","nativeOnly":true,"handoffAllowed":false,"createdAt":"2026-11-24T08:00:00Z","updatedAt":"2026-11-24T08:00:00Z"}]}`)
	}))
	defer market.Close()

	client, err := orchestration.New(orchestration.Config{BaseURL: market.URL, APIKey: "platform-key", Version: "1.0"})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	for policy, err := range client.Policies(ctx) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(policy.ID, policy.Name)
	}

	token := orchestration.Secret("pairing-token")
	_, err = client.CreateOrder(ctx, token, orchestration.CreateOrderRequest{
		MachineID: "mach_1", AgentPairingID: "pair_1", ServiceID: "svc_1", QuoteID: "quote_1",
	})
	fmt.Println(err)
	fmt.Println(orchestration.Classify(err), orchestration.Ambiguous(err))
	// Output:
	// pol_1 fleet
	// orchestration: CreateOrder: QUOTE_EXPIRED (HTTP 409): the quote is too old
	// research false
}

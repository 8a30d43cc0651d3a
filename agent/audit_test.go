// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"bytes"
	"io"
	"net/http"
	"testing"
	"time"

	"go.uber.org/zap"
)

// interrupted runs something before the next look at the chain.
type interrupted struct {
	next   http.RoundTripper
	before func() // run once
}

func (i *interrupted) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		return i.next.RoundTrip(r)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if run := i.before; run != nil && bytes.Contains(body, []byte("eth_getBlockByNumber")) {
		i.before = nil
		run()
	}
	return i.next.RoundTrip(r)
}

// Purchases go on while the ledger is held against the chain: one that is made
// meanwhile is no contradiction, and does not stop spending.
func TestVerifyWhileBuying(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		network := &interrupted{next: w}
		d := w.startOver(w.config(), zap.NewNop(), network)
		d.ready(time.Minute)
		d.mustSettle("store")
		network.before = func() { d.mustSettle("store") }
		report, err := d.front.LedgerVerify(t.Context())
		if network.before != nil {
			t.Error("nothing was bought meanwhile")
		}
		if err != nil || !report.OK {
			t.Errorf("report %+v, %v; want it to agree", report, err)
		}
		d.mustSettle("store")
	})
}

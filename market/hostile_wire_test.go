// SPDX-License-Identifier: Apache-2.0

package market_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/agentd-project/agentd/market"
	"github.com/agentd-project/agentd/policy"
)

// wireLies are about the answer as such, whatever it says: each in the search,
// before anything is bound, and in the execution, when the value has moved.
func wireLies() []hostile {
	var table []hostile
	everywhere := func(what string, answer http.HandlerFunc) {
		lost := policy.ReasonOrderAmbiguous // an order may have been made: it is looked for
		if strings.Contains(what, "Retry-After") {
			lost = policy.ReasonMarketUnavailable // so long that the look may come too late for it
		}
		table = append(table,
			hostile{lie: what + ", to a search", serve: instead("search", answer), state: market.Cancelled,
				reason: policy.ReasonDeadlinePassed, waits: policy.ReasonMarketUnavailable},
			hostile{lie: what + ", to an order", serve: instead("order-create", answer), state: market.Cancelled,
				reason: policy.ReasonDeadlinePassed, waits: lost},
			hostile{lie: what + ", to the intent", serve: instead("payment-intent", answer), state: market.Cancelled,
				reason: policy.ReasonDeadlinePassed, waits: policy.ReasonMarketUnavailable},
			hostile{lie: what + ", to the execution", serve: instead("order-execute", answer), paid: true, state: market.Executing,
				reason: policy.ReasonMarketUnavailable, then: market.Settled})
	}
	body := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
	}
	everywhere("a body that trickles for an hour", trickle)
	everywhere("a body above every bound", huge)
	everywhere("64 MiB in 64 KiB of gzip", gzipBomb)
	everywhere("a body that is no JSON", body("<html>upstream said no</html>"))
	everywhere("a body nested a hundred thousand deep", body(strings.Repeat(`{"item":`, 100_000)))
	everywhere("a body that is an array", body("[]"))
	everywhere("a body that is null", body("null"))
	everywhere("a body that breaks off", body(`{"item":`))
	everywhere("an empty body", body(""))
	for _, status := range []int{http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect} {
		everywhere("a redirect ("+strconv.Itoa(status)+") to another host", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://"+elsewhere+r.URL.Path, status)
		})
	}
	everywhere("a Retry-After of a year", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", strconv.Itoa(365*24*60*60))
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	everywhere("a Retry-After beyond 64 bits", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", strings.Repeat("9", 30))
		w.WriteHeader(http.StatusTooManyRequests)
	})
	dated := func(what string, at time.Time) hostile {
		return hostile{lie: "a Date " + what, serve: func(_ string, w http.ResponseWriter, _ *http.Request, honest func() *recorded) {
			rec := honest()
			rec.Header().Set("Date", at.UTC().Format(http.TimeFormat))
			send(w, rec)
		}, state: market.Settled, paid: true}
	}
	twice := func(before bool) serve {
		payee, at := `"rail":{"type":"wallet","payeeAddress":"`+stranger+`"},`, `"createdAt":`
		if before {
			at = `"status":`
		}
		return replaced("payment-intent", at, payee+at)
	}
	return append(table,
		dated("in the past", time.Unix(0, 0)), dated("in the far future", time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)),
		hostile{lie: "a member given twice, the lie last", serve: twice(false), state: market.Rejected, reason: policy.ReasonPayeeMismatch},
		hostile{lie: "a member given twice, the lie first", serve: twice(true), state: market.Settled, paid: true},
		hostile{lie: "a member in another letter case beside the honest one", state: market.Settled, paid: true,
			serve: replaced("payment-intent", `"item":{`, `"item":{"AMOUNT":99,"Rail":{"payeeAddress":"`+stranger+`"},`)},
	)
}

// trickle sends one byte a minute for an hour.
func trickle(w http.ResponseWriter, r *http.Request) {
	for range 60 {
		if _, err := w.Write([]byte(" ")); err != nil {
			return
		}
		_ = http.NewResponseController(w).Flush() // the client sees the byte or has gone
		select {
		case <-time.After(time.Minute):
		case <-r.Context().Done():
			return
		}
	}
}

// huge sends 64 MiB of valid JSON.
func huge(w http.ResponseWriter, _ *http.Request) {
	block := bytes.Repeat([]byte("x"), 1<<20)
	_, err := io.WriteString(w, `{"item":{"id":"`)
	for i := 0; i < 64 && err == nil; i++ {
		_, err = w.Write(block)
	}
	_, _ = io.WriteString(w, `"}}`)
}

// gzipBomb sends 64 MiB of spaces in 64 KiB, if the client takes gzip.
func gzipBomb(w http.ResponseWriter, r *http.Request) {
	if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.WriteHeader(http.StatusNotAcceptable)
		return
	}
	w.Header().Set("Content-Encoding", "gzip")
	_, _ = w.Write(packedSpaces()) // the client has gone, or not
}

var packedSpaces = sync.OnceValue(func() []byte {
	var bomb bytes.Buffer
	packed := gzip.NewWriter(&bomb)
	block := bytes.Repeat([]byte(" "), 1<<20)
	for range 64 {
		_, _ = packed.Write(block) // a buffer takes everything
	}
	_ = packed.Close()
	return bomb.Bytes()
})

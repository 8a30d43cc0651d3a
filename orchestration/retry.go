// SPDX-License-Identifier: Apache-2.0

package orchestration

import (
	"context"
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/hashicorp/go-retryablehttp"
	"go.uber.org/zap"
)

// The one layer of repetition. Callers that loop do not multiply it by much.
const (
	retryMax      = 2 // further attempts after the first
	retryWaitMin  = 200 * time.Millisecond
	retryWaitMax  = 2 * time.Second
	retryAfterMax = 5 * time.Second // what a Retry-After can make an attempt wait
	retryAfterCap = time.Hour       // what is reported to the caller at most
)

func retrying(transport *http.Client, cfg *Config, attempts int) *retryablehttp.Client {
	r := &retryablehttp.Client{
		HTTPClient:   transport,
		RetryMax:     attempts,
		RetryWaitMin: retryWaitMin,
		RetryWaitMax: retryWaitMax,
		CheckRetry:   checkRetry,
		Backoff:      backoff(cfg.Jitter),
		// Without a handler the last answer is lost when the attempts are used up.
		ErrorHandler: retryablehttp.PassthroughErrorHandler,
	}
	if cfg.Logger != nil {
		r.Logger = attemptLog{cfg.Logger.Sugar()}
	}
	return r
}

// checkRetry repeats after a failed connection, a 429 and a 5xx, as long as the
// context leaves time to wait: otherwise the answer at hand would be lost.
func checkRetry(ctx context.Context, resp *http.Response, err error) (bool, error) {
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	var certificate *tls.CertificateVerificationError
	if errors.As(err, &certificate) {
		return false, err // it will be as wrong the next time
	}
	wait := retryWaitMax
	if resp != nil {
		if resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode < http.StatusInternalServerError {
			return false, nil
		}
		if asked := retryAfter(resp.Header); asked > 0 {
			wait = min(asked, retryAfterMax)
		}
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= wait {
		return false, err
	}
	return true, nil
}

// backoff waits as the server asks, within bounds, or else exponentially; with
// jitter, so that a fleet does not come back at one moment.
func backoff(jitter func(time.Duration) time.Duration) retryablehttp.Backoff {
	return func(lowest, highest time.Duration, attempt int, resp *http.Response) time.Duration {
		if resp != nil {
			if asked := retryAfter(resp.Header); asked > 0 {
				return min(asked, retryAfterMax)
			}
		}
		d := min(lowest<<min(attempt, 10), highest)
		return d/2 + jitter(d/2)
	}
}

// anyUpTo is the default of Config.Jitter.
func anyUpTo(most time.Duration) time.Duration {
	return rand.N(most + 1) //nolint:gosec // jitter need not be unguessable
}

// retryAfter reads the header of that name, in seconds or as a date. Zero means
// that there is none.
func retryAfter(h http.Header) time.Duration {
	text := h.Get("Retry-After")
	if text == "" {
		return 0
	}
	var d time.Duration
	if seconds, err := strconv.ParseUint(text, 10, 32); err == nil {
		d = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		d = time.Until(at)
	}
	return max(0, min(d, retryAfterCap))
}

// attemptLog writes what the retry layer says at debug level: what comes of it is
// returned to the caller, who logs it or not.
type attemptLog struct{ log *zap.SugaredLogger }

var _ retryablehttp.LeveledLogger = attemptLog{}

func (a attemptLog) Error(text string, fields ...any) { a.log.Debugw(text, fields...) }
func (a attemptLog) Warn(text string, fields ...any)  { a.log.Debugw(text, fields...) }
func (a attemptLog) Info(text string, fields ...any)  { a.log.Debugw(text, fields...) }
func (a attemptLog) Debug(text string, fields ...any) { a.log.Debugw(text, fields...) }

// SPDX-License-Identifier: Apache-2.0

package orchestration

import (
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/hashicorp/go-retryablehttp"
	"go.uber.org/zap"
)

// Config is what a [Client] is made of. Only BaseURL is required.
type Config struct {
	// BaseURL is the address of the API without /api/v1, such as
	// https://market.example. A path of its own is kept.
	BaseURL string
	// APIKey is the platform key. It goes with every call but health, readiness
	// and heartbeat.
	APIKey Secret
	// Version is the program's, for the header User-Agent: agentd/<version>.
	// Default "dev".
	Version string
	// HTTPClient brings transport, certificate authorities and proxy. It is copied;
	// the copy refuses redirects and keeps no cookies. Default: a transport of its
	// own that honours the usual proxy variables.
	HTTPClient *http.Client
	// AllowHTTP permits plain http to a host that is not loopback.
	AllowHTTP bool
	// Logger gets the attempts at debug level. Default: none.
	Logger *zap.Logger
	// Observe is told of every finished call: the operation, the outcome ("ok",
	// "network", a code of [Codes], or "other" for an unknown code) and how long it
	// took with its repetitions. It must be safe for concurrent use.
	Observe func(operation string, code string, d time.Duration)
	// Jitter returns a part of most that spreads the repetitions; nil draws it. A
	// simulation gives its own, so that it can be replayed.
	Jitter func(most time.Duration) time.Duration
}

// Client calls the API. It is safe for concurrent use and holds no state but idle
// connections.
type Client struct {
	base      *url.URL
	key       *Secret // a pointer, so that printing the client does not show it
	userAgent string
	repeating *retryablehttp.Client // for operation.repeat
	single    *retryablehttp.Client // for everything else
	observe   func(operation string, code string, d time.Duration)
}

// New makes a client. The error is a [ConfigError]; nothing is sent.
func New(cfg Config) (*Client, error) {
	base, err := parseBase(cfg.BaseURL, cfg.AllowHTTP)
	if err != nil {
		return nil, err
	}
	if !headerSafe(cfg.APIKey) {
		return nil, &ConfigError{Field: "APIKey", Constraint: "must be one line of visible ASCII characters"}
	}
	if cfg.Version == "" {
		cfg.Version = "dev"
	}
	if !headerSafe(Secret(cfg.Version)) {
		return nil, &ConfigError{Field: "Version", Constraint: "must be one line of visible ASCII characters"}
	}
	if cfg.Observe == nil {
		cfg.Observe = func(string, string, time.Duration) {}
	}
	if cfg.Jitter == nil {
		cfg.Jitter = anyUpTo
	}
	transport := httpClient(cfg.HTTPClient)
	return &Client{
		base:      base,
		key:       &cfg.APIKey,
		userAgent: "agentd/" + cfg.Version,
		repeating: retrying(transport, &cfg, retryMax),
		single:    retrying(transport, &cfg, 0),
		observe:   cfg.Observe,
	}, nil
}

// String names the host, and nothing else.
func (c *Client) String() string { return "orchestration client of " + c.base.Host }

// httpClient returns a copy of the caller's client that gives a redirect back as
// the answer instead of following it: the credentials in the headers are for the
// configured host only.
func httpClient(given *http.Client) *http.Client {
	var own http.Client
	if given != nil {
		own = *given
	} else if standard, ok := http.DefaultTransport.(*http.Transport); ok {
		own.Transport = standard.Clone()
	}
	own.Jar = nil
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &own
}

func parseBase(text string, allowHTTP bool) (*url.URL, error) {
	fault := func(constraint string) (*url.URL, error) {
		return nil, &ConfigError{Field: "BaseURL", Constraint: constraint}
	}
	u, err := url.Parse(text)
	if err != nil {
		return fault("must be a URL")
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return fault("must be an http or https URL with a host")
	case u.User != nil:
		return fault("must not hold a user or password")
	case u.RawQuery != "" || u.Fragment != "":
		return fault("must not have a query or fragment")
	case u.Scheme == "http" && !allowHTTP && !loopback(u.Hostname()):
		return fault("must be https unless the host is loopback or AllowHTTP is set")
	}
	return u, nil
}

func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

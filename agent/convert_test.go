// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agentd-project/agentd/config"
	"github.com/agentd-project/agentd/market"
	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/orchestration"
	"github.com/agentd-project/agentd/wallet"
)

func TestTightestDay(t *testing.T) {
	const day = 24 * time.Hour
	tests := []struct {
		name    string
		windows []config.Window
		want    money.Value
	}{
		{"none", nil, 0},
		{"a month alone", []config.Window{{Calendar: config.CalendarMonth, Limit: 5}, {Over: 30 * day, Limit: 4}}, 0},
		{"the lowest of a day and less", []config.Window{{Over: day, Limit: 20}, {Over: time.Hour, Limit: 7}, {Over: 2 * day, Limit: 1}}, 7},
		{"a calendar day", []config.Window{{Calendar: config.CalendarDay, Limit: 9}, {Over: day, Limit: 10}}, 9},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tightestDay(tt.windows); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
}

func TestChainNames(t *testing.T) {
	cfg := &config.Config{Chains: []config.Chain{{ID: "eip155:3338", Name: "Home"}, {ID: "eip155:84532", Name: "base"}}}
	want := map[string]money.ChainID{
		"eip155:3338": "eip155:3338", "home": "eip155:3338", "peaq": "eip155:3338",
		"eip155:84532": "eip155:84532", "base": "eip155:84532", // the owner's name, not the customary one
	}
	if diff := cmp.Diff(want, chainNames(cfg)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestSelection(t *testing.T) {
	tests := map[string]struct {
		in   config.Select
		want market.Selection
	}{
		"cheapest": {config.Select{Mode: config.SelectCheapest}, market.Cheapest},
		"score":    {config.Select{Mode: config.SelectBestScore}, market.BestScore},
		"weights":  {config.Select{Mode: config.SelectWeighted, Price: 7, Score: 3}, market.Selection{Price: 7, Score: 3}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := selectionOf(tt.in); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestCredentials(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("value of "+name+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if credentialsOf(config.ProviderCredentials{}) != nil {
		t.Error("no credentials are read from nothing")
	}
	read := credentialsOf(config.ProviderCredentials{
		Walrus:  &config.WalrusCredentials{PublisherURLFile: file("a"), AggregatorURLFile: file("b"), PublisherTokenFile: file("c")},
		Akash:   &config.AkashCredentials{ConsoleAPIKeyFile: file("d"), ConsoleBaseURLFile: file("e"), RESTEndpointsFile: file("f")},
		WorldID: &config.WorldIDCredentials{RPIDFile: file("g"), AppIDFile: file("h"), VerifyBaseURLFile: file("i")},
		Geodnet: &config.GeodnetCredentials{AppIDFile: file("j"), AppKeyFile: file("k"), BaseURLFile: file("l")},
		Aethir:  &config.AethirCredentials{AKFile: file("m"), SKFile: file("n"), BaseURLFile: file("o")},
	})
	got, err := read()
	if err != nil {
		t.Fatal(err)
	}
	want := &orchestration.ProviderCredentials{
		Walrus:  &orchestration.WalrusCredentials{PublisherURL: "value of a", AggregatorURL: "value of b", PublisherToken: "value of c"},
		Akash:   &orchestration.AkashCredentials{ConsoleAPIKey: "value of d", ConsoleBaseURL: "value of e", RESTEndpoint: "value of f"},
		WorldID: &orchestration.WorldIDCredentials{RPID: "value of g", AppID: "value of h", VerifyBaseURL: "value of i"},
		Geodnet: &orchestration.GeodnetCredentials{AppID: "value of j", AppKey: "value of k", BaseURL: "value of l"},
		Aethir:  &orchestration.AethirCredentials{AccessKey: "value of m", SecretKey: "value of n", BaseURL: "value of o"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestOpenKey(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	store, address, err := wallet.New([]byte("open sesame"))
	if err != nil {
		t.Fatal(err)
	}
	const hexKey = "2222222222222222222222222222222222222222222222222222222222222222"
	keystore := file("key.json", string(store))
	tests := []struct {
		name    string
		key     config.Key
		address string
		err     error
	}{
		{"keystore", config.Key{KeystoreFile: keystore, PassphraseFile: file("pass", "open sesame\n")}, address.Hex(), nil},
		{"wrong passphrase", config.Key{KeystoreFile: keystore, PassphraseFile: file("wrong", "open")}, "", wallet.ErrPassphrase},
		{"no passphrase", config.Key{KeystoreFile: keystore, PassphraseFile: filepath.Join(dir, "none")}, "", os.ErrNotExist},
		{"private key file", config.Key{PrivateKeyFile: file("key", hexKey)}, "0x1563915e194D8CfBA1943570603F7606A3115508", nil},
		{"private key", config.Key{PrivateKey: hexKey}, "0x1563915e194D8CfBA1943570603F7606A3115508", nil},
		{"rubbish", config.Key{PrivateKey: "secret-rubbish"}, "", wallet.ErrPrivateKey},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w, err := openKey(tt.key)
			if !errors.Is(err, tt.err) {
				t.Fatalf("got %v, want %v", err, tt.err)
			}
			if err == nil && w.Address().Hex() != tt.address {
				t.Errorf("address %s, want %s", w.Address().Hex(), tt.address)
			}
			if err != nil && strings.Contains(err.Error(), "rubbish") {
				t.Errorf("the error shows the key: %v", err)
			}
		})
	}
}

func TestTransport(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(bad, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := transportOf(nil, bad); err == nil {
		t.Error("a file without a certificate was accepted")
	}
	rt, err := transportOf(nil, "")
	if err != nil {
		t.Fatal(err)
	}
	if tr, ok := rt.(*http.Transport); !ok || tr.Proxy == nil {
		t.Error("the transport does not honour the proxy variables")
	}
}

// stub answers every request as told.
type stub func(r *http.Request) (*http.Response, error)

func (s stub) RoundTrip(r *http.Request) (*http.Response, error) { return s(r) }

func TestProbe(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("hush\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		e      endpoint
		status int // of the answer; 0 is none
		url    string
		header [2]string
		ok     bool
	}{
		{"the default path of qvac", endpoint{providerKey: "qvac", url: "http://127.0.0.1:8000"}, 200, "http://127.0.0.1:8000/v1/models", [2]string{}, true},
		{"the default path of others", endpoint{providerKey: "x", url: "http://127.0.0.1:8000/base/"}, 204, "http://127.0.0.1:8000/base/health", [2]string{}, true},
		{"an own path", endpoint{providerKey: "x", url: "http://127.0.0.1", probePath: "/up"}, 404, "http://127.0.0.1/up", [2]string{}, true},
		{"a bearer token", endpoint{providerKey: "x", url: "http://127.0.0.1", authType: "bearer", tokenFile: token}, 200, "http://127.0.0.1/health", [2]string{"Authorization", "Bearer hush"}, true},
		{"an API key", endpoint{providerKey: "x", url: "http://127.0.0.1", authType: "api-key", tokenFile: token}, 200, "http://127.0.0.1/health", [2]string{"X-Api-Key", "hush"}, true},
		{"a redirect is not followed", endpoint{providerKey: "x", url: "http://127.0.0.1"}, 302, "http://127.0.0.1/health", [2]string{}, true},
		{"a server error", endpoint{providerKey: "x", url: "http://127.0.0.1"}, 500, "http://127.0.0.1/health", [2]string{}, false},
		{"no answer", endpoint{providerKey: "x", url: "http://127.0.0.1"}, 0, "http://127.0.0.1/health", [2]string{}, false},
		{"a token that is gone", endpoint{providerKey: "x", url: "http://127.0.0.1", authType: "bearer", tokenFile: token + "x"}, 200, "", [2]string{}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			asked := ""
			client := probeClient(stub(func(r *http.Request) (*http.Response, error) {
				asked = r.URL.String()
				if tt.header[0] != "" && r.Header.Get(tt.header[0]) != tt.header[1] {
					t.Errorf("header %s is %q, want %q", tt.header[0], r.Header.Get(tt.header[0]), tt.header[1])
				}
				if tt.status == 0 {
					return nil, errors.New("refused")
				}
				return &http.Response{StatusCode: tt.status, Body: http.NoBody, Header: http.Header{"Location": {"http://elsewhere/"}}}, nil
			}))
			err := probeOne(t.Context(), client, tt.e)
			if (err == nil) != tt.ok || asked != tt.url {
				t.Errorf("probed %q with %v, want %q and ok %v", asked, err, tt.url, tt.ok)
			}
		})
	}
}

func TestProbeTimesOut(t *testing.T) {
	bubble(t, func(t *testing.T) {
		client := probeClient(stub(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}))
		start := time.Now()
		got := probeAll(context.Background(), client, []endpoint{{providerKey: "a", url: "http://127.0.0.1"}, {providerKey: "b", url: "http://127.0.0.1"}})
		if took := time.Since(start); took != probeLimit || got[0].err == nil || got[1].err == nil {
			t.Errorf("two silent endpoints: %s, %+v; want errors after %s", took, got, probeLimit)
		}
	})
}

func TestCheckOnline(t *testing.T) {
	tests := []struct {
		name     string
		change   func(w *world)
		settings []string
		failing  []string // beginnings of names
	}{
		{"all is well", nil, nil, nil},
		{"wrong decimals", nil, []string{"chains: [{id: \"eip155:84532\", rpc: [\"http://127.0.0.1:8545\"], tokens: [{symbol: USDC, address: \"0x036CbD53842c5426634e7929541eC2318f3dCF7e\", decimals: 18, currency: USD}]}]"}, []string{"chain eip155:84532 token USDC"}},
		{"wrong chain", nil, []string{"chains: [{id: \"eip155:1\", rpc: [\"http://127.0.0.1:8545\"], tokens: [{symbol: USDC, address: \"0x036CbD53842c5426634e7929541eC2318f3dCF7e\", decimals: 6, currency: USD}]}]"}, []string{"chain eip155:1 endpoint 1"}},
		{"low balance", nil, []string{"chains: [{id: \"eip155:84532\", rpc: [\"http://127.0.0.1:8545\"], tokens: [{symbol: USDC, address: \"0x036CbD53842c5426634e7929541eC2318f3dCF7e\", decimals: 6, currency: USD, low_balance: \"2000000\"}]}]"}, []string{"chain eip155:84532 balance USDC"}},
		{"no platform key", nil, []string{"orchestration: {url: http://localhost}"}, []string{"platform key"}},
		{"unknown machine", nil, []string{"machine: {id: mach_none}"}, []string{"machine mach_none"}},
		{"the Market is away", func(w *world) { w.cut.Store(true) }, nil, []string{"market", "platform key", "chain eip155:84532 endpoint 1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, nil)
				if tt.change != nil {
					tt.change(w)
				}
				var failing []string
				for _, c := range CheckOnline(t.Context(), Options{Config: w.config(tt.settings...), HTTPTransport: w}) {
					if c.Err != nil {
						failing = append(failing, c.Name)
					}
				}
				if len(tt.failing) == 0 && len(failing) != 0 {
					t.Errorf("failing: %v, want none", failing)
				}
				for _, want := range tt.failing {
					if !slices.Contains(failing, want) {
						t.Errorf("failing: %v, want %s among them", failing, want)
					}
				}
				w.hosts.CloseIdleConnections()
			})
		})
	}
}

// TestTokenMismatch refuses a payment on a token that is not what the
// configuration says; the Market's decimals agree with neither.
func TestTokenMismatch(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		d := w.start(w.config("chains: [{id: \"eip155:84532\", rpc: [\"http://127.0.0.1:8545\"], gas: {max_fee_per_gas_gwei: \"200\", per_day: \"0.5\"}, tokens: [{symbol: USDC, address: \"0x036CbD53842c5426634e7929541eC2318f3dCF7e\", decimals: 6, currency: USD, eip712: {name: Tether, version: \"1\"}}]}]"))
		d.ready(time.Minute)
		time.Sleep(2 * time.Minute)
		if !slices.Contains(d.problems(), problemChainMismatch) {
			t.Errorf("problems %v, want %s", d.problems(), problemChainMismatch)
		}
		if p := d.buy("store"); p.State == string(market.Settled) {
			t.Errorf("bought with a token whose domain is another")
		}
		d.mustSettle("price")
	})
}

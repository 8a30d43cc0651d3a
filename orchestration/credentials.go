// SPDX-License-Identifier: Apache-2.0

package orchestration

// ProviderCredentials are the buyer's own accounts at providers, used for the one
// request that carries them. Members that are not set are not sent.
type ProviderCredentials struct {
	Walrus  *WalrusCredentials
	Akash   *AkashCredentials
	WorldID *WorldIDCredentials
	Geodnet *GeodnetCredentials
	Aethir  *AethirCredentials
}

// WalrusCredentials are those of a Walrus publisher and aggregator.
type WalrusCredentials struct {
	PublisherURL, AggregatorURL string
	PublisherToken              Secret
}

// AkashCredentials are those of the Akash console.
type AkashCredentials struct {
	ConsoleAPIKey                Secret
	ConsoleBaseURL, RESTEndpoint string
}

// WorldIDCredentials name a World ID application.
type WorldIDCredentials struct {
	RPID, AppID, VerifyBaseURL string
}

// GeodnetCredentials are those of a Geodnet application.
type GeodnetCredentials struct {
	AppID   string
	AppKey  Secret
	BaseURL string
}

// AethirCredentials are an Aethir access key and secret key.
type AethirCredentials struct {
	AccessKey, SecretKey Secret
	BaseURL              string
}

// revealed is a set of provider credentials as they are sent.
type revealed map[string]map[string]string

// reveal returns the wire form and the secrets in it.
func (p *ProviderCredentials) reveal() (revealed, []Secret) {
	if p == nil {
		return nil, nil
	}
	out := revealed{}
	var secrets []Secret
	set := func(provider, name, value string) {
		if value == "" {
			return
		}
		if out[provider] == nil {
			out[provider] = map[string]string{}
		}
		out[provider][name] = value
	}
	hide := func(provider, name string, value Secret) {
		set(provider, name, value.Reveal())
		secrets = append(secrets, value)
	}
	if w := p.Walrus; w != nil {
		set("walrus", "publisherUrl", w.PublisherURL)
		set("walrus", "aggregatorUrl", w.AggregatorURL)
		hide("walrus", "publisherToken", w.PublisherToken)
	}
	if a := p.Akash; a != nil {
		hide("akash", "consoleApiKey", a.ConsoleAPIKey)
		set("akash", "consoleBaseUrl", a.ConsoleBaseURL)
		set("akash", "restEndpoints", a.RESTEndpoint)
	}
	if w := p.WorldID; w != nil {
		set("worldId", "rpId", w.RPID)
		set("worldId", "appId", w.AppID)
		set("worldId", "verifyBaseUrl", w.VerifyBaseURL)
	}
	if g := p.Geodnet; g != nil {
		set("geodnet", "appId", g.AppID)
		hide("geodnet", "appKey", g.AppKey)
		set("geodnet", "baseUrl", g.BaseURL)
	}
	if a := p.Aethir; a != nil {
		hide("aethir", "ak", a.AccessKey)
		hide("aethir", "sk", a.SecretKey)
		set("aethir", "baseUrl", a.BaseURL)
	}
	if len(out) == 0 {
		return nil, nil
	}
	return out, secrets
}

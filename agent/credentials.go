// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"encoding/json"
	"fmt"

	"github.com/agentd-project/agentd/config"
	"github.com/agentd-project/agentd/orchestration"
)

// credentialsOf returns how a need's provider credentials are read: from their
// files, for one request at a time. Nil means that it has none.
func credentialsOf(p config.ProviderCredentials) func() (*orchestration.ProviderCredentials, error) {
	if p == (config.ProviderCredentials{}) {
		return nil
	}
	return func() (*orchestration.ProviderCredentials, error) {
		text, err := p.Read()
		if err != nil {
			return nil, fmt.Errorf("provider credentials: %w", err)
		}
		var values map[string]map[string]string
		if len(text) > 0 {
			if err := json.Unmarshal(text, &values); err != nil {
				return nil, fmt.Errorf("provider credentials: unreadable") //nolint:errorlint // the cause may quote a secret
			}
		}
		return typedCredentials(values), nil
	}
}

// typedCredentials puts the values, by the API's names, into the client's form.
func typedCredentials(values map[string]map[string]string) *orchestration.ProviderCredentials {
	secret := func(provider, name string) orchestration.Secret { return orchestration.Secret(values[provider][name]) }
	c := &orchestration.ProviderCredentials{}
	if v := values["walrus"]; v != nil {
		c.Walrus = &orchestration.WalrusCredentials{
			PublisherURL: v["publisherUrl"], AggregatorURL: v["aggregatorUrl"], PublisherToken: secret("walrus", "publisherToken"),
		}
	}
	if v := values["akash"]; v != nil {
		c.Akash = &orchestration.AkashCredentials{
			ConsoleAPIKey: secret("akash", "consoleApiKey"), ConsoleBaseURL: v["consoleBaseUrl"], RESTEndpoint: v["restEndpoints"],
		}
	}
	if v := values["worldId"]; v != nil {
		c.WorldID = &orchestration.WorldIDCredentials{RPID: v["rpId"], AppID: v["appId"], VerifyBaseURL: v["verifyBaseUrl"]}
	}
	if v := values["geodnet"]; v != nil {
		c.Geodnet = &orchestration.GeodnetCredentials{AppID: v["appId"], AppKey: secret("geodnet", "appKey"), BaseURL: v["baseUrl"]}
	}
	if v := values["aethir"]; v != nil {
		c.Aethir = &orchestration.AethirCredentials{AccessKey: secret("aethir", "ak"), SecretKey: secret("aethir", "sk"), BaseURL: v["baseUrl"]}
	}
	return c
}

// SPDX-License-Identifier: Apache-2.0

package config

import (
	"encoding/json"
	"time"

	"github.com/agentd-project/agentd/money"
)

// Need is something that the machine buys.
type Need struct {
	// Name is the need's key: lower-case letters, digits, '-', '_' and '.', at most 64.
	Name string `yaml:"name"`
	// Schedule is a cron spec in UTC; empty means only on request.
	Schedule string `yaml:"schedule"`
	Search   Search `yaml:"search"`
	// Input is a JSON object, sent as it is; nil if absent.
	Input               json.RawMessage     `yaml:"input"`
	ProviderCredentials ProviderCredentials `yaml:"provider_credentials"`
	// MaxPrice is the highest price; HasMaxPrice says that there is one.
	MaxPrice    money.Value `yaml:"max_price"`
	HasMaxPrice bool        `yaml:"-"`
	Select      Select      `yaml:"select"`
	Accept      Accept      `yaml:"accept"`
	Deliver     Deliver     `yaml:"deliver"`
	OnReject    OnReject    `yaml:"on_reject"`
	// Deadline is how long an unpaid purchase may take, 1 s to 7 days.
	Deadline time.Duration `yaml:"deadline"`
}

// Search says what the Market is asked for.
type Search struct {
	ServiceType  string   `yaml:"service_type"`
	Operation    string   `yaml:"operation"`
	Skill        string   `yaml:"skill"`
	Region       string   `yaml:"region"`
	Capabilities []string `yaml:"capabilities"`
	// MaxResults bounds the quotes, 1 to 100.
	MaxResults           int  `yaml:"max_results"`
	NativeOnly           bool `yaml:"native_only"`
	AllowExternalHandoff bool `yaml:"allow_external_handoff"`
}

// SelectMode is how a quote is chosen among those that the policy allows.
type SelectMode string

// The ways to choose.
const (
	SelectCheapest  SelectMode = "cheapest"
	SelectBestScore SelectMode = "best-score"
	// SelectWeighted ranks by the weights of price and score.
	SelectWeighted SelectMode = "weighted"
)

// Select is how a quote is chosen: a word, or weights.
type Select struct {
	Mode SelectMode
	// Price and Score are the weights in millionths, for SelectWeighted only;
	// at least one is above zero.
	Price, Score int64
}

// Accept is the check that a result must pass.
type Accept struct {
	// SchemaFile is a JSON Schema; empty accepts every result within MaxBytes.
	SchemaFile string `yaml:"schema_file" as:"file"`
	// MaxBytes bounds the result's JSON text.
	MaxBytes Bytes `yaml:"max_bytes"`
}

// Bytes is a size; in YAML a number with an optional unit (kB, MB, KiB, MiB).
type Bytes int64

// Deliver says where an accepted result goes.
type Deliver struct {
	// File is written atomically; empty keeps the result in the ledger only.
	File string `yaml:"file" as:"path"`
	// Keep is the number of earlier results that stay beside it.
	Keep int `yaml:"keep"`
}

// OnReject is what happens to a purchase whose result fails its check.
type OnReject string

// The reactions to a rejected result.
const (
	RejectDispute OnReject = "dispute"
	RejectHold    OnReject = "hold"
)

// ProviderCredentials are the API's fixed objects, every value in a file that
// is read for the one request and never stored or logged.
type ProviderCredentials struct {
	Walrus  *WalrusCredentials  `yaml:"walrus" wire:"walrus"`
	Akash   *AkashCredentials   `yaml:"akash" wire:"akash"`
	WorldID *WorldIDCredentials `yaml:"world_id" wire:"worldId"`
	Geodnet *GeodnetCredentials `yaml:"geodnet" wire:"geodnet"`
	Aethir  *AethirCredentials  `yaml:"aethir" wire:"aethir"`
}

// WalrusCredentials is the provider object walrus.
type WalrusCredentials struct {
	PublisherURLFile   string `yaml:"publisher_url_file" as:"secret" wire:"publisherUrl"`
	AggregatorURLFile  string `yaml:"aggregator_url_file" as:"secret" wire:"aggregatorUrl"`
	PublisherTokenFile string `yaml:"publisher_token_file" as:"secret" wire:"publisherToken"`
}

// AkashCredentials is the provider object akash.
type AkashCredentials struct {
	ConsoleAPIKeyFile  string `yaml:"console_api_key_file" as:"secret" wire:"consoleApiKey"`
	ConsoleBaseURLFile string `yaml:"console_base_url_file" as:"secret" wire:"consoleBaseUrl"`
	RESTEndpointsFile  string `yaml:"rest_endpoints_file" as:"secret" wire:"restEndpoints"`
}

// WorldIDCredentials is the provider object worldId.
type WorldIDCredentials struct {
	RPIDFile          string `yaml:"rp_id_file" as:"secret" wire:"rpId"`
	AppIDFile         string `yaml:"app_id_file" as:"secret" wire:"appId"`
	VerifyBaseURLFile string `yaml:"verify_base_url_file" as:"secret" wire:"verifyBaseUrl"`
}

// GeodnetCredentials is the provider object geodnet.
type GeodnetCredentials struct {
	AppIDFile   string `yaml:"app_id_file" as:"secret" wire:"appId"`
	AppKeyFile  string `yaml:"app_key_file" as:"secret" wire:"appKey"`
	BaseURLFile string `yaml:"base_url_file" as:"secret" wire:"baseUrl"`
}

// AethirCredentials is the provider object aethir.
type AethirCredentials struct {
	AKFile      string `yaml:"ak_file" as:"secret" wire:"ak"`
	SKFile      string `yaml:"sk_file" as:"secret" wire:"sk"`
	BaseURLFile string `yaml:"base_url_file" as:"secret" wire:"baseUrl"`
}

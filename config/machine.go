// SPDX-License-Identifier: Apache-2.0

package config

import "time"

// KeyName names one of the [Keys].
type KeyName string

// The key names.
const (
	KeyAgent KeyName = "agent"
	KeyOwner KeyName = "owner"
)

// Keys are the signing keys: the agent's, which pays and pairs, and the owner's,
// which proves the machine's identity when the daemon registers it.
type Keys struct {
	Agent Key `yaml:"agent"`
	Owner Key `yaml:"owner"`
}

// ByName returns the key with that name; another name has the zero Key.
func (k Keys) ByName(name KeyName) Key {
	switch name {
	case KeyAgent:
		return k.Agent
	case KeyOwner:
		return k.Owner
	default:
		return Key{}
	}
}

// Key is where a signing key is: a keystore file (Web3 Secret Storage, version
// 3) with its passphrase, or a file with the private key in hexadecimal. All
// three are files that nobody but their owner may read.
type Key struct {
	KeystoreFile   string `yaml:"keystore_file" as:"secret"`
	PassphraseFile string `yaml:"passphrase_file" as:"secret"`
	PrivateKeyFile string `yaml:"private_key_file" as:"secret"`

	// PrivateKey is the key from PEAQOS_PRIVATE_KEY, in hexadecimal; it is set
	// only on the agent key, and only if no file is.
	PrivateKey Secret `yaml:"-"`
}

// IsZero says whether no key is configured.
func (k Key) IsZero() bool {
	return k.KeystoreFile == "" && k.PrivateKeyFile == "" && k.PrivateKey.IsZero()
}

// Machine is the record of the machine at the Market.
type Machine struct {
	// ID is the Market's id (mach_…). Empty means: found by IdentityRef, or
	// registered if Register is set.
	ID string `yaml:"id"`
	// IdentityRef is did:peaq:<decimal>, peaqos:machine:<decimal> or the older
	// did:peaq:0x…; it is sent as written.
	IdentityRef string `yaml:"identity_ref"`
	// IdentityKey names the key that controls the identity.
	IdentityKey KeyName      `yaml:"identity_key"`
	Register    *Register    `yaml:"register"`
	Agent       MachineAgent `yaml:"agent"`
}

// Register is what a new machine record says.
type Register struct {
	DisplayName    string            `yaml:"display_name"`
	OwnerID        string            `yaml:"owner_id"`
	MachineType    string            `yaml:"machine_type"`
	RuntimeProfile string            `yaml:"runtime_profile"`
	Capabilities   []string          `yaml:"capabilities"`
	Labels         map[string]string `yaml:"labels"`
}

// MachineAgent is the machine's agent that sends heartbeats: one that the daemon
// enrols by Label, or one that the owner enrolled (ID and TokenFile).
type MachineAgent struct {
	Label string `yaml:"label"`
	// AllowedProviderKeys are enrolled with the agent. Default: the provider
	// keys of the heartbeat's endpoints.
	AllowedProviderKeys []string `yaml:"allowed_provider_keys"`
	ID                  string   `yaml:"id"`
	TokenFile           string   `yaml:"token_file" as:"secret"`
}

// Pairing is the agent's pairing with the machine.
type Pairing struct {
	// Key names the key whose address is paired.
	Key         KeyName `yaml:"key"`
	Provider    string  `yaml:"provider"`
	Role        string  `yaml:"role"`
	Description string  `yaml:"description"`
	// AgentDID is did:pkh:eip155:<chain>:<address>; empty lets the Market derive it.
	AgentDID string `yaml:"agent_did"`
	// PushPolicy sends limits and lists of the local policy to the Market, where
	// they only tighten.
	PushPolicy bool `yaml:"push_policy"`
}

// Heartbeat reports the machine's runtime endpoints.
type Heartbeat struct {
	Interval time.Duration `yaml:"interval"`
	// Lease is how long the Market believes a report, 10 s to 3600 s.
	Lease time.Duration `yaml:"lease"`
	// Endpoints are probed and reported; with none, no heartbeat is sent.
	Endpoints []Endpoint `yaml:"endpoints"`
}

// NetworkScope says from where an endpoint can be reached.
type NetworkScope string

// The network scopes.
const (
	ScopeLoopback NetworkScope = "loopback"
	ScopeLAN      NetworkScope = "lan"
	ScopeVPN      NetworkScope = "vpn"
	ScopePublic   NetworkScope = "public"
)

// Endpoint is a local runtime that the machine offers.
type Endpoint struct {
	ProviderKey string `yaml:"provider_key"`
	URL         string `yaml:"url" as:"url"`
	// ProbePath is asked to learn whether the endpoint is up. Default:
	// /v1/models for the provider qvac, /health for others.
	ProbePath    string       `yaml:"probe_path"`
	NetworkScope NetworkScope `yaml:"network_scope"`
	Label        string       `yaml:"label"`
	ModelAlias   string       `yaml:"model_alias"`
	Auth         EndpointAuth `yaml:"auth"`
}

// AuthType is how an endpoint authenticates its callers.
type AuthType string

// The authentication types.
const (
	AuthNone   AuthType = "none"
	AuthAPIKey AuthType = "api-key"
	AuthBearer AuthType = "bearer"
)

// EndpointAuth is what callers of an endpoint need; the token is sent to the
// Market with the heartbeat.
type EndpointAuth struct {
	Type      AuthType `yaml:"type"`
	TokenFile string   `yaml:"token_file" as:"secret"`
}

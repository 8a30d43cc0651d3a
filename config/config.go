// SPDX-License-Identifier: Apache-2.0

package config

import "time"

// Config is a whole, valid configuration. Paths are absolute and expanded.
type Config struct {
	// StateDir holds the ledger and the tokens. Default: $STATE_DIRECTORY.
	StateDir string `yaml:"state_dir" as:"path"`
	Log      Log    `yaml:"log"`
	// Listen is the address of metrics and health, nothing else; empty turns it off.
	Listen string `yaml:"listen"`
	Admin  Admin  `yaml:"admin"`
	Mode   Mode   `yaml:"mode"`
	// Retention is the age at which settled purchases are compacted. It is
	// longer than the longest window of the policy.
	Retention     time.Duration `yaml:"retention"`
	Orchestration Orchestration `yaml:"orchestration"`
	Keys          Keys          `yaml:"keys"`
	Machine       Machine       `yaml:"machine"`
	Pairing       Pairing       `yaml:"pairing"`
	Heartbeat     Heartbeat     `yaml:"heartbeat"`
	Chains        []Chain       `yaml:"chains"`
	Policy        Policy        `yaml:"policy"`
	Needs         []Need        `yaml:"needs"`

	// Warnings say what works and should still be changed, such as a key in the
	// environment. Each is one sentence; none holds a secret.
	Warnings []string `yaml:"-"`
}

// Mode says whether the daemon pays.
type Mode string

// The modes.
const (
	// ModeBuy decides, records and pays.
	ModeBuy Mode = "buy"
	// ModeObserve decides and records, and never pays.
	ModeObserve Mode = "observe"
)

// LogFormat is the spelling of log lines.
type LogFormat string

// The log formats. The empty format is console on a terminal and JSON elsewhere.
const (
	FormatAuto    LogFormat = ""
	FormatJSON    LogFormat = "json"
	FormatConsole LogFormat = "console"
)

// LogLevel is the least severe level that is logged.
type LogLevel string

// The log levels.
const (
	LevelDebug LogLevel = "debug"
	LevelInfo  LogLevel = "info"
	LevelWarn  LogLevel = "warn"
	LevelError LogLevel = "error"
)

// Log says what is logged and how.
type Log struct {
	Level  LogLevel  `yaml:"level"`
	Format LogFormat `yaml:"format"`
}

// Admin is the local API.
type Admin struct {
	// Socket is the path of the unix socket. Default: agentd.sock in
	// $RUNTIME_DIRECTORY, or in /run/agentd.
	Socket string `yaml:"socket" as:"path"`
}

// ProofMode is how the Market is asked to verify a transfer.
type ProofMode string

// The proof modes.
const (
	// ProofRPC asks the Market to look at the chain.
	ProofRPC ProofMode = "rpc"
	// ProofRecorded asks it to record the hash only.
	ProofRecorded ProofMode = "recorded"
)

// Orchestration is the Market and how it is reached.
type Orchestration struct {
	// URL is the base, without /api/v1.
	URL string `yaml:"url" as:"url"`
	// APIKeyFile holds the platform key; empty where the Market needs none.
	APIKeyFile string `yaml:"api_key_file" as:"secret"`
	// CAFile holds the PEM certificates of a private authority; empty trusts the system's.
	CAFile string `yaml:"ca_file" as:"file"`
	// AllowHTTP permits plain http to hosts other than loopback, for the Market
	// and for the RPC endpoints of the chains.
	AllowHTTP bool      `yaml:"allow_http"`
	Proof     ProofMode `yaml:"proof"`

	// APIKey is the platform key from PEAQOS_API_KEY; it is set only if
	// APIKeyFile is empty.
	APIKey Secret `yaml:"-"`
}

// Secret is a text that prints as asterisks in every format.
type Secret string

// Reveal returns the text itself.
func (s Secret) Reveal() string { return string(s) }

// IsZero says whether there is no secret.
func (s Secret) IsZero() bool { return s == "" }

// String returns a mask, or nothing if there is no secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "***"
}

// GoString returns what [Secret.String] returns, for the %#v verb.
func (s Secret) GoString() string { return s.String() }

// MarshalText writes what [Secret.String] returns.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

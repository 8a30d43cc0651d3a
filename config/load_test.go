// SPDX-License-Identifier: Apache-2.0

package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/google/go-cmp/cmp"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
)

// TestPrecedence sets one key in each place, strongest last.
func TestPrecedence(t *testing.T) {
	s := newSite(t)
	file := strings.ReplaceAll(readText(t, s.file), "  url: https://market.example\n", "")
	with := readText(t, s.file)
	tests := []struct {
		name, file string
		env        []string
		want       string
	}{
		{"PEAQOS_ alone", file, []string{"PEAQOS_ORCHESTRATION_URL=https://peaqos.example"}, "https://peaqos.example"},
		{"file over PEAQOS_", with, []string{"PEAQOS_ORCHESTRATION_URL=https://peaqos.example"}, "https://market.example"},
		{"AGENTD_ over the file", with, []string{"AGENTD_ORCHESTRATION_URL=https://agentd.example"}, "https://agentd.example"},
		{"AGENTD_ over all", with, []string{"PEAQOS_ORCHESTRATION_URL=https://peaqos.example", "AGENTD_ORCHESTRATION_URL=https://agentd.example"}, "https://agentd.example"},
		{"AGENTD_ over PEAQOS_", file, []string{"PEAQOS_ORCHESTRATION_URL=https://peaqos.example", "AGENTD_ORCHESTRATION_URL=https://agentd.example"}, "https://agentd.example"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s.write(t, "agentd.yaml", tt.file)
			if got := s.load(t, tt.env...).Orchestration.URL; got != tt.want {
				t.Errorf("orchestration.url is %s, want %s", got, tt.want)
			}
		})
	}
}

// TestPeaqosVariables uses the official tools' variables where nothing else says more.
func TestPeaqosVariables(t *testing.T) {
	t.Run("api key", func(t *testing.T) {
		s := newSite(t)
		if got := s.load(t, "PEAQOS_API_KEY=k").Orchestration; !got.APIKey.IsZero() || got.APIKeyFile == "" {
			t.Errorf("the variable wins over the file: %+v", got)
		}
		s.edit(t, "  api_key_file: "+s.dir+"/api-key\n", "")
		if got := s.load(t, "PEAQOS_API_KEY=k").Orchestration.APIKey.Reveal(); got != "k" {
			t.Errorf("the key is %q, want k", got)
		}
	})
	t.Run("rpc", func(t *testing.T) {
		s := newSite(t)
		if got := s.load(t, "PEAQOS_RPC_URL=https://rpc.example").Chains[0].RPC; len(got) != 2 {
			t.Errorf("the variable wins over the file: %q", got)
		}
		s.edit(t, `    rpc: [https://one.example, "https://two.example/key?k=v"]`+"\n", "")
		if got := s.load(t, "PEAQOS_RPC_URL=https://rpc.example").Chains[0].RPC; len(got) != 1 || got[0] != "https://rpc.example" {
			t.Errorf("rpc is %q, want the variable's", got)
		}
		faults := s.faults(t, "PEAQOS_RPC_URL=http://192.0.2.1")
		if len(faults) != 1 || faults[0].Source != "PEAQOS_RPC_URL" {
			t.Errorf("faults are %v, want one of the variable", faults)
		}
		if got := s.load(t, "PEAQOS_RPC_URL=https://rpc.example", "AGENTD_CHAINS=[]").Warnings; len(got) != 1 || !strings.Contains(got[0], "not used") {
			t.Errorf("warnings are %q, want that it is not used", got)
		}
	})
	t.Run("private key", func(t *testing.T) {
		s := newSite(t)
		if got := s.load(t, "PEAQOS_PRIVATE_KEY="+testKey); !got.Keys.Agent.PrivateKey.IsZero() || len(got.Warnings) != 0 {
			t.Errorf("the variable wins over the file, or warns: %q", got.Warnings)
		}
		got := s.load(t, "PEAQOS_PRIVATE_KEY=0x"+testKey, "AGENTD_KEYS_AGENT={}")
		if got.Keys.Agent.PrivateKey.Reveal() != testKey || len(got.Warnings) != 1 {
			t.Errorf("key or warning is missing: %q", got.Warnings)
		}
		if text := fmt.Sprintf("%v %+v %#v", got, got, got); strings.Contains(text, testKey) {
			t.Error("the key is printed")
		}
		if data, err := json.Marshal(got); err != nil || strings.Contains(string(data), testKey) {
			t.Errorf("the key is marshalled, or %v", err)
		}
	})
}

// TestDefaults loads the least that there can be.
func TestDefaults(t *testing.T) {
	s := newSite(t)
	cfg, err := Load("", s.env(
		"STATE_DIRECTORY=/var/lib/one:/var/lib/two", "RUNTIME_DIRECTORY=/run/here", "AGENTD_ORCHESTRATION_URL=http://localhost:1",
		"AGENTD_KEYS_AGENT_PRIVATE_KEY_FILE=SITE/owner.key", "AGENTD_MACHINE_ID=mach_1", "AGENTD_POLICY_CURRENCY=USD",
		"AGENTD_POLICY_PER_PURCHASE=1", "AGENTD_POLICY_WINDOWS_0_CALENDAR=month", "AGENTD_POLICY_WINDOWS_0_LIMIT=5",
		"AGENTD_NEEDS_0_NAME=a", "AGENTD_NEEDS_0_SEARCH_OPERATION=b", "AGENTD_CHAINS_0_ID=eip155:1", "AGENTD_CHAINS_0_RPC=https://rpc.example",
		"AGENTD_HEARTBEAT_ENDPOINTS_0_PROVIDER_KEY=x", "AGENTD_HEARTBEAT_ENDPOINTS_0_URL=http://127.0.0.1:1",
		"AGENTD_HEARTBEAT_ENDPOINTS_1_PROVIDER_KEY=qvac", "AGENTD_HEARTBEAT_ENDPOINTS_1_URL=http://127.0.0.1:2"))
	if err != nil {
		t.Fatal(err)
	}
	for _, check := range []struct {
		name      string
		got, want any
	}{
		{"state_dir", cfg.StateDir, "/var/lib/one"},
		{"admin.socket", cfg.Admin.Socket, "/run/here/agentd.sock"},
		{"listen", cfg.Listen, "127.0.0.1:9470"},
		{"mode", cfg.Mode, ModeBuy},
		{"retention", cfg.Retention, 400 * 24 * time.Hour},
		{"proof", cfg.Orchestration.Proof, ProofRPC},
		{"lease", cfg.Heartbeat.Lease, 90 * time.Second},
		{"probe", cfg.Heartbeat.Endpoints[0].ProbePath, "/health"},
		{"probe of qvac", cfg.Heartbeat.Endpoints[1].ProbePath, "/v1/models"},
		{"provider keys", strings.Join(cfg.Machine.Agent.AllowedProviderKeys, ","), "x,qvac"},
		{"confirmations", cfg.Chains[0].Final.Confirmations, uint64(3)},
		{"fee ceiling", cfg.Chains[0].Gas.MaxFeePerGas.Format(9), "200"},
		{"payees", cfg.Policy.Payees, PayeesPin},
		{"approval", cfg.PolicyRules().HasApproval, false},
		{"deadline", cfg.Needs[0].Deadline, 5 * time.Minute},
		{"maximum price", cfg.Needs[0].HasMaxPrice, false},
		{"select", cfg.Needs[0].Select.Mode, SelectCheapest},
	} {
		if check.got != check.want {
			t.Errorf("%s is %v, want %v", check.name, check.got, check.want)
		}
	}
}

// TestPolicyRules compiles the base configuration for the guard.
func TestPolicyRules(t *testing.T) {
	payee := "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"
	got := newSite(t).load(t, "AGENTD_POLICY_ALLOW_PAYEES="+strings.ToLower(payee), "AGENTD_POLICY_QUIET_HOURS=22:00-06:30").PolicyRules()
	want := &policy.Rules{
		Currency: "USD", PerPurchase: 5_000_000, Lifetime: 1000_000_000,
		Windows:    []policy.Window{{Over: 24 * time.Hour, Limit: 20_000_000}, {Over: 720 * time.Hour, Limit: 200_000_000}},
		Counts:     []policy.CountLimit{{Over: time.Hour, Limit: 30}},
		QuietHours: []policy.QuietHours{{From: 22 * 60, To: 6*60 + 30}}, ApprovalAbove: 2_000_000, HasApproval: true, ApprovalTTL: 24 * time.Hour,
		Payees: policy.PayeesPin, MaxAuthorization: 10 * time.Minute,
		Allow:   policy.Lists{Rails: policy.NewSet("not-required", "x402", "wallet"), Payees: policy.NewSet(payee)},
		Expires: time.Date(2027, 12, 31, 0, 0, 0, 0, time.UTC),
	}
	same := cmp.Comparer(func(a, b policy.Set) bool {
		return strings.EqualFold(strings.Join(a.Members(), " "), strings.Join(b.Members(), " "))
	})
	if diff := cmp.Diff(want, got, same); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
	if !got.Allow.Payees.HasAddress(common.HexToAddress(payee)) {
		t.Error("the payee is not found by its address")
	}
	if err := got.Validate(); err != nil {
		t.Error(err)
	}
}

// TestSecretFiles wants modes of files that hold secrets.
func TestSecretFiles(t *testing.T) {
	tests := []struct {
		name        string
		mode        fs.FileMode
		credentials bool
		ok          bool
	}{
		{"owner only", 0o600, false, true}, {"owner may read", 0o400, false, true},
		{"group may read", 0o640, false, false}, {"all may read", 0o644, false, false}, {"group may write", 0o620, false, false},
		{"credential with an access list", 0o440, true, true}, {"credential open to all", 0o444, true, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t)
			if err := os.Chmod(filepath.Join(s.dir, "api-key"), tt.mode); err != nil {
				t.Fatal(err)
			}
			env := s.env()
			if !tt.credentials { // the passphrase is named by the variable, so another directory holds it then
				other := t.TempDir()
				if err := os.WriteFile(filepath.Join(other, "agent-passphrase"), []byte("x"), 0o600); err != nil {
					t.Fatal(err)
				}
				env[0] = "CREDENTIALS_DIRECTORY=" + other
			}
			_, err := Load(s.file, env)
			if (err == nil) != tt.ok {
				t.Fatalf("Load: %v, want ok = %t", err, tt.ok)
			}
			if err != nil && !strings.Contains(err.Error(), "chmod 600 ") {
				t.Errorf("the fault does not name the repair: %v", err)
			}
		})
	}
}

// TestReadSecret cuts white space and refuses what is no secret.
func TestReadSecret(t *testing.T) {
	s := newSite(t)
	if got, err := ReadSecret(s.write(t, "one", " key\r\n")); err != nil || got.Reveal() != "key" {
		t.Errorf("got %q, %v; want key", got.Reveal(), err)
	}
	for name, content := range map[string]string{"empty": "\n", "huge": strings.Repeat("k", maxSecret+1)} {
		if _, err := ReadSecret(s.write(t, name, content)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := ReadSecret(filepath.Join(s.dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
}

// TestCredentials reads every value from its file, under the API's names.
func TestCredentials(t *testing.T) {
	s := newSite(t)
	s.write(t, "id", "the-id\n")
	cfg := s.load(t, "AGENTD_NEEDS_0_PROVIDER_CREDENTIALS={world_id: {app_id_file: SITE/id}, walrus: {publisher_token_file: SITE/token, publisher_url_file: SITE/other}}")
	got, err := cfg.Needs[0].ProviderCredentials.Read()
	if err != nil {
		t.Fatal(err)
	}
	want := `{"walrus":{"publisherToken":"endpoint-token","publisherUrl":"other"},"worldId":{"appId":"the-id"}}`
	if string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if err := os.Remove(filepath.Join(s.dir, "id")); err != nil {
		t.Fatal(err)
	}
	if _, err := cfg.Needs[0].ProviderCredentials.Read(); err == nil {
		t.Error("a missing file is no error")
	}
	none, err := (ProviderCredentials{}).Read()
	if err != nil || none != nil {
		t.Errorf("nothing configured: %s, %v", none, err)
	}
}

// TestInputKeepsNumbers passes an input on without a float in between.
func TestInputKeepsNumbers(t *testing.T) {
	s := newSite(t)
	s.edit(t, "    input: {pair: PEAQ/USD}\n", `    input:
      amount: 0.10
      big: 123456789012345678901234567890
      exact: 1.0e-30
      text: "0.10"
      word: yes
      flag: true
      none: null
      date: 2026-11-24
      list: [1, {a: "<&>"}]
      camelCase_and_snake: ${HOME}
`)
	want := `{"amount":0.10,"big":123456789012345678901234567890,"exact":1.0e-30,"text":"0.10","word":"yes","flag":true,"none":null,` +
		`"date":"2026-11-24","list":[1,{"a":"\u003c\u0026\u003e"}],"camelCase_and_snake":"${HOME}"}`
	if got := string(s.load(t).Needs[0].Input); got != want {
		t.Errorf("input is\n%s, want\n%s", got, want)
	}
	for _, bad := range []string{"{a: .inf}", "{a: .nan}", "{a: 0x10}", "{a: 1, a: 2}", "{a: " + strings.Repeat("[", 33) + strings.Repeat("]", 33) + "}"} {
		if faults := s.faults(t, "AGENTD_NEEDS_0_INPUT="+bad); len(faults) != 1 || faults[0].Key != "needs[0].input" {
			t.Errorf("%s: faults are %v, want one of the input", bad, faults)
		}
	}
}

// TestOverlayOnLists adds to a list of the file, changes in it, and leaves the
// other users of an anchor alone.
func TestOverlayOnLists(t *testing.T) {
	s := newSite(t)
	s.edit(t, "    search: {service_type: oracle.price-feed,", "    search: &search {service_type: oracle.price-feed,")
	s.write(t, "agentd.yaml", readText(t, s.file)+"  - {name: second, search: *search}\n")
	cfg := s.load(t, "AGENTD_NEEDS_1_SEARCH_OPERATION=other", "AGENTD_NEEDS_2_NAME=third", "AGENTD_NEEDS_2_SEARCH_SKILL=s",
		"AGENTD_POLICY_WINDOWS_1_LIMIT=150")
	var operations []string
	for _, n := range cfg.Needs {
		operations = append(operations, n.Name+":"+n.Search.Operation)
	}
	if got, want := strings.Join(operations, " "), "price:latest-price second:other third:"; got != want {
		t.Errorf("needs are %s, want %s", got, want)
	}
	if got := cfg.Policy.Windows[1]; got.Limit != 150_000_000 || got.Over != 720*time.Hour {
		t.Errorf("the second window is %+v, want its limit changed and nothing else", got)
	}
}

// TestBombs refuses files that grow without end when they are read.
func TestBombs(t *testing.T) {
	s := newSite(t)
	bombs := map[string]string{
		"aliases": "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n" +
			"d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\n",
		"itself": "a: &a [*a]\n",
		"depth":  strings.Repeat("[", 200) + strings.Repeat("]", 200),
		"size":   "# " + strings.Repeat("x", maxFile),
	}
	for name, text := range bombs {
		t.Run(name, func(t *testing.T) {
			s.write(t, "agentd.yaml", text)
			if faults := s.faults(t); len(faults) != 1 {
				t.Errorf("%d faults, want one: %.500s", len(faults), faults)
			}
		})
	}
}

// TestSocket finds the socket without a valid configuration.
func TestSocket(t *testing.T) {
	s := newSite(t)
	tests := []struct {
		name, file string
		env        []string
		want       string
	}{
		{"variable", "admin: {socket: /from/file.sock}", []string{"AGENTD_ADMIN_SOCKET=/from/env.sock"}, "/from/env.sock"},
		{"file", "admin: {socket: /from/file.sock}\nbogus: 1", nil, "/from/file.sock"},
		{"file, beside it", "admin: {socket: a.sock}", nil, s.dir + "/a.sock"},
		{"file, with a variable", "admin: {socket: '${RUNTIME_DIRECTORY}/b.sock'}", []string{"RUNTIME_DIRECTORY=/run/x"}, "/run/x/b.sock"},
		{"runtime directory", "", []string{"RUNTIME_DIRECTORY=/run/x"}, "/run/x/agentd.sock"},
		{"default", "not: [yaml", nil, "/run/agentd/agentd.sock"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Socket(s.write(t, "socket.yaml", tt.file), tt.env); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// TestLoadPolicy needs the policy to be right, and nothing else.
func TestLoadPolicy(t *testing.T) {
	s := newSite(t)
	if err := os.Remove(filepath.Join(s.dir, "agent.json")); err != nil {
		t.Fatal(err)
	}
	cfg, err := LoadPolicy(s.file, []string{"AGENTD_ORCHESTRATION_URL=nowhere"})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.PolicyRules().PerPurchase != 5_000_000 {
		t.Errorf("per_purchase is %s, want 5", cfg.Policy.PerPurchase)
	}
	for _, env := range []string{"AGENTD_POLICY_PER_PURCHASE=0", "AGENTD_POLCY=x", "AGENTD_CHAINS_0_TOKENS_0_DECIMALS=x"} {
		if _, err := LoadPolicy(s.file, []string{env}); err == nil {
			t.Errorf("%s: no error", env)
		}
	}
}

// TestScalars reads what people write.
func TestScalars(t *testing.T) {
	durations := map[string]time.Duration{"30s": 30 * time.Second, "400d": 400 * day, "1d12h": 36 * time.Hour, "0s": 0, "90m": 90 * time.Minute}
	for text, want := range durations {
		if got, err := parseDuration(text); err != nil || got != want {
			t.Errorf("duration %s: %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "5", "-1s", "d", "1.5d", "1d24h", "70000d", "1dx", "-1d"} {
		if got, err := parseDuration(text); err == nil {
			t.Errorf("duration %q: %v, want an error", text, got)
		}
	}
	sizes := map[string]Bytes{"0": 0, "4096": 4096, "64kB": 64_000, "1MB": 1_000_000, "1 MiB": 1 << 20, "8KiB": 8192}
	for text, want := range sizes {
		if got, err := parseBytes(text); err != nil || got != want {
			t.Errorf("size %s: %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "-1", "1GB", "1.5MB", "MB", "9999999999999"} {
		if got, err := parseBytes(text); err == nil {
			t.Errorf("size %q: %d, want an error", text, got)
		}
	}
	for _, text := range []string{"24:00-06:00", "22:00-22:00", "22:60-06:00", "7:00-8:00", "22:00"} {
		if got, err := parseQuietHours(text); err == nil {
			t.Errorf("quiet hours %q: %v, want an error", text, got)
		}
	}
	if got, err := parseQuietHours("18:00-24:00"); err != nil || got != (QuietHours{From: 1080, To: 1440}) {
		t.Errorf("quiet hours until midnight: %v, %v", got, err)
	}
	spans := map[time.Duration]string{400 * day: "400d", 24 * time.Hour: "24h", 90 * time.Second: "1m30s", time.Hour + time.Minute: "1h1m", time.Minute: "1m"}
	for d, want := range spans {
		if got := Span(d); got != want {
			t.Errorf("span of %v is %s, want %s", d, got, want)
		}
	}
}

// TestSchedulesAreUTC wants the same times wherever the daemon runs.
func TestSchedulesAreUTC(t *testing.T) {
	zone := time.FixedZone("east", 5*3600)
	tests := []struct {
		spec string
		want time.Time
	}{
		{"0 6 * * *", time.Date(2026, 11, 25, 6, 0, 0, 0, time.UTC)},
		{"@daily", time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)},
		{"@every 1d", time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)},
	}
	for _, tt := range tests {
		s, err := ParseSchedule(tt.spec)
		if err != nil {
			t.Errorf("%s: %v", tt.spec, err)
			continue
		}
		if got := s.Next(time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC).In(zone)); !got.Equal(tt.want) {
			t.Errorf("%s: next is %v, want %v", tt.spec, got.UTC(), tt.want)
		}
	}
	for _, spec := range []string{"", "TZ=", "TZ=UTC 0 6 * * *", "tz=UTC", "* * * *", "@every", "@every 0s", "0 0 30 2 *", "61 * * * *"} {
		if _, err := ParseSchedule(spec); err == nil {
			t.Errorf("%q: no error", spec)
		}
	}
}

// TestAssets lists tokens and aliases.
func TestAssets(t *testing.T) {
	cfg := newSite(t).load(t)
	want := []money.Asset{{Chain: "eip155:3338", Address: common.HexToAddress("0x036CbD53842c5426634e7929541eC2318f3dCF7e"), Symbol: "USDT", Decimals: 6, Currency: "USD"}}
	if diff := cmp.Diff(want, cfg.Assets()); diff != "" {
		t.Errorf("assets (-want +got):\n%s", diff)
	}
	if got := cfg.ChainAliases()["peaq"]; got != "eip155:3338" {
		t.Errorf("peaq is %s", got)
	}
	if got := cfg.Chains[0].Tokens[0].LowBalance.String(); got != "5000000" {
		t.Errorf("low balance is %s base units, want 5000000", got)
	}
}

// TestExample loads the configuration that owners copy from.
func TestExample(t *testing.T) {
	s := newSite(t)
	s.write(t, "agent-keystore", "{}")
	env := []string{"CREDENTIALS_DIRECTORY=" + s.dir, "STATE_DIRECTORY=/var/lib/agentd"}
	cfg, err := Load(filepath.Join("..", "examples", "agentd.yaml"), env)
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.Warnings) != 0 {
		t.Errorf("warnings: %q", cfg.Warnings)
	}
}

// FuzzLoad wants faults, never a panic, whatever stands in the file.
func FuzzLoad(f *testing.F) {
	for _, name := range []string{"base.yaml", "faults.yaml"} {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(data), "1d")
	}
	f.Add("needs: [{select: {price: [}]", "{a: [")
	f.Add("policy: &p {allow: *p}", "[1]")
	f.Fuzz(func(t *testing.T, text, value string) {
		path := filepath.Join(t.TempDir(), "agentd.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		env := []string{"AGENTD_NEEDS_0_INPUT=" + value, "AGENTD_POLICY_WINDOWS=" + value, "AGENTD_NEEDS_0_SCHEDULE=" + value, "AGENTD_RETENTION=" + value}
		cfg, err := Load(path, env)
		if (cfg == nil) == (err == nil) {
			t.Errorf("got %v and %v, want one of them", cfg, err)
		}
	})
}

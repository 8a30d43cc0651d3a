// SPDX-License-Identifier: Apache-2.0

package pairing

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/orchestration"
)

func TestLife(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	skewed := now.Add(48 * time.Hour) // the server's clock
	token := func(life time.Duration) string {
		claims := jwt.RegisteredClaims{IssuedAt: jwt.NewNumericDate(skewed), ExpiresAt: jwt.NewNumericDate(skewed.Add(life))}
		text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte("k"))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	tests := []struct {
		name string
		in   times
		want time.Duration
	}{
		{"by the server's own difference", times{issued: stamp(skewed), expires: stamp(skewed.Add(time.Hour))}, time.Hour},
		{"no issue time", times{expires: stamp(now.Add(time.Minute))}, time.Minute},
		{"the token is shorter", times{issued: stamp(skewed), expires: stamp(skewed.Add(time.Hour)), token: token(time.Minute)}, time.Minute},
		{"the token is longer", times{issued: stamp(skewed), expires: stamp(skewed.Add(time.Minute)), token: token(time.Hour)}, time.Minute},
		{"the token alone", times{token: token(20 * time.Minute)}, 20 * time.Minute},
		{"an opaque token", times{issued: stamp(now), expires: stamp(now.Add(time.Hour)), token: "opaque"}, time.Hour},
		{"nothing known", times{token: "opaque"}, unknownLife},
		{"expired on arrival", times{issued: stamp(now), expires: stamp(now.Add(-time.Hour))}, unknownLife},
		{"too short", times{issued: stamp(now), expires: stamp(now.Add(time.Second))}, shortestLife},
		{"too long", times{issued: stamp(now), expires: stamp(now.Add(time.Hour * 9000))}, longestLife},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := life(tt.in, now); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestRotateAfter(t *testing.T) {
	if got, want := rotateAfter(time.Hour, 0), 40*time.Minute; got != want {
		t.Errorf("without jitter: got %s, want %s", got, want)
	}
	if got, want := rotateAfter(time.Hour, 1), 36*time.Minute; got != want {
		t.Errorf("with all jitter: got %s, want %s", got, want)
	}
}

func TestDecide(t *testing.T) {
	known := record{PairingID: "pair_1"}
	revoked := record{PairingID: "pair_1", Revoked: true}
	p := func(id string) *orchestration.Pairing { return &orchestration.Pairing{ID: id} }
	tests := []struct {
		name     string
		rec      record
		found    *orchestration.Pairing
		st       standing
		operator bool
		want     verdict
	}{
		{"nothing known, nothing found", record{}, nil, standingNone, false, verdictCreate},
		{"nothing known, active found", record{}, p("pair_1"), standingActive, false, verdictUse},
		{"nothing known, revoked found", record{}, p("pair_1"), standingRevoked, false, verdictRefuse},
		{"nothing known, paused found", record{}, p("pair_1"), standingPaused, false, verdictWait},
		{"known and gone", known, nil, standingNone, false, verdictRefuse},
		{"known and active", known, p("pair_1"), standingActive, false, verdictUse},
		{"revoked here, still active there", revoked, p("pair_1"), standingActive, false, verdictRefuse},
		{"revoked here, still paused there", revoked, p("pair_1"), standingPaused, false, verdictRefuse},
		{"revoked here, another one active", revoked, p("pair_2"), standingActive, false, verdictUse},
		{"revoked here, gone there", revoked, nil, standingNone, false, verdictRefuse},
		{"operator, revoked found", known, p("pair_1"), standingRevoked, true, verdictCreate},
		{"operator, nothing found", known, nil, standingNone, true, verdictCreate},
		{"operator, active found", known, p("pair_1"), standingActive, true, verdictUse},
		{"operator, paused found", known, p("pair_1"), standingPaused, true, verdictWait},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := decide(tt.rec, tt.found, tt.st, tt.operator); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
}

func TestPick(t *testing.T) {
	address := common.HexToAddress("0x1563915e194D8CfBA1943570603F7606A3115508")
	b := binding{MachineID: "m", Address: address, Provider: "custom", Role: "buyer"}
	pairing := func(id string, status orchestration.PairingStatus, change func(*orchestration.Pairing)) orchestration.Pairing {
		p := orchestration.Pairing{ID: id, MachineID: "m", AgentAddress: strings.ToLower(address.Hex()), AgentProvider: "custom", AgentRole: "buyer", Status: status, CreatedAt: "2026-01-01T00:00:00Z"}
		if change != nil {
			change(&p)
		}
		return p
	}
	foreign := []orchestration.Pairing{
		pairing("f1", "active", func(p *orchestration.Pairing) { p.AgentRole = "seller" }),
		pairing("f2", "active", func(p *orchestration.Pairing) { p.AgentProvider = "acme" }),
		pairing("f3", "active", func(p *orchestration.Pairing) { p.MachineID = "other" }),
		pairing("f4", "active", func(p *orchestration.Pairing) { p.AgentAddress = common.Address{1}.Hex() }),
	}
	tests := []struct {
		name  string
		all   []orchestration.Pairing
		known string
		did   string
		want  string
		st    standing
	}{
		{"only foreign ones", foreign, "", "", "", standingNone},
		{"active before paused before revoked", append(foreign, pairing("r", "revoked", nil), pairing("p", "paused", nil), pairing("a", "active", nil)), "r", "", "a", standingActive},
		{"the known one", []orchestration.Pairing{pairing("a", "active", nil), pairing("b", "active", nil)}, "a", "", "a", standingActive},
		{"the newest", []orchestration.Pairing{pairing("a", "active", func(p *orchestration.Pairing) { p.CreatedAt = "2026-02-01T00:00:00Z" }), pairing("b", "active", nil)}, "", "", "a", standingActive},
		{"another DID", []orchestration.Pairing{pairing("a", "active", func(p *orchestration.Pairing) { p.AgentDID = "did:x" })}, "", "did:y", "", standingNone},
		{"an unknown status is not usable", []orchestration.Pairing{pairing("a", "frozen", nil)}, "", "", "a", standingPaused},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := b
			b.DID = tt.did
			p, st := pick(tt.all, b, tt.known)
			got := ""
			if p != nil {
				got = p.ID
			}
			if got != tt.want || st != tt.st {
				t.Errorf("got %q (%d), want %q (%d)", got, st, tt.want, tt.st)
			}
		})
	}
}

func TestTighten(t *testing.T) {
	type policy = orchestration.DelegationPolicy
	own := Push{PerTransaction: usd("5"), Daily: usd("20"), Currency: "USD", AllowedSkills: []string{"a", "b"}, DeniedServices: []string{"s"}}
	tests := []struct {
		name    string
		have    policy
		want    policy
		differs bool
	}{
		{"nothing there", policy{}, policy{PerTransactionLimit: "5", DailySpendLimit: "20", Currency: "USD", AllowedSkillKeys: []string{"a", "b"}, DeniedServiceIDs: []string{"s"}}, true},
		{
			"the server is stricter",
			policy{PerTransactionLimit: "4.0", DailySpendLimit: "1", Currency: "USD", AllowedSkillKeys: []string{"b"}, DeniedServiceIDs: []string{"s", "t"}},
			policy{PerTransactionLimit: "4.0", DailySpendLimit: "1", Currency: "USD", AllowedSkillKeys: []string{"b"}, DeniedServiceIDs: []string{"s", "t"}},
			false,
		},
		{
			"the same in another spelling and order",
			policy{PerTransactionLimit: "5.00", DailySpendLimit: "2e1", Currency: "USD", AllowedSkillKeys: []string{"b", "a"}, DeniedServiceIDs: []string{"s"}},
			policy{PerTransactionLimit: "5.00", DailySpendLimit: "2e1", Currency: "USD", AllowedSkillKeys: []string{"b", "a"}, DeniedServiceIDs: []string{"s"}},
			false,
		},
		{
			"nothing in common stays the server's",
			policy{PerTransactionLimit: "5", DailySpendLimit: "20", Currency: "USD", AllowedSkillKeys: []string{"z"}, DeniedServiceIDs: []string{"s"}},
			policy{PerTransactionLimit: "5", DailySpendLimit: "20", Currency: "USD", AllowedSkillKeys: []string{"z"}, DeniedServiceIDs: []string{"s"}},
			false,
		},
		{
			"another currency is not compared",
			policy{PerTransactionLimit: "100", Currency: "EUR", AllowedSkillKeys: []string{"a", "b"}, DeniedServiceIDs: []string{"s"}},
			policy{PerTransactionLimit: "100", Currency: "EUR", AllowedSkillKeys: []string{"a", "b"}, DeniedServiceIDs: []string{"s"}},
			false,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, differs := own.tighten(tt.have)
			if diff := cmp.Diff(tt.want, got); diff != "" || differs != tt.differs {
				t.Errorf("differs %v, want %v; -want +got:\n%s", differs, tt.differs, diff)
			}
		})
	}
}

func TestRemote(t *testing.T) {
	p := serverPolicy{
		Delegation: orchestration.DelegationPolicy{PerTransactionLimit: "0.1234567", DailySpendLimit: "-1", Currency: "USD"},
		Account: []orchestration.Policy{
			{AllowedSkillKeys: []string{"a", "b"}, HandoffAllowed: true, BudgetCap: &orchestration.BudgetCap{Currency: "USD", Amount: "10"}},
			{AllowedSkillKeys: []string{"c"}, DeniedSkillKeys: []string{"d"}, NativeOnly: true, BudgetCap: &orchestration.BudgetCap{Currency: "USD", Amount: "7"}},
		},
	}
	r := p.remote()
	if got, want := r.PerTransaction, usd("0.123456"); !r.HasPerTransaction || got != want {
		t.Errorf("per transaction %s, want %s: a server's limit rounds down", got, want)
	}
	if got := r.Daily; !r.HasDaily || got != 0 {
		t.Errorf("daily %s, want 0: what cannot be read allows nothing", got)
	}
	if r.AccountAllowedSkills.Len() == 0 || r.AccountAllowedSkills.Has("a") || r.AccountAllowedSkills.Has("c") {
		t.Errorf("allowed skills %v, want a set that admits nothing", r.AccountAllowedSkills.Members())
	}
	if !r.NativeOnly || !r.HandoffDenied || !r.AccountDeniedSkills.Has("d") || r.BudgetCap != usd("7") {
		t.Errorf("got %+v", r)
	}
	if got, has := limitOf(json.Number("1e30")); !has || got != money.MaxValue {
		t.Errorf("a limit above all money: got %s", got)
	}
}

func TestFileStore(t *testing.T) {
	dir := t.TempDir()
	s, err := NewFileStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]string
	if err := s.Load("rec", &got); !errors.Is(err, ErrNoRecord) {
		t.Errorf("Load of nothing: got %v, want ErrNoRecord", err)
	}
	if err := s.Save("rec", map[string]string{"k": "v"}); err != nil {
		t.Fatal(err)
	}
	if err := s.Load("rec", &got); err != nil || got["k"] != "v" {
		t.Errorf("Load: got %v, %v", got, err)
	}
	if err := s.Writable(); err != nil {
		t.Errorf("Writable: %v", err)
	}
	names, err := os.ReadDir(dir)
	if err != nil || len(names) != 1 {
		t.Errorf("the directory holds %v, want the record alone", names)
	}
	if err := os.WriteFile(filepath.Join(dir, "rec.json"), []byte("{secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Load("rec", &got); err == nil || errors.Is(err, ErrNoRecord) || strings.Contains(err.Error(), "secret") {
		t.Errorf("Load of rubbish: got %v, want an error of its own without the content", err)
	}
	if err := s.Remove("rec"); err != nil {
		t.Errorf("Remove: %v", err)
	}
	if err := s.Remove("rec"); err != nil {
		t.Errorf("Remove twice: %v", err)
	}
	if err := s.Save("../rec", 1); err == nil {
		t.Error("a name with a path was accepted")
	}
}

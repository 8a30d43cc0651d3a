// SPDX-License-Identifier: Apache-2.0

package orchestration

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

// documentedCodes reads the codes of the protocol reference.
func documentedCodes(t *testing.T) []Code {
	t.Helper()
	text, err := os.ReadFile("testdata/codes.txt")
	if err != nil {
		t.Fatal(err)
	}
	var all []Code
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			all = append(all, Code(line))
		}
	}
	return all
}

func TestEveryDocumentedCodeHasAnAction(t *testing.T) {
	documented := map[Code]bool{}
	for _, code := range documentedCodes(t) {
		documented[code] = true
		if codes[code] == ActionNone {
			t.Errorf("%s has no action", code)
		}
	}
	if len(documented) < 40 {
		t.Fatalf("only %d codes in the list", len(documented))
	}
	for _, code := range Codes() {
		if !documented[code] {
			t.Errorf("%s is not documented", code)
		}
	}
}

func TestEveryActionHasAName(t *testing.T) {
	seen := map[string]bool{}
	for a := ActionNone; a <= ActionOurFault; a++ {
		name := a.String()
		if seen[name] || strings.Contains(name, "(") {
			t.Errorf("action %d is named %q", int(a), name)
		}
		seen[name] = true
	}
	if got := Action(99).String(); got != "action(99)" {
		t.Errorf("got %q", got)
	}
}

func TestClassify(t *testing.T) {
	api := func(code Code, status int, operation string) error {
		return fmt.Errorf("buying: %w", &APIError{Code: code, Status: status, Operation: operation})
	}
	for name, tc := range map[string]struct {
		err       error
		want      Action
		ambiguous bool
	}{
		"nil":                          {nil, ActionNone, false},
		"foreign":                      {errors.New("x"), ActionNone, false},
		"configuration":                {&ConfigError{}, ActionFixConfiguration, false},
		"validation":                   {&ValidationError{}, ActionOurFault, false},
		"network":                      {&NetworkError{Err: context.DeadlineExceeded}, ActionWait, true},
		"network, never sent":          {&NetworkError{Err: context.Canceled, Unsent: true}, ActionWait, false},
		"platform key":                 {api(CodeAuthInvalid, 401, "ListOrders"), ActionFixConfiguration, false},
		"token":                        {api(CodeAgentAuthExpired, 401, "CreateOrder"), ActionRotate, false},
		"challenge too late":           {api(CodeAgentPairingProofExpired, 401, "CreatePairing"), ActionRechallenge, false},
		"wrong key":                    {api(CodeAgentPairingProofInvalid, 401, "CreatePairing"), ActionFixConfiguration, false},
		"quote":                        {api(CodeQuoteExpired, 409, "CreateOrder"), ActionResearch, false},
		"not mined":                    {api(CodePaymentNotMined, 409, "SubmitPaymentProof"), ActionWait, false},
		"chain of the server":          {api(CodePaymentRPCError, 502, "SubmitPaymentProof"), ActionWait, true},
		"no chain at the server":       {api(CodePaymentRPCRequired, 400, "SubmitPaymentProof"), ActionRecordProof, false},
		"payment required":             {api(CodePaymentRequired, 402, "ExecuteOrder"), ActionAsk, false},
		"order not found":              {api(CodeNotFound, 404, "GetOrder"), ActionAsk, false},
		"payment not found":            {api(CodeNotFound, 404, "LockEscrow"), ActionAsk, false},
		"machine not found":            {api(CodeNotFound, 404, "GetMachine"), ActionOurFault, false},
		"service not found":            {api(CodeNotFound, 404, "CreateOrder"), ActionOurFault, false},
		"policy":                       {api(CodeAgentDailyLimitExceeded, 403, "CreateOrder"), ActionRefusedByPolicy, false},
		"paused":                       {api(CodeAgentPairingInactive, 403, "Search"), ActionOwnersSwitch, false},
		"machine":                      {api(CodeMachineNotActive, 409, "Search"), ActionMachine, false},
		"registered":                   {api(CodeMachineIdentityExists, 409, "CreateMachine"), ActionRegistration, false},
		"validation of the server":     {api(CodeValidationError, 400, "CreateOrder"), ActionOurFault, false},
		"known code with a 5xx":        {api(CodeAgentPolicyDenied, 500, "CreateOrder"), ActionRefusedByPolicy, true},
		"unknown code":                 {api("NEW_THING", 400, "CreateOrder"), ActionAsk, false},
		"unknown code, 429":            {api("SLOW_DOWN", 429, "CreateOrder"), ActionWait, false},
		"unknown code, 5xx":            {api("INTERNAL", 500, "CreateOrder"), ActionWait, true},
		"unreadable":                   {api(CodeBadResponse, 200, "CreateOrder"), ActionAsk, true},
		"unreadable 4xx":               {api(CodeBadResponse, 404, "CreateOrder"), ActionAsk, true},
		"unreadable 5xx":               {api(CodeBadResponse, 502, "CreateOrder"), ActionWait, true},
		"wrong shape":                  {api(CodeInvalidResponseShape, 0, "CreateOrder"), ActionAsk, true},
		"endpoint of the provider":     {api(CodeEndpointUnreachable, 502, "ExecuteOrder"), ActionWait, true},
		"identity is not the record's": {api(CodeMachineIdentityImmutable, 409, "UpdateMachine"), ActionFixConfiguration, false},
	} {
		if got := Classify(tc.err); got != tc.want {
			t.Errorf("%s: got %v, want %v", name, got, tc.want)
		}
		if got := Ambiguous(tc.err); got != tc.ambiguous {
			t.Errorf("%s: ambiguous %v, want %v", name, got, tc.ambiguous)
		}
	}
}

func TestOperationsAreNamedOnce(t *testing.T) {
	seen := map[string]bool{}
	for _, name := range Operations() {
		if seen[name] {
			t.Errorf("%s is listed twice", name)
		}
		seen[name] = true
	}
	if len(seen) != 48 {
		t.Errorf("%d operations, want 48", len(seen))
	}
}

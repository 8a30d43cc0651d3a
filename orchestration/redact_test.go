// SPDX-License-Identifier: Apache-2.0

package orchestration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

func TestSecretNeverPrints(t *testing.T) {
	type holder struct{ Token Secret }
	s := Secret("MARKER")
	texts := []string{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%t"} {
		texts = append(texts, fmt.Sprintf(verb, s), fmt.Sprintf(verb, holder{s}), fmt.Sprintf(verb, &holder{s}), fmt.Sprintf(verb, []Secret{s}))
	}
	for _, v := range []any{s, holder{s}, map[string]Secret{"a": s}} {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
		entry, err := zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()).EncodeEntry(zapcore.Entry{}, []zapcore.Field{zap.Any("v", v), zap.Reflect("r", v)})
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, entry.String())
	}
	for _, text := range texts {
		if strings.Contains(text, "MARKER") || strings.Contains(text, "4d41524b") {
			t.Errorf("shown in %s", text)
		}
	}
	if s.Reveal() != "MARKER" || fmt.Sprint(s) != Redacted || fmt.Sprint(Secret("")) != "" {
		t.Errorf("got %q, %v, %q", s.Reveal(), s, fmt.Sprint(Secret("")))
	}
}

// markers are the secrets that the calls of the test below carry.
var markers = []string{
	"platform-key-EXAMPLE", "pairing-token-EXAMPLE", "provisioning-token-EXAMPLE", "endpoint-secret-EXAMPLE", "example-not-a-secret",
	"eyJleGFtcGxlIjoidHJ1ZSJ9", "MARKER-walrus", "MARKER-akash", "MARKER-geodnet", "MARKER-ak", "MARKER-sk",
}

func TestNoErrorShowsASecret(t *testing.T) {
	marked := &ProviderCredentials{
		Walrus: &WalrusCredentials{PublisherToken: "MARKER-walrus"}, Akash: &AkashCredentials{ConsoleAPIKey: "MARKER-akash"},
		Geodnet: &GeodnetCredentials{AppKey: "MARKER-geodnet"}, Aethir: &AethirCredentials{AccessKey: "MARKER-ak", SecretKey: "MARKER-sk"},
	}
	calls := map[string]replay{
		"search": func(ctx context.Context, c *Client) (any, error) {
			return one(c.Search(ctx, testToken, SearchRequest{ProviderCredentials: marked}))
		},
		"direct": func(ctx context.Context, c *Client) (any, error) {
			return one(c.ExecuteService(ctx, testToken, "s", ExecuteServiceRequest{
				MachineID: "m", AgentPairingID: "p", Operation: "o", ProviderCredentials: marked,
			}))
		},
		"order": func(ctx context.Context, c *Client) (any, error) {
			return one(c.CreateOrder(ctx, testToken, with(testOrder, func(r *CreateOrderRequest) { r.ProviderCredentials = marked })))
		},
	}
	for name, variants := range replays {
		for variant, call := range variants {
			calls[name+"/"+variant] = call
		}
	}
	// A server that shows everything it got, in every place of an error.
	echoes := map[string]func(all string, body []byte) (int, string, error){
		"error": func(all string, body []byte) (int, string, error) {
			details := map[string]any{"text": all, all: "x", "list": []any{all}, "echo": json.RawMessage(body)}
			text, err := json.Marshal(map[string]any{"error": map[string]any{"code": "VALIDATION_ERROR", "message": all, "details": details}})
			return 400, string(text), err
		},
		"code": func(all string, _ []byte) (int, string, error) {
			text, err := json.Marshal(map[string]any{"error": map[string]any{"code": all, "message": all}})
			return 400, string(text), err
		},
		"not JSON": func(all string, _ []byte) (int, string, error) { return 200, all, nil },
		"shape": func(all string, body []byte) (int, string, error) {
			text, err := json.Marshal(map[string]any{"item": map[string]any{"id": []string{all}, all: all}, "items": all, "order": all, "ok": all, "status": []string{all}, "service": all})
			return 200, string(text), err
		},
		"network": func(all string, _ []byte) (int, string, error) { return 0, "", errors.New("malformed response " + all) },
	}
	for fault, echo := range echoes {
		client := fakeClient(t, func(r *http.Request) (*http.Response, error) {
			body := []byte("null")
			if r.Body != nil {
				text, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				body = text
			}
			status, text, err := echo(fmt.Sprint(r.Header)+string(body), body)
			if err != nil {
				return nil, err
			}
			return respond(r, status, nil, text), nil
		})
		for name, call := range calls {
			if fault == "network" && name != "order" && name != "search" && name != "payment-proof-x402/none" {
				continue // the repeated ones would wait
			}
			_, err := call(t.Context(), client)
			if err == nil {
				if fault == "shape" || fault == "not JSON" {
					continue // the calls that expect no body
				}
				t.Errorf("%s, %s: no error", fault, name)
				continue
			}
			text := fmt.Sprintf("%v %+v", err, err)
			var api *APIError
			if errors.As(err, &api) {
				text += api.Message + string(api.Details) + string(api.Code) + fmt.Sprintf("%#v", *api)
			}
			for _, marker := range markers {
				if strings.Contains(text, marker) {
					t.Errorf("%s, %s: %s is shown in %.600s", fault, name, marker, text)
				}
			}
		}
	}
}

func TestDetails(t *testing.T) {
	r := redactor{secrets: []Secret{"s3cr3t-value", "abc"}}
	for name, tc := range map[string]struct{ in, want string }{
		"names of credentials":  {`{"apiKey":"x","authToken":{"a":1},"PASSWORD":[1],"field":"y"}`, `{"PASSWORD":"[REDACTED]","apiKey":"[REDACTED]","authToken":"[REDACTED]","field":"y"}`},
		"address of a connect":  {`{"connect":{"url":"https://x","id":"1"},"url":"https://y"}`, `{"connect":{"id":"1","url":"[REDACTED]"},"url":"https://y"}`},
		"connects in an array":  {`{"connect":[{"url":"https://x"}]}`, `{"connect":[{"url":"[REDACTED]"}]}`},
		"connect text":          {`["go to peaqos-p2p://abc?x=1 now","PEAQOS-P2P://q"]`, `["go to [REDACTED] now","[REDACTED]"]`},
		"value that was sent":   {`{"got":"it was s3cr3t-value"}`, `{"got":"it was [REDACTED]"}`},
		"short value":           {`{"got":"abcdef"}`, `{"got":"abcdef"}`},
		"web token":             {`{"got":"eyJhbGciOi.eyJzdWIi.c2ln"}`, `{"got":"[REDACTED]"}`},
		"long numbers are kept": {`{"n":123456789012345678901234567890}`, `{"n":123456789012345678901234567890}`},
		"nothing":               {``, ``},
		"null":                  {`null`, ``},
		"too long":              {`"` + strings.Repeat("x", maxDetails) + `"`, ``},
	} {
		if got := string(r.details(json.RawMessage(tc.in))); got != tc.want {
			t.Errorf("%s: got %s, want %s", name, got, tc.want)
		}
	}
}

func TestMessage(t *testing.T) {
	r := redactor{secrets: []Secret{"s3cr3t-value"}}
	for name, tc := range map[string]struct{ in, want string }{
		"plain":     {"quote expired", "quote expired"},
		"lines":     {"a\nlevel=error\x1b[31m\u0085b", "a level=error [31m b"},
		"connect":   {"see peaqos-p2p://abc\tx", "see [REDACTED] x"},
		"secret":    {"bad s3cr3t-value!", "bad [REDACTED]!"},
		"very long": {strings.Repeat("é", 400), strings.Repeat("é", 250) + "…"},
	} {
		if got := r.message(tc.in); got != tc.want {
			t.Errorf("%s: got %q, want %q", name, got, tc.want)
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

package market

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/orchestration"
)

// Need is something the owner wants bought. A snapshot of it travels with each
// purchase, so that a changed configuration does not change what is under way.
type Need struct {
	Name   string `json:"name"`
	Search Search `json:"search"`
	// Input goes to the provider verbatim.
	Input json.RawMessage `json:"input,omitempty"`
	// MaxPrice is the most that one purchase may cost, if HasMaxPrice.
	MaxPrice    money.Value `json:"max_price"`
	HasMaxPrice bool        `json:"has_max_price,omitempty"`
	Select      Selection   `json:"select"`
	Accept      Acceptance  `json:"accept"`
	Deliver     Delivery    `json:"deliver"`
	// Hold keeps a purchase whose result is rejected for a person, instead of
	// disputing it at once.
	Hold bool `json:"hold,omitempty"`
	// Deadline bounds how long a purchase may stay unpaid.
	Deadline time.Duration `json:"deadline"`
	// Credentials reads the provider credentials for one request. They are never
	// stored or logged. Nil means none.
	Credentials func() (*orchestration.ProviderCredentials, error) `json:"-"`
}

// Search is what is asked of the catalogue (POST /market/search).
type Search struct {
	ServiceType          string   `json:"service_type,omitempty"`
	Operation            string   `json:"operation,omitempty"`
	Skill                string   `json:"skill,omitempty"`
	Region               string   `json:"region,omitempty"`
	Capabilities         []string `json:"capabilities,omitempty"`
	MaxResults           int      `json:"max_results,omitempty"`
	NativeOnly           bool     `json:"native_only,omitempty"`
	AllowExternalHandoff bool     `json:"allow_external_handoff,omitempty"`
}

// Selection ranks the quotes that the policy allows: by weights in millionths
// for the price (cheaper is better) and the Market's score (more is better).
type Selection struct {
	Price int64 `json:"price"`
	Score int64 `json:"score"`
}

// The two named ways of [Selection].
var (
	Cheapest  = Selection{Price: 1_000_000}
	BestScore = Selection{Score: 1_000_000}
)

// Acceptance is the check a result must pass before it is confirmed.
type Acceptance struct {
	// Schema is a JSON Schema; empty accepts every result.
	Schema json.RawMessage `json:"schema,omitempty"`
	// MaxBytes bounds the result; zero means one megabyte.
	MaxBytes int64 `json:"max_bytes,omitempty"`
}

// Delivery says where an accepted result goes.
type Delivery struct {
	// File is replaced atomically; empty keeps the result in the ledger only.
	File string `json:"file,omitempty"`
	// Keep is how many earlier results stay beside it.
	Keep int `json:"keep,omitempty"`
}

const (
	defaultMaxResult = 1_000_000
	defaultDeadline  = 5 * time.Minute
)

var errNoResult = errors.New("no result")

// check says why a result is not acceptable; nil accepts it.
func (a Acceptance) check(result json.RawMessage) error {
	if limit := a.limit(); int64(len(result)) > limit {
		return fmt.Errorf("the result has %d bytes, more than %d", len(result), limit)
	}
	if isNull(result) {
		return errNoResult
	}
	if len(a.Schema) == 0 {
		return nil
	}
	schema, err := a.compiled()
	if err != nil {
		return err
	}
	value, err := readDocument(result)
	if err != nil {
		return fmt.Errorf("the result is not JSON: %w", err)
	}
	if err := schema.Validate(value); err != nil {
		return fmt.Errorf("the result does not fit the schema: %w", err)
	}
	return nil
}

func (a Acceptance) limit() int64 {
	if a.MaxBytes > 0 {
		return a.MaxBytes
	}
	return defaultMaxResult
}

// schemas keeps what was compiled, by the schema's text: the same few needs are
// bought again and again. It starts anew when it is full, since purchases under
// way carry schemas of earlier configurations.
var schemas = struct {
	sync.Mutex
	byText map[string]*jsonschema.Schema
}{byText: make(map[string]*jsonschema.Schema)}

const maxSchemas = 64

func (a Acceptance) compiled() (*jsonschema.Schema, error) {
	schemas.Lock()
	defer schemas.Unlock()
	if schema, known := schemas.byText[string(a.Schema)]; known {
		return schema, nil
	}
	schema, err := a.compile()
	if err != nil {
		return nil, err
	}
	if len(schemas.byText) >= maxSchemas {
		clear(schemas.byText)
	}
	schemas.byText[string(a.Schema)] = schema
	return schema, nil
}

func (a Acceptance) compile() (*jsonschema.Schema, error) {
	document, err := readDocument(a.Schema)
	if err != nil {
		return nil, fmt.Errorf("acceptance schema: %w", err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(noLoader{}) // a schema cannot make us fetch or read anything
	const name = "mem:///accept.json"
	if err := compiler.AddResource(name, document); err != nil {
		return nil, fmt.Errorf("acceptance schema: %w", err)
	}
	schema, err := compiler.Compile(name)
	if err != nil {
		return nil, fmt.Errorf("acceptance schema: %w", err)
	}
	return schema, nil
}

// maxExponent is the largest decimal exponent of a number in a schema or a result;
// a float has 308. The library computes with exact fractions and does not survive
// one of a million.
const maxExponent = 400

// readDocument reads JSON for the schema library.
func readDocument(text []byte) (any, error) {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	return value, computable(value)
}

// computable refuses a document with a number whose exponent is beyond all use.
func computable(value any) error {
	var err error
	switch v := value.(type) {
	case json.Number:
		if _, exponent, ok := strings.Cut(strings.ToLower(v.String()), "e"); ok {
			if n, bad := strconv.Atoi(exponent); bad != nil || n > maxExponent || n < -maxExponent {
				return fmt.Errorf("a number has the exponent %.20s", exponent)
			}
		}
	case []any:
		for i := 0; i < len(v) && err == nil; i++ {
			err = computable(v[i])
		}
	case map[string]any:
		for _, member := range v {
			if err = computable(member); err != nil {
				break
			}
		}
	}
	return err
}

type noLoader struct{}

func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("references outside the schema are not followed: %s", url)
}

func isNull(raw json.RawMessage) bool {
	trimmed := bytes.TrimSpace(raw)
	return len(trimmed) == 0 || bytes.Equal(trimmed, []byte("null"))
}

// fits says whether an input can be what the operation takes, by the contract
// that the service publishes: a provider charges for an input that it rejects.
func fits(contract *orchestration.OperationContract, input json.RawMessage) error {
	if contract == nil || len(contract.InputFields) == 0 {
		return nil
	}
	var members map[string]json.RawMessage
	if !isNull(input) {
		if err := json.Unmarshal(input, &members); err != nil {
			return fmt.Errorf("the input is not an object: %w", err)
		}
	}
	types := make(map[string]string, len(contract.InputFields))
	for _, f := range contract.InputFields {
		types[f.Key] = f.Type
	}
	for key, value := range members {
		want, known := types[key]
		if !known {
			return fmt.Errorf("the operation takes no member %q", key)
		}
		if got := jsonType(value); !compatible(want, got) {
			return fmt.Errorf("member %q is a %s, the operation takes a %s", key, got, want)
		}
	}
	return nil
}

func jsonType(raw json.RawMessage) string {
	switch trimmed := bytes.TrimSpace(raw); {
	case len(trimmed) == 0, bytes.Equal(trimmed, []byte("null")):
		return "null"
	case trimmed[0] == '"':
		return "string"
	case trimmed[0] == '{':
		return "object"
	case trimmed[0] == '[':
		return "array"
	case trimmed[0] == 't', trimmed[0] == 'f':
		return "boolean"
	default:
		return "number"
	}
}

// compatible compares only what is certain: type names are free text in the API.
func compatible(want, got string) bool {
	switch want {
	case "string", "number", "boolean", "object", "array":
		return want == got
	case "integer":
		return got == "number"
	default:
		return true
	}
}

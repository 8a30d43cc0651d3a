// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

var needName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

func (l *loader) validateNeeds() {
	names := make(map[string]bool)
	files := make(map[string]string)
	for i := range l.cfg.Needs {
		n := &l.cfg.Needs[i]
		path := at("needs", i, "")
		switch {
		case !needName.MatchString(n.Name):
			found := "nothing"
			if n.Name != "" {
				found = quote(n.Name)
			}
			l.fault(path+".name", found, "1 to 64 lower-case letters, digits, '-', '_' and '.', a letter or digit first", "")
		case names[n.Name]:
			l.fault(path+".name", quote(n.Name)+" a second time", "each name once", "")
		}
		names[n.Name] = true
		if n.Schedule != "" {
			if _, err := ParseSchedule(n.Schedule); err != nil {
				l.fault(path+".schedule", quote(n.Schedule)+": "+err.Error(), "a cron spec of five fields in UTC, @hourly and the like, or @every DURATION from 1s", "")
			}
		}
		l.validateSearch(path+".search", n.Search)
		if n.HasMaxPrice && n.MaxPrice > l.cfg.Policy.PerPurchase && l.cfg.Policy.PerPurchase > 0 {
			l.warn(fmt.Sprintf("%s.max_price is above policy.per_purchase, which holds", path))
		}
		l.validateAccept(path+".accept", n.Accept)
		if n.Deliver.Keep < 0 || n.Deliver.Keep > 1000 {
			l.fault(path+".deliver.keep", strconv.Itoa(n.Deliver.Keep), "from 0 to 1000", "")
		}
		if file := n.Deliver.File; file != "" {
			if other, taken := files[file]; taken {
				l.fault(path+".deliver.file", "the file of the need "+other, "a file of its own for each need", "")
			}
			files[file] = n.Name
		}
		l.between(path+".deadline", n.Deadline, time.Second, 7*day)
		l.validateCredentials(path+".provider_credentials", n.ProviderCredentials)
	}
}

func (l *loader) validateSearch(path string, s Search) {
	if s.ServiceType == "" && s.Operation == "" && s.Skill == "" {
		l.fault(path, "neither service_type nor operation nor skill", "one of them or more: a need says what it wants", "")
	}
	if s.MaxResults < 1 || s.MaxResults > 100 {
		l.fault(path+".max_results", strconv.Itoa(s.MaxResults), "from 1 to 100", "")
	}
	if s.NativeOnly && s.AllowExternalHandoff {
		l.fault(path+".allow_external_handoff", "true, with native_only", "one of the two", "")
	}
	l.noBlanks(path+".capabilities", s.Capabilities)
}

func (l *loader) validateAccept(path string, a Accept) {
	if a.MaxBytes < 1 || a.MaxBytes > 64<<20 {
		l.fault(path+".max_bytes", strconv.FormatInt(int64(a.MaxBytes), 10), "from 1 to 64MiB", "")
	}
	if a.SchemaFile == "" || l.faulted(path+".schema_file") {
		return
	}
	// The compiler's default loader reads local files only.
	if _, err := jsonschema.NewCompiler().Compile(a.SchemaFile); err != nil {
		l.fault(path+".schema_file", "a file that is no JSON Schema: "+strings.ReplaceAll(oneLine(err), `"file://`+a.SchemaFile+`#"`, "it"), "a JSON Schema", "")
	}
}

// oneLine flattens an error of several lines.
func oneLine(err error) string {
	text := strings.Join(strings.Fields(err.Error()), " ")
	if len(text) > 400 {
		text = text[:400] + "…"
	}
	return text
}

// validateCredentials refuses an object without a value: it would be sent empty.
func (l *loader) validateCredentials(path string, p ProviderCredentials) {
	for name, empty := range map[string]bool{
		"walrus":   p.Walrus != nil && *p.Walrus == WalrusCredentials{},
		"akash":    p.Akash != nil && *p.Akash == AkashCredentials{},
		"world_id": p.WorldID != nil && *p.WorldID == WorldIDCredentials{},
		"geodnet":  p.Geodnet != nil && *p.Geodnet == GeodnetCredentials{},
		"aethir":   p.Aethir != nil && *p.Aethir == AethirCredentials{},
	} {
		if empty && !l.faultedBelow(path+"."+name) {
			l.fault(path+"."+name, "no value", "one file or more, or no object", "")
		}
	}
}

func (l *loader) faultedBelow(path string) bool {
	for _, f := range l.faults {
		if strings.HasPrefix(f.Key, path) {
			return true
		}
	}
	return false
}

// ParseSchedule reads a cron spec of five fields, a descriptor such as @hourly,
// or @every with a duration of at least one second. Times are UTC; a spec that
// names a time zone is refused before the parser sees it, since the parser
// panics on some.
func ParseSchedule(spec string) (s cron.Schedule, err error) {
	defer func() {
		if recover() != nil {
			s, err = nil, errors.New("not a cron spec")
		}
	}()
	if strings.Contains(strings.ToUpper(spec), "TZ=") {
		return nil, errors.New("a time zone, where only UTC is used")
	}
	spec = strings.TrimSpace(spec)
	if every, ok := strings.CutPrefix(spec, "@every "); ok {
		d, err := parseDuration(strings.TrimSpace(every))
		if err != nil || d < time.Second {
			return nil, errors.New("not a duration of at least 1s")
		}
		return cron.Every(d), nil
	}
	s, err = cron.ParseStandard(spec)
	if err != nil {
		return nil, err
	}
	if fields, ok := s.(*cron.SpecSchedule); ok {
		fields.Location = time.UTC
	}
	if s.Next(time.Unix(0, 0).UTC()).IsZero() {
		return nil, errors.New("a time that never comes")
	}
	return s, nil
}

// SPDX-License-Identifier: Apache-2.0

package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
)

// The variables that may stand in a path, in the form ${NAME}: the directories
// that systemd gives to a service.
var pathVariables = []string{"CREDENTIALS_DIRECTORY", "STATE_DIRECTORY", "CONFIGURATION_DIRECTORY", "RUNTIME_DIRECTORY", "CACHE_DIRECTORY"}

func placeText(as string) string {
	switch as {
	case "url":
		return "an http or https URL"
	case "path":
		return "a path"
	case "file", "secret":
		return "the path of a file"
	default:
		return "a text"
	}
}

// decodePlace reads a path or a URL. Files are looked at here, where the place
// of the key is known; URLs once it is known whether plain http is allowed.
func (l *loader) decodePlace(text string, v reflect.Value, m member, path string) {
	if m.as == "url" || text == "" {
		v.SetString(text)
		if m.as == "url" {
			l.urls = append(l.urls, path)
		}
		return
	}
	full, ok := l.expand(text, path)
	if !ok {
		return
	}
	v.SetString(full)
	if m.as == "file" || m.as == "secret" {
		l.checkFile(full, path, m.as == "secret")
	}
}

// expand puts variables into a path and makes it absolute: relative to the
// directory of the file that names it or, from the environment, to the working
// directory.
func (l *loader) expand(text, path string) (string, bool) {
	ok := true
	full := variable.ReplaceAllStringFunc(text, func(match string) string {
		name := variable.FindStringSubmatch(match)[1]
		value := l.env[name]
		switch {
		case !contains(pathVariables, name):
			l.fault(path, match, "the variables ${"+strings.Join(pathVariables, "}, ${")+"}", "")
			ok = false
		case value == "":
			l.fault(path, match+", which is not set", "a variable that is set", "systemd sets it for a service with the matching directive; elsewhere write the whole path")
			ok = false
		}
		return firstDirectory(value)
	})
	if !ok {
		return "", false
	}
	if looksSecret(full) {
		l.fault(path, "what looks like a key", "the path of a file that holds it", "write the key to a file with mode 0600")
		return "", false
	}
	base := ""
	if at := l.locate(path); at.line > 0 {
		base = filepath.Dir(l.file)
	}
	if !filepath.IsAbs(full) {
		abs, err := filepath.Abs(filepath.Join(base, full))
		if err != nil {
			l.fault(path, quote(full), "a path", reasonOf(err))
			return "", false
		}
		full = abs
	}
	return filepath.Clean(full), true
}

// firstDirectory returns the first of several directories: systemd joins them
// with colons.
func firstDirectory(list string) string {
	first, _, _ := strings.Cut(list, ":")
	return first
}

func contains(words []string, word string) bool {
	for _, w := range words {
		if w == word {
			return true
		}
	}
	return false
}

// checkFile looks at a file that must exist. One that holds a secret must not
// be open to others.
func (l *loader) checkFile(file, path string, secret bool) {
	allowed := "a file that can be read"
	if secret {
		allowed = "a file that only its owner can read (mode 0600)"
	}
	info, err := os.Stat(file)
	switch {
	case err != nil:
		l.fault(path, fmt.Sprintf("%q: %s", file, reasonOf(err)), allowed, "")
	case !info.Mode().IsRegular():
		l.fault(path, fmt.Sprintf("%q, which is no regular file", file), allowed, "")
	case secret && info.Mode().Perm()&l.forbidden(file) != 0:
		l.fault(path, fmt.Sprintf("%q with mode %04o", file, info.Mode().Perm()), allowed, "chmod 600 "+file)
	}
}

// forbidden returns the permission bits that a secret file must not have.
// Credentials of systemd are readable by an access list, whose mask shows as the
// bits of the group; their directory is closed to everybody else.
func (l *loader) forbidden(file string) os.FileMode {
	if dir := firstDirectory(l.env["CREDENTIALS_DIRECTORY"]); dir != "" && strings.HasPrefix(file, filepath.Clean(dir)+string(filepath.Separator)) {
		return 0o037
	}
	return 0o077
}

// checkURL records what is wrong with a URL.
func (l *loader) checkURL(text, path string, plainHTTP bool) {
	const allowed = "an http or https URL with a host, without user, query and fragment"
	u, err := url.Parse(text)
	switch {
	case text == "":
		l.fault(path, "nothing", allowed, "")
	case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "":
		l.fault(path, showURL(text), allowed, "")
	case u.User != nil || u.Fragment != "" || (u.RawQuery != "" && !strings.HasPrefix(path, "chains[")):
		l.fault(path, showURL(text), allowed, "")
	case u.Scheme == "http" && !plainHTTP && !isLoopback(u.Hostname()):
		l.fault(path, showURL(text), "https, or http to a loopback address", "orchestration.allow_http: true permits plain http, which anyone on the way can read and change")
	}
}

// showURL shows a URL without what may be a secret: user, path and query.
func showURL(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return "no URL"
	}
	return fmt.Sprintf("%q", u.Scheme+"://"+u.Host)
}

func isLoopback(host string) bool {
	if ip := net.ParseIP(host); ip != nil {
		return ip.IsLoopback()
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// maxSecret bounds a file with a secret; a keystore file is the largest.
const maxSecret = 64 << 10

// ReadSecret reads a file that holds one secret and cuts white space at its
// ends. The content is never part of an error.
func ReadSecret(path string) (Secret, error) {
	f, err := os.Open(path) //nolint:gosec // the path is the owner's
	if err != nil {
		return "", fmt.Errorf("read a secret: %w", err)
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return "", fmt.Errorf("read a secret: %w", err)
	}
	if len(data) > maxSecret {
		return "", fmt.Errorf("read a secret: %s is larger than %d bytes", path, maxSecret)
	}
	text := bytes.TrimSpace(data)
	if len(text) == 0 {
		return "", fmt.Errorf("read a secret: %s is empty", path)
	}
	return Secret(text), nil
}

// Read reads the files and returns the API's object with the values, or nil if
// none is configured. The caller sends it and forgets it.
func (p ProviderCredentials) Read() (json.RawMessage, error) {
	providers := make(map[string]map[string]string)
	v := reflect.ValueOf(p)
	for i := range v.NumField() {
		if v.Field(i).IsNil() {
			continue
		}
		values := make(map[string]string)
		object := v.Field(i).Elem()
		for j := range object.NumField() {
			file := object.Field(j).String()
			if file == "" {
				continue
			}
			secret, err := ReadSecret(file)
			if err != nil {
				return nil, err
			}
			values[object.Type().Field(j).Tag.Get("wire")] = secret.Reveal()
		}
		if len(values) > 0 {
			providers[v.Type().Field(i).Tag.Get("wire")] = values
		}
	}
	if len(providers) == 0 {
		return nil, nil
	}
	return json.Marshal(providers)
}

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is set by packages with -ldflags "-X main.version=…".
var version string

type versionCmd struct{}

// Run prints version, revision and toolchain.
func (c *versionCmd) Run(con *console) error {
	v, revision := buildVersion()
	text := "agentd " + v
	if revision != "" {
		text += " (" + revision + ")"
	}
	return con.say(fmt.Sprintf("%s %s %s/%s", text, runtime.Version(), runtime.GOOS, runtime.GOARCH))
}

// buildVersion returns the version of this build and its revision, as far as the
// build recorded them.
func buildVersion() (v, revision string) {
	v = version
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return orElse(v, "devel"), ""
	}
	dirty := false
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			revision = s.Value[:min(len(s.Value), 12)]
		case "vcs.modified":
			dirty = s.Value == "true"
		}
	}
	if dirty && revision != "" {
		revision += ", modified"
	}
	if v == "" && info.Main.Version != "" && info.Main.Version != "(devel)" {
		v = info.Main.Version
	}
	return orElse(v, "devel"), revision
}

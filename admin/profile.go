// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"context"
	"fmt"
	"net/http"
	"runtime/pprof"
	"time"
)

// maxProfile bounds a profile of the processor, below the time limits of callers.
const maxProfile = 60

// profiles serves the runtime's profiles to operators, in the form that go tool
// pprof reads. net/http/pprof would do the same, and more than the size of the
// daemon has room for; it also shows the command line and traces.
func (s *Server) profiles(w http.ResponseWriter, r *http.Request) {
	if _, err := s.operator(r, "profiling"); err != nil {
		serve(func(*http.Request) (any, error) { return nil, err })(w, r)
		return
	}
	switch name := r.PathValue("name"); name {
	case "":
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		for _, p := range pprof.Profiles() {
			_, _ = fmt.Fprintf(w, "%d\t%s\n", p.Count(), p.Name()) // the caller may be gone
		}
		_, _ = fmt.Fprintf(w, "\tprofile?seconds=N\n")
	case "profile":
		s.cpuProfile(w, r)
	default:
		p := pprof.Lookup(name)
		if p == nil {
			serve(func(*http.Request) (any, error) {
				return nil, &Error{Code: CodeNotFound, Text: "there is no such profile", Next: "GET /debug/pprof/ lists them"}
			})(w, r)
			return
		}
		debug := 0
		if r.FormValue("debug") != "" {
			debug = 2
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		}
		_ = p.WriteTo(w, debug) // the caller may be gone
	}
}

func (s *Server) cpuProfile(w http.ResponseWriter, r *http.Request) {
	fail := func(err error) { serve(func(*http.Request) (any, error) { return nil, err })(w, r) }
	seconds, err := number(r, "seconds", 10, maxProfile)
	if err != nil {
		fail(err)
		return
	}
	if err := pprof.StartCPUProfile(w); err != nil {
		fail(&Error{Code: CodeConflict, Text: "a profile is being taken: " + err.Error()})
		return
	}
	defer pprof.StopCPUProfile()
	ctx, cancel := context.WithTimeout(r.Context(), time.Duration(seconds)*time.Second)
	defer cancel()
	<-ctx.Done()
}

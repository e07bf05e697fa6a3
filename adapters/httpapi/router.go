package httpapi

import (
	"fmt"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Router finds the handler of a path. It is net/http's mux without its redirects, which an API must not have: a path is
// served or it is not. A pattern is a path whose segments are literal or, as {name}, stand for exactly one segment that is
// not empty; its percent-decoded text is the request's PathValue. So an id may hold anything, an escaped slash too.
//
// All routes are added before the first request.
type Router struct {
	literal map[string]*node // by path, without segments that vary
	varying []*node
	mounts  []mount // longest prefix first
}

type node struct {
	pattern  string
	segments []string
	methods  map[string]http.Handler
	allow    string
}

type mount struct {
	prefix  string
	handler http.Handler
}

// NewRouter makes a router without routes.
func NewRouter() *Router { return &Router{literal: map[string]*node{}} }

// Handle adds a route. GET serves HEAD too. It panics when the route exists: routes are the program's own.
func (rt *Router) Handle(method, pattern string, h http.Handler) {
	n := rt.node(pattern)
	if n.methods[method] != nil {
		panic(fmt.Sprintf("httpapi: route %s %s for the second time", method, pattern))
	}
	n.methods[method] = h
	allowed := []string{http.MethodOptions}
	for m := range n.methods {
		allowed = append(allowed, m)
		if m == http.MethodGet {
			allowed = append(allowed, http.MethodHead)
		}
	}
	slices.Sort(allowed)
	n.allow = strings.Join(allowed, ", ")
}

// HandleFunc is Handle for a function.
func (rt *Router) HandleFunc(method, pattern string, h func(http.ResponseWriter, *http.Request)) {
	rt.Handle(method, pattern, http.HandlerFunc(h))
}

// Mount gives everything below a prefix, which ends with a slash, to a handler; routes go first.
func (rt *Router) Mount(prefix string, h http.Handler) {
	if !strings.HasPrefix(prefix, "/") || !strings.HasSuffix(prefix, "/") {
		panic("httpapi: mount at " + prefix)
	}
	rt.mounts = append(rt.mounts, mount{prefix, h})
	slices.SortStableFunc(rt.mounts, func(a, b mount) int { return len(b.prefix) - len(a.prefix) })
}

func (rt *Router) node(pattern string) *node {
	if n := rt.literal[pattern]; n != nil {
		return n
	}
	for _, n := range rt.varying {
		if n.pattern == pattern {
			return n
		}
	}
	n := &node{pattern: pattern, segments: split(pattern), methods: map[string]http.Handler{}}
	if strings.Contains(pattern, "{") {
		rt.varying = append(rt.varying, n)
	} else {
		rt.literal[pattern] = n
	}
	return n
}

// split returns the segments behind the leading slash.
func split(path string) []string { return strings.Split(strings.TrimPrefix(path, "/"), "/") }

// Routes are the methods and patterns that were added, in no order.
func (rt *Router) Routes() iter.Seq2[string, string] {
	return func(yield func(method, pattern string) bool) {
		for _, n := range slices.Concat(slices.Collect(maps.Values(rt.literal)), rt.varying) {
			for method := range n.methods {
				if !yield(method, n.pattern) {
					return
				}
			}
		}
	}
}

// ServeHTTP answers 404 for a path that is not there, 405 with Allow for another method, and OPTIONS by itself.
func (rt *Router) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := rt.find(r)
	if n == nil {
		for _, m := range rt.mounts {
			if strings.HasPrefix(r.URL.Path, m.prefix) {
				From(r.Context()).Route = m.prefix
				m.handler.ServeHTTP(w, r)
				return
			}
		}
		Fail(w, http.StatusNotFound, MessageNotFound)
		return
	}
	From(r.Context()).Route = n.pattern
	h := n.methods[r.Method]
	if h == nil && r.Method == http.MethodHead {
		h = n.methods[http.MethodGet]
	}
	switch {
	case h != nil:
		h.ServeHTTP(w, r)
	case r.Method == http.MethodOptions:
		w.Header().Set("Allow", n.allow)
		w.WriteHeader(http.StatusNoContent)
	default:
		w.Header().Set("Allow", n.allow)
		Fail(w, http.StatusMethodNotAllowed, MessageMethod)
	}
}

func (rt *Router) find(r *http.Request) *node {
	if r.URL.RawPath == "" {
		if n := rt.literal[r.URL.Path]; n != nil {
			return n
		}
	}
	segments := split(r.URL.EscapedPath())
	for i, s := range segments {
		text, err := url.PathUnescape(s)
		if err != nil {
			return nil
		}
		segments[i] = text
	}
	if r.URL.RawPath != "" {
		for _, n := range rt.literal {
			if slices.Equal(n.segments, segments) {
				return n
			}
		}
	}
	for _, n := range rt.varying {
		if n.matches(segments) {
			for i, s := range n.segments {
				if s[0] == '{' {
					r.SetPathValue(s[1:len(s)-1], segments[i])
				}
			}
			return n
		}
	}
	return nil
}

func (n *node) matches(segments []string) bool {
	if len(n.segments) != len(segments) {
		return false
	}
	for i, s := range n.segments {
		if varies := s != "" && s[0] == '{'; varies && segments[i] == "" || !varies && s != segments[i] {
			return false
		}
	}
	return true
}

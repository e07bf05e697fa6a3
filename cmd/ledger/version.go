package main

import (
	"context"
	"runtime/debug"
)

// versionCommand is `ledger version`.
type versionCommand struct{}

// built says what this program was built from.
type built struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Time     string `json:"commit_time,omitempty"`
	Modified bool   `json:"modified,omitempty"` // built from files that were not committed
	Go       string `json:"go"`
}

// Run prints the version.
func (c *versionCommand) Run(_ context.Context, t *terminal) error { return t.answer(version()) }

// version is what the build left in the program.
func version() built {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return built{Version: "unknown"}
	}
	b := built{Version: info.Main.Version, Go: info.GoVersion}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.time":
			b.Time = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

// versionText is the version in few words, as the server logs it.
func versionText() string {
	b := version()
	if b.Commit == "" {
		return b.Version
	}
	return b.Version + " (" + b.Commit[:min(len(b.Commit), 12)] + ")"
}

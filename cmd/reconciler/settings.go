package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"reconciler/internal/desired"
	"reconciler/internal/diff"
	"reconciler/internal/engine"
)

// settings are the host's local policy: flags and environment over the agent's
// file over the defaults.
type settings struct {
	engine   engine.Settings
	host     string // for {hostname} in layers
	stateDir string
	socket   string
	metrics  string // address of the listener; empty for none
	source   sourceSettings
}

// sourceSettings say where the tree comes from: a directory or a repository.
type sourceSettings struct {
	dir               string
	url, ref, path    string
	tokenFile, caFile string
	poll              time.Duration
}

// defaultSettings are those of a host without an agent's file.
func defaultSettings() settings {
	auto := []engine.Auto{engine.AutoDefaultRoute, engine.AutoSource, engine.AutoSSH}
	return settings{
		engine:   engine.Settings{Mode: engine.Enforce, Protect: engine.Protection{Auto: auto}, Guard: diff.DefaultGuard()},
		stateDir: defaultStateDir,
		metrics:  "127.0.0.1:9377",
	}
}

// readSettings reads the agent's file. One that was not asked for need not
// exist.
func readSettings(h host) (settings, error) {
	path := h.agentConfig
	if path == "" {
		path = defaultAgentConfig
	}
	s := defaultSettings()
	content, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && h.agentConfig == "":
	case err != nil:
		return settings{}, fmt.Errorf("read the agent's settings: %w", err)
	default:
		if err := s.merge(path, content); err != nil {
			return settings{}, err
		}
	}
	if h.stateDir != "" {
		s.stateDir = h.stateDir
	}
	if h.socket != "" {
		s.socket = h.socket
	}
	s.host, err = hostname(h.name)
	return s, err
}

// desired are the options to resolve a tree with.
func (s settings) desired() desired.Options {
	return desired.Options{Host: s.host, Labels: s.engine.Labels, Rescue: s.engine.Rescue, Version: version}
}

func (s *settings) merge(path string, content []byte) error { return nil }

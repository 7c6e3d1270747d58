package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"

	"reconciler/internal/agent"
	"reconciler/internal/desired"
	"reconciler/internal/diff"
	"reconciler/internal/engine"
	"reconciler/internal/source"
)

// settings are the host's local policy: flags and environment over the agent's
// file over its defaults.
type settings struct{ agent.Config }

// readSettings reads the agent's file. One that was not asked for need not
// exist.
func readSettings(h host) (settings, error) {
	path := orElse(h.agentConfig, agent.Path)
	s := settings{agent.Default()}
	loaded, err := agent.Load(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && h.agentConfig == "":
	case err != nil:
		return settings{}, err
	default:
		s.Config = loaded
	}
	s.StateDir = orElse(h.stateDir, s.StateDir)
	s.Socket = orElse(h.socket, s.Socket)
	s.Hostname, err = hostname(orElse(h.name, s.Hostname))
	return s, err
}

// desired are the options to resolve a tree with.
func (s settings) desired() (desired.Options, error) {
	rescue, err := s.rescue()
	return desired.Options{Host: s.Hostname, Labels: s.Labels, Rescue: rescue, Version: version, Balancer: balancer()}, err
}

// rescue is the last layer. One that is not there is none: it is made when it
// is needed.
func (s settings) rescue() (*desired.File, error) {
	if s.Rescue == "" {
		return nil, nil
	}
	info, err := os.Stat(s.Rescue)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the rescue layer: %w", err)
	}
	if info.Size() > source.MaxFile {
		return nil, fmt.Errorf("read the rescue layer: %s has more than %d bytes", s.Rescue, source.MaxFile)
	}
	content, err := os.ReadFile(s.Rescue)
	if err != nil {
		return nil, fmt.Errorf("read the rescue layer: %w", err)
	}
	return &desired.File{Path: s.Rescue, Content: content}, nil
}

// engine is the same policy in the engine's words.
func (s settings) engine() (engine.Settings, error) {
	rescue, err := s.rescue()
	if err != nil {
		return engine.Settings{}, err
	}
	probes, err := s.probes()
	return engine.Settings{
		Mode: engine.Mode(s.Mode), Resync: s.Resync, Labels: s.Labels, Rescue: rescue,
		Confirm: engine.Confirm{Off: s.Confirm.Off, Timeout: s.Confirm.Timeout, Probes: probes},
		Protect: s.protection(), Guard: s.guard(),
	}, err
}

func (s settings) protection() engine.Protection {
	p := engine.Protection{Names: slices.Clone(s.Protect.Interfaces), Source: s.sourceAddress()}
	for _, a := range s.Protect.Auto {
		p.Auto = append(p.Auto, engine.Auto(a))
	}
	return p
}

func (s settings) guard() diff.Guard {
	g := diff.DefaultGuard()
	g.MaxShare, g.AllowEmpty = s.Guards.MaxPrune, s.Guards.AllowEmpty
	return g
}

func (s settings) probes() ([]engine.Probe, error) {
	var out []engine.Probe
	for _, p := range s.Confirm.Probes {
		switch p.Kind {
		case agent.ProbeSource:
			if a := s.sourceAddress(); a != "" {
				out = append(out, engine.SourceProbe(a))
			}
		case agent.ProbeGateway:
			out = append(out, engine.GatewayProbe())
		case agent.ProbePing:
			out = append(out, engine.PingProbe(p.Ping))
		case agent.ProbeTCP:
			to, err := netip.ParseAddrPort(p.TCP)
			if err != nil {
				return nil, fmt.Errorf("probe tcp %s: want an address and a port: %w", p.TCP, err)
			}
			out = append(out, engine.TCPProbe(to))
		}
	}
	return out, nil
}

// sourceAddress is where a repository is fetched from, as host:port; empty
// where no network is involved.
func (s settings) sourceAddress() string {
	if s.Source.Git == nil {
		return ""
	}
	u, err := url.Parse(s.Source.Git.URL)
	if err != nil || u.Hostname() == "" {
		return ""
	}
	port := u.Port()
	switch {
	case port != "":
	case u.Scheme == "https":
		port = "443"
	case u.Scheme == "http":
		port = "80"
	default:
		return ""
	}
	return net.JoinHostPort(u.Hostname(), port)
}

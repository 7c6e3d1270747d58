package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"syscall"
	"time"

	"reconciler/internal/diff"
	"reconciler/internal/engine"
	"reconciler/internal/observed"
	"reconciler/internal/source"
)

// ErrNoDaemon says that nobody answers on the socket.
var ErrNoDaemon = errors.New("no daemon is running")

// maxAnswer bounds an answer, in bytes: a host with a million routes.
const maxAnswer = 1 << 30

// Client asks a daemon. Its methods end with the context that they are given.
type Client struct {
	socket string
	http   *http.Client
}

// NewClient asks the daemon at a socket; it does not connect yet.
func NewClient(socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "unix", socket)
	}
	return &Client{socket: socket, http: &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// Status is what the daemon knows now.
func (c *Client) Status(ctx context.Context) (engine.Status, error) {
	return ask[engine.Status](ctx, c, http.MethodGet, "status", nil)
}

// History lists the last passes that changed something, newest first.
func (c *Client) History(ctx context.Context) ([]engine.Entry, error) {
	return ask[[]engine.Entry](ctx, c, http.MethodGet, "history", nil)
}

// Snapshots lists the revisions that a rollback can go to.
func (c *Client) Snapshots(ctx context.Context) ([]engine.Snapshot, error) {
	return ask[[]engine.Snapshot](ctx, c, http.MethodGet, "snapshots", nil)
}

// Plan has the daemon make a fresh plan.
func (c *Client) Plan(ctx context.Context) (diff.Plan, error) {
	return ask[diff.Plan](ctx, c, http.MethodGet, "plan", nil)
}

// Observed has the daemon read everything back.
func (c *Client) Observed(ctx context.Context) (observed.State, error) {
	return ask[observed.State](ctx, c, http.MethodGet, "observed", nil)
}

// Balance tells how VIPs and backends are.
func (c *Client) Balance(ctx context.Context) (engine.Balance, error) {
	return ask[engine.Balance](ctx, c, http.MethodGet, "balance", nil)
}

// Upgrades tells how versions and processes are.
func (c *Client) Upgrades(ctx context.Context) (engine.Upgrades, error) {
	return ask[engine.Upgrades](ctx, c, http.MethodGet, "upgrades", nil)
}

// Override has the daemon do something else than its source says, for a time.
func (c *Client) Override(ctx context.Context, o engine.Override, d time.Duration) (engine.Pass, error) {
	return ask[engine.Pass](ctx, c, http.MethodPost, "override", order{Override: &o, For: duration(d)})
}

// Release ends overrides.
func (c *Client) Release(ctx context.Context, o engine.Override) (engine.Pass, error) {
	return ask[engine.Pass](ctx, c, http.MethodPost, "release", order{Override: &o})
}

// Sync has the daemon look at its source and reconcile.
func (c *Client) Sync(ctx context.Context) (engine.Pass, error) {
	return ask[engine.Pass](ctx, c, http.MethodPost, "sync", order{})
}

// Apply hands the daemon a tree, as if its source had.
func (c *Client) Apply(ctx context.Context, t source.Tree) (engine.Pass, error) {
	return ask[engine.Pass](ctx, c, http.MethodPost, "apply", t)
}

// Suspend stops the daemon from applying for a time.
func (c *Client) Suspend(ctx context.Context, d time.Duration, reason string) error {
	return c.order(ctx, "suspend", order{For: duration(d), Reason: reason})
}

// Resume ends a Suspend or a pin.
func (c *Client) Resume(ctx context.Context) error { return c.order(ctx, "resume", order{}) }

// Rollback pins the host to a revision for a time.
func (c *Client) Rollback(ctx context.Context, revision string, d time.Duration) (engine.Pass, error) {
	return ask[engine.Pass](ctx, c, http.MethodPost, "rollback", order{Revision: revision, For: duration(d)})
}

// RollBackUpgrade leaves the version of an upgrade for the one before it.
func (c *Client) RollBackUpgrade(ctx context.Context, upgrade string) (engine.Pass, error) {
	return ask[engine.Pass](ctx, c, http.MethodPost, "rollback", order{Upgrade: upgrade})
}

// Approve releases held deletions of a revision.
func (c *Client) Approve(ctx context.Context, revision string) (engine.Pass, error) {
	return ask[engine.Pass](ctx, c, http.MethodPost, "approve", order{Revision: revision})
}

// Retry lifts the quarantine and every back-off.
func (c *Client) Retry(ctx context.Context) (engine.Pass, error) {
	return ask[engine.Pass](ctx, c, http.MethodPost, "retry", order{})
}

// Confirm makes a pending apply final.
func (c *Client) Confirm(ctx context.Context) error { return c.order(ctx, "confirm", order{}) }

// Events calls each for every event after since that is remembered. Following,
// it goes on until the context ends, the daemon stops or each fails.
func (c *Client) Events(ctx context.Context, since uint64, follow bool, each func(engine.Event) error) error {
	query := url.Values{"since": {strconv.FormatUint(since, 10)}, "follow": {strconv.FormatBool(follow)}}
	body, err := c.do(ctx, http.MethodGet, "events?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	defer body.Close()
	for lines := json.NewDecoder(body); ; {
		var e engine.Event
		switch err := lines.Decode(&e); {
		case errors.Is(err, io.EOF):
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return fmt.Errorf("read events: %w", err)
		}
		if err := each(e); err != nil {
			return err
		}
	}
}

func (c *Client) order(ctx context.Context, path string, o order) error {
	_, err := ask[struct{}](ctx, c, http.MethodPost, path, o)
	return err
}

func ask[T any](ctx context.Context, c *Client, method, path string, body any) (T, error) {
	var v T
	answer, err := c.do(ctx, method, path, body)
	if err != nil {
		return v, err
	}
	defer answer.Close()
	if err := json.NewDecoder(io.LimitReader(answer, maxAnswer)).Decode(&v); err != nil {
		return v, fmt.Errorf("read the daemon's answer to %s: %w", path, err)
	}
	return v, nil
}

// do asks and returns the body of a good answer.
func (c *Client) do(ctx context.Context, method, path string, body any) (io.ReadCloser, error) {
	var text io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("write request: %w", err)
		}
		text = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://daemon/v1/"+path, text)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	res, err := c.http.Do(req)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("%w (nobody answers on %s)", ErrNoDaemon, c.socket)
	case err != nil:
		return nil, fmt.Errorf("ask the daemon at %s: %w", c.socket, err)
	case res.StatusCode == http.StatusOK:
		return res.Body, nil
	}
	defer res.Body.Close()
	e := &Error{Status: res.StatusCode}
	if err := json.NewDecoder(io.LimitReader(res.Body, maxBody)).Decode(e); err != nil {
		e.Code, e.Message = CodeInternal, "answered "+res.Status
	}
	return nil, e
}

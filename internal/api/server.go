package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"strconv"
	"time"

	"reconciler/internal/engine"
	"reconciler/internal/source"
)

// maxBody bounds the body of a request, in bytes: a tree in JSON, whose files
// are in base64.
const maxBody = 2 * source.MaxTree

// maxReaders bounds how many readers follow events at a time.
const maxReaders = 64

// Server answers for an Engine.
type Server struct {
	Engine Engine
	Log    *slog.Logger
	// Writable tells whether requests that change something are taken now. If
	// not, they are answered 503 with Retry-After. Nil takes them always.
	Writable func() (retry time.Duration, err error)
	// Mounted is what stands beside the API, by pattern. It may be nil.
	Mounted map[string]http.Handler
}

// Serve answers on a listener until the context ends, and then gives requests
// under way a second.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	h := &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ConnContext:       withPeer,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
	}
	return serve(ctx, h, l)
}

// Handler routes requests.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	for pattern, h := range s.Mounted {
		mux.Handle(pattern, h)
	}
	s.reads(mux)
	s.writes(mux)
	return mux
}

func (s *Server) reads(mux *http.ServeMux) {
	e := s.Engine
	get := func(path string, answer func(*http.Request) (any, error)) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) { s.answer(w, r, answer) })
	}
	get("/v1/status", func(*http.Request) (any, error) { return e.Status(), nil })
	get("/v1/history", func(*http.Request) (any, error) { return e.History(), nil })
	get("/v1/snapshots", func(*http.Request) (any, error) { return e.Snapshots() })
	get("/v1/plan", func(r *http.Request) (any, error) {
		p, err := e.Plan(r.Context())
		return p.Plan, err
	})
	get("/v1/observed", func(r *http.Request) (any, error) { return e.Observed(r.Context()) })
	get("/v1/balance", func(r *http.Request) (any, error) { return e.Balance(r.Context()) })
	get("/v1/upgrades", func(r *http.Request) (any, error) { return e.Upgrades(r.Context()) })
	readers := make(chan struct{}, maxReaders)
	mux.HandleFunc("GET /v1/events", func(w http.ResponseWriter, r *http.Request) {
		select {
		case readers <- struct{}{}:
			defer func() { <-readers }()
			s.events(w, r)
		default:
			s.refuse(w, r, &Error{Status: http.StatusServiceUnavailable, Code: CodeBusy, Message: "too many readers of events"})
		}
	})
}

func (s *Server) writes(mux *http.ServeMux) {
	e := s.Engine
	post := func(path string, do func(context.Context, order) (any, error)) {
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
			s.write(w, r, func() (any, error) {
				var o order
				if err := s.body(w, r, &o); err != nil {
					return nil, err
				}
				return do(r.Context(), o)
			})
		})
	}
	post("/v1/sync", func(ctx context.Context, _ order) (any, error) { return e.Sync(ctx) })
	post("/v1/suspend", func(ctx context.Context, o order) (any, error) {
		return struct{}{}, e.Suspend(ctx, time.Duration(o.For), o.Reason)
	})
	post("/v1/resume", func(ctx context.Context, _ order) (any, error) { return struct{}{}, e.Resume(ctx) })
	post("/v1/rollback", func(ctx context.Context, o order) (any, error) {
		if o.Upgrade != "" {
			return e.RollBackUpgrade(ctx, o.Upgrade)
		}
		return e.Rollback(ctx, o.Revision, time.Duration(o.For))
	})
	post("/v1/approve", func(ctx context.Context, o order) (any, error) { return e.Approve(ctx, o.Revision) })
	post("/v1/retry", func(ctx context.Context, _ order) (any, error) { return e.Retry(ctx) })
	post("/v1/confirm", func(ctx context.Context, _ order) (any, error) { return struct{}{}, e.Confirm(ctx) })
	post("/v1/override", func(ctx context.Context, o order) (any, error) {
		if o.Override == nil {
			return nil, errNoOverride()
		}
		return e.Override(ctx, *o.Override, time.Duration(o.For))
	})
	post("/v1/release", func(ctx context.Context, o order) (any, error) {
		if o.Override == nil {
			return nil, errNoOverride()
		}
		return e.Release(ctx, *o.Override)
	})
	mux.HandleFunc("POST /v1/apply", func(w http.ResponseWriter, r *http.Request) {
		s.write(w, r, func() (any, error) {
			var t source.Tree
			if err := s.body(w, r, &t); err != nil {
				return nil, err
			}
			return e.Apply(r.Context(), t)
		})
	})
}

func errNoOverride() error {
	return &Error{Status: http.StatusBadRequest, Code: CodeRequest, Message: "the body names no override"}
}

// write lets those who may change something do so.
func (s *Server) write(w http.ResponseWriter, r *http.Request, do func() (any, error)) {
	if err := mayWrite(r.Context()); err != nil {
		s.refuse(w, r, &Error{Status: http.StatusForbidden, Code: CodeForbidden, Message: err.Error()})
		return
	}
	if s.Writable != nil {
		if retry, err := s.Writable(); err != nil {
			w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(retry.Seconds()))))
			s.refuse(w, r, &Error{Status: http.StatusServiceUnavailable, Code: CodeReadOnly, Message: err.Error()})
			return
		}
	}
	s.Log.Info("request", "path", r.URL.Path, "peer", peerText(r.Context()))
	s.answer(w, r, func(*http.Request) (any, error) { return do() })
}

// body reads a JSON body; none at all is an empty one.
func (s *Server) body(w http.ResponseWriter, r *http.Request, into any) error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil && !errors.Is(err, io.EOF) {
		return &Error{Status: http.StatusBadRequest, Code: CodeRequest, Message: "read body: " + err.Error()}
	}
	return nil
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, answer func(*http.Request) (any, error)) {
	v, err := answer(r)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	text, err := json.Marshal(v)
	if err != nil {
		s.refuse(w, r, fmt.Errorf("write answer: %w", err))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if _, err := w.Write(append(text, '\n')); err != nil {
		s.Log.Debug("answer cut short", "path", r.URL.Path, "err", err)
	}
}

func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	e := refusal(err)
	s.Log.Debug("refused", "path", r.URL.Path, "status", e.Status, "err", e.Message)
	if e.Status == http.StatusServiceUnavailable && w.Header().Get("Retry-After") == "" {
		w.Header().Set("Retry-After", "1")
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.Status)
	_ = json.NewEncoder(w).Encode(e) // the reader is gone if this fails
}

// refusal turns an error of the engine into what travels.
func refusal(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	for _, k := range []struct {
		is     error
		status int
		code   Code
	}{
		{engine.ErrStopped, http.StatusServiceUnavailable, CodeStopped},
		{engine.ErrPaused, http.StatusServiceUnavailable, CodeReadOnly},
		{engine.ErrUnknown, http.StatusNotFound, CodeUnknown},
		{engine.ErrAbsent, http.StatusNotFound, CodeAbsent},
		{engine.ErrNothing, http.StatusConflict, CodeNothing},
		{engine.ErrNoDesired, http.StatusConflict, CodeNoDesired},
		{engine.ErrRange, http.StatusBadRequest, CodeRange},
		{engine.ErrBusy, http.StatusConflict, CodeBusy},
	} {
		if errors.Is(err, k.is) {
			return &Error{Status: k.status, Code: k.code, Message: err.Error()}
		}
	}
	return &Error{Status: http.StatusInternalServerError, Code: CodeInternal, Message: err.Error()}
}

// caughtUp is how long no event must come for a reader who does not follow to
// have seen all that is remembered.
const caughtUp = 100 * time.Millisecond

// events streams events as JSON lines, after ?since=, until the reader leaves
// or, without ?follow=true, has seen what is remembered.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	since, err := strconv.ParseUint("0"+q.Get("since"), 10, 64)
	if err != nil {
		s.refuse(w, r, &Error{Status: http.StatusBadRequest, Code: CodeRequest, Message: "since: " + err.Error()})
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	events := s.Engine.Events(ctx, since)
	var quiet <-chan time.Time
	out := http.NewResponseController(w)
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.WriteHeader(http.StatusOK)
	_ = out.Flush() // a reader who is gone shows at the first event
	for lines := json.NewEncoder(w); ; {
		if q.Get("follow") != "true" {
			quiet = time.After(caughtUp)
		}
		select {
		case <-quiet:
			return
		case e, ok := <-events:
			// A reader who takes nothing for so long is gone.
			_ = out.SetWriteDeadline(time.Now().Add(10 * time.Second))
			if !ok || lines.Encode(e) != nil || out.Flush() != nil {
				return
			}
		}
	}
}

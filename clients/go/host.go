package runwire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc/codes"

	runwirev1 "runwire.dev/go/runwire/v1"
)

const (
	registerTimeout = 15 * time.Second
	stableAfter     = 5 * time.Second
	defaultGrace    = 30 * time.Second
)

type hostSession = duplex[runwirev1.HostToolsRequest, runwirev1.HostToolsResponse]

var hostMessages = wrapper[runwirev1.HostToolsRequest]{
	report: func(report *runwirev1.ToolCallReport) *runwirev1.HostToolsRequest {
		return &runwirev1.HostToolsRequest{Message: &runwirev1.HostToolsRequest_Report{Report: report}}
	},
	heartbeat: func() *runwirev1.HostToolsRequest {
		heartbeat := &runwirev1.HostToolsRequest_Heartbeat{Heartbeat: &runwirev1.Heartbeat{}}
		return &runwirev1.HostToolsRequest{Message: heartbeat}
	},
}

// ToolHost serves tools to any run of the tenant. It registers, reconnects when the connection is lost, keeps every
// result until the server has stored it, and drains when it is shut down.
type ToolHost struct {
	client *Client
	tools  []*Tool
	id     string
	window int32
	labels map[string]string
	grace  time.Duration

	engine *engine
	renew  chan struct{} // a new stream is wanted
	live   chan struct{} // closed once the first registration counts
	failed chan struct{} // closed when the server refuses the host for good
	cancel context.CancelFunc
	tasks  sync.WaitGroup

	mu       sync.Mutex
	session  *hostSession
	leaving  bool // the session was told that it will end
	draining bool
	rejected map[string]*Error
	failure  error
	once     sync.Once
}

// HostOption says something about a [ToolHost].
type HostOption func(*ToolHost)

// HostID names the host process: unique, and the same across its streams. The default is a random one.
func HostID(id string) HostOption { return func(h *ToolHost) { h.id = id } }

// HostWindow bounds how many calls the host runs at once; the default is 16.
func HostWindow(calls int32) HostOption { return func(h *ToolHost) { h.window = calls } }

// HostLabels are for logs and routing: [HostedTool.HostLabels].
func HostLabels(labels map[string]string) HostOption { return func(h *ToolHost) { h.labels = labels } }

// HostGrace bounds how long [ToolHost.Serve] waits for calls that run when it is told to end; the default is 30 s.
func HostGrace(grace time.Duration) HostOption { return func(h *ToolHost) { h.grace = grace } }

// NewToolHost returns a host of these tools. Start or Serve it.
func (c *Client) NewToolHost(tools []*Tool, options ...HostOption) (*ToolHost, error) {
	names := map[string]bool{}
	for _, tool := range tools {
		if names[tool.Name()] {
			return nil, fmt.Errorf("runwire: two tools are named %q", tool.Name())
		}
		names[tool.Name()] = true
	}
	h := &ToolHost{
		client: c, tools: tools, id: "go-" + newUUID(), window: defaultWindow, grace: defaultGrace,
		renew: make(chan struct{}, 1), live: make(chan struct{}), failed: make(chan struct{}),
	}
	for _, option := range options {
		option(h)
	}
	return h, nil
}

// ID is the host's id.
func (h *ToolHost) ID() string { return h.id }

// Bindings are the tools for [Agent.Tools], bound to this host and no other of the same names.
func (h *ToolHost) Bindings() []Binding {
	bindings := make([]Binding, len(h.tools))
	for i, tool := range h.tools {
		bindings[i] = HostedTool{
			Name: tool.Name(), Version: tool.definition.GetVersion(), HostID: h.id,
			Timeout: tool.times.timeout, AcceptTimeout: tool.times.accept, ProgressTimeout: tool.times.progress,
		}
	}
	return bindings
}

// Rejected are the tools that the server did not take, and why.
func (h *ToolHost) Rejected() map[string]*Error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.rejected)
}

// Serve serves until the context ends, then drains within the host's grace. An error says that the server refuses the
// host or all of its tools.
func (h *ToolHost) Serve(ctx context.Context) error {
	err := h.Start(ctx)
	if err == nil {
		select {
		case <-ctx.Done():
		case <-h.failed:
			err = h.failure
		}
	}
	if ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) {
		err = nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.grace)
	defer cancel()
	return errors.Join(err, h.Shutdown(ctx))
}

// ServeUntilSignal serves until SIGTERM, SIGINT or the context's end: what the main function of a tool host calls.
func (h *ToolHost) ServeUntilSignal(ctx context.Context) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	return h.Serve(ctx)
}

// Start registers, and returns once the tools are live. The context bounds the wait, and its values reach the tools;
// end the host with Shutdown. A host is started once.
func (h *ToolHost) Start(ctx context.Context) error {
	if h.engine != nil {
		return errors.New("runwire: the tool host was started before")
	}
	h.engine = newEngine(ctx, h.tools, h.client.logger)
	serving, cancel := context.WithCancel(context.WithoutCancel(ctx))
	h.cancel = cancel
	h.tasks.Go(func() { h.supervise(serving) })
	err := h.Ready(ctx)
	if err != nil {
		cancel()
		h.tasks.Wait()
	}
	return err
}

// Ready waits until the tools are live, for hosts that are served.
func (h *ToolHost) Ready(ctx context.Context) error {
	select {
	case <-h.live:
		return nil
	case <-h.failed:
		return h.failure
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Shutdown takes no more calls, finishes those that run, waits for their receipts, and leaves. When the context ends
// first, what still runs is cancelled: the server treats it as lost, and Shutdown returns the context's error.
func (h *ToolHost) Shutdown(ctx context.Context) error {
	if h.engine == nil {
		return nil
	}
	h.engine.refuse()
	h.mu.Lock()
	h.draining = true
	session := h.session
	h.mu.Unlock()
	if session != nil {
		update := &runwirev1.HostUpdate{MaxConcurrentCalls: new(int32)}
		session.push(&runwirev1.HostToolsRequest{Message: &runwirev1.HostToolsRequest_Update{Update: update}})
	}
	var err error
	select {
	case <-h.engine.quiet():
	case <-h.failed:
	case <-ctx.Done():
		err = fmt.Errorf("runwire: calls still ran at the end of the host: %w", context.Cause(ctx))
	}
	h.engine.abort()
	h.mu.Lock()
	session = h.session
	h.mu.Unlock()
	ended := make(chan struct{})
	if session != nil {
		session.finish(closeTimeout)
		go func() { <-session.ctx.Done(); close(ended) }()
	} else {
		close(ended)
	}
	select {
	case <-ended:
	case <-time.After(closeTimeout):
	}
	h.cancel()
	h.tasks.Wait()
	return err
}

// --- connections ---

func (h *ToolHost) supervise(ctx context.Context) {
	var backoff waits
	for ctx.Err() == nil {
		select {
		case <-h.renew: // Of a stream before this one.
		default:
		}
		err := h.connect(ctx)
		if err != nil {
			if permanent(err) {
				h.fail(err)
				return
			}
			h.client.logger.Info("tool host not connected", "host.id", h.id, "error", err)
			h.leaveIfIdle()
			if backoff.wait(ctx, retryDelay(err)) != nil {
				return
			}
			continue
		}
		since := time.Now()
		if !h.awaitRenewal(ctx) {
			return
		}
		if time.Since(since) > stableAfter {
			backoff.reset()
		} else if h.isLost() && backoff.wait(ctx, 0) != nil { // Not one that was told to go away.
			return
		}
	}
}

// awaitRenewal waits until a new stream is wanted; false: the host is at its end.
func (h *ToolHost) awaitRenewal(ctx context.Context) bool {
	for {
		select {
		case <-h.renew:
		case <-h.failed:
			return false
		case <-ctx.Done():
			return false
		}
		h.mu.Lock()
		wanted := h.session == nil || h.leaving
		h.mu.Unlock()
		if wanted {
			return true
		}
	}
}

// connect opens a stream and registers; an older one is left once this one is live.
func (h *ToolHost) connect(ctx context.Context) error {
	session, err := newDuplex(ctx, hostMessages, h.client.toolStreams.HostTools)
	if err != nil {
		return err
	}
	session.start(&runwirev1.HostToolsRequest{
		Message: &runwirev1.HostToolsRequest_Registration{Registration: h.registration(session)},
	})
	registered, err := awaitRegistered(session)
	if err != nil {
		session.close()
		return err
	}
	if err := h.reject(registered.GetRejectedTools()); err != nil {
		session.close()
		return err
	}
	session.agree(registered.GetSession())
	h.mu.Lock()
	older := h.session
	h.session, h.leaving = session, false
	h.mu.Unlock()
	h.engine.connect(session)
	if older != nil {
		older.finish(0)
	}
	h.tasks.Go(func() { h.read(session) })
	h.once.Do(func() { close(h.live) })
	return nil
}

func awaitRegistered(session *hostSession) (*runwirev1.HostRegistered, error) {
	timer := time.AfterFunc(registerTimeout, func() { session.cancel(errSilent) })
	defer timer.Stop()
	for {
		response, err := session.read()
		if errors.Is(err, io.EOF) {
			return nil, &Error{Code: codes.Unavailable, Message: "the server ended the stream at once"}
		}
		if err != nil {
			return nil, fromRPC(err)
		}
		if registered := response.GetRegistered(); registered != nil {
			return registered, nil
		}
	}
}

func (h *ToolHost) registration(session *hostSession) *runwirev1.HostRegistration {
	registration := &runwirev1.HostRegistration{
		HostId: h.id, MaxConcurrentCalls: &h.window, Labels: h.labels, InFlight: h.engine.prepare(session),
	}
	for _, tool := range h.tools {
		registration.Tools = append(registration.Tools, tool.definition)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.draining {
		registration.MaxConcurrentCalls = new(int32)
	}
	return registration
}

// reject remembers the tools that were not taken; an error when there is no other.
func (h *ToolHost) reject(rejected map[string]*runwirev1.Error) error {
	converted := map[string]*Error{}
	var last error
	for name, err := range rejected {
		converted[name] = fromData(err)
		last = fmt.Errorf("tool %s: %w", name, converted[name])
		h.client.logger.Warn("tool not taken", "host.id", h.id, "tool.name", name, "error", converted[name])
	}
	h.mu.Lock()
	h.rejected = converted
	h.mu.Unlock()
	if len(h.tools) > 0 && len(converted) == len(h.tools) {
		return last
	}
	return nil
}

func (h *ToolHost) read(session *hostSession) {
	defer session.close()
	for {
		response, err := session.read()
		if err != nil {
			h.ended(session, err)
			return
		}
		command := response.GetCommand()
		if command.GetGoAway() != nil && h.isCurrent(session, true) {
			h.wantRenewal()
		}
		h.engine.command(session, command)
	}
}

// ended says that a stream is over.
func (h *ToolHost) ended(session *hostSession, err error) {
	h.engine.disconnect(session)
	if !h.isCurrent(session, false) {
		return
	}
	h.mu.Lock()
	h.session = nil
	h.mu.Unlock()
	if !errors.Is(err, io.EOF) {
		err = fromRPC(err)
		h.client.logger.Info("tool host's stream ended", "host.id", h.id, "error", err)
		if permanent(err) {
			h.fail(err)
		}
	}
	h.wantRenewal()
}

// isCurrent says whether a session is the current one, and marks it as leaving.
func (h *ToolHost) isCurrent(session *hostSession, leaving bool) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.session != session {
		return false
	}
	h.leaving = h.leaving || leaving
	return true
}

func (h *ToolHost) isLost() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.session == nil
}

// leaveIfIdle lets a server that drains, and has no successor yet, end without waiting for this host.
func (h *ToolHost) leaveIfIdle() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.session == nil || !h.leaving {
		return
	}
	select {
	case <-h.engine.quiet():
		h.session.finish(0)
	default:
	}
}

func (h *ToolHost) wantRenewal() {
	select {
	case h.renew <- struct{}{}:
	default:
	}
}

func (h *ToolHost) fail(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.failure == nil {
		h.failure = err
		close(h.failed)
	}
}

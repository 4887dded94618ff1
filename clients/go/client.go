package runwire

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	runwirev1 "runwire.dev/go/runwire/v1"
)

// DefaultTarget is the server's default address.
const DefaultTarget = "127.0.0.1:50051"

const (
	// The server's windows. Fixed ones also switch the adaptive window off, whose small beginnings make many runs
	// that answer at once use up a connection's budget of small frames.
	streamWindow     = 256 << 10
	connectionWindow = 256 << 20
	// Requests up to 32 MiB; answers are smaller, but a completion has no fixed bound.
	maxMessage    = 32 << 20
	maxHeaderList = 32 << 10
	// Servers answer faster pings with GOAWAY.
	keepaliveTime    = time.Minute
	keepaliveTimeout = 20 * time.Second
	connectTimeout   = 5 * time.Second
)

// Only calls that are harmless twice. Never completions and never the two-way streams.
const serviceConfig = `{"methodConfig": [{
	"name": [
		{"service": "runwire.v1.RunService", "method": "CreateRun"},
		{"service": "runwire.v1.RunService", "method": "GetRun"},
		{"service": "runwire.v1.RunService", "method": "ListRuns"},
		{"service": "runwire.v1.RunService", "method": "WatchRun"},
		{"service": "runwire.v1.RunService", "method": "CancelRun"},
		{"service": "runwire.v1.ToolService", "method": "ReportToolCall"},
		{"service": "runwire.v1.ToolService", "method": "ListTools"},
		{"service": "runwire.v1.ModelService", "method": "ListModels"}
	],
	"retryPolicy": {
		"maxAttempts": 4,
		"initialBackoff": "0.1s",
		"maxBackoff": "2s",
		"backoffMultiplier": 2,
		"retryableStatusCodes": ["UNAVAILABLE"]
	}
}]}`

// Client is a server. It is safe for concurrent use: any number of completions, runs and hosts share its two HTTP/2
// connections.
//
// Two, because a connection that is full of streams queues the next call silently, and a cancellation must not wait
// for a stream to end.
type Client struct {
	streams, control *grpc.ClientConn
	logger           *slog.Logger

	completions runwirev1.CompletionServiceClient
	models      runwirev1.ModelServiceClient
	runs        runwirev1.RunServiceClient
	runStreams  runwirev1.RunServiceClient
	toolStreams runwirev1.ToolServiceClient
}

// New returns a client of the server at target: host:port, or a URL whose scheme http or https says whether to use
// TLS. An empty target is that of $RUNWIRE_SERVER, else [DefaultTarget]. It does not connect before it has to.
func New(target string, options ...ClientOption) (*Client, error) {
	settings := clientSettings{logger: slog.New(slog.DiscardHandler), token: os.Getenv("RUNWIRE_TOKEN")}
	if target == "" {
		target = os.Getenv("RUNWIRE_SERVER")
	}
	if target == "" {
		target = DefaultTarget
	}
	if rest, ok := strings.CutPrefix(target, "https://"); ok {
		target, settings.secure = strings.TrimSuffix(rest, "/"), true
	} else if rest, ok := strings.CutPrefix(target, "http://"); ok {
		target = strings.TrimSuffix(rest, "/")
	}
	for _, option := range options {
		option(&settings)
	}
	dial := settings.dialOptions()
	streams, err := grpc.NewClient(target, dial...)
	if err != nil {
		return nil, err
	}
	control, err := grpc.NewClient(target, dial...)
	if err != nil {
		return nil, errors.Join(err, streams.Close())
	}
	return &Client{
		streams:     streams,
		control:     control,
		logger:      settings.logger,
		completions: runwirev1.NewCompletionServiceClient(streams),
		models:      runwirev1.NewModelServiceClient(control),
		runs:        runwirev1.NewRunServiceClient(control),
		runStreams:  runwirev1.NewRunServiceClient(streams),
		toolStreams: runwirev1.NewToolServiceClient(streams),
	}, nil
}

// Close closes the connections. What is under way on them ends.
func (c *Client) Close() error {
	return errors.Join(c.streams.Close(), c.control.Close())
}

// StreamConn returns the connection of completions and streams, for calls with the stubs of package runwirev1.
func (c *Client) StreamConn() grpc.ClientConnInterface { return c.streams }

// ControlConn returns the connection of short calls, for calls with the stubs of package runwirev1.
func (c *Client) ControlConn() grpc.ClientConnInterface { return c.control }

func (s *clientSettings) dialOptions() []grpc.DialOption {
	transport := insecure.NewCredentials()
	if s.secure || s.tls != nil {
		transport = credentials.NewTLS(s.tls)
	}
	dial := []grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithUserAgent("runwire-go"),
		grpc.WithInitialWindowSize(streamWindow),
		grpc.WithInitialConnWindowSize(connectionWindow),
		grpc.WithMaxHeaderListSize(maxHeaderList),
		grpc.WithDefaultServiceConfig(serviceConfig),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepaliveTime, Timeout: keepaliveTimeout}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{
				BaseDelay: 200 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: maxBackoff,
			},
			MinConnectTimeout: connectTimeout,
		}),
		grpc.WithChainUnaryInterceptor(traceUnary),
		grpc.WithChainStreamInterceptor(traceStream),
	}
	if s.token != "" {
		dial = append(dial, grpc.WithPerRPCCredentials(bearer(s.token)))
	}
	return append(dial, s.dial...)
}

// bearer is a token that goes with every call, on connections without TLS, too: those of a loopback or a mesh.
type bearer string

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

func (bearer) RequireTransportSecurity() bool { return false }

package runwire

import (
	"crypto/tls"
	"log/slog"

	"google.golang.org/grpc"
)

// ClientOption says something about a [Client].
type ClientOption func(*clientSettings)

type clientSettings struct {
	secure bool
	tls    *tls.Config
	token  string
	logger *slog.Logger
	dial   []grpc.DialOption
}

// WithTLS uses TLS with this configuration: its RootCAs to know the server by, its Certificates for mutual TLS.
func WithTLS(config *tls.Config) ClientOption {
	return func(s *clientSettings) { s.tls = config.Clone() }
}

// WithToken sends a bearer token with every call; the default is $RUNWIRE_TOKEN.
func WithToken(token string) ClientOption {
	return func(s *clientSettings) { s.token = token }
}

// WithLogger logs reconnections and what tools do wrong; never content. The default logs nothing.
func WithLogger(logger *slog.Logger) ClientOption {
	return func(s *clientSettings) { s.logger = logger }
}

// WithDialOptions adds options of gRPC's own, after those of Runwire: interceptors, credentials, dialers.
func WithDialOptions(options ...grpc.DialOption) ClientOption {
	return func(s *clientSettings) { s.dial = append(s.dial, options...) }
}

package runwire

import (
	"context"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	runwirev1 "runwire.dev/go/runwire/v1"
)

// The program's propagator decides what is sent; without one nothing is.

type outgoing metadata.MD

func (m outgoing) Get(key string) string {
	if values := metadata.MD(m).Get(key); len(values) > 0 {
		return values[0]
	}
	return ""
}

func (m outgoing) Set(key, value string) { metadata.MD(m).Set(key, value) }

func (m outgoing) Keys() []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	return keys
}

func traced(ctx context.Context) context.Context {
	sent, ok := metadata.FromOutgoingContext(ctx)
	if !ok {
		sent = metadata.MD{}
	}
	otel.GetTextMapPropagator().Inject(ctx, outgoing(sent))
	if len(sent) == 0 {
		return ctx
	}
	return metadata.NewOutgoingContext(ctx, sent)
}

func traceUnary(
	ctx context.Context, method string, request, reply any,
	conn *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption,
) error {
	return invoke(traced(ctx), method, request, reply, conn, options...)
}

func traceStream(
	ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn,
	method string, open grpc.Streamer, options ...grpc.CallOption,
) (grpc.ClientStream, error) {
	return open(traced(ctx), desc, conn, method, options...)
}

// continued returns a context in which the spans of a tool belong to the trace of its run.
func continued(ctx context.Context, assignment *runwirev1.ToolCallAssignment) context.Context {
	if assignment.GetTraceparent() == "" {
		return ctx
	}
	return otel.GetTextMapPropagator().Extract(ctx, propagation.MapCarrier{
		"traceparent": assignment.GetTraceparent(),
		"tracestate":  assignment.GetTracestate(),
	})
}

package dev.runwire;

import io.grpc.ChannelCredentials;
import io.grpc.netty.shaded.io.grpc.netty.GrpcHttp2ConnectionHandler;
import io.grpc.netty.shaded.io.grpc.netty.InternalNettyChannelCredentials;
import io.grpc.netty.shaded.io.grpc.netty.InternalProtocolNegotiator;
import io.grpc.netty.shaded.io.netty.channel.ChannelHandler;
import io.grpc.netty.shaded.io.netty.handler.codec.http2.Http2Connection;
import io.grpc.netty.shaded.io.netty.handler.codec.http2.Http2ConnectionAdapter;
import io.grpc.netty.shaded.io.netty.handler.codec.http2.Http2Exception;
import io.grpc.netty.shaded.io.netty.handler.codec.http2.Http2Stream;
import io.grpc.netty.shaded.io.netty.util.AsciiString;

/**
 * The flow-control windows of a connection.
 *
 * <p>gRPC has one number for a stream's window and the connection's. With it, one consumer that
 * does not keep up takes the connection's whole window, and every other stream stands still. Here
 * the connection's is larger, as that of the server is.
 */
final class Windows {
  /** The server's window of a stream. A fixed one also switches the adaptive window off. */
  static final int STREAM = 256 << 10;

  /** The server's window of a connection. */
  static final int CONNECTION = 256 << 20;

  private Windows() {}

  /** Credentials whose connections have the larger window. */
  static ChannelCredentials widen(ChannelCredentials credentials) {
    InternalProtocolNegotiator.ClientFactory factory =
        InternalNettyChannelCredentials.toNegotiator(credentials);
    return InternalNettyChannelCredentials.create(
        new InternalProtocolNegotiator.ClientFactory() {
          @Override
          public InternalProtocolNegotiator.ProtocolNegotiator newNegotiator() {
            return new Widening(factory.newNegotiator());
          }

          @Override
          public int getDefaultPort() {
            return factory.getDefaultPort();
          }
        });
  }

  private record Widening(InternalProtocolNegotiator.ProtocolNegotiator inner)
      implements InternalProtocolNegotiator.ProtocolNegotiator {
    @Override
    public AsciiString scheme() {
      return inner.scheme();
    }

    @Override
    public ChannelHandler newHandler(GrpcHttp2ConnectionHandler handler) {
      handler.connection().addListener(new AtFirstStream(handler.connection()));
      return inner.newHandler(handler);
    }

    @Override
    public void close() {
      inner.close();
    }
  }

  /** The preface has been written by then, and nothing has been received that counts. */
  private static final class AtFirstStream extends Http2ConnectionAdapter {
    private final Http2Connection connection;

    AtFirstStream(Http2Connection connection) {
      this.connection = connection;
    }

    @Override
    public void onStreamActive(Http2Stream stream) {
      connection.removeListener(this);
      try {
        connection
            .local()
            .flowController()
            .incrementWindowSize(connection.connectionStream(), CONNECTION - STREAM);
      } catch (Http2Exception e) {
        throw new IllegalStateException("the window of a connection cannot be widened", e);
      }
    }
  }
}

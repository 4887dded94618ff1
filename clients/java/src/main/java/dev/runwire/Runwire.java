package dev.runwire;

import dev.runwire.v1.CompletionServiceGrpc;
import dev.runwire.v1.GenerateCompletionRequest;
import dev.runwire.v1.ListModelsRequest;
import dev.runwire.v1.ListModelsResponse;
import dev.runwire.v1.ModelServiceGrpc;
import io.grpc.Channel;
import io.grpc.ChannelCredentials;
import io.grpc.ClientInterceptor;
import io.grpc.InsecureChannelCredentials;
import io.grpc.TlsChannelCredentials;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.function.Supplier;

/**
 * A server. It is safe for use by many threads: any number of completions, runs and hosts share its
 * two HTTP/2 connections. It does not connect before it has to.
 *
 * <p>Blocking methods heed interrupts: what they wait for is cancelled, and the thread stays
 * interrupted. Those that return a {@link CompletableFuture} never wait; cancelling the future
 * cancels the call.
 */
public final class Runwire implements AutoCloseable {
  /** The server's default address. */
  public static final String DEFAULT_TARGET = "127.0.0.1:50051";

  private static final int PAGE = 200;

  private final Transport transport;
  private final Runs runs;

  private Runwire(Transport transport) {
    this.transport = transport;
    runs = new Runs(transport);
  }

  /** A client of the server at {@code $RUNWIRE_SERVER}, else at {@link #DEFAULT_TARGET}. */
  public static Runwire connect() {
    return builder().build();
  }

  /**
   * A client of the server at this address.
   *
   * @param target host:port, or a URL whose scheme http or https says whether to use TLS
   */
  public static Runwire connect(String target) {
    return builder().target(target).build();
  }

  /** A client to be set up. */
  public static Builder builder() {
    return new Builder();
  }

  // === Completions ===

  /** Answers once. It is never tried again by itself: the server has done that. */
  public Completion complete(String model, String input) {
    return complete(CompletionRequest.of(model, input));
  }

  /** Answers once. It is never tried again by itself: the server has done that. */
  public Completion complete(CompletionRequest request) {
    return Awaiting.get(completeAsync(request));
  }

  /** As {@link #complete(CompletionRequest)}. */
  public CompletableFuture<Completion> completeAsync(CompletionRequest request) {
    GenerateCompletionRequest generate =
        GenerateCompletionRequest.newBuilder().setParams(request.wire()).build();
    return Futures.map(
        transport.call(
            transport.streams(),
            CompletionServiceGrpc.getGenerateCompletionMethod(),
            generate,
            request.timeout()),
        response -> FromWire.completion(response.getCompletion()));
  }

  /** Answers in chunks, as they are made. */
  public CompletionStream stream(CompletionRequest request) {
    return new CompletionStream(transport, request);
  }

  // === Runs ===

  /** Runs an agent to its end; see {@link #run(RunRequest)}. */
  public RunResult run(Agent agent, String input) {
    return run(RunRequest.of(agent, input));
  }

  /**
   * Runs an agent to its end. The agent's own tools are called here, several at a time. An
   * interrupt asks the run to stop, unless it is detached.
   *
   * @throws RunFailedException the run failed
   * @throws RunwireException the run could not be created or followed
   */
  public RunResult run(RunRequest request) {
    return Awaiting.get(runAsync(request));
  }

  /** As {@link #run(RunRequest)}; cancelling the future asks the run to stop. */
  public CompletableFuture<RunResult> runAsync(RunRequest request) {
    return attached(request, false).resultAsync();
  }

  /** Runs an agent as {@link #run(RunRequest)} does, and shows what happens. */
  public RunStream runStream(RunRequest request) {
    return attached(request, true);
  }

  /** The runs of the tenant: create, follow, list and stop them. */
  public Runs runs() {
    return runs;
  }

  private RunStream attached(RunRequest request, boolean hasDeltas) {
    Attachment.Settings settings =
        new Attachment.Settings(
            Optional.of(request.spec()),
            "",
            request.requestId(),
            OptionalLong.empty(),
            request.window(),
            request.isDetached(),
            hasDeltas);
    Attachment attachment = new Attachment(transport, request.agent().functions(), settings);
    return new RunStream(transport, attachment, request.conversation());
  }

  // === Tools and models ===

  /** A host of these tools, to be set up. */
  public ToolHost.Builder toolHost(List<FunctionTool> tools) {
    return new ToolHost.Builder(transport, tools);
  }

  /** The models of all providers. */
  public Model.Listing models() {
    return models("");
  }

  /** The models of a provider. */
  public Model.Listing models(String provider) {
    List<Model> models = new ArrayList<>();
    Map<String, RunwireException> unavailable = new HashMap<>();
    String token = "";
    do {
      ListModelsRequest request =
          ListModelsRequest.newBuilder()
              .setProvider(provider)
              .setPageSize(PAGE)
              .setPageToken(token)
              .build();
      ListModelsResponse page =
          Awaiting.get(transport.call(ModelServiceGrpc.getListModelsMethod(), request));
      page.getModelsList().forEach(model -> models.add(Model.of(model)));
      page.getUnavailableList()
          .forEach(
              missing ->
                  unavailable.put(
                      missing.getProvider(), RunwireException.fromData(missing.getError())));
      token = page.getNextPageToken();
    } while (!token.isEmpty());
    return new Model.Listing(models, unavailable);
  }

  // === Connections ===

  /** The connection of completions and streams, for calls with the stubs of the contract. */
  public Channel streamChannel() {
    return transport.streams();
  }

  /** The connection of short calls, for calls with the stubs of the contract. */
  public Channel controlChannel() {
    return transport.control();
  }

  /** Closes the connections. What is under way on them ends. */
  @Override
  public void close() {
    transport.close();
  }

  /** Sets up a {@link Runwire}. */
  public static final class Builder {
    private String target = System.getenv("RUNWIRE_SERVER");
    private Supplier<String> token = () -> System.getenv("RUNWIRE_TOKEN");
    private Optional<ChannelCredentials> credentials = Optional.empty();
    private Optional<String> authority = Optional.empty();
    private Optional<Executor> executor = Optional.empty();
    private final List<ClientInterceptor> interceptors = new ArrayList<>();

    private Builder() {}

    /** Host:port, or a URL whose scheme http or https says whether to use TLS. */
    public Builder target(String target) {
      this.target = target;
      return this;
    }

    /** A bearer token that goes with every call; the default is {@code $RUNWIRE_TOKEN}. */
    public Builder token(String token) {
      return token(() -> token);
    }

    /** Gives the bearer token that is valid now. It must not wait. */
    public Builder token(Supplier<String> token) {
      this.token = token;
      return this;
    }

    /**
     * Uses TLS, and knows the server by a certificate of this authority.
     *
     * @param authority a file in PEM
     */
    public Builder tls(Path authority) {
      try {
        return credentials(
            TlsChannelCredentials.newBuilder().trustManager(authority.toFile()).build());
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    }

    /**
     * Uses TLS on both sides.
     *
     * @param authority a file in PEM with the authority that has signed the server's certificate
     * @param certificate a file in PEM with the client's certificate
     * @param key a file in PEM with the client's key
     */
    public Builder mutualTls(Path authority, Path certificate, Path key) {
      try {
        return credentials(
            TlsChannelCredentials.newBuilder()
                .trustManager(authority.toFile())
                .keyManager(certificate.toFile(), key.toFile())
                .build());
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    }

    /** Uses these credentials of gRPC's own. */
    public Builder credentials(ChannelCredentials credentials) {
      this.credentials = Optional.of(credentials);
      return this;
    }

    /** The name that the server's certificate has, if it is not that of the address. */
    public Builder serverName(String name) {
      authority = Optional.of(name);
      return this;
    }

    /**
     * Where tools run, such as an executor of virtual threads; the default is threads of the
     * client's own, as many as run tools.
     */
    public Builder toolExecutor(Executor executor) {
      this.executor = Optional.of(executor);
      return this;
    }

    /** Adds interceptors of gRPC's own, which see every call. */
    public Builder intercept(ClientInterceptor... interceptors) {
      this.interceptors.addAll(List.of(interceptors));
      return this;
    }

    /** The client. */
    public Runwire build() {
      String address = target == null || target.isEmpty() ? DEFAULT_TARGET : target;
      boolean isSecure = address.startsWith("https://");
      address = address.replaceFirst("^https?://", "").replaceFirst("/$", "");
      ChannelCredentials secured =
          credentials.orElseGet(
              () ->
                  isSecure ? TlsChannelCredentials.create() : InsecureChannelCredentials.create());
      return new Runwire(
          new Transport(
              new Transport.Settings(
                  address, secured, token, authority, executor, List.copyOf(interceptors))));
    }
  }
}

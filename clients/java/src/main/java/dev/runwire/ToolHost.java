package dev.runwire;

import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Serves tools to any run of the tenant. It registers, reconnects when the connection is lost,
 * keeps every result until the server has stored it, and drains when it is closed.
 */
public final class ToolHost implements AutoCloseable {
  private static final Logger LOGGER = LoggerFactory.getLogger(Runwire.class);

  private final List<FunctionTool> tools;
  private final Duration grace;
  private final HostLink link;
  private final CompletableFuture<Void> closed = new CompletableFuture<>();
  private boolean isClosing;

  private ToolHost(Builder builder) {
    tools = builder.tools;
    grace = builder.grace;
    link =
        new HostLink(
            builder.transport,
            new HostLink.Settings(builder.id, tools, builder.window, Map.copyOf(builder.labels)));
  }

  /** The host's id: unique to this process, and the same across its streams. */
  public String id() {
    return link.hostId();
  }

  /** The tools for an agent, bound to this host and no other of the same names. */
  public List<HostedTool> bindings() {
    return tools.stream()
        .map(
            tool ->
                HostedTool.named(tool.name())
                    .inVersion(tool.definition().getVersion())
                    .onHost(id())
                    .within(tool.times()))
        .toList();
  }

  /** The tools that the server did not take, by name, and why. */
  public Map<String, RunwireException> rejected() {
    return link.rejected();
  }

  /**
   * Registers, and returns once the tools are live. A server that cannot be reached is waited for.
   * A host is started once.
   *
   * @throws RunwireException the server refuses the host, or all of its tools
   */
  public ToolHost start() {
    return Awaiting.get(startAsync());
  }

  /** As {@link #start()}. */
  public CompletableFuture<ToolHost> startAsync() {
    return Futures.map(link.start(), nothing -> this);
  }

  /**
   * Serves until the thread is interrupted, the host is closed, or the server refuses it for good;
   * then drains.
   *
   * @throws RunwireException the server refuses the host, or all of its tools
   */
  public void serve() {
    try (this) {
      CompletableFuture<Void> failed = link.start().thenCompose(live -> link.failed());
      CompletableFuture.anyOf(failed, closed).get();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    } catch (ExecutionException e) {
      throw Awaiting.here(
          e.getCause() instanceof java.util.concurrent.CompletionException wrapped
              ? wrapped.getCause()
              : e.getCause());
    }
  }

  /**
   * Serves until the process is told to end, by SIGTERM or SIGINT, and lets it end only when the
   * host has drained: what the main method of a tool host calls.
   *
   * @throws RunwireException the server refuses the host, or all of its tools
   */
  public void serveUntilShutdown() {
    drainAtShutdown();
    serve();
  }

  /** Drains the host when the process is told to end, and lets it end only after that. */
  public ToolHost drainAtShutdown() {
    Thread hook = new Thread(this::close, "runwire-drain");
    Runtime.getRuntime().addShutdownHook(hook);
    closed.whenComplete(
        (nothing, thrown) -> {
          try {
            Runtime.getRuntime().removeShutdownHook(hook);
          } catch (IllegalStateException e) {
            LOGGER.debug("the process ends");
          }
        });
    return this;
  }

  /**
   * Takes no more calls, finishes those that run, waits for their receipts, and leaves; within the
   * host's grace. Harmless twice: the second one waits, too.
   */
  @Override
  public void close() {
    shutdown(grace);
  }

  /**
   * As {@link #close()}, within this time.
   *
   * @return whether all calls have ended; what still ran is cancelled, and lost to the server
   */
  public boolean shutdown(Duration grace) {
    boolean isFirst;
    synchronized (this) {
      isFirst = !isClosing;
      isClosing = true;
    }
    if (!isFirst) {
      await(closed, grace.plus(HostLink.CLOSE_TIME));
      return link.isIdle();
    }
    boolean isIdle = await(link.drain(), grace);
    if (!isIdle) {
      LOGGER.warn("tool host {}: calls still ran after {}", id(), grace);
    }
    await(link.leave(), HostLink.CLOSE_TIME);
    closed.complete(null);
    return isIdle;
  }

  /** Completes when the host has left. */
  public CompletableFuture<Void> closed() {
    return closed.copy();
  }

  private static boolean await(CompletableFuture<?> future, Duration time) {
    boolean wasInterrupted = Thread.interrupted();
    try {
      future.get(time.toMillis(), TimeUnit.MILLISECONDS);
      return true;
    } catch (InterruptedException e) {
      wasInterrupted = true;
      return false;
    } catch (ExecutionException | TimeoutException e) {
      return false;
    } finally {
      if (wasInterrupted) {
        Thread.currentThread().interrupt();
      }
    }
  }

  /** Sets up a {@link ToolHost}. */
  public static final class Builder {
    private final Transport transport;
    private final List<FunctionTool> tools;
    private final Map<String, String> labels = new HashMap<>();
    private String id = "java-" + UUID.randomUUID();
    private int window = RunRequest.WINDOW;
    private Duration grace = Duration.ofSeconds(30);

    Builder(Transport transport, List<FunctionTool> tools) {
      this.transport = transport;
      this.tools = List.copyOf(tools);
      FunctionTool.requireDistinct(tools);
    }

    /** Unique to this process, and the same for its life; a random one by default. */
    public Builder id(String id) {
      this.id = id;
      return this;
    }

    /** Bounds how many calls the host runs at once; 16 by default. */
    public Builder window(int calls) {
      window = calls;
      return this;
    }

    /** For logs and routing: {@link HostedTool#onHosts(Map)}. */
    public Builder label(String key, String value) {
      labels.put(key, value);
      return this;
    }

    /** Bounds how long the host waits for calls that run when it is closed; 30 s by default. */
    public Builder grace(Duration grace) {
      this.grace = grace;
      return this;
    }

    /** The host; start or serve it. */
    public ToolHost build() {
      return new ToolHost(this);
    }

    /** The host, once its tools are live. */
    public ToolHost start() {
      return build().start();
    }
  }
}

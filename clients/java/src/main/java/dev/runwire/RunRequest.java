package dev.runwire;

import dev.runwire.v1.RunLimits;
import dev.runwire.v1.RunSpec;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;

/** What to run, and how. */
public final class RunRequest {
  /** How many tools of a run are run here at once. */
  static final int WINDOW = 16;

  private final Agent agent;
  private final List<Message> conversation;
  private final RunSpec spec;
  private final String requestId;
  private final int window;
  private final boolean detached;

  private RunRequest(Builder builder) {
    agent = builder.agent;
    conversation = builder.conversation;
    requestId = builder.requestId;
    window = builder.window;
    detached = builder.detached;
    spec =
        RunSpec.newBuilder()
            .setAgent(ToWire.agent(agent, agent.options().with(builder.options)))
            .addAllInput(conversation.stream().map(ToWire::message).toList())
            .setLimits(builder.limits)
            .putAllLabels(builder.labels)
            .build();
  }

  /** A run of an agent, with the server's limits. */
  public static RunRequest of(Agent agent, String input) {
    return builder(agent, input).build();
  }

  /** A run of an agent, with the server's limits. */
  public static RunRequest of(Agent agent, List<Message> conversation) {
    return builder(agent, conversation).build();
  }

  /** A run of an agent, to be filled in. */
  public static Builder builder(Agent agent, String input) {
    return builder(agent, List.of(Message.user(input)));
  }

  /** A run of an agent, to be filled in. */
  public static Builder builder(Agent agent, List<Message> conversation) {
    return new Builder(agent, conversation);
  }

  Agent agent() {
    return agent;
  }

  List<Message> conversation() {
    return conversation;
  }

  RunSpec spec() {
    return spec;
  }

  String requestId() {
    return requestId;
  }

  int window() {
    return agent.functions().isEmpty() ? 0 : window;
  }

  boolean isDetached() {
    return detached;
  }

  /** Fills in {@link RunRequest}. */
  public static final class Builder {
    private final Agent agent;
    private final List<Message> conversation;
    private final RunLimits.Builder limits = RunLimits.newBuilder();
    private final Map<String, String> labels = new HashMap<>();
    private GenerationOptions options = GenerationOptions.DEFAULTS;
    private String requestId = UUID.randomUUID().toString();
    private int window = WINDOW;
    private boolean detached;

    private Builder(Agent agent, List<Message> conversation) {
      this.agent = agent;
      this.conversation = List.copyOf(conversation);
    }

    /**
     * Bounds the model's turns. A run that uses them up ends with {@link
     * RunStatus#MAX_TURNS_EXCEEDED}.
     */
    public Builder maxTurns(int turns) {
      limits.setMaxTurns(turns);
      return this;
    }

    /** Bounds the tool calls. */
    public Builder maxToolCalls(int calls) {
      limits.setMaxToolCalls(calls);
      return this;
    }

    /** Bounds the tokens, input and output. */
    public Builder maxTokens(long tokens) {
      limits.setMaxTokens(tokens);
      return this;
    }

    /** Bounds the tool calls in flight. */
    public Builder maxParallelToolCalls(int calls) {
      limits.setMaxParallelToolCalls(calls);
      return this;
    }

    /** Bounds the run's time. */
    public Builder timeout(Duration timeout) {
      limits.setTimeout(ToWire.duration(timeout));
      return this;
    }

    /** Kept with the run, for listing, watching and routing. */
    public Builder label(String key, String value) {
      labels.put(key, value);
      return this;
    }

    /** Overrides the agent's options in this run. */
    public Builder options(GenerationOptions options) {
      this.options = options;
      return this;
    }

    /**
     * Makes the creation of a run idempotent: the same UUID returns the same run for a day. Without
     * it each request has one of its own, which its retries share.
     */
    public Builder requestId(String id) {
      requestId = id;
      return this;
    }

    /** Bounds how many tools of the run are run here at once; 16 by default. */
    public Builder window(int calls) {
      window = calls;
      return this;
    }

    /** Lets the run go on when its caller leaves or is lost. Else it is cancelled. */
    public Builder detached() {
      detached = true;
      return this;
    }

    /** The request. */
    public RunRequest build() {
      return new RunRequest(this);
    }
  }
}

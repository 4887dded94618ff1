package dev.runwire.conformance;

import com.fasterxml.jackson.databind.JsonNode;
import dev.runwire.Agent;
import dev.runwire.Chunk;
import dev.runwire.Completion;
import dev.runwire.CompletionRequest;
import dev.runwire.CompletionStream;
import dev.runwire.EventStream;
import dev.runwire.FunctionTool;
import dev.runwire.GenerationOptions;
import dev.runwire.HostedTool;
import dev.runwire.Run;
import dev.runwire.RunEvent;
import dev.runwire.RunFailedException;
import dev.runwire.RunRequest;
import dev.runwire.RunResult;
import dev.runwire.RunStatus;
import dev.runwire.RunStream;
import dev.runwire.Runwire;
import dev.runwire.RunwireException;
import dev.runwire.ToolBinding;
import dev.runwire.ToolChoice;
import dev.runwire.ToolHost;
import dev.runwire.WatchOptions;
import dev.runwire.v1.AttachRunRequest;
import dev.runwire.v1.AttachRunResponse;
import dev.runwire.v1.AttachRunStart;
import dev.runwire.v1.Message;
import dev.runwire.v1.Part;
import dev.runwire.v1.Role;
import dev.runwire.v1.RunServiceGrpc;
import dev.runwire.v1.RunSpec;
import io.grpc.stub.StreamObserver;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;

/** One case, with a client of its own. */
final class Player {
  private static final Duration GRACE = Duration.ofSeconds(2);

  private final JsonNode told;
  private final String address;
  private final Words words;
  private final Consumer<Map<String, ?>> say;
  private final CaseTools caseTools;
  private Runwire client;

  Player(JsonNode line, Words words, Consumer<Map<String, ?>> say) {
    told = line.path("case");
    address = line.path("address").asText();
    this.words = words;
    this.say = say;
    caseTools = new CaseTools(words, say);
  }

  Map<String, Object> play() {
    String task = told.path("do").asText();
    try (Runwire client = Runwire.connect(address)) {
      this.client = client;
      return switch (task) {
        case "complete" -> Sights.of(client.complete(completion(true)));
        case "stream" -> stream();
        case "glance" -> glance();
        case "run" -> run();
        case "watch" -> watch();
        case "bare" -> bare();
        case "many" -> many();
        case "host" -> host();
        default -> throw new IllegalArgumentException("no such thing to do: " + task);
      };
    }
  }

  private Map<String, Object> stream() {
    StringBuilder deltas = new StringBuilder();
    try (CompletionStream stream = client.stream(completion(true))) {
      for (Chunk chunk : stream) {
        if (chunk instanceof Chunk.Text text) {
          deltas.append(text.text());
        }
      }
      Map<String, Object> seen = Sights.of(stream.completion());
      seen.put("deltas", deltas.toString());
      return seen;
    }
  }

  private Map<String, Object> glance() {
    try (CompletionStream stream = client.stream(completion(false))) {
      Iterator<Chunk> chunks = stream.iterator();
      for (int i = 0; i < 3; i++) {
        chunks.next();
      }
    }
    Completion completion = client.complete("script:echo", input());
    return Sights.of(completion);
  }

  @SuppressWarnings("try") // It is also closed from elsewhere: what leaving means.
  private Map<String, Object> run() {
    List<RunEvent> events = new ArrayList<>();
    CompletableFuture<String> started = new CompletableFuture<>();
    CompletableFuture<Void> left = new CompletableFuture<>();
    RunRequest request = request(agent(tools()));
    try (RunStream stream = client.runStream(request)) {
      words
          .asked()
          .thenCombineAsync(
              started,
              (asked, runId) -> {
                if (asked.equals("cancel")) {
                  return client.runs().cancel(runId, "");
                }
                left.complete(null);
                stream.close();
                return null;
              });
      for (RunEvent event : stream) {
        started.complete(stream.runId());
        events.add(event);
        if (event instanceof RunEvent.ToolCallUpdated updated && updated.progress().isPresent()) {
          caseTools.show();
        }
      }
      if (left.isDone()) {
        return Sights.of(client.runs().waitFor(stream.runId()), events);
      }
      return Sights.of(resultOf(stream).run(), events);
    }
  }

  private static RunResult resultOf(RunStream stream) {
    try {
      return stream.result();
    } catch (RunFailedException e) {
      return e.result();
    }
  }

  private Map<String, Object> watch() {
    if (told.has("hosted")) {
      List<HostedTool> hosted =
          Driver.texts(told.path("hosted")).stream().map(HostedTool::named).toList();
      return watch(hosted);
    }
    ToolHost host = client.toolHost(tools()).start();
    try {
      return watch(host.bindings());
    } finally {
      host.shutdown(GRACE); // A server that is gone by now has no more receipts to give.
    }
  }

  private Map<String, Object> watch(List<HostedTool> tools) {
    Run run = client.runs().create(request(agent(tools)));
    List<RunEvent> events = new ArrayList<>();
    try (EventStream<RunEvent> stream = client.runs().watch(run.id())) {
      for (RunEvent event : stream) {
        events.add(event);
        if (event instanceof RunEvent.RunUpdated updated) {
          run = updated.run();
        }
      }
    }
    Map<String, Object> seen = Sights.of(run, events);
    seen.put("events", Sights.durable(events));
    seen.put("replay", replay(run.id()));
    return seen;
  }

  private List<Long> replay(String runId) {
    List<RunEvent> events = new ArrayList<>();
    try (EventStream<RunEvent> stream = client.runs().watch(runId, WatchOptions.ALL.durable())) {
      stream.forEach(events::add);
      return Sights.durable(events);
    } catch (RunwireException e) {
      return List.of(); // The server has ended meanwhile.
    }
  }

  private Map<String, Object> bare() {
    CompletableFuture<dev.runwire.v1.Run> last = new CompletableFuture<>();
    StreamObserver<AttachRunRequest> requests =
        RunServiceGrpc.newStub(client.streamChannel())
            .attachRun(new Listening(last, new AtomicReference<>()));
    Message message =
        Message.newBuilder()
            .setRole(Role.ROLE_USER)
            .addParts(Part.newBuilder().setText(input()))
            .build();
    RunSpec spec =
        RunSpec.newBuilder()
            .setAgent(
                dev.runwire.v1.Agent.newBuilder()
                    .setName("bare")
                    .setModel(told.path("model").asText()))
            .addInput(message)
            .build();
    requests.onNext(
        AttachRunRequest.newBuilder()
            .setStart(AttachRunStart.newBuilder().setMaxConcurrentCalls(0).setCreate(spec))
            .build());
    requests.onCompleted();
    dev.runwire.v1.Run run = last.join();
    boolean isWell = run.getState() == dev.runwire.v1.Run.State.STATE_SUCCEEDED;
    String status = isWell ? Sights.word(RunStatus.COMPLETED) : run.getState().name();
    StringBuilder text = new StringBuilder();
    run.getOutput().getPartsList().forEach(part -> text.append(part.getText()));
    return Map.of("status", status, "text", text.toString());
  }

  private Map<String, Object> many() {
    List<CompletableFuture<RunResult>> runs = new ArrayList<>();
    for (int i = 0; i < told.path("count").asInt(); i++) {
      runs.add(client.runAsync(request(agent(tools()))));
    }
    Set<String> ids = new HashSet<>();
    int completed = 0;
    for (CompletableFuture<RunResult> run : runs) {
      RunResult result = run.join();
      completed += result.status() == RunStatus.COMPLETED ? 1 : 0;
      ids.add(result.run().id());
    }
    return Map.of("completed", completed, "distinct", ids.size());
  }

  private Map<String, Object> host() {
    ToolHost host = client.toolHost(tools()).build();
    host.startAsync().thenRun(() -> say.accept(Map.of("ready", true)));
    // A process that is told to end by a signal ends with that signal's code, unless it is halted.
    Runtime.getRuntime()
        .addShutdownHook(
            new Thread(
                () -> {
                  host.closed().join();
                  Runtime.getRuntime().halt(0);
                }));
    host.serveUntilShutdown();
    return Map.of();
  }

  private String input() {
    return told.path("input").asText();
  }

  private CompletionRequest completion(boolean isOffering) {
    CompletionRequest request =
        CompletionRequest.of(told.path("model").asText(), input()).with(options());
    if (isOffering) {
      request = request.offering(tools());
    }
    return told.has("timeout") ? request.within(seconds("timeout")) : request;
  }

  private GenerationOptions options() {
    boolean isRequired = told.path("options").path("tool_choice").asText().equals("required");
    return isRequired
        ? GenerationOptions.builder().toolChoice(ToolChoice.REQUIRED).build()
        : GenerationOptions.DEFAULTS;
  }

  private RunRequest request(Agent agent) {
    RunRequest.Builder request = RunRequest.builder(agent, input()).options(options());
    if (told.has("max_turns")) {
      request.maxTurns(told.path("max_turns").asInt());
    }
    if (told.has("timeout")) {
      request.timeout(seconds("timeout"));
    }
    return request.build();
  }

  private Agent agent(List<? extends ToolBinding> tools) {
    return Agent.of("case", told.path("model").asText()).tools(tools);
  }

  private List<FunctionTool> tools() {
    List<FunctionTool> tools = new ArrayList<>();
    for (JsonNode name : told.path("tools")) {
      String as = told.path("as").path(name.asText()).asText(name.asText());
      FunctionTool tool = caseTools.named(name.asText(), as);
      if (told.path("idempotent").asBoolean()) {
        tool = tool.idempotent();
      }
      tools.add(told.has("tool_timeout") ? tool.timeout(seconds("tool_timeout")) : tool);
    }
    return tools;
  }

  private Duration seconds(String key) {
    return Duration.ofNanos((long) (told.path(key).asDouble() * 1e9));
  }

  private record Listening(
      CompletableFuture<dev.runwire.v1.Run> last, AtomicReference<dev.runwire.v1.Run> newest)
      implements StreamObserver<AttachRunResponse> {
    @Override
    public void onNext(AttachRunResponse response) {
      for (dev.runwire.v1.RunEvent event : response.getEvents().getEventsList()) {
        if (event.hasRunUpdated()) {
          newest.set(event.getRunUpdated());
        }
      }
    }

    @Override
    public void onError(Throwable thrown) {
      last.completeExceptionally(thrown);
    }

    @Override
    public void onCompleted() {
      last.complete(newest.get());
    }
  }
}

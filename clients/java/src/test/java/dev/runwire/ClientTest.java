package dev.runwire;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** With the real server. */
@Timeout(60)
class ClientTest {
  record Where(@Param("The city's name.") String city) {}

  private static final FunctionTool WEATHER =
      FunctionTool.of(
          "get_weather", "Look up the weather.", Where.class, (in, call) -> in.city() + ": sun");

  @TempDir static Path folder;
  private static Server server;
  private static Runwire client;

  @BeforeAll
  static void start() throws IOException {
    server = Server.start(folder);
    client = Runwire.connect(server.address());
  }

  @AfterAll
  static void stop() {
    client.close();
    server.close();
  }

  private static Agent agent(String model, ToolBinding... tools) {
    return Agent.of("test", model).tools(tools);
  }

  @Test
  void aCompletionAnswersInBothVariants() {
    assertTrue(client.complete("script:echo", "hello").text().contains("hello"));
    CompletionRequest request = CompletionRequest.of("script:echo", "there");
    Completion completion = client.completeAsync(request).join();
    assertTrue(completion.text().contains("there"));
    assertEquals(FinishReason.STOP, completion.finishReason());
  }

  @Test
  void theChunksOfAStreamAreTheCompletion() {
    StringBuilder text = new StringBuilder();
    try (CompletionStream stream = client.stream(CompletionRequest.of("script:stream-20", "go"))) {
      for (Chunk chunk : stream) {
        if (chunk instanceof Chunk.Text piece) {
          text.append(piece.text());
        }
      }
      assertEquals(stream.completion().text(), text.toString());
    }
  }

  @Test
  void aStreamHasOneConsumer() {
    try (CompletionStream stream = client.stream(CompletionRequest.of("script:echo", "go"))) {
      stream.completion();
      assertThrows(IllegalStateException.class, stream::iterator);
    }
  }

  @Test
  void anInterruptEndsABlockingCallAndStaysWithTheThread() throws InterruptedException {
    CompletableFuture<Object> ended = new CompletableFuture<>();
    Thread thread =
        new Thread(
            () -> {
              try {
                client.complete("script:hang", "go");
              } catch (RunwireException e) {
                ended.complete(e.code() + " " + Thread.currentThread().isInterrupted());
              }
            });
    thread.start();
    thread.interrupt();
    assertEquals("CANCELLED true", ended.join());
    thread.join();
  }

  @Test
  void aDeadlineEndsACallWithATypedException() {
    CompletionRequest request =
        CompletionRequest.of("script:hang", "go").within(Duration.ofMillis(200));
    assertThrows(RunwireException.DeadlineExceededException.class, () -> client.complete(request));
    CompletionException later =
        assertThrows(CompletionException.class, () -> client.completeAsync(request).join());
    assertInstanceOf(RunwireException.DeadlineExceededException.class, later.getCause());
  }

  @Test
  void aRunCallsToolsHereAndItsConversationGoesOn() {
    RunResult first = client.run(agent("script:demo", WEATHER), "What is the weather in Oslo?");
    assertEquals(RunStatus.COMPLETED, first.status());
    assertTrue(first.output().contains("Oslo: sun"));
    assertEquals(2, first.run().turns());
    assertEquals(first.conversation().size(), first.added().size() + 1);
    List<Message> next = new ArrayList<>(first.conversation());
    next.add(Message.user("And in Lisbon?"));
    RunResult second = client.run(RunRequest.of(agent("script:demo", WEATHER), next));
    assertEquals(RunStatus.COMPLETED, second.status());
  }

  @Test
  void aRunThatFailsThrowsWithItsResult() {
    Agent agent = agent("script:error-PROVIDER_CREDENTIALS_REJECTED");
    RunFailedException failed =
        assertThrows(RunFailedException.class, () -> client.run(agent, "go"));
    assertEquals(Reason.PROVIDER_CREDENTIALS_REJECTED, failed.reason());
    assertEquals(RunStatus.FAILED, failed.result().status());
  }

  @Test
  void aRunThatUsesUpItsTurnsSaysSo() {
    RunRequest request =
        RunRequest.builder(agent("script:loop", WEATHER), "go").maxTurns(2).build();
    assertEquals(RunStatus.MAX_TURNS_EXCEEDED, client.run(request).status());
  }

  @Test
  void theTextOfARunIsThatOfItsAnswer() {
    RunRequest request = RunRequest.of(agent("script:stream-20"), "go");
    try (RunStream stream = client.runStream(request)) {
      StringBuilder text = new StringBuilder();
      stream.text().forEach(text::append);
      assertEquals(stream.result().output(), text.toString());
    }
  }

  @Test
  void cancellingTheFutureOfARunStopsItAndItsTools() throws InterruptedException {
    CountDownLatch begun = new CountDownLatch(1);
    CountDownLatch stopped = new CountDownLatch(1);
    CompletableFuture<String> runId = new CompletableFuture<>();
    FunctionTool waits =
        FunctionTool.raw(
            "wait",
            "Wait.",
            "{\"type\":\"object\"}",
            (in, call) -> {
              runId.complete(call.runId());
              call.onCancel(stopped::countDown);
              begun.countDown();
              return new CompletableFuture<>();
            });
    CompletableFuture<RunResult> run =
        client.runAsync(RunRequest.of(agent("script:tools-1", waits), "go"));
    assertTrue(begun.await(10, TimeUnit.SECONDS));
    run.cancel(true);
    assertTrue(stopped.await(10, TimeUnit.SECONDS));
    assertEquals(RunState.CANCELLED, client.runs().waitFor(runId.join()).state());
  }

  @Test
  void aDetachedRunIsTakenUpAgainWithItsTools() throws InterruptedException {
    CountDownLatch begun = new CountDownLatch(1);
    CompletableFuture<String> answer = new CompletableFuture<>();
    FunctionTool later =
        FunctionTool.raw(
                "later",
                "Later.",
                "{\"type\":\"object\"}",
                (in, call) -> {
                  begun.countDown();
                  return answer.copy(); // Leaving cancels what the function has returned.
                })
            .idempotent();
    String runId;
    try (RunStream first =
        client.runStream(
            RunRequest.builder(agent("script:tools-1", later), "go").detached().build())) {
      runId = first.iterator().next().at().runId();
      assertTrue(begun.await(10, TimeUnit.SECONDS));
    }
    answer.complete("here");
    try (RunStream second = client.runs().attach(runId, List.of(later))) {
      assertTrue(second.result().output().contains("here"));
    }
  }

  @Test
  void manyRunsGoOnAtOnce() {
    List<CompletableFuture<RunResult>> runs = new ArrayList<>();
    for (int i = 0; i < 100; i++) {
      runs.add(client.runAsync(RunRequest.of(agent("script:tools-2", WEATHER), "go")));
    }
    Set<String> ids = new HashSet<>();
    runs.forEach(run -> ids.add(run.join().run().id()));
    assertEquals(100, ids.size());
  }

  @Test
  void runsAreCreatedWatchedListedAndFoundByTheirLabel() {
    RunRequest request =
        RunRequest.builder(agent("script:echo"), "go").label("suite", "listed").build();
    Run run = client.runs().create(request);
    assertEquals(run.id(), client.runs().create(request).id()); // One request id: one run.
    Run ended = client.runs().waitFor(run.id());
    assertEquals(RunState.SUCCEEDED, ended.state());
    assertEquals(ended.output(), client.runs().get(run.id()).output());
    List<String> listed = new ArrayList<>();
    client.runs().list(RunFilter.labelled("suite", "listed")).forEach(r -> listed.add(r.id()));
    assertEquals(List.of(run.id()), listed);
    List<RunEvent> events = new ArrayList<>();
    client.runs().watch(run.id()).forEach(events::add);
    RunEvent last = events.get(events.size() - 1);
    assertEquals(
        RunState.SUCCEEDED, assertInstanceOf(RunEvent.RunUpdated.class, last).run().state());
    long middle = events.get(0).at().sequence();
    List<RunEvent> rest = new ArrayList<>();
    client.runs().watch(run.id(), WatchOptions.ALL.after(middle)).forEach(rest::add);
    assertTrue(rest.stream().allMatch(event -> event.at().sequence() > middle));
  }

  @Test
  void aWatchOfManyRunsShowsThoseThatCome() {
    RunFilter filter = RunFilter.labelled("suite", "many");
    CompletableFuture<Void> seen = new CompletableFuture<>();
    Set<String> ended = new HashSet<>();
    try (EventStream<RunEvent> watch = client.runs().watchAll(filter, WatchOptions.ALL)) {
      watch.forEachAsync(
          event -> {
            if ((event instanceof RunEvent.RunUpdated updated && updated.run().isFinished())
                || (event instanceof RunEvent.Snapshot snapshot && snapshot.run().isFinished())) {
              ended.add(event.at().runId());
            }
            if (ended.size() == 3) {
              seen.complete(null);
            }
          });
      for (int i = 0; i < 3; i++) {
        client
            .runs()
            .create(RunRequest.builder(agent("script:echo"), "go").label("suite", "many").build());
      }
      seen.orTimeout(20, TimeUnit.SECONDS).join();
    }
  }

  @Test
  void functionsOfThisProcessAreNotForRunsThatGoOnByThemselves() {
    RunRequest request = RunRequest.of(agent("script:tools-1", WEATHER), "go");
    assertThrows(IllegalArgumentException.class, () -> client.runs().create(request));
  }

  @Test
  void modelsAreListed() {
    assertFalse(client.models("script").models().isEmpty());
  }

  @Test
  void aClientThatIsClosedEndsWhatIsUnderWay() {
    CompletableFuture<RunResult> run;
    try (Runwire other = Runwire.connect(server.address())) {
      run = other.runAsync(RunRequest.of(agent("script:hang"), "go"));
    }
    assertThrows(CompletionException.class, () -> run.orTimeout(20, TimeUnit.SECONDS).join());
  }

  @Test
  void aServerThatIsNotThereIsUnavailable() {
    try (Runwire nobody = Runwire.connect("127.0.0.1:1")) {
      assertThrows(
          RunwireException.UnavailableException.class, () -> nobody.complete("script:echo", "go"));
    }
  }
}

package dev.runwire;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** With the real server. */
@Timeout(60)
class ToolHostTest {
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

  private static FunctionTool tool(String name, ToolFunction<String> function) {
    return FunctionTool.raw(name, "Do it.", "{\"type\":\"object\"}", function);
  }

  private static Run run(List<? extends ToolBinding> tools) {
    Agent agent = Agent.of("caller", "script:tools-1").tools(tools);
    return client.runs().create(RunRequest.of(agent, "go"));
  }

  @Test
  void itServesRunsThatAnybodyCreates() {
    FunctionTool whoami = tool("whoami", (in, call) -> call.agentName());
    try (ToolHost host = client.toolHost(List.of(whoami)).start()) {
      Run byName = run(List.of(HostedTool.named("whoami")));
      assertTrue(client.runs().waitFor(byName.id()).output().contains("caller"));
      Run byHost = run(host.bindings());
      assertEquals(RunState.SUCCEEDED, client.runs().waitFor(byHost.id()).state());
      assertTrue(host.rejected().isEmpty());
    }
  }

  @Test
  void whenItIsClosedItsCallsEndAndTheirResultsCount() throws InterruptedException {
    CountDownLatch begun = new CountDownLatch(1);
    CompletableFuture<String> answer = new CompletableFuture<>();
    FunctionTool slow =
        tool(
            "slow",
            (in, call) -> {
              begun.countDown();
              return answer;
            });
    ToolHost host = client.toolHost(List.of(slow)).start();
    Run run = run(host.bindings());
    assertTrue(begun.await(10, TimeUnit.SECONDS));
    CompletableFuture<Boolean> drained =
        CompletableFuture.supplyAsync(() -> host.shutdown(Duration.ofSeconds(20)));
    answer.complete("just in time");
    assertTrue(drained.join());
    assertTrue(client.runs().waitFor(run.id()).output().contains("just in time"));
  }

  @Test
  void whatStillRunsAtTheEndOfTheGraceIsCancelled() throws InterruptedException {
    CountDownLatch begun = new CountDownLatch(1);
    CountDownLatch stopped = new CountDownLatch(1);
    FunctionTool stuck =
        tool(
            "stuck",
            (in, call) -> {
              call.onCancel(stopped::countDown);
              begun.countDown();
              return new CompletableFuture<>();
            });
    ToolHost host = client.toolHost(List.of(stuck)).start();
    run(host.bindings());
    assertTrue(begun.await(10, TimeUnit.SECONDS));
    assertFalse(host.shutdown(Duration.ofMillis(50)));
    assertTrue(stopped.await(10, TimeUnit.SECONDS));
  }

  @Test
  void aHostWhoseToolsAreAllRefusedDoesNotStart() {
    FunctionTool bad = FunctionTool.raw("bad", "Bad.", "{\"type\":", (in, call) -> "");
    ToolHost host = client.toolHost(List.of(bad)).build();
    assertThrows(RunwireException.class, host::start);
    assertEquals(List.of("bad"), List.copyOf(host.rejected().keySet()));
    host.close();
  }

  @Test
  void servingEndsWithAnInterruptAndTheThreadStaysInterrupted() throws InterruptedException {
    ToolHost host = client.toolHost(List.of(tool("served", (in, call) -> "ok"))).build();
    CompletableFuture<Boolean> interrupted = new CompletableFuture<>();
    Thread serving =
        new Thread(
            () -> {
              host.serve();
              interrupted.complete(Thread.currentThread().isInterrupted());
            });
    serving.start();
    host.startAsync().join();
    serving.interrupt();
    assertTrue(interrupted.orTimeout(20, TimeUnit.SECONDS).join());
    serving.join();
  }

  @Test
  void aHostThatIsClosedBeforeItWasLiveSaysSo() {
    try (Runwire nobody = Runwire.connect("127.0.0.1:1")) {
      ToolHost host = nobody.toolHost(List.of(tool("t", (in, call) -> "ok"))).build();
      CompletableFuture<ToolHost> starting = host.startAsync();
      host.close();
      assertThrows(
          java.util.concurrent.CompletionException.class,
          () -> starting.orTimeout(20, TimeUnit.SECONDS).join());
    }
  }
}

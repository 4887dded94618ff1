package dev.runwire.conformance;

import dev.runwire.CallContext;
import dev.runwire.FunctionTool;
import dev.runwire.Param;
import dev.runwire.ToolException;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;

/** The tools of the cases. */
final class CaseTools {
  private static final long PATIENCE_SECONDS = 10;
  private static final int FLOOD_BYTES = 2 << 20;
  private static final int COMPANY = 4;

  private final Words words;
  private final Consumer<Map<String, ?>> say;
  private final CountDownLatch gathered = new CountDownLatch(COMPANY);
  private final CountDownLatch shown = new CountDownLatch(1);

  CaseTools(Words words, Consumer<Map<String, ?>> say) {
    this.words = words;
    this.say = say;
  }

  record Nothing() {}

  record Where(@Param("The city's name.") String city) {}

  record Amount(long value) {}

  record Anything(double zulu, Map<String, Object> alpha, String mike) {}

  /** The client's own events have shown progress. */
  void show() {
    shown.countDown();
  }

  FunctionTool named(String name, String as) {
    return switch (name) {
      case "get_weather" ->
          FunctionTool.of(
              as, "Say the weather in a city.", Where.class, (in, call) -> in.city() + ": sun");
      case "echo" -> FunctionTool.of(as, "Say it again.", Amount.class, (in, call) -> in.value());
      case "verbatim" -> FunctionTool.of(as, "Take what comes.", Anything.class, this::verbatim);
      case "fail" ->
          FunctionTool.of(
              as,
              "Fail.",
              Nothing.class,
              (in, call) -> {
                throw new ToolException("no such file");
              });
      case "crash" -> FunctionTool.of(as, "Crash.", Nothing.class, (in, call) -> List.of().get(0));
      case "flood" ->
          FunctionTool.of(
              as, "Say far too much.", Nothing.class, (in, call) -> "x".repeat(FLOOD_BYTES));
      case "together" -> FunctionTool.of(as, "Meet the others.", Nothing.class, this::together);
      case "advance" -> FunctionTool.of(as, "Get on.", Nothing.class, this::advance);
      case "gate" -> FunctionTool.of(as, "Wait until it is opened.", Nothing.class, this::gate);
      case "wait" -> FunctionTool.of(as, "Wait to be told to stop.", Nothing.class, this::await);
      default -> throw new IllegalArgumentException("no such tool: " + name);
    };
  }

  private Object verbatim(Anything in, CallContext call) {
    return in.zulu() == 0 || in.alpha().isEmpty() || in.mike().isEmpty() ? "nothing" : "ok";
  }

  private Object together(Nothing in, CallContext call) throws InterruptedException {
    gathered.countDown();
    return gathered.await(PATIENCE_SECONDS, TimeUnit.SECONDS) ? COMPANY + " at once" : "alone";
  }

  private Object advance(Nothing in, CallContext call) throws InterruptedException {
    call.progress(1, 2, "half");
    return shown.await(PATIENCE_SECONDS, TimeUnit.SECONDS) ? "seen" : "unseen";
  }

  private Object gate(Nothing in, CallContext call)
      throws InterruptedException, ExecutionException {
    CompletableFuture<Void> released = words.released();
    say.accept(Map.of("begun", "gate", "attempt", call.attempt()));
    released.get();
    return "opened";
  }

  private Object await(Nothing in, CallContext call) {
    say.accept(Map.of("begun", "wait", "attempt", call.attempt()));
    try {
      new CompletableFuture<Void>().get();
    } catch (InterruptedException | ExecutionException e) {
      say.accept(Map.of("stopped", "wait"));
    }
    return "stopped";
  }
}

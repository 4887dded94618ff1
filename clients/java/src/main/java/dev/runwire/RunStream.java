package dev.runwire;

import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/**
 * A run's events as they happen, across lost connections, and then its result.
 *
 * <p>Closing it before the run's end asks the run to stop, unless it is detached.
 */
public final class RunStream extends EventStream<RunEvent> {
  private final Attachment attachment;
  private final List<Message> conversation;
  private final List<Message> added = new ArrayList<>();
  private volatile Run last;

  RunStream(Transport transport, Attachment attachment, List<Message> conversation) {
    super(attachment, transport.executor());
    this.attachment = attachment;
    this.conversation = conversation;
  }

  /** The run's id; empty before its first event. */
  public String runId() {
    return attachment.runId();
  }

  /**
   * The text of the model's answers alone, completely: deltas are not sent again after a lost
   * connection, so the rest of an answer comes with its message.
   */
  public Iterable<String> text() {
    return () -> new Texts(iterator());
  }

  /**
   * What the run came to, after what is left of its events.
   *
   * @throws RunFailedException the run failed
   * @throws RunwireException the run could not be created or followed
   */
  public RunResult result() {
    return last != null && last.isFinished() ? concluded() : Awaiting.get(resultAsync());
  }

  /** What the run came to, without its events; cancelling the future is as closing the stream. */
  public CompletableFuture<RunResult> resultAsync() {
    CompletableFuture<Void> done = forEachAsync(event -> {});
    CompletableFuture<RunResult> result = new CompletableFuture<>();
    done.whenComplete(
        (nothing, thrown) -> {
          try {
            if (thrown == null) {
              result.complete(concluded());
            } else {
              result.completeExceptionally(thrown);
            }
          } catch (RunwireException e) {
            result.completeExceptionally(e);
          }
        });
    result.whenComplete(
        (value, thrown) -> {
          if (result.isCancelled()) {
            close();
          }
        });
    return result;
  }

  @Override
  void seen(RunEvent event) {
    if (event instanceof RunEvent.RunUpdated updated) {
      last = updated.run();
    } else if (event instanceof RunEvent.Snapshot snapshot) {
      last = snapshot.run();
    } else if (event instanceof RunEvent.MessageCompleted completed) {
      Role role = completed.message().role();
      if (role == Role.ASSISTANT || role == Role.TOOL) {
        added.add(completed.message());
      }
    }
  }

  private RunResult concluded() {
    Run run = last;
    if (run == null || run.status().isEmpty()) {
      throw RunwireException.cancelled("the run's stream was left before its end");
    }
    List<Message> whole = new ArrayList<>(conversation);
    whole.addAll(added);
    RunResult result = new RunResult(run.status().get(), run.output(), whole, added, run);
    if (result.status() == RunStatus.FAILED) {
      RunwireException error =
          run.error()
              .orElseGet(
                  () -> RunwireException.of(io.grpc.Status.Code.UNKNOWN, "", "the run failed"));
      throw new RunFailedException(result, error);
    }
    return result;
  }

  private static final class Texts implements Iterator<String> {
    private final Iterator<RunEvent> events;
    private final StringBuilder shown = new StringBuilder();
    private String next = "";

    Texts(Iterator<RunEvent> events) {
      this.events = events;
    }

    @Override
    public boolean hasNext() {
      while (next.isEmpty() && events.hasNext()) {
        next = textOf(events.next());
      }
      return !next.isEmpty();
    }

    @Override
    public String next() {
      if (!hasNext()) {
        throw new java.util.NoSuchElementException();
      }
      String text = next;
      next = "";
      return text;
    }

    private String textOf(RunEvent event) {
      if (event instanceof RunEvent.TextDelta delta) {
        shown.append(delta.text());
        return delta.text();
      } else if (event instanceof RunEvent.MessageDiscarded) {
        shown.setLength(0);
      } else if (event instanceof RunEvent.MessageCompleted completed) {
        String whole = completed.message().text();
        boolean isAnswer =
            completed.message().role() == Role.ASSISTANT && whole.startsWith(shown.toString());
        String rest = isAnswer ? whole.substring(shown.length()) : "";
        shown.setLength(0);
        return rest;
      }
      return "";
    }
  }
}

package dev.runwire;

/**
 * What a tool does.
 *
 * @param <I> the arguments
 */
@FunctionalInterface
public interface ToolFunction<I> {
  /**
   * Does it. The thread is interrupted when the call is cancelled or its time is over.
   *
   * @param arguments what the model wrote
   * @param context the call
   * @return what the model is told: a text as it is, a {@link Part} or a list of parts as such,
   *     everything else as JSON; of a {@link java.util.concurrent.CompletionStage} what it
   *     completes with
   * @throws Exception the model is told the kind and the message, of a {@link ToolException} the
   *     message alone; never a stack trace
   */
  Object call(I arguments, CallContext context) throws Exception;
}

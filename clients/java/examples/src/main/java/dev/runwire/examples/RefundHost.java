package dev.runwire.examples;

import dev.runwire.CallContext;
import dev.runwire.FunctionTool;
import dev.runwire.Param;
import dev.runwire.Runwire;
import dev.runwire.ToolHost;
import java.time.Duration;
import java.util.List;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Serves a tool to the runs of anybody, until SIGTERM; then it finishes its calls and leaves. */
public final class RefundHost {
  private static final Logger LOGGER = LoggerFactory.getLogger(RefundHost.class);

  private RefundHost() {}

  record Invoice(
      @Param("The invoice's number.") String id,
      @Param(value = "How much to give back.", min = "1") long cents) {}

  record Receipt(String invoice, long refunded) {}

  static Receipt refund(Invoice invoice, CallContext call) {
    // The call's id is its idempotency key: give it to whatever moves the money.
    LOGGER.info("refund {} for {}", call.callId(), call.principal());
    return new Receipt(invoice.id(), invoice.cents());
  }

  /** Serves. */
  public static void main(String[] arguments) {
    FunctionTool refund =
        FunctionTool.of("billing.refund", "Refund an invoice.", Invoice.class, RefundHost::refund)
            .timeout(Duration.ofSeconds(30));
    try (Runwire client = Runwire.connect();
        ToolHost host = client.toolHost(List.of(refund)).window(32).build()) {
      host.serveUntilShutdown();
    }
  }
}

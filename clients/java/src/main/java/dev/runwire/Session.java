package dev.runwire;

import dev.runwire.v1.ToolCallReport;

/** One stream to the server, for whoever runs calls. */
interface Session {
  /** Queues a report. It never waits; on a broken stream it does nothing. */
  void report(ToolCallReport report);
}

/** Where a client says what happens to its connections and tools; `console` is one. */
export interface Logger {
  /** Something that comes right by itself. */
  info(message: string): void;
  /** Something that somebody may want to look at. */
  warn(message: string): void;
}

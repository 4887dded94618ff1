package dev.runwire;

import java.lang.annotation.Documented;
import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/** Makes a tool of a method; see {@link FunctionTool#of(Object)}. */
@Documented
@Retention(RetentionPolicy.RUNTIME)
@Target(ElementType.METHOD)
public @interface Tool {
  /** The tool's name; by default the method's. */
  String name() default "";

  /** What it does and when to use it, for the model. */
  String value();

  /** The definition's version. Definitions of one name and version must be equal. */
  String version() default "";

  /** Changes nothing: a call may be delivered again when its host was lost. */
  boolean readOnly() default false;

  /**
   * Calling twice with one call id has the effect of calling once: a call may be delivered again
   * when its host was lost. Without this and {@link #readOnly()}, a call runs at most once.
   */
  boolean idempotent() default false;

  /** May destroy things. */
  boolean destructive() default false;

  /** Milliseconds for one call; 0: the server's. */
  long timeoutMillis() default 0;
}

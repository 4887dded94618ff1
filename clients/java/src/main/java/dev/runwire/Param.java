package dev.runwire;

import java.lang.annotation.Documented;
import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/** Says to the model what a parameter of a tool, or a component of a record, is. */
@Documented
@Retention(RetentionPolicy.RUNTIME)
@Target({ElementType.PARAMETER, ElementType.FIELD, ElementType.RECORD_COMPONENT})
public @interface Param {
  /** What it is. */
  String value() default "";

  /** Its name in JSON, of a method's parameter; by default the one in the source. */
  String name() default "";

  /** Whether the model may leave it out: it is null then. An {@code Optional} always may. */
  boolean optional() default false;

  /** The only values that a text may have. */
  String[] oneOf() default {};

  /** A regular expression that a text must match. */
  String pattern() default "";

  /** The least number, length or count; a number, as text so that it is exact. */
  String min() default "";

  /** The greatest number, length or count; a number, as text so that it is exact. */
  String max() default "";
}

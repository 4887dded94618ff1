package dev.runwire;

/** How hard a model thinks. Providers that take a budget of tokens get one that fits. */
public enum Effort {
  /** Off. */
  NONE,
  /** The least that the provider offers without switching reasoning off. */
  MINIMAL,
  /** Low. */
  LOW,
  /** Medium. */
  MEDIUM,
  /** High. */
  HIGH,
  /** The most that the provider offers. */
  MAX
}

/**
 * The contract of every protocol core: a synchronous state machine without clock, randomness or I/O.
 *
 * A core is told what happened (`handle`), is told that its earliest deadline has passed (`handleTimeout`),
 * and answers with effects: plain data that a driver executes. The same cores run in production and in the
 * simulator, which is why none of them may read a clock, a random source, a socket or a disk.
 */

/** A libp2p peer id in its string form; the identity of a node in every core. */
export type NodeId = string;

/**
 * The two clocks of one turn. Deadlines use `monoMs` (monotonic, arbitrary origin); only timestamps that
 * other nodes or people see use `wallMs` (Unix epoch, may jump).
 */
export interface Instant {
  readonly monoMs: number;
  readonly wallMs: number;
}

/** A synchronous protocol core. */
export interface Machine<Input, Effect> {
  /** Takes one input and returns the effects to execute, in order. */
  handle(input: Input, now: Instant): Effect[];
  /** Called when `nextDeadline()` has passed; calling it early is harmless. */
  handleTimeout(now: Instant): Effect[];
  /** The `monoMs` at which `handleTimeout` wants to be called, or undefined when nothing is pending. */
  nextDeadline(): number | undefined;
}

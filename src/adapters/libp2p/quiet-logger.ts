import type { ComponentLogger, Logger } from '@libp2p/interface';
import type { Log } from '../../ports/log.ts';

const silent: Logger = Object.assign(() => undefined, {
  enabled: false,
  trace: () => undefined,
  error: () => undefined,
  newScope: () => silent,
});

/** At most one mDNS warning in this time: a busy port repeats its error for every packet. */
const WARN_INTERVAL_MS = 60_000;

/**
 * libp2p reports through its own logger, where a failed dial to one of several addresses is an error. What matters
 * of that reaches us as events and rejections, so it is silenced, except for mDNS, whose errors surface nowhere else.
 */
export function quietLogger(log: Log): ComponentLogger {
  let warnedAtMs = Number.NEGATIVE_INFINITY;
  const warn = (...args: unknown[]): void => {
    const cause = args.find((arg): arg is Error => arg instanceof Error);
    if (cause === undefined || performance.now() - warnedAtMs < WARN_INTERVAL_MS) return;
    warnedAtMs = performance.now();
    log.warn('mDNS does not work here; peers on this network are found by seeds and known addresses only', {
      reason: cause.message,
    });
  };
  const mdns: Logger = Object.assign(() => undefined, {
    enabled: false,
    trace: () => undefined,
    error: warn,
    newScope: () => silent,
  });
  return { forComponent: (name) => (name === 'libp2p:mdns' ? mdns : silent) };
}

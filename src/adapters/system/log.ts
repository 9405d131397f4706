import { type DestinationStream, destination, type Logger, pino, stdTimeFunctions } from 'pino';
import { prettyFactory } from 'pino-pretty';
import type { Log, LogLevel } from '../../ports/log.ts';

export interface LogOptions {
  readonly level: LogLevel;
  readonly format: 'json' | 'pretty';
  /** Default: stderr, so that stdout stays free for what a command prints. */
  readonly stream?: DestinationStream;
}

const STDERR = 2;

/** Writes each entry before it returns: nothing is lost when the process dies, and there is no worker thread. */
export function createLog({ level, format, stream }: LogOptions): Log {
  const base = stream ?? destination({ dest: STDERR, sync: true });
  const target = format === 'json' ? base : prettyStream(base, stream === undefined && process.stderr.isTTY);
  const logger = pino(
    {
      level,
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    target,
  );
  return adapt(logger);
}

/** The formatter alone: pino-pretty's own stream passes lines on in a later turn. */
function prettyStream(base: DestinationStream, colorize: boolean): DestinationStream {
  const prettify = prettyFactory({ colorize, singleLine: true, translateTime: 'SYS:HH:MM:ss.l' });
  return { write: (line) => base.write(prettify(line)) };
}

function adapt(logger: Logger): Log {
  return {
    debug: (message, fields) => logger.debug(fields ?? {}, message),
    info: (message, fields) => logger.info(fields ?? {}, message),
    warn: (message, fields) => logger.warn(fields ?? {}, message),
    error: (message, fields) => logger.error(fields ?? {}, message),
    child: (fields) => adapt(logger.child(fields)),
  };
}

import { FAILURE_CODES, type Failure, type FailureCode } from '../lib/failure.ts';
import { type Codec, DecodeError, mapped, oneOf, record, text } from './codec.ts';

const FAILURE_TEXT_BYTES_MAX = 2048;

const failureCode = mapped(
  text(64),
  (code: FailureCode) => code as string,
  (code): FailureCode => {
    if (!Object.hasOwn(FAILURE_CODES, code)) throw new DecodeError('an unknown failure code');
    return code as FailureCode;
  },
);

/** What a peer could not do, without `data`. */
export const failure: Codec<Failure> = record<Omit<Failure, 'data'>>({
  code: failureCode,
  message: text(FAILURE_TEXT_BYTES_MAX),
  stateChanged: oneOf('no', 'maybe'),
});

import { failure } from '../lib/failure.ts';

/** Whatever the reason: the node has logged it. */
export const NOT_READY = failure(
  'not-ready',
  'the node is starting or stopping, or waits for its cluster; its log says which',
);

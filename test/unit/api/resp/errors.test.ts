import { describe, expect, it } from 'vitest';
import { failureReply } from '../../../../src/api/resp/errors.ts';
import { failure } from '../../../../src/lib/failure.ts';

describe('a failure as a reply', () => {
  it('advises what Redis clients can do', () => {
    const reason = failure(
      'quorum-unavailable',
      '1 of 2 needed nodes have the write; restore the links between the owners, or ask for less with w=one',
      { stateChanged: 'maybe' },
    );
    expect(failureReply(reason).text).toBe(
      'CLUSTERDOWN 1 of 2 needed nodes have the write; restore the links between the owners, or write it over HTTP with ?w=one (the write may have taken effect)',
    );
  });
});

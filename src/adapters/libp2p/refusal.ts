import type { ClusterHello, RefusalCode } from './admission-handshake.ts';

/** One sentence for the log: why a peer was not admitted, and what to do about it. */
export function refusalAdvice(code: RefusalCode, own: ClusterHello, peer: ClusterHello | undefined): string {
  switch (code) {
    case 'secret-mismatch':
      return 'a peer holds another cluster secret and was not admitted; start both nodes with the same --secret or --secret-file';
    case 'cluster-mismatch':
      return (
        `a peer belongs to cluster ${peer?.clusterId ?? '(it refused, and does not say)'}, this node to ${own.clusterId}; ` +
        'if they should be one cluster, start both with the same --secret-file, else remove the seed that points there'
      );
    case 'version-mismatch':
      return (
        `a peer speaks wire versions ${peer?.versionMin ?? '?'} to ${peer?.versionMax ?? '?'}, ` +
        `this node ${own.versionMin} to ${own.versionMax}; update the older of the two`
      );
    case 'shards-mismatch':
      return (
        `a peer was set up with ${peer?.shards ?? 'another number of'} shards, this node with ${own.shards}; ` +
        'the number is fixed when a cluster is created: use the same configuration on every node'
      );
    case 'malformed':
      return 'a peer did not follow the admission protocol and was not admitted; check that this address is a Holdfast node';
    case 'timeout':
      return 'a peer connected but did not complete admission in time; check its load and the network between';
  }
}

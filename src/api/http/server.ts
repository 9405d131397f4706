import type { Log } from '../../ports/log.ts';
import type { NodeHandle } from '../../ports/node-handle.ts';
import { Locks } from '../lock/locks.ts';
import { createApp, type HttpApi, listen } from './app.ts';
import { batchRoute } from './batch-route.ts';
import { bucketRoutes } from './bucket-routes.ts';
import { clusterRoutes } from './cluster-routes.ts';
import { conflictRoutes } from './conflict-routes.ts';
import { descriptionRoutes } from './description-routes.ts';
import { EventStreams } from './event-stream.ts';
import { feedRoutes } from './feed-routes.ts';
import { keyOperationRoutes } from './key-operation-routes.ts';
import { kvRoutes } from './kv-routes.ts';
import { leaderRoutes } from './leader-routes.ts';
import { HTTP_LIMITS, type HttpLimits } from './limits.ts';
import { listRoute } from './list-route.ts';
import { lockRoutes } from './lock-routes.ts';
import { LockWaits } from './lock-waits.ts';
import { documentInfo } from './openapi.ts';
import { operationRoutes } from './operation-routes.ts';
import { ringRoutes } from './ring-routes.ts';

export interface HttpApiOptions {
  readonly node: NodeHandle;
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  readonly log: Log;
  /** Of the program, for the API's description. */
  readonly version: string;
  readonly limits?: Partial<HttpLimits>;
}

/** Serves the HTTP API of a node. Throws a ListenError when the address cannot be opened. */
export async function startHttpApi(options: HttpApiOptions): Promise<HttpApi> {
  const { node, host, port, log, version } = options;
  const limits: HttpLimits = { ...HTTP_LIMITS, ...options.limits };
  const streams = new EventStreams(limits);
  const app = await createApp({
    log,
    limits,
    document: documentInfo(version),
    countRefusal: (reason) => node.countRefusal('http', reason),
  });
  const lockWaits = new LockWaits(limits);
  const context = { node, log, streams, locks: new Locks(node), lockWaits };
  kvRoutes(app, context);
  keyOperationRoutes(app, context);
  listRoute(app, context);
  batchRoute(app, context);
  bucketRoutes(app, context);
  feedRoutes(app, context);
  operationRoutes(app, {
    what: 'node',
    isReady: () => Promise.resolve(node.ready),
    metrics: () => node.metrics(),
  });
  clusterRoutes(app, context);
  leaderRoutes(app, context);
  ringRoutes(app, context);
  conflictRoutes(app, context);
  lockRoutes(app, context);
  descriptionRoutes(app);
  return listen(app, { host, port, limits, waiting: [streams, lockWaits] });
}

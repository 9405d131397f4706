import type { HubHandle } from '../../ports/hub-handle.ts';
import type { Log } from '../../ports/log.ts';
import { createApp, type HttpApi, listen } from '../http/app.ts';
import { descriptionRoutes } from '../http/description-routes.ts';
import { HTTP_LIMITS, type HttpLimits } from '../http/limits.ts';
import { operationRoutes } from '../http/operation-routes.ts';
import { hubDocumentInfo } from './openapi.ts';
import { shareRoutes } from './share-routes.ts';
import { siteKeyRoutes } from './site-key-routes.ts';
import { siteRoutes } from './site-routes.ts';

export interface HubApiOptions {
  readonly hub: HubHandle;
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  readonly log: Log;
  /** Of the program, for the API's description. */
  readonly version: string;
  readonly limits?: Partial<HttpLimits>;
}

/** Serves the HTTP API of a hub. Throws a ListenError when the address cannot be opened. */
export async function startHubApi(options: HubApiOptions): Promise<HttpApi> {
  const { hub, host, port, log, version } = options;
  const limits: HttpLimits = { ...HTTP_LIMITS, ...options.limits };
  const app = await createApp({
    log,
    limits,
    document: hubDocumentInfo(version),
    countRefusal: (reason) => hub.countRefusal(reason),
  });
  siteRoutes(app, hub);
  shareRoutes(app, hub);
  siteKeyRoutes(app, { hub, log });
  operationRoutes(app, { what: 'hub', isReady: () => hub.isReady(), metrics: () => hub.metrics() });
  descriptionRoutes(app);
  return listen(app, { host, port, limits });
}

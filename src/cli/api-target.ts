/** Whose HTTP API a command asks. */
export interface ApiTarget {
  readonly noun: 'node' | 'hub';
  /** Where it is unless `--api` or HOLDFAST_API says otherwise. */
  readonly defaultApi: string;
  /** What starts one. */
  readonly command: string;
  readonly port: number;
}

export const NODE_API: ApiTarget = {
  noun: 'node',
  defaultApi: 'http://127.0.0.1:7480',
  command: 'holdfast start',
  port: 7480,
};

export const HUB_API: ApiTarget = {
  noun: 'hub',
  defaultApi: 'http://127.0.0.1:7580',
  command: 'holdfast hub',
  port: 7580,
};

/** Who has the keys: of a site a hub, else a node. */
export function apiOf(site: string | undefined): ApiTarget {
  return site === undefined ? NODE_API : HUB_API;
}

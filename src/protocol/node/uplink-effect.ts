/** What a node is told of the hub that it has. */
export interface HubOptions {
  /** Names the cluster for the hub. */
  readonly clusterId: string;
  /** How fast this node may send; 0: as fast as it goes. */
  readonly bytesPerSecond: number;
}

export type UplinkEvent =
  | { readonly type: 'uplink-up' }
  | { readonly type: 'uplink-down' }
  /** This node could not reach the hub, or was refused; told once until that changes. */
  | { readonly type: 'hub-unreachable'; readonly reason: string; readonly detail: string };

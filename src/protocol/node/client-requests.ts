import { type Failure, failure } from '../../lib/failure.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { ServiceLevel } from '../island/island.ts';
import type { RegisterRequest } from '../register/request.ts';
import type { ClientReply, ClientRequest, ListItem, ListReply, ListRequest } from '../replication/request.ts';
import { islandRefusal } from './island-refusal.ts';
import { isStrong, LOCKS_BUCKET, type NodeReply, type NodeRequest } from './request.ts';

export interface ClientRequestOptions {
  readonly catalog: Catalog;
  /** Why clients are to ask another node; null: they need not. */
  readonly refusal: () => Failure | null;
  readonly level: () => ServiceLevel;
  /** The buckets are named as nodes know them from here on. */
  readonly replicate: (id: number, request: ClientRequest) => void;
  readonly register: (id: number, request: RegisterRequest) => void;
  /** What a client that follows changes from here on is to see of a snapshot. */
  readonly show: (request: ListRequest, reply: ListReply) => ListItem[];
  readonly reply: (id: number, reply: NodeReply) => void;
}

/** What clients ask for, under the names that they use. */
export class ClientRequests {
  private readonly options: ClientRequestOptions;
  /** Snapshots under way, by the number of the request. */
  private readonly snapshots = new Map<number, ListRequest>();

  constructor(options: ClientRequestOptions) {
    this.options = options;
  }

  /** Nodes know buckets by their qualified names, clients do not. */
  handle(id: number, request: NodeRequest): void {
    const bucket = request.bucket === LOCKS_BUCKET ? LOCKS_BUCKET : this.options.catalog.dataName(request.bucket);
    const missing = failure('bucket-not-found', `there is no bucket ${request.bucket}; create it first`);
    const reason = bucket === undefined ? (this.options.refusal() ?? missing) : this.refusalOf(request, bucket);
    if (reason !== null || bucket === undefined) {
      this.options.reply(id, { type: 'failed', failure: reason ?? missing });
      return;
    }
    const named = { ...request, bucket };
    if (isStrong(named)) {
      this.options.register(id, named);
      return;
    }
    if (named.type === 'list' && named.snapshot) this.snapshots.set(id, named);
    this.options.replicate(id, named);
  }

  handleReply(id: number, reply: ClientReply): void {
    const request = this.snapshots.get(id);
    this.snapshots.delete(id);
    const isSnapshot = request !== undefined && reply.type === 'list';
    this.options.reply(id, isSnapshot ? { ...reply, items: this.options.show(request, reply) } : reply);
  }

  /** Each kind of bucket has requests of its own. */
  private refusalOf(request: NodeRequest, bucket: string): Failure | null {
    const refusal = this.options.refusal();
    if (refusal !== null) return refusal;
    const isCut = islandRefusal(request, this.options.catalog.bucket(bucket), this.options.level());
    if (isCut !== null) return isCut;
    const consistency = bucket === LOCKS_BUCKET ? 'strong' : this.options.catalog.bucket(bucket)?.consistency;
    if (isStrong(request) === (consistency === 'strong')) return null;
    const advice = isStrong(request)
      ? 'is eventual: it has no conditional writes; use a strong bucket'
      : 'is strong: its keys are read, put and deleted one by one';
    return failure('not-supported', `bucket ${request.bucket} ${advice}`);
  }
}

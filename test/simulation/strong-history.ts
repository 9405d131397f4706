import type { RegisterOperation } from './register-operation.ts';

export const STRONG_BUCKET = 'strong';

/** What the clients of strong keys did, and were told. */
export class StrongHistory {
  /** By key, in the order in which they were invoked. */
  readonly operations = new Map<string, RegisterOperation[]>();
  /** Requests that a node has not answered in time. */
  readonly late: string[] = [];
  /** Nodes and keys for which nothing worked at the end, when all was well again. */
  unavailable: readonly string[] = [];
  private readonly unknown = new Map<string, number>();

  get count(): number {
    let count = 0;
    for (const operations of this.operations.values()) count += operations.length;
    return count;
  }

  /** Changes that clients know to have been made. */
  get written(): number {
    const isWritten = ({ outcome }: RegisterOperation): boolean => outcome !== 'unknown' && outcome.type === 'written';
    return [...this.operations.values()].reduce((sum, each) => sum + each.filter(isWritten).length, 0);
  }

  add(key: string, operation: RegisterOperation): void {
    const operations = this.operations.get(key);
    if (operations === undefined) this.operations.set(key, [operation]);
    else operations.push(operation);
  }

  /** The client goes on. */
  noteEnd(key: string, { op, outcome }: RegisterOperation): void {
    if (outcome === 'unknown' && op.type !== 'get') this.unknown.set(key, (this.unknown.get(key) ?? 0) + 1);
  }

  isFull(key: string, operationsMax: number, unknownMax: number): boolean {
    return (this.operations.get(key)?.length ?? 0) >= operationsMax || (this.unknown.get(key) ?? 0) >= unknownMax;
  }
}

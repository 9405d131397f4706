import type { Session } from './session.ts';
import { printable } from './text.ts';

/** Prints how a write or a delete was acknowledged. */
export async function printWritten(session: Session, verb: string, key: string, response: Response): Promise<void> {
  const { terminal, json } = session;
  const { headers } = response;
  const acks = headers.get('holdfast-acks');
  const quorum = headers.get('holdfast-quorum');
  if (json) {
    return terminal.json({ key, etag: headers.get('etag'), context: headers.get('holdfast-context'), acks, quorum });
  }
  const where = acks === null ? '' : ` (${printable(acks)} replicas)`;
  const sloppy = quorum === 'sloppy' ? ', with stand-ins for owners that are away' : '';
  return terminal.line(`${verb}${where}${sloppy}`);
}

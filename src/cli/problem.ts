import { type ApiTarget, NODE_API } from './api-target.ts';
import { CliError } from './errors.ts';
import { printable } from './text.ts';

/** What to do on a command line, where the API's own advice is about requests. */
const FIXES: ReadonlyMap<string, string> = new Map([
  ['bucket-not-found', 'create it with `holdfast bucket create`, or see `holdfast bucket list`'],
  ['member-not-found', '`holdfast ring --json` lists names and peer ids'],
  ['bad-context', 'pass on the context of an answer about this key (--json) as it was printed, or leave --context out'],
  ['precondition-failed', 'see what is there and its etag with `holdfast get --json`, and decide anew'],
  ['session-unavailable', 'restore the links between the nodes and try again, or leave --context out'],
  ['lock-held', 'wait for it with --wait, or come back later'],
  ['shutting-down', 'name another node with --api'],
  ['site-not-found', '`holdfast site list` names all of them'],
  ['share-exists', 'take that back first with `holdfast site unshare`'],
  ['share-not-found', '`holdfast site show` tells what the site is given'],
  ['site-exists', 'remove it first with `holdfast site remove`, or take another name'],
]);

const HUB_BUCKET_FIX =
  '`holdfast site show` lists those that it does; one that the site has just created (`holdfast bucket create --sync`) is there within seconds';

interface Told {
  /** Begins the message. */
  readonly before?: string;
  /** Who says so. */
  readonly target?: ApiTarget;
}

/** The error that a problem details document (RFC 9457) tells of; undefined when it says nothing. */
export function problemError(
  problem: Readonly<Record<string, unknown>>,
  { before = '', target = NODE_API }: Told = {},
): CliError | undefined {
  const { type: _type, title, status: _status, detail, code, instance: _instance, ...data } = problem;
  const known = typeof code === 'string' ? printable(code) : '';
  const parts = [title, adviceFor(known, detail, target)]
    .filter((part): part is string => typeof part === 'string' && part !== '')
    .map(printable);
  if (parts.length === 0) return undefined;
  const suffix = known === '' ? '' : ` (${known})`;
  const effect = data['stateChanged'] === 'maybe' ? ' — the write may have taken effect all the same' : '';
  const message = `${before}${parts.join(': ')}${suffix}${effect}`;
  return new CliError(message, known === '' ? 'failed' : { fromApi: known }, { data });
}

/** `<cause>; <fix>`, as the API writes it, with the fix of the command line. */
function adviceFor(code: string, detail: unknown, target: ApiTarget): unknown {
  if (typeof detail !== 'string') return detail;
  // The level of a write or a read, as it is asked for on a command line.
  if (code === 'quorum-unavailable') return detail.replace(/\b[rw]=(one|quorum|all)\b/, '--level $1');
  if (code === 'bad-request') return detail.replace(/\bleave out (?:[rw]|Holdfast-Context)$/, optionToLeaveOut);
  if (code === 'not-supported') return detail.replace('If-Match and If-None-Match', '--if-match and --if-absent');
  const isBucketOfSite = code === 'bucket-not-found' && target.noun === 'hub';
  const fix = isBucketOfSite ? HUB_BUCKET_FIX : (FIXES.get(code) ?? strayFix(code, target));
  if (fix === undefined) return detail;
  const end = detail.lastIndexOf('; ');
  const cause = end < 0 ? detail : detail.slice(0, end);
  return `${cause.replaceAll('the Holdfast-Context', '--context')}; ${fix}`;
}

/** Of a request that whoever is asked does not know. */
function strayFix(code: string, { noun, port }: ApiTarget): string | undefined {
  if (code !== 'route-not-found' && code !== 'method-not-allowed') return undefined;
  const other = noun === 'node' ? 'hub' : 'node';
  return `check that --api or HOLDFAST_API names a ${noun} (port ${port}) and no ${other}, or use the ${noun}'s own version of holdfast`;
}

function optionToLeaveOut(advice: string): string {
  return `leave out ${advice.endsWith('Context') ? '--context' : '--level'}`;
}

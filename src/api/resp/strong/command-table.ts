import { failure, HoldfastError } from '../../../lib/failure.ts';
import { type CommandSpec, type CommandTable, commandTable } from '../command.ts';
import { COMMANDS } from '../command-table.ts';
import { strongHandlerOf } from './handlers.ts';
import { TRANSACTION_COMMANDS } from './transaction-commands.ts';

/**
 * The commands of database 1, bucket `strong`. Those about the connection, the server and pub/sub are the same ones;
 * those that a strong key cannot have answer why.
 */
export const STRONG_COMMANDS: CommandTable = commandTable([
  ...[...new Set(COMMANDS.values())].map(strongSpecOf),
  ...TRANSACTION_COMMANDS,
]);

function strongSpecOf(spec: CommandSpec): CommandSpec {
  const handler = strongHandlerOf(spec);
  if (handler !== undefined) return { ...spec, handler };
  const reason = refusalOf(spec);
  if (reason === null) return spec;
  const { name } = spec;
  const refuse = () => {
    throw new HoldfastError(failure('not-supported', `database 1 has no '${name}': ${reason}`));
  };
  return { ...spec, barrier: false, handler: refuse };
}

/** Why a command is not there; null: it is not about keys. */
function refusalOf({ name, group }: CommandSpec): string | null {
  if (name === 'wait') return 'its writes are on a majority once they are answered; WAIT is about those of database 0';
  if (name === 'scan' || name === 'keys' || name === 'dbsize')
    return 'its keys are not listed; database 0 lists its own';
  if (group === 'set' || group === 'hash') return 'its keys hold strings; sets and hashes are on database 0 (SELECT 0)';
  return group === 'connection' || group === 'server' || group === 'pubsub' ? null : 'it is on database 0 (SELECT 0)';
}

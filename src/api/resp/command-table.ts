import { type CommandTable, commandTable } from './command.ts';
import { CLIENT_COMMANDS } from './commands/client.ts';
import { COMMAND_COMMANDS } from './commands/command-docs.ts';
import { CONNECTION_COMMANDS } from './commands/connection.ts';
import { COUNTER_COMMANDS } from './commands/counters.ts';
import { EXPIRY_COMMANDS } from './commands/expiry.ts';
import { HASH_COMMANDS } from './commands/hashes.ts';
import { KEY_COMMANDS } from './commands/keys.ts';
import { PUBSUB_COMMANDS } from './commands/pubsub.ts';
import { SCAN_COMMANDS } from './commands/scan.ts';
import { SERVER_COMMANDS } from './commands/server.ts';
import { SET_COMMANDS } from './commands/sets.ts';
import { STRING_COMMANDS } from './commands/strings.ts';
import { WAIT_COMMANDS } from './commands/wait.ts';

/** Every command, by name. A new family is a file in `commands/` and a line here. */
export const COMMANDS: CommandTable = commandTable([
  ...CONNECTION_COMMANDS,
  ...CLIENT_COMMANDS,
  ...COMMAND_COMMANDS,
  ...SERVER_COMMANDS,
  ...STRING_COMMANDS,
  ...COUNTER_COMMANDS,
  ...SET_COMMANDS,
  ...HASH_COMMANDS,
  ...KEY_COMMANDS,
  ...EXPIRY_COMMANDS,
  ...SCAN_COMMANDS,
  ...PUBSUB_COMMANDS,
  ...WAIT_COMMANDS,
]);

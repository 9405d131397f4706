import type { CommandCall } from '../command.ts';
import type { ErrorReply } from '../reply.ts';
import type { Step } from './step.ts';

/** Reads the arguments of a command: the step that it takes, or what is wrong with them. */
export type Plan = (call: CommandCall) => Step | ErrorReply;

/** By the name of the command. */
export type Plans = Readonly<Record<string, Plan>>;

/** One machine's power by a command. */

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import {
  entryOf,
  type Machine,
  type PowerAction,
  type PowerControl,
  type PowerState,
} from '@overdub/core/agent';

const run = promisify(execFile);

export interface CommandOptions {
  readonly command: readonly string[];
  readonly actions?: readonly PowerAction[];
  readonly machines?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
}

/** The appliance's own variables, tokens among them, are none of the command's business. */
const PASSED_ON = ['PATH', 'HOME', 'LANG', 'TZ', 'TMPDIR'] as const;

/** `undefined` for machines that are not ours. */
export function commandPower(machine: Machine, options: CommandOptions): PowerControl | undefined {
  const { machines, actions = ['on', 'off', 'status'] } = options;
  const ours =
    machines === undefined ||
    entryOf(Object.fromEntries(machines.map((key) => [key, true])), machine) === true;
  if (!ours) return undefined;
  const order =
    (action: PowerAction) =>
    async (signal: AbortSignal): Promise<void> =>
      void (await perform(options, action, machine, signal));
  const able = (action: PowerAction): boolean => actions.includes(action);
  return {
    where: `command ${options.command[0]}`,
    features: { off: able('off'), cycle: able('cycle'), state: able('status'), netboot: able('netboot') },
    on: order('on'),
    ...(able('off') ? { off: order('off') } : {}),
    ...(able('cycle') ? { cycle: order('cycle') } : {}),
    ...(able('netboot') ? { netboot: order('netboot') } : {}),
    ...(able('status')
      ? { state: async (signal) => stateOf(await perform(options, 'status', machine, signal)) }
      : {}),
  };
}

/** Standard output of one run; rejects with what it said on standard error when it fails or the signal aborts. */
async function perform(
  { command: [program, ...args], environment = {} }: CommandOptions,
  action: PowerAction,
  machine: Machine,
  signal: AbortSignal,
): Promise<string> {
  const inherited = PASSED_ON.flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  const mac = machine.macs[0] ?? '';
  const about = { OVERDUB_ACTION: action, OVERDUB_MACHINE: machine.name, OVERDUB_MAC: mac };
  try {
    const { stdout } = await run(program as string, [...args, action, machine.name, mac], {
      signal,
      env: { ...Object.fromEntries(inherited), ...about, ...environment },
      maxBuffer: 1 << 20,
    });
    return stdout;
  } catch (error) {
    signal.throwIfAborted();
    const { stderr = '', code, message } = error as { stderr?: string; code?: unknown; message: string };
    throw new Error(stderr.trim() === '' ? message : `it ended with ${code}: ${stderr.trim().slice(-2000)}`);
  }
}

function stateOf(text: string): PowerState {
  const word = text.trim().toLowerCase();
  return word === 'on' || word === 'off' ? word : 'unknown';
}

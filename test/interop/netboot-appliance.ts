/**
 * A program for netboot tests: boot-pxe and boot-ipxe over a core that lets every machine boot the ramdisk.
 * Arguments: boot-pxe's options as JSON, a state directory, and reservations as JSON (MAC → address).
 * Prints one JSON line, `{"ready":true}` or `{"error":…}`, then log lines; ends when its input closes.
 */

import { mkdir } from 'node:fs/promises';
import ipxe from '@overdub/boot-ipxe';
import pxe from '@overdub/boot-pxe';
import type {
  Artifact,
  HookTaps,
  Log,
  Machine,
  NetbootService,
  PluginContext,
  RenderedBoot,
  RenderRequest,
} from '@overdub/core';
import { toOverdubError } from '@overdub/core';

const [options = '{}', stateDir = '', reservations = '{}'] = process.argv.slice(2);
const reserved = new Map<string, string>(Object.entries(JSON.parse(reservations) as Record<string, string>));
const print = (line: object): void => void process.stdout.write(`${JSON.stringify(line)}\n`);
const say = (level: string) => (fields: object, message: string) => print({ level, message, ...fields });
const log: Log = { debug: say('debug'), info: say('info'), warn: say('warn'), error: say('error') };

let render: (input: RenderRequest) => RenderedBoot | undefined = () => undefined;
let artifact: (input: { name: string }) => Promise<Artifact | undefined> = async () => undefined;
const hooks = {
  boot: {
    render: {
      tap: (handler: typeof render) => {
        render = handler;
      },
    },
    artifact: {
      tap: (handler: typeof artifact) => {
        artifact = handler;
      },
    },
  },
} as unknown as HookTaps;

const netboot: NetbootService = {
  async answer(request) {
    const plan = { kind: 'ramdisk', kernelArguments: [], nonce: 'n0' } as const;
    const rendered = render({ request, machine: {} as Machine, plan });
    return { machine: undefined, plan, ...(rendered === undefined ? {} : { rendered }) };
  },
  artifact: (name) => artifact({ name }),
  async reservation(mac) {
    const address = reserved.get(mac);
    return address === undefined ? undefined : { address, hostname: 'web-1' };
  },
  reservedAddresses: async () => [...reserved.values()],
};

const context = {
  hooks,
  log,
  netboot,
  clock: {
    now: () => Date.now(),
    sleep: (ms: number, signal?: AbortSignal) =>
      new Promise<void>((resolve, reject) => {
        setTimeout(resolve, ms);
        signal?.addEventListener('abort', () => reject(signal.reason));
      }),
  },
  stateDir,
  ensureStateDir: async () => {
    await mkdir(stateDir, { recursive: true });
    return stateDir;
  },
  signal: new AbortController().signal,
  http: { port: 7077 },
} as unknown as PluginContext;

try {
  for (const plugin of [pxe(JSON.parse(options)), ipxe()]) {
    plugin.definition.apply(context, plugin.options as never);
    await plugin.definition.start?.(context, plugin.options as never);
  }
  print({ ready: true });
} catch (error) {
  print({ error: toOverdubError(error) });
  process.exit(1);
}
process.stdin.resume().on('end', () => process.exit(0));

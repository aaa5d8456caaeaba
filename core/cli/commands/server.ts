import { formatMaster } from '../../domain/master.ts';
import type { Operation } from '../../domain/operation.ts';
import type { RetentionPolicy } from '../../domain/retention.ts';
import {
  COMPRESSIONS,
  type Compression,
  DEFAULT_COMPRESSION,
  isCompression,
  type Server,
  type SnapshotSchedule,
} from '../../domain/server.ts';
import { segment } from '../client.ts';
import { type Call, type Command, defineCommand, type Flag, UsageError } from '../command.ts';
import { facts, size, table, time } from '../format.ts';
import { parseSize } from '../sizes.ts';
import { parseDuration } from '../times.ts';
import { showOperation, WAIT_FLAGS } from '../wait.ts';

const SETTINGS: Readonly<Record<string, Flag>> = {
  every: { type: 'string', value: 'TIME', summary: 'Take a snapshot at this interval: 20s, 15m, 1h' },
  jitter: {
    type: 'string',
    value: 'TIME',
    summary: 'Spread the servers of a fleet over this (a tenth of --every)',
  },
  'keep-last': { type: 'string', value: 'N', summary: 'Keep the newest N snapshots' },
  'keep-hourly': { type: 'string', value: 'N', summary: 'Keep one for each of the last N hours' },
  'keep-daily': { type: 'string', value: 'N', summary: 'Keep one for each of the last N days' },
  'keep-within': { type: 'string', value: 'TIME', summary: 'Keep everything younger than this' },
  exclude: { type: 'string', value: 'GLOB', multiple: true, summary: 'Leave these paths out of snapshots' },
  bandwidth: { type: 'string', value: 'SIZE', summary: 'Send at most this much a second: 500kB, 5MB' },
  compression: {
    type: 'string',
    value: 'HOW',
    summary: 'How snapshots are compressed: small (default), or fast for a weak processor',
  },
  address: { type: 'string', value: 'IP', summary: 'Address that follows the server (full DHCP mode)' },
};

const at = (call: Call): string => `/servers/${segment(call.positional(0))}`;

export const serverCommands: readonly Command[] = [
  defineCommand({
    path: ['server', 'create'],
    summary: 'Create a server: a role with an identity, on no machine yet',
    positionals: ['NAME'],
    flags: {
      master: {
        type: 'string',
        value: 'MASTER',
        summary: 'What it starts from: web@3, or web for the newest',
      },
      ...SETTINGS,
    },
    examples: ['overdub server create web-1 --master web --every 15m --address 10.0.0.50'],
    async run(call) {
      const master = call.text('master');
      const server = await call.client().post<Server>('/servers', {
        name: call.positional(0),
        ...(master === undefined ? {} : { master }),
        ...settingsOf(call),
      });
      call.show(server, () => details(server));
      return 0;
    },
  }),
  defineCommand({
    path: ['server', 'assign'],
    summary: 'Make an accepted machine become the server',
    positionals: ['SERVER', 'MACHINE'],
    flags: WAIT_FLAGS,
    examples: ['overdub server assign web-1 machine-0d0b01'],
    async run(call) {
      const client = call.client();
      const body = { machine: call.positional(1) };
      return showOperation(call, client, await client.post<Operation>(`${at(call)}/assign`, body));
    },
  }),
  defineCommand({
    path: ['server', 'release'],
    summary: 'Take the server off its machine',
    positionals: ['SERVER'],
    flags: {},
    examples: ['overdub server release web-1'],
    async run(call) {
      const server = await call.client().post<Server>(`${at(call)}/release`);
      call.show(server, () => `${server.name} is ${server.state}`);
      return 0;
    },
  }),
  defineCommand({
    path: ['server', 'list'],
    summary: 'List servers',
    positionals: [],
    flags: {},
    examples: ['overdub server list'],
    async run(call) {
      const servers = await call.client().get<Server[]>('/servers');
      const rows = servers.map((server) => [
        server.name,
        server.state,
        server.master === undefined ? '-' : formatMaster(server.master),
        server.machineId ?? '-',
        server.schedule === undefined ? '-' : `${server.schedule.everySeconds} s`,
        server.address ?? '-',
      ]);
      call.show(servers, () =>
        table(['name', 'state', 'master', 'machine', 'every', 'address'], rows, 'There is no server yet.'),
      );
      return 0;
    },
  }),
  defineCommand({
    path: ['server', 'show'],
    summary: 'Show one server',
    positionals: ['SERVER'],
    flags: {},
    examples: ['overdub server show web-1'],
    async run(call) {
      const server = await call.client().get<Server>(at(call));
      call.show(server, () => details(server));
      return 0;
    },
  }),
  defineCommand({
    path: ['server', 'set'],
    summary: 'Change schedule, retention, excludes, bandwidth, compression or address',
    positionals: ['SERVER'],
    flags: {
      ...SETTINGS,
      'no-schedule': { type: 'boolean', summary: 'Take no snapshots by itself' },
      'no-bandwidth': { type: 'boolean', summary: 'Send as fast as the line goes' },
    },
    examples: [
      'overdub server set web-1 --every 1h --keep-daily 30',
      'overdub server set web-1 --no-schedule',
      'overdub server set web-1 --bandwidth 5MB',
      'overdub server set web-1 --compression fast',
    ],
    async run(call) {
      const change = {
        ...settingsOf(call),
        ...(call.flag('no-schedule') ? { clearSchedule: true } : {}),
        ...(call.flag('no-bandwidth') ? { clearBandwidth: true } : {}),
      };
      if (Object.keys(change).length === 0) throw new UsageError('There is nothing to change; see --help.');
      const server = await call.client().patch<Server>(at(call), change);
      call.show(server, () => details(server));
      return 0;
    },
  }),
  defineCommand({
    path: ['server', 'remove'],
    summary: 'Remove a server that is on no machine, with its snapshots',
    positionals: ['SERVER'],
    flags: {},
    examples: ['overdub server remove web-1'],
    async run(call) {
      await call.client().delete(at(call));
      call.show({ removed: call.positional(0) }, () => `${call.positional(0)} is removed`);
      return 0;
    },
  }),
];

function settingsOf(call: Call): object {
  const schedule = scheduleOf(call);
  const retention = retentionOf(call);
  const compression = compressionOf(call);
  const [address, bandwidth] = [call.text('address'), call.text('bandwidth')];
  return {
    ...(schedule === undefined ? {} : { schedule }),
    ...(Object.keys(retention).length === 0 ? {} : { retention }),
    ...(call.list('exclude').length === 0 ? {} : { excludes: call.list('exclude') }),
    ...(bandwidth === undefined ? {} : { bandwidth: parseSize(bandwidth) }),
    ...(compression === undefined ? {} : { compression }),
    ...(address === undefined ? {} : { address }),
  };
}

function scheduleOf(call: Call): SnapshotSchedule | undefined {
  const [every, jitter] = [call.text('every'), call.text('jitter')];
  if (every === undefined) {
    if (jitter !== undefined) throw new UsageError('--jitter needs --every.');
    return undefined;
  }
  const everySeconds = parseDuration(every);
  if (everySeconds === 0) throw new UsageError('--every must be longer than that.');
  return {
    everySeconds,
    jitterSeconds: jitter === undefined ? Math.floor(everySeconds / 10) : parseDuration(jitter),
  };
}

function retentionOf(call: Call): Partial<RetentionPolicy> {
  const within = call.text('keep-within');
  const counts = (['last', 'hourly', 'daily'] as const).flatMap((key) => {
    const text = call.text(`keep-${key}`);
    if (text === undefined) return [];
    if (!/^\d{1,6}$/.test(text)) throw new UsageError(`--keep-${key} must be a number, not \`${text}\`.`);
    return [[key, Number(text)] as const];
  });
  return {
    ...Object.fromEntries(counts),
    ...(within === undefined ? {} : { withinSeconds: parseDuration(within) }),
  };
}

function compressionOf(call: Call): Compression | undefined {
  const text = call.text('compression');
  if (text === undefined || isCompression(text)) return text;
  throw new UsageError(`\`${text}\` is no compression: ${COMPRESSIONS.join(', ')}.`);
}

function details(server: Server): string {
  const { last, hourly, daily, withinSeconds } = server.retention;
  return facts([
    ['server', server.name],
    ['state', server.state],
    ['master', server.master && formatMaster(server.master)],
    ['machine', server.machineId],
    ['generation', server.generation],
    [
      'schedule',
      server.schedule && `every ${server.schedule.everySeconds} s, jitter ${server.schedule.jitterSeconds} s`,
    ],
    ['retention', `last ${last}, hourly ${hourly}, daily ${daily}, everything within ${withinSeconds} s`],
    ['excludes', server.excludes.join(' ')],
    ['bandwidth', server.bandwidth && `${size(server.bandwidth)}/s`],
    ['compression', server.compression ?? DEFAULT_COMPRESSION],
    ['address', server.address],
    ['machine-id', server.identity.machineId],
    ['root uuid', server.identity.rootUuid],
    ['created', time(server.createdAt)],
  ]);
}

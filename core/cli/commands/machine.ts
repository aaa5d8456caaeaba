import type { PowerReport } from '../../contracts/power.ts';
import { type HardwareFact, hardwareOf } from '../../domain/hardware.ts';
import { isHeldAsStale, type Machine, type NicFacts } from '../../domain/machine.ts';
import { segment } from '../client.ts';
import { type Call, type Command, defineCommand, UsageError } from '../command.ts';
import { facts, safe, size, table, time } from '../format.ts';

const at = (call: Call): string => `/machines/${segment(call.positional(0))}`;

const POWER: readonly string[] = ['on', 'off', 'cycle', 'status', 'netboot'];

const decision = (verb: 'accept' | 'reject', summary: string): Command =>
  defineCommand({
    path: ['machine', verb],
    summary,
    positionals: ['MACHINE'],
    flags: {},
    examples: [`overdub machine ${verb} machine-0d0b01`, `overdub machine ${verb} 52:54:00:0d:0b:01`],
    async run(call) {
      const machine = await call.client().post<Machine>(`${at(call)}/${verb}`);
      call.show(machine, () => `${machine.name} is ${machine.admission}`);
      return 0;
    },
  });

export const machineCommands: readonly Command[] = [
  defineCommand({
    path: ['machine', 'list'],
    summary: 'List machines: who was seen, who is held, who runs what',
    positionals: [],
    flags: {},
    examples: ['overdub machine list', 'overdub machine list --json'],
    async run(call) {
      const machines = await call.client().get<Machine[]>('/machines');
      const rows = machines.map((machine) => [
        machine.name,
        machine.macs[0] ?? '-',
        standing(machine),
        machine.serverName ?? '-',
        machine.firmware ?? '-',
        time(machine.lastSeenAt),
        labels(machine),
      ]);
      call.show(machines, () =>
        table(
          ['name', 'mac', 'admission', 'server', 'firmware', 'last seen', 'labels'],
          rows,
          'No machine was seen yet.',
        ),
      );
      return 0;
    },
  }),
  defineCommand({
    path: ['machine', 'show'],
    summary: 'Show one machine with its hardware',
    positionals: ['MACHINE'],
    flags: {},
    examples: ['overdub machine show machine-0d0b01'],
    async run(call) {
      const machine = await call.client().get<Machine>(at(call));
      call.show(machine, () => details(machine));
      return 0;
    },
  }),
  decision('accept', 'Let a held machine have a role'),
  decision('reject', 'Answer a machine with silence from now on'),
  defineCommand({
    path: ['machine', 'power'],
    summary: 'Switch a machine on or off by its power driver, or ask for its state',
    positionals: ['MACHINE', 'on|off|cycle|status|netboot'],
    flags: {},
    examples: [
      'overdub machine power rack3-07 cycle',
      'overdub machine power rack3-07 netboot',
      'overdub machine power 52:54:00:0d:0b:01 status',
    ],
    async run(call) {
      const action = call.positional(1);
      if (!POWER.includes(action)) throw new UsageError(`\`${action}\` is none of ${POWER.join(', ')}.`);
      const path = `${at(call)}/power`;
      const report =
        action === 'status'
          ? await call.client().get<PowerReport>(path)
          : await call.client().post<PowerReport>(path, { action });
      const done = action === 'netboot' ? 'boots from the network next time; it is' : 'is';
      call.show(report, () => `${call.positional(0)} ${done} ${report.state} (${report.where})`);
      return 0;
    },
  }),
  defineCommand({
    path: ['machine', 'label'],
    summary: 'Set or remove labels of a machine',
    positionals: ['MACHINE', 'KEY=VALUE…'],
    flags: {},
    examples: [
      'overdub machine label machine-0d0b01 rack=3 row=b',
      'overdub machine label machine-0d0b01 rack=',
    ],
    async run(call) {
      const pairs = call.positionals().slice(1).map(labelOf);
      const machine = await call.client().patch<Machine>(at(call), { labels: Object.fromEntries(pairs) });
      call.show(machine, () => `${machine.name}: ${labels(machine) || 'no labels'}`);
      return 0;
    },
  }),
  defineCommand({
    path: ['machine', 'rename'],
    summary: 'Give a machine another name',
    positionals: ['MACHINE', 'NAME'],
    flags: {},
    examples: ['overdub machine rename 52:54:00:0d:0b:01 rack3-07'],
    async run(call) {
      const machine = await call.client().patch<Machine>(at(call), { name: call.positional(1) });
      call.show(machine, () => `it is ${machine.name} now`);
      return 0;
    },
  }),
  defineCommand({
    path: ['machine', 'forget'],
    summary: 'Forget a machine; seen again, it is new',
    positionals: ['MACHINE'],
    flags: {},
    examples: ['overdub machine forget machine-0d0b01'],
    async run(call) {
      await call.client().delete(at(call));
      call.show({ forgotten: call.positional(0) }, () => `${call.positional(0)} is forgotten`);
      return 0;
    },
  }),
];

function labelOf(text: string): readonly [string, string | null] {
  const at = text.indexOf('=');
  if (at < 1) throw new UsageError(`\`${text}\` is no label; write KEY=VALUE, or KEY= to remove one.`);
  return [text.slice(0, at), text.slice(at + 1) || null];
}

function labels({ labels: given }: Machine): string {
  return Object.entries(given)
    .map(([key, value]) => `${key}=${value}`)
    .join(' ');
}

/** An accepted machine whose assignment passed on is held all the same; the reason says so, from its first word on. */
function standing(machine: Machine): string {
  return isHeldAsStale(machine) ? safe(machine.admissionReason ?? 'held') : machine.admission;
}

function admission(machine: Machine): string {
  if (isHeldAsStale(machine)) return standing(machine);
  return [machine.admission, machine.admissionReason].filter(Boolean).join(': ');
}

function details(machine: Machine): string {
  const { facts: hardware } = machine;
  return facts([
    ['name', machine.name],
    ['id', machine.id],
    ['macs', machine.macs.join(' ')],
    ['admission', admission(machine)],
    ['server', machine.serverName],
    ['generation', machine.generation],
    ['labels', labels(machine)],
    ['firmware', machine.firmware],
    ['arch', machine.arch],
    ['cpu', hardware && `${safe(hardware.cpu.model)} × ${hardware.cpu.cores}`],
    ['memory', hardware && size(hardware.memoryBytes)],
    ...(hardware?.disks ?? []).map(
      (disk) =>
        [
          'disk',
          `${disk.name} ${size(disk.bytes)} ${disk.transport} ${safe(disk.serial ?? disk.wwn ?? '')}`,
        ] as const,
    ),
    ...(hardware?.nics ?? []).map((nic) => ['nic', nicLine(nic)] as const),
    ...hardwareOf(machine).map((fact) => [fact.name, factLine(fact)] as const),
    [
      'dhcp',
      machine.dhcp && safe(machine.dhcp.vendorClass ?? `architecture ${machine.dhcp.archCode ?? '-'}`),
    ],
    ['seen on', machine.seenOn && safe(machine.seenOn)],
    ['first seen', time(machine.firstSeenAt)],
    ['last seen', time(machine.lastSeenAt)],
  ]);
}

/** `eth0 52:54:00:12:34:56 virtio_net → rack3-sw1, Gi1/0/7 (uplink of rack3-07), VLAN 30`. */
export function nicLine({ name, mac, driver, neighbour }: NicFacts): string {
  const own = [name, mac, driver].filter(Boolean).join(' ');
  if (neighbour === undefined) return own;
  const { chassisId, systemName = chassisId, portId, portDescription, vlan } = neighbour;
  const about = portDescription === undefined || portDescription === portId ? '' : ` (${portDescription})`;
  return `${own} → ${safe(`${systemName}, ${portId}${about}`)}${vlan === undefined ? '' : `, VLAN ${vlan}`}`;
}

/** `ABC123 (agent; controller says XYZ)`. */
export function factLine({ value, from, against }: HardwareFact): string {
  const others = against.map((other) => `; ${other.from} says ${other.value}`).join('');
  return safe(`${value} (${from}${others})`);
}

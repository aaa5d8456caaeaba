/**
 * A program: the fleet, inside its network namespace. Argument: JSON of {@link FleetOrder}. Prints one JSON line, a
 * {@link FleetReport}, when every machine has arrived or failed.
 */

import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { DhcpQuestion } from './dhcp.ts';
import { hardwareOf } from './hardware.ts';
import { boot, STAGES, type Stage, type World } from './machine.ts';
import { type AnswerTimes, quantiles } from './quantiles.ts';
import { Relay, type RelayOrder } from './relay.ts';

export interface FleetOrder {
  readonly machines: number;
  /** So many of them fetch kernel and initrd whole, the rest the first `initrdBytes`. */
  readonly whole: number;
  readonly initrdBytes: number;
  /** They are switched on within this time; 0: all in the same instant. */
  readonly spreadMs: number;
  readonly relay: RelayOrder;
  readonly ramdiskDir: string;
  readonly ipxeDir: string;
}

export interface FleetReport {
  readonly failures: readonly string[];
  readonly seconds: number;
  /** When the last machine had come so far, seconds after the first was switched on. */
  readonly stages: Readonly<Record<Stage, number>>;
  readonly dhcp: AnswerTimes & {
    readonly repeated: number;
    readonly questions: Readonly<Partial<Record<DhcpQuestion, AnswerTimes>>>;
  };
  readonly tftpRepeated: number;
}

async function run(order: FleetOrder): Promise<FleetReport> {
  const { machines, whole, initrdBytes, spreadMs } = order;
  const relay = await Relay.open(order.relay);
  const began = performance.now();
  const stages = Object.fromEntries(STAGES.map((stage) => [stage, 0])) as Record<Stage, number>;
  const world: World = {
    relay,
    expected: await expectedFiles(order),
    dhcp: { milliseconds: new Map(), repeated: 0 },
    tftp: { repeated: 0 },
    reached: (stage) => {
      stages[stage] = (performance.now() - began) / 1000;
    },
  };
  const one = async (index: number): Promise<string[]> => {
    const hardware = hardwareOf(index);
    await new Promise((resolve) =>
      setTimeout(resolve, ((index * 7919 * spreadMs) / machines) % (spreadMs || 1)),
    );
    // Spread among the others: every twentieth of a thousand.
    const everything = Math.floor(((index + 1) * whole) / machines) > Math.floor((index * whole) / machines);
    try {
      await boot(hardware, everything ? 'everything' : { initrdBytes }, world);
      return [];
    } catch (error) {
      return [`${hardware.mac}: ${error instanceof Error ? error.message : String(error)}`];
    }
  };
  const failures = (await Promise.all(Array.from({ length: machines }, (_, index) => one(index)))).flat();
  await relay.close();
  const { milliseconds, repeated } = world.dhcp;
  return {
    failures,
    seconds: (performance.now() - began) / 1000,
    stages,
    dhcp: {
      ...quantiles([...milliseconds.values()].flat()),
      repeated,
      questions: Object.fromEntries(
        [...milliseconds].map(([question, times]) => [question, quantiles(times)]),
      ),
    },
    tftpRepeated: world.tftp.repeated,
  };
}

async function expectedFiles({ ramdiskDir, ipxeDir }: FleetOrder): Promise<World['expected']> {
  const names = ['undionly.kpxe', 'ipxe.efi'];
  const loaders = await Promise.all(
    names.map(async (name) => [`ipxe/${name}`, await readFile(path.join(ipxeDir, name))] as const),
  );
  return {
    loaders: new Map(loaders),
    kernel: await readFile(path.join(ramdiskDir, 'vmlinuz')),
    initrd: await readFile(path.join(ramdiskDir, 'initrd')),
  };
}

process.stdout.write(`${JSON.stringify(await run(JSON.parse(process.argv[2] ?? '{}') as FleetOrder))}\n`);

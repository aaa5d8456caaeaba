/**
 * `npm run bench -- overlay --data DIR [--rounds N] [--report FILE] [--without-peers] [--without-optimise] [--compression HOW]`:
 * overlays beside the field's own tools, in one run. DIR holds `master`, `a` and `b`, three trees of one server at three times. Each
 * tool gets one live directory that becomes them in place. Prints medians over the rounds (three, unless told otherwise) and ratios
 * to us. Takes 10 GB of room a round below TMPDIR, all of it given back in the end.
 *
 * `--case sparse|dense|files|snapshots [--size N]` runs one of the large cases alone; see `cases.ts`.
 */

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { DEFAULT_COMPRESSION, type Operation, type Snapshot } from '@overdub/core';
import {
  become,
  commandFor,
  type Overdub,
  peakMiB,
  type Ran,
  startAppliance,
  stopAppliance,
} from './appliance.ts';
import { CASES, runCase } from './cases.ts';
import { MEASURES, medians } from './medians.ts';
import { type Figure, freshDirectory, peerRound, STEPS } from './peers.ts';

const SERVER = 'overlay';
const US = 'overdub';
/** How many digits behind the point. */
const DIGITS = [0, 0, 0, 2, 1, 0];

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      data: { type: 'string' },
      rounds: { type: 'string', default: '3' },
      report: { type: 'string' },
      'without-peers': { type: 'boolean', default: false },
      // It takes most of a round, and what it gives is the same in each.
      'without-optimise': { type: 'boolean', default: false },
      compression: { type: 'string', default: DEFAULT_COMPRESSION },
      case: { type: 'string' },
      size: { type: 'string' },
    },
  });
  const work = await mkdtemp(join(tmpdir(), 'overdub-overlay-'));
  try {
    const rounds: Figure[][] = [];
    if (values.case !== undefined) {
      rounds.push(await runCase(values.case, sizeOf(values.size), work));
    } else {
      if (values.data === undefined)
        throw new Error(`usage: overlay --data DIR, or --case ${CASES.join('|')}`);
      const data = resolve(values.data);
      for (let round = 1; round <= Number(values.rounds); round++) {
        const peers = values['without-peers'] ? [] : await peerRound(data, await freshDirectory(work));
        // A run takes long: what was measured is not lost when it is cut off.
        if (peers.length > 0) print(peers);
        const ours = await ourRound(data, await freshDirectory(work), {
          optimises: !values['without-optimise'],
          compression: values.compression,
        });
        rounds.push([...ours, ...peers]);
      }
    }
    const figures = medians(rounds);
    print(figures);
    if (values.report !== undefined)
      await writeFile(values.report, `${JSON.stringify({ figures, rounds }, null, 2)}\n`);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/**
 * Master, a, optimise, b, optimise, b again, restore, rollback. CPU is the agent's and the appliance's together. `own` is scratch
 * space of the caller, empty, and is left full.
 */
async function ourRound(
  data: string,
  own: string,
  { optimises, compression }: { readonly optimises: boolean; readonly compression: string },
): Promise<Figure[]> {
  const live = await freshDirectory(own);
  const appliance = await startAppliance(own);
  const overdub = commandFor(appliance, own);
  const figures: Figure[] = [];
  const step = (name: string, ran: Ran, sizes: Partial<Figure> = {}) =>
    figures.push({ tool: US, step: name, ...sizes, ...costOf(ran, peakMiB(appliance.child)) });
  try {
    await overdub('master', 'import', SERVER, join(data, 'master'));
    if (optimises) await overdub('optimise');
    await overdub('server', 'create', SERVER, '--master', SERVER, '--compression', compression);
    for (const [name, tree] of [
      [STEPS.first, 'a'],
      [STEPS.next, 'b'],
    ] as const) {
      await become(live, join(data, tree));
      step(name, ...(await snapshot(overdub, live)));
      if (!optimises) continue;
      const optimised = await overdub('optimise');
      const result = (optimised.json as Operation).result as { bytesAfter?: number } | undefined;
      step(`${name}, optimised`, optimised, { storedBytes: result?.bytesAfter ?? Number.NaN });
    }
    step(STEPS.same, ...(await snapshot(overdub, live)));
    const agent = ['--server', SERVER, '--root'];
    const apart = ['--state', join(own, 'other-agent')];
    const empty = await freshDirectory(own);
    step(STEPS.restore, await overdub('agent', 'restore', ...agent, empty, ...apart));
    const back = ['--snapshot', '~1', '--no-safety-snapshot'];
    step(STEPS.rollback, await overdub('agent', 'rollback', ...agent, live, ...back));
    return figures;
  } finally {
    await stopAppliance(appliance.child);
  }
}

async function snapshot(overdub: Overdub, live: string): Promise<[Ran, Partial<Figure>]> {
  const ran = await overdub('agent', 'snapshot', '--root', live, '--server', SERVER);
  const stats = ((await overdub('snapshot', 'list', SERVER)).json as Snapshot[]).at(-1)?.stats;
  if (stats === undefined) throw new Error('the snapshot is not listed');
  return [ran, { storedBytes: stats.bytesStored, movedBytes: stats.bytesReceived + stats.bytesSent }];
}

function costOf(ran: Ran, applianceMiB: number): Pick<Figure, 'cpu' | 'seconds' | 'peakMiB'> {
  return {
    cpu: ran.agentCpu + ran.applianceCpu,
    seconds: ran.seconds,
    peakMiB: Math.max(ran.peakMiB, applianceMiB),
  };
}

/** Bytes, files or snapshots, as a plain number. */
function sizeOf(text: string | undefined): number | undefined {
  const size = text === undefined ? undefined : Number(text);
  if (size !== undefined && !(Number.isSafeInteger(size) && size > 0)) {
    throw new Error(`--size ${text} is no number of bytes, files or snapshots: give one such as 2000000000`);
  }
  return size;
}

/** By step; in brackets the ratio of ours to the tool's: below one, we are better. */
function print(figures: readonly Figure[]): void {
  const heads = ['stored', 'moved', 'read', 'CPU s', 'wall s', 'peak MiB'];
  console.log('step'.padEnd(44) + 'tool'.padEnd(22) + heads.map((head) => head.padStart(20)).join(''));
  const steps = [...new Set(figures.map((figure) => figure.step))];
  for (const figure of steps.flatMap((step) => figures.filter((one) => one.step === step))) {
    const ours = figures.find((one) => one.tool === US && one.step === figure.step);
    const cells = MEASURES.map((measure, at) => {
      const value = figure[measure];
      if (value === undefined) return ''.padStart(20);
      const own = ours === undefined || ours === figure ? undefined : ours[measure];
      const ratio = own === undefined ? '' : ` (${(own / value).toFixed(2)})`;
      return `${value.toFixed(DIGITS[at])}${ratio}`.padStart(20);
    });
    console.log(figure.step.padEnd(44) + figure.tool.padEnd(22) + cells.join(''));
  }
}

if (process.argv[1] === import.meta.filename) await main();

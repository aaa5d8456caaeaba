/** What a large case works on: one live directory, one server, and appliances one after another on one state. */

import type { ChildProcess } from 'node:child_process';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Snapshot } from '@overdub/core';
import {
  commandFor,
  type Overdub,
  peakMiB,
  type Ran,
  readBytes,
  startAppliance,
  stopAppliance,
} from './appliance.ts';
import { medians } from './medians.ts';
import type { Figure } from './peers.ts';

const SERVER = 'case';
/** Of what is compared with one another, so many runs. */
const ROUNDS = 3;

/** Every step is measured on an appliance of its own, so that its peak is the step's; what is done by turns, on one. */
export class Ground {
  readonly live: string;
  readonly work: string;
  readonly size: number;
  readonly figures: Figure[] = [];
  #token: string | undefined;
  #restores = 0;

  private constructor(work: string, size: number) {
    this.work = work;
    this.live = join(work, 'live');
    this.size = size;
  }

  /** `size`: bytes, files or snapshots, as the case has it. */
  static async prepare(work: string, size: number): Promise<Ground> {
    const ground = new Ground(work, size);
    await mkdir(ground.live);
    await ground.#with((overdub) => overdub('server', 'create', SERVER, '--keep-last', '100000'));
    return ground;
  }

  /** Takes a snapshot and notes its figures. */
  async take(step: string): Promise<Figure> {
    return this.#with(async (overdub, child) => {
      const ran = await overdub('agent', 'snapshot', '--root', this.live, '--server', SERVER);
      const figure = figureOf(step, ran, child);
      const stats = ((await overdub('snapshot', 'list', SERVER)).json as Snapshot[]).at(-1)?.stats;
      if (stats === undefined) throw new Error('the snapshot is not listed');
      const movedBytes = stats.bytesReceived + stats.bytesSent;
      return this.note({ ...figure, movedBytes, storedBytes: stats.bytesStored });
    });
  }

  /** Restores a snapshot to an empty directory, which is removed again. */
  async restore(step: string, snapshot: string): Promise<Figure> {
    return this.#with(async (overdub, child) =>
      this.note(await this.#restored(step, snapshot, overdub, child)),
    );
  }

  /**
   * The same of several snapshots by turns, by one appliance, so that none of them meets it when it has just been started: notes the
   * medians of three rounds behind a first that does not count.
   */
  async restoreByTurns(snapshots: readonly { step: string; snapshot: string }[]): Promise<void> {
    const rounds: Figure[][] = [];
    await this.#with(async (overdub, child) => {
      for (let round = 0; round <= ROUNDS; round++) {
        const figures: Figure[] = [];
        for (const { step, snapshot } of snapshots)
          figures.push(await this.#restored(step, snapshot, overdub, child));
        if (round > 0) rounds.push(figures);
      }
    });
    for (const figure of medians(rounds)) this.note(figure);
  }

  async #restored(step: string, snapshot: string, overdub: Overdub, child: ChildProcess): Promise<Figure> {
    const empty = join(this.work, `restored-${++this.#restores}`);
    await mkdir(empty);
    const before = readBytes(child);
    const where = ['--root', empty, '--server', SERVER, '--state', `${empty}-state`];
    const ran = await overdub('agent', 'restore', ...where, '--snapshot', snapshot);
    const read = readBytes(child) - before;
    await rm(empty, { recursive: true });
    return { ...figureOf(step, ran, child), readBytes: read };
  }

  /** Any other command. */
  async run(step: string, ...command: string[]): Promise<Figure> {
    return this.#with(async (overdub, child) => {
      const ran = await overdub(...command);
      return this.note(figureOf(step, ran, child));
    });
  }

  /** Removes the `count` oldest snapshots; notes what that cost together. */
  async forgetOldest(count: number): Promise<Figure> {
    return this.#with(async (overdub, child) => {
      const list = (await overdub('snapshot', 'list', SERVER)).json as Snapshot[];
      let [cpu, seconds] = [0, 0];
      for (const { id } of list.slice(0, count)) {
        const ran = await overdub('snapshot', 'remove', `${SERVER}@${id}`);
        cpu += ran.agentCpu + ran.applianceCpu;
        seconds += ran.seconds;
      }
      const step = `the ${count} oldest removed, a command each`;
      return this.note({ tool: 'overdub', step, cpu, seconds, peakMiB: peakMiB(child) });
    });
  }

  /** Said at once as well: a case takes long, and what was measured is not lost when it is cut off. */
  note(figure: Figure): Figure {
    this.figures.push(figure);
    console.error(JSON.stringify(figure));
    return figure;
  }

  /** By its place in the list, the first is 0; undefined when there is none. */
  async snapshotId(at: number): Promise<string> {
    const list = await this.#with(
      async (overdub) => (await overdub('snapshot', 'list', SERVER)).json as Snapshot[],
    );
    const id = list.at(at)?.id;
    if (id === undefined) throw new Error(`there is no snapshot ${at}`);
    return id;
  }

  async #with<T>(work: (overdub: Overdub, child: ChildProcess) => Promise<T>): Promise<T> {
    const appliance = await startAppliance(this.work, this.#token);
    this.#token = appliance.token;
    try {
      return await work(commandFor(appliance, this.work), appliance.child);
    } finally {
      await stopAppliance(appliance.child);
    }
  }
}

function figureOf(step: string, ran: Ran, child: ChildProcess): Figure {
  const applianceMiB = peakMiB(child);
  return {
    tool: 'overdub',
    step,
    cpu: ran.agentCpu + ran.applianceCpu,
    seconds: ran.seconds,
    peakMiB: Math.max(ran.peakMiB, applianceMiB),
    agentMiB: ran.peakMiB,
    applianceMiB,
  };
}

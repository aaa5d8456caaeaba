/** An engine for tests: real catalogue, manual clock, steps of the test's own. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Catalogue, openCatalogue } from '../catalogue/catalogue.ts';
import type { Event } from '../domain/event.ts';
import { OverdubError } from '../errors.ts';
import { ManualClock } from '../testing/fakes/manual-clock.ts';
import { recordingLog } from '../testing/fakes/recording-log.ts';
import { HOUR_MS, type OperationDefinition, type StepContext } from './definition.ts';
import { createEngine, type Engine } from './engine.ts';
import { createEventBus } from './events.ts';

type Steps = Readonly<Record<string, (context: StepContext) => Promise<void>>>;
type Extra = Partial<OperationDefinition> & { destructive?: string; deadlineMs?: number };

export interface EngineBench {
  readonly catalogue: Catalogue;
  readonly clock: ManualClock;
  /** Events of all its engines, in order. */
  readonly told: Event[];
  /** A prune stands for anything here: what it does is the test's. */
  engineOf(steps: Steps, extra?: Extra): Engine;
  /** As a new process finds the catalogue. */
  reopen(): Promise<void>;
  close(): Promise<void>;
}

export async function newEngineBench(): Promise<EngineBench> {
  const directory = await mkdtemp(join(tmpdir(), 'overdub-engine-'));
  const clock = new ManualClock();
  const told: Event[] = [];
  const engines: Engine[] = [];
  let catalogue = await openCatalogue(directory);
  return {
    get catalogue() {
      return catalogue;
    },
    clock,
    told,
    engineOf(steps, extra = {}) {
      const log = recordingLog();
      const notify = async (event: Event) => {
        told.push(event);
      };
      const events = createEventBus({ clock, log, notify });
      const definitions = [definitionOf(steps, extra)];
      const engine = createEngine({ records: catalogue.operations, definitions, clock, log, events });
      engines.push(engine);
      return engine;
    },
    async reopen() {
      await catalogue.close();
      catalogue = await openCatalogue(directory);
    },
    async close() {
      for (const engine of engines) await engine.stop();
      await catalogue.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

function definitionOf(steps: Steps, extra: Extra): OperationDefinition {
  return {
    kind: 'prune',
    steps: () =>
      Object.entries(steps).map(([name, run]) => ({
        name,
        run,
        deadlineMs: extra.deadlineMs ?? HOUR_MS,
        ...(extra.destructive === name ? { destructive: true as const } : {}),
      })),
    ...(extra.undo === undefined ? {} : { undo: extra.undo }),
  };
}

export const onServer = (server: string) => ({ kind: 'prune' as const, server, requestedBy: 'test' });

export const lost = () => new OverdubError('AGENT_LOST', 'gone', 'look');

/** A step that ends only when it is told to. */
export const forever = ({ signal }: Pick<StepContext, 'signal'>) =>
  new Promise<void>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));

/** Polls a condition of real progress; fails by the test's own time limit. */
export async function comesTo(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 2));
}

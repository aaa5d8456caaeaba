import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Catalogue, openCatalogue } from '../catalogue/catalogue.ts';
import type { Event } from '../domain/event.ts';
import type { Operation } from '../domain/operation.ts';
import { OverdubError } from '../errors.ts';
import { ManualClock } from '../testing/fakes/manual-clock.ts';
import { recordingLog } from '../testing/fakes/recording-log.ts';
import { HOUR_MS, type OperationDefinition, type StepContext } from './definition.ts';
import { createEngine, type Engine } from './engine.ts';
import { createEventBus } from './events.ts';

let directory: string;
let catalogue: Catalogue;
let clock: ManualClock;
const engines: Engine[] = [];
const told: Event[] = [];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'overdub-engine-'));
  catalogue = await openCatalogue(directory);
  clock = new ManualClock();
  told.length = 0;
});
afterEach(async () => {
  for (const engine of engines.splice(0)) await engine.stop();
  await catalogue.close();
  await rm(directory, { recursive: true, force: true });
});

/** A prune stands for anything here: what it does is the test's. */
function engineOf(
  steps: Record<string, (context: StepContext) => Promise<void>>,
  extra: Partial<OperationDefinition> & { destructive?: string; deadlineMs?: number } = {},
): Engine {
  const definition: OperationDefinition = {
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
  const log = recordingLog();
  const events = createEventBus({
    clock,
    log,
    notify: async (event) => {
      told.push(event);
    },
  });
  const engine = createEngine({
    records: catalogue.operations,
    definitions: [definition],
    clock,
    log,
    events,
  });
  engines.push(engine);
  return engine;
}

const onServer = (server: string) => ({ kind: 'prune' as const, server, requestedBy: 'test' });
const lost = () => new OverdubError('AGENT_LOST', 'gone', 'look');
const forever = ({ signal }: StepContext) =>
  new Promise<void>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));

describe('an operation', () => {
  it('runs its steps in order, and says what it did', async () => {
    const order: string[] = [];
    const engine = engineOf({
      one: async ({ remember }) => {
        order.push('one');
        await remember({ apples: 3 });
      },
      two: async ({ operation, remember }) => {
        order.push('two');
        await remember({ result: { apples: operation.memory.apples } });
      },
    });
    const { id } = await engine.submit(onServer('web-1'));
    const ended = await engine.wait(id);
    expect(order).toEqual(['one', 'two']);
    expect(ended).toMatchObject({ state: 'done', result: { apples: 3 }, requestedBy: 'test' });
    expect(ended.steps.map(({ state, attempts }) => [state, attempts])).toEqual([
      ['done', 1],
      ['done', 1],
    ]);
    expect(await catalogue.operations.get(id)).toEqual(ended);
    await clock.advance(0);
    expect(told.map(({ type }) => type)).toEqual(['operation.started', 'operation.done']);
  });

  it('fails with the step’s own error, after it was undone', async () => {
    const undone: Operation[] = [];
    const engine = engineOf(
      {
        one: async () => {
          throw new OverdubError('DISK_UNSUITABLE', 'too small', 'buy one');
        },
        two: async () => expect.unreachable(),
      },
      {
        undo: async (operation) => {
          undone.push(operation);
        },
      },
    );
    const { id } = await engine.submit(onServer('web-1'));
    const ended = await engine.wait(id);
    expect(ended).toMatchObject({ state: 'failed', error: { code: 'DISK_UNSUITABLE', remedy: 'buy one' } });
    expect(ended.steps.map((step) => step.state)).toEqual(['failed', 'pending']);
    expect(undone).toHaveLength(1);
    await clock.advance(0);
    expect(told.at(-1)?.type).toBe('operation.failed');
  });

  it('tries again with growing pauses while the agent is away, then gives up', async () => {
    let attempts = 0;
    const engine = engineOf({
      one: async () => {
        attempts += 1;
        throw lost();
      },
    });
    const { id } = await engine.submit(onServer('web-1'));
    const ended = engine.wait(id);
    await clock.advance(1000);
    expect(attempts).toBe(1);
    await clock.advance(1500);
    expect(attempts).toBe(2);
    await clock.advance(10 * 60_000);
    expect(await ended).toMatchObject({ state: 'failed', error: { code: 'AGENT_LOST' } });
    expect((await engine.get(id)).steps[0]?.attempts).toBe(6);
  });

  it('goes on when the agent comes back', async () => {
    let attempts = 0;
    const engine = engineOf({
      one: async () => {
        attempts += 1;
        if (attempts < 3) throw lost();
      },
    });
    const { id } = await engine.submit(onServer('web-1'));
    const ended = engine.wait(id);
    await clock.advance(60_000);
    expect((await ended).state).toBe('done');
  });

  it('ends a step at its deadline, also one that does not listen', async () => {
    const engine = engineOf({ deaf: () => new Promise(() => undefined) }, { deadlineMs: 5000 });
    const { id } = await engine.submit(onServer('web-1'));
    const ended = engine.wait(id);
    await clock.advance(6000);
    expect(await ended).toMatchObject({ state: 'failed', error: { code: 'TIMED_OUT' } });
  });

  it('waits for people by name, and tells it once', async () => {
    const gate = Promise.withResolvers<void>();
    const engine = engineOf({
      one: async ({ attention }) => {
        await attention('power-cycle machine-7');
        await gate.promise;
        await attention();
      },
    });
    const { id } = await engine.submit(onServer('web-1'));
    await until(async () => (await engine.get(id)).state === 'waiting');
    expect(await catalogue.operations.get(id)).toMatchObject({
      state: 'waiting',
      attention: 'power-cycle machine-7',
    });
    gate.resolve();
    const ended = await engine.wait(id);
    expect(ended.attention).toBeUndefined();
    await clock.advance(0);
    expect(told.filter(({ type }) => type === 'operation.waiting')).toHaveLength(1);
  });

  it('shows progress to whoever waits', async () => {
    const gate = Promise.withResolvers<void>();
    const engine = engineOf({
      one: async ({ progress }) => {
        await gate.promise;
        progress({ doneBytes: 5, totalBytes: 10 });
      },
    });
    const { id } = await engine.submit(onServer('web-1'));
    const seen: (number | undefined)[] = [];
    const ended = engine.wait(id, { onChange: ({ steps }) => seen.push(steps[0]?.progress?.doneBytes) });
    gate.resolve();
    await ended;
    expect(seen).toContain(5);
  });
});

describe('two operations', () => {
  it('never work on one server at once, and keep their order', async () => {
    let running = 0;
    const order: string[] = [];
    const engine = engineOf({
      one: async ({ operation }) => {
        running += 1;
        expect(running).toBe(1);
        order.push(operation.id);
        await new Promise((resolve) => setTimeout(resolve, 5));
        running -= 1;
      },
    });
    const submitted = await Promise.all([1, 2, 3, 4].map(() => engine.submit(onServer('web-1'))));
    await Promise.all(submitted.map(({ id }) => engine.wait(id)));
    expect(order).toEqual(submitted.map(({ id }) => id));
  });

  it('on different servers work at the same time', async () => {
    const both = Promise.withResolvers<void>();
    let running = 0;
    const engine = engineOf({
      one: async () => {
        running += 1;
        if (running === 2) both.resolve();
        await both.promise;
      },
    });
    const [a, b] = await Promise.all([engine.submit(onServer('a')), engine.submit(onServer('b'))]);
    await Promise.all([engine.wait(a.id), engine.wait(b.id)]);
    expect(running).toBe(2);
  });

  it('keep an agent’s own snapshot out while one works, and wait while the agent works', async () => {
    const engine = engineOf({ one: async () => undefined });
    const snapshot = { kind: 'snapshot' as const, server: 'web-1', requestedBy: 'agent' };
    const begun = await engine.begin(snapshot, 'snapshot');
    await expect(engine.begin(snapshot, 'snapshot')).rejects.toMatchObject({ code: 'CONFLICT' });
    const queued = await engine.submit(onServer('web-1'));
    await clock.advance(1000);
    expect((await engine.get(queued.id)).state).toBe('queued');
    await engine.end(begun.id, { result: { snapshot: 's1' } });
    expect((await engine.wait(queued.id)).state).toBe('done');
    expect(await engine.get(begun.id)).toMatchObject({ state: 'done', result: { snapshot: 's1' } });
    await engine.end(begun.id, { error: lost() });
    expect((await engine.get(begun.id)).state).toBe('done');
  });
});

describe('cancellation', () => {
  it('ends a queued operation at once', async () => {
    const engine = engineOf({ one: forever });
    await engine.submit(onServer('web-1'));
    const queued = await engine.submit(onServer('web-1'));
    expect(await engine.cancel(queued.id, 'ann')).toMatchObject({
      state: 'cancelled',
      error: { code: 'OPERATION_CANCELLED', message: expect.stringContaining('ann') },
    });
  });

  it('interrupts a running one, undoes it, and lets the next go', async () => {
    const undone: string[] = [];
    const engine = engineOf(
      { one: async (context) => (context.operation.parameters.hang === true ? forever(context) : undefined) },
      {
        undo: async (_, error) => {
          undone.push(error.code);
        },
      },
    );
    const running = await engine.submit({ ...onServer('web-1'), parameters: { hang: true } });
    const next = await engine.submit(onServer('web-1'));
    expect((await engine.cancel(running.id, 'ann')).state).toBe('cancelled');
    expect(undone).toEqual(['OPERATION_CANCELLED']);
    expect((await engine.wait(next.id)).state).toBe('done');
  });

  it('is refused once something that cannot be taken back has begun', async () => {
    const engine = engineOf({ safe: async () => undefined, install: forever }, { destructive: 'install' });
    const { id } = await engine.submit(onServer('web-1'));
    await until(async () => (await engine.get(id)).steps[1]?.state === 'running');
    await expect(engine.cancel(id, 'ann')).rejects.toMatchObject({ code: 'CONFLICT' });
  });

  it('is refused after the end, and for what does not exist', async () => {
    const engine = engineOf({ one: async () => undefined });
    const { id } = await engine.submit(onServer('web-1'));
    await engine.wait(id);
    await expect(engine.cancel(id, 'ann')).rejects.toMatchObject({ code: 'CONFLICT' });
    await expect(engine.cancel('op-none', 'ann')).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });
});

describe('a restart of the appliance', () => {
  it.each(['one', 'two', 'three'])('takes the operation up again at step %s', async (stopAt) => {
    const ran: string[] = [];
    const steps = (hang: boolean) =>
      Object.fromEntries(
        ['one', 'two', 'three'].map((name) => [
          name,
          async (context: StepContext) => {
            ran.push(name);
            if (hang && name === stopAt) await forever(context);
            await context.remember({ [name]: true });
          },
        ]),
      );
    const before = engineOf(steps(true));
    const { id } = await before.submit(onServer('web-1'));
    await until(
      async () => ran.at(-1) === stopAt && (await before.get(id)).steps.some((s) => s.state === 'running'),
    );
    await before.stop();
    expect((await catalogue.operations.get(id))?.state).toBe('running');
    await catalogue.close();
    catalogue = await openCatalogue(directory);
    const after = engineOf(steps(false));
    await after.resume();
    expect(await after.wait(id)).toMatchObject({
      state: 'done',
      memory: { one: true, two: true, three: true },
    });
    const twice = ran.filter((name, at) => ran.indexOf(name) !== at);
    expect(twice).toEqual([stopAt]);
  });

  it('goes on undoing what had failed, instead of trying again', async () => {
    let undone = 0;
    const failing = async () => {
      throw new OverdubError('CONFLICT', 'no', 'no');
    };
    const before = engineOf(
      { one: failing },
      { undo: async (_op, _error, signal) => forever({ signal } as StepContext) },
    );
    const { id } = await before.submit(onServer('web-1'));
    await until(async () => (await before.get(id)).error !== undefined);
    await before.stop();
    const after = engineOf(
      { one: async () => expect.unreachable() },
      {
        undo: async () => {
          undone += 1;
        },
      },
    );
    await after.resume();
    expect(await after.wait(id)).toMatchObject({ state: 'failed', error: { code: 'CONFLICT' } });
    expect(undone).toBe(1);
  });

  it('keeps the order of one server: what ran goes before what was queued', async () => {
    const before = engineOf({ one: forever });
    const first = await before.submit(onServer('web-1'));
    const second = await before.submit(onServer('web-1'));
    await until(async () => (await before.get(first.id)).state === 'running');
    await before.stop();
    const order: string[] = [];
    const after = engineOf({
      one: async ({ operation }) => {
        order.push(operation.id);
      },
    });
    await after.resume();
    await Promise.all([after.wait(first.id), after.wait(second.id)]);
    expect(order).toEqual([first.id, second.id]);
  });

  it('ends an agent’s own snapshot that was under way: nothing half-done is shown as done', async () => {
    const before = engineOf({});
    const begun = await before.begin({ kind: 'snapshot', server: 'web-1', requestedBy: 'agent' }, 'snapshot');
    await before.stop();
    const after = engineOf({});
    await after.resume();
    expect(await after.get(begun.id)).toMatchObject({ state: 'failed', error: { code: 'AGENT_LOST' } });
  });

  it('still refuses to cancel what had begun to destroy', async () => {
    const before = engineOf({ install: forever }, { destructive: 'install' });
    const { id } = await before.submit(onServer('web-1'));
    await until(async () => (await before.get(id)).steps[0]?.state === 'running');
    await before.stop();
    const after = engineOf({ install: forever }, { destructive: 'install' });
    await after.resume();
    await expect(after.cancel(id, 'ann')).rejects.toMatchObject({ code: 'CONFLICT' });
  });

  it('tells whoever waits that it stops', async () => {
    const engine = engineOf({ one: forever });
    const { id } = await engine.submit(onServer('web-1'));
    const waiting = engine.wait(id);
    waiting.catch(() => undefined);
    await engine.stop();
    await expect(waiting).rejects.toMatchObject({ code: 'CONFLICT' });
    await expect(engine.submit(onServer('web-1'))).rejects.toMatchObject({ code: 'CONFLICT' });
  });
});

/** Polls a condition of real progress; fails by the test's own time limit. */
async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 2));
}

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Operation } from '../domain/operation.ts';
import { OverdubError } from '../errors.ts';
import { comesTo, type EngineBench, forever, lost, newEngineBench, onServer } from './engine-fixture.ts';

let bench: EngineBench;

beforeEach(async () => {
  bench = await newEngineBench();
});
afterEach(() => bench.close());

describe('an operation', () => {
  it('runs its steps in order, and says what it did', async () => {
    const order: string[] = [];
    const engine = bench.engineOf({
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
    expect(await bench.catalogue.operations.get(id)).toEqual(ended);
    await bench.clock.advance(0);
    expect(bench.told.map(({ type }) => type)).toEqual(['operation.started', 'operation.done']);
  });

  it('fails with the step’s own error, after it was undone', async () => {
    const undone: Operation[] = [];
    const engine = bench.engineOf(
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
    await bench.clock.advance(0);
    expect(bench.told.at(-1)?.type).toBe('operation.failed');
  });

  it('whose end cannot be written ends all the same, once the catalogue has room again', async () => {
    const { operations } = bench.catalogue;
    const full = new OverdubError('STATE_UNWRITABLE', 'the disk is full', 'free space');
    const undone = vi.fn(async () => undefined);
    const engine = bench.engineOf(
      {
        one: async () => {
          vi.spyOn(operations, 'save').mockRejectedValueOnce(full).mockRejectedValueOnce(full);
          throw new OverdubError('REPOSITORY_FULL', 'no room left', 'make room');
        },
      },
      { undo: undone },
    );
    const { id } = await engine.submit(onServer('web-1'));
    const ended = engine.wait(id);
    await comesTo(async () => engine.open()[0]?.error !== undefined && bench.clock.sleeping > 0);
    expect(undone).not.toHaveBeenCalled();
    expect(engine.open()).toHaveLength(1);
    await bench.clock.advance(60_000);
    expect(await ended).toMatchObject({ state: 'failed', error: { code: 'REPOSITORY_FULL' } });
    expect(undone).toHaveBeenCalledOnce();
    expect(await operations.get(id)).toMatchObject({ state: 'failed', error: { code: 'REPOSITORY_FULL' } });
  });
});

describe('two operations', () => {
  it('never work on one server at once, and keep their order', async () => {
    let running = 0;
    const order: string[] = [];
    const engine = bench.engineOf({
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
    const engine = bench.engineOf({
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
    const engine = bench.engineOf({ one: async () => undefined });
    const snapshot = { kind: 'snapshot' as const, server: 'web-1', requestedBy: 'agent' };
    const begun = await engine.begin(snapshot, 'snapshot');
    await expect(engine.begin(snapshot, 'snapshot')).rejects.toMatchObject({ code: 'CONFLICT' });
    const queued = await engine.submit(onServer('web-1'));
    await bench.clock.advance(1000);
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
    const engine = bench.engineOf({ one: forever });
    await engine.submit(onServer('web-1'));
    const queued = await engine.submit(onServer('web-1'));
    expect(await engine.cancel(queued.id, 'ann')).toMatchObject({
      state: 'cancelled',
      error: { code: 'OPERATION_CANCELLED', message: expect.stringContaining('ann') },
    });
  });

  it('interrupts a running one, undoes it, and lets the next go', async () => {
    const undone: string[] = [];
    const engine = bench.engineOf(
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
    const engine = bench.engineOf(
      { safe: async () => undefined, install: forever },
      { destructive: 'install' },
    );
    const { id } = await engine.submit(onServer('web-1'));
    await comesTo(async () => (await engine.get(id)).steps[1]?.state === 'running');
    await expect(engine.cancel(id, 'ann')).rejects.toMatchObject({ code: 'CONFLICT' });
  });

  it('is refused after the end, and for what does not exist', async () => {
    const engine = bench.engineOf({ one: async () => undefined });
    const { id } = await engine.submit(onServer('web-1'));
    await engine.wait(id);
    await expect(engine.cancel(id, 'ann')).rejects.toMatchObject({ code: 'CONFLICT' });
    await expect(engine.cancel('op-none', 'ann')).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });
});

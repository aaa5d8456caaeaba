import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { OverdubError } from '../errors.ts';
import type { StepContext } from './definition.ts';
import { comesTo, type EngineBench, forever, newEngineBench, onServer } from './engine-fixture.ts';

let bench: EngineBench;

beforeEach(async () => {
  bench = await newEngineBench();
});
afterEach(() => bench.close());

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
    const before = bench.engineOf(steps(true));
    const { id } = await before.submit(onServer('web-1'));
    await comesTo(
      async () => ran.at(-1) === stopAt && (await before.get(id)).steps.some((s) => s.state === 'running'),
    );
    await before.stop();
    expect((await bench.catalogue.operations.get(id))?.state).toBe('running');
    await bench.reopen();
    const after = bench.engineOf(steps(false));
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
    const before = bench.engineOf(
      { one: failing },
      { undo: async (_op, _error, signal) => forever({ signal }) },
    );
    const { id } = await before.submit(onServer('web-1'));
    await comesTo(async () => (await before.get(id)).error !== undefined);
    await before.stop();
    const after = bench.engineOf(
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
    const before = bench.engineOf({ one: forever });
    const first = await before.submit(onServer('web-1'));
    const second = await before.submit(onServer('web-1'));
    await comesTo(async () => (await before.get(first.id)).state === 'running');
    await before.stop();
    const order: string[] = [];
    const after = bench.engineOf({
      one: async ({ operation }) => {
        order.push(operation.id);
      },
    });
    await after.resume();
    await Promise.all([after.wait(first.id), after.wait(second.id)]);
    expect(order).toEqual([first.id, second.id]);
  });

  it('ends an agent’s own snapshot that was under way: nothing half-done is shown as done', async () => {
    const before = bench.engineOf({});
    const begun = await before.begin({ kind: 'snapshot', server: 'web-1', requestedBy: 'agent' }, 'snapshot');
    await before.stop();
    const after = bench.engineOf({});
    await after.resume();
    expect(await after.get(begun.id)).toMatchObject({ state: 'failed', error: { code: 'AGENT_LOST' } });
  });

  it('still refuses to cancel what had begun to destroy', async () => {
    const before = bench.engineOf({ install: forever }, { destructive: 'install' });
    const { id } = await before.submit(onServer('web-1'));
    await comesTo(async () => (await before.get(id)).steps[0]?.state === 'running');
    await before.stop();
    const after = bench.engineOf({ install: forever }, { destructive: 'install' });
    await after.resume();
    await expect(after.cancel(id, 'ann')).rejects.toMatchObject({ code: 'CONFLICT' });
  });

  it('tells whoever waits that it stops', async () => {
    const engine = bench.engineOf({ one: forever });
    const { id } = await engine.submit(onServer('web-1'));
    const waiting = engine.wait(id);
    waiting.catch(() => undefined);
    await engine.stop();
    await expect(waiting).rejects.toMatchObject({ code: 'CONFLICT' });
    await expect(engine.submit(onServer('web-1'))).rejects.toMatchObject({ code: 'CONFLICT' });
  });
});

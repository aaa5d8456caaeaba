import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { comesTo, type EngineBench, lost, newEngineBench, onServer } from './engine-fixture.ts';

let bench: EngineBench;

beforeEach(async () => {
  bench = await newEngineBench();
});
afterEach(() => bench.close());

describe('a step', () => {
  it('tries again with growing pauses while the agent is away, then gives up', async () => {
    let attempts = 0;
    const engine = bench.engineOf({
      one: async () => {
        attempts += 1;
        throw lost();
      },
    });
    const { id } = await engine.submit(onServer('web-1'));
    const ended = engine.wait(id);
    await bench.clock.advance(1000);
    expect(attempts).toBe(1);
    await bench.clock.advance(1500);
    expect(attempts).toBe(2);
    await bench.clock.advance(10 * 60_000);
    expect(await ended).toMatchObject({ state: 'failed', error: { code: 'AGENT_LOST' } });
    expect((await engine.get(id)).steps[0]?.attempts).toBe(6);
  });

  it('goes on when the agent comes back', async () => {
    let attempts = 0;
    const engine = bench.engineOf({
      one: async () => {
        attempts += 1;
        if (attempts < 3) throw lost();
      },
    });
    const { id } = await engine.submit(onServer('web-1'));
    const ended = engine.wait(id);
    await bench.clock.advance(60_000);
    expect((await ended).state).toBe('done');
  });

  it('says at once whose agent it waits for and what to do, until the agent works again', async () => {
    const back = Promise.withResolvers<void>();
    const finish = Promise.withResolvers<void>();
    let attempts = 0;
    const engine = bench.engineOf({
      one: async ({ progress }) => {
        attempts += 1;
        if (attempts < 3) throw lost();
        await back.promise;
        progress({ text: 'at work' });
        await finish.promise;
      },
    });
    const { id } = await engine.submit(onServer('web-1'));
    const stored = () => bench.catalogue.operations.get(id);
    const plea = expect.stringMatching(
      /agent of web-1.*step one.*machine \(overdub server show web-1\).*power-cycle/,
    );
    await bench.clock.advance(0);
    expect(await stored()).toMatchObject({ state: 'waiting', attention: plea });
    await bench.clock.advance(60_000);
    expect(attempts).toBe(3);
    expect(await stored()).toMatchObject({ state: 'waiting', attention: plea });
    back.resolve();
    await bench.clock.advance(0);
    expect(await stored()).toMatchObject({ state: 'running', steps: [{ progress: { text: 'at work' } }] });
    expect((await stored())?.attention).toBeUndefined();
    finish.resolve();
    expect((await engine.wait(id)).state).toBe('done');
    expect(bench.told.filter(({ type }) => type === 'operation.waiting')).toHaveLength(1);
  });

  it('waits for nobody any more once it has ended, also without progress', async () => {
    const gate = Promise.withResolvers<void>();
    let attempts = 0;
    const engine = bench.engineOf({
      one: async () => {
        attempts += 1;
        if (attempts === 1) throw lost();
      },
      two: () => gate.promise,
    });
    const { id } = await engine.submit(onServer('web-1'));
    await bench.clock.advance(60_000);
    const between = await engine.get(id);
    expect(between).toMatchObject({ state: 'running', steps: [{ state: 'done' }, { state: 'running' }] });
    expect(between.attention).toBeUndefined();
    gate.resolve();
    await engine.wait(id);
  });

  it('takes its plea back when it gives up, too', async () => {
    const engine = bench.engineOf({
      one: async () => {
        throw lost();
      },
    });
    const { id } = await engine.submit(onServer('web-1'));
    await bench.clock.advance(10 * 60_000);
    const ended = await engine.get(id);
    expect(ended).toMatchObject({ state: 'failed', error: { code: 'AGENT_LOST' } });
    expect(ended.attention).toBeUndefined();
  });

  it('ends a step at its deadline, also one that does not listen', async () => {
    const engine = bench.engineOf({ deaf: () => new Promise(() => undefined) }, { deadlineMs: 5000 });
    const { id } = await engine.submit(onServer('web-1'));
    const ended = engine.wait(id);
    await bench.clock.advance(6000);
    expect(await ended).toMatchObject({ state: 'failed', error: { code: 'TIMED_OUT' } });
  });

  it('waits for people by name, and tells it once', async () => {
    const gate = Promise.withResolvers<void>();
    const engine = bench.engineOf({
      one: async ({ attention }) => {
        await attention('power-cycle machine-7');
        await gate.promise;
        await attention();
      },
    });
    const { id } = await engine.submit(onServer('web-1'));
    await comesTo(async () => (await engine.get(id)).state === 'waiting');
    expect(await bench.catalogue.operations.get(id)).toMatchObject({
      state: 'waiting',
      attention: 'power-cycle machine-7',
    });
    gate.resolve();
    const ended = await engine.wait(id);
    expect(ended.attention).toBeUndefined();
    await bench.clock.advance(0);
    expect(bench.told.filter(({ type }) => type === 'operation.waiting')).toHaveLength(1);
  });

  it('shows progress to whoever waits', async () => {
    const gate = Promise.withResolvers<void>();
    const engine = bench.engineOf({
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

import { describe, expect, it } from 'vitest';
import { type PaceClock, paced } from './pace.ts';

/** Time that passes only when somebody sleeps. */
function manual(): PaceClock & { at: number } {
  const clock = {
    at: 1000,
    now: () => clock.at,
    sleep: async (ms: number, signal: AbortSignal) => {
      signal.throwIfAborted();
      clock.at += ms;
    },
  };
  return clock;
}

async function* pieces(...lengths: readonly number[]): AsyncGenerator<Uint8Array> {
  let next = 0;
  for (const length of lengths) yield Uint8Array.from({ length }, () => next++ & 255);
}

async function all(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of source) parts.push(part);
  return Buffer.concat(parts);
}

describe('paced', () => {
  const never = new AbortController().signal;

  it('passes every byte, in order', async () => {
    const wanted = await all(pieces(1, 0, 70_000, 3));
    expect(await all(paced(pieces(1, 0, 70_000, 3), 10_000, never, manual()))).toEqual(wanted);
  });

  it('takes as long as the rate says, however the bytes come', async () => {
    for (const lengths of [[100_000], Array.from({ length: 1000 }, () => 100)]) {
      const clock = manual();
      await all(paced(pieces(...lengths), 10_000, never, clock));
      expect(clock.at - 1000).toBeGreaterThan(9_700);
      expect(clock.at - 1000).toBeLessThanOrEqual(10_000);
    }
  });

  it('keeps a slow line alive: no turn is longer than a second, at one byte a second', async () => {
    const clock = manual();
    let last = clock.at;
    for await (const _piece of paced(pieces(5), 1, never, clock)) {
      expect(clock.at - last).toBeLessThanOrEqual(1000);
      last = clock.at;
    }
  });

  it('does not make up for a receiver that was slow', async () => {
    const clock = manual();
    const sending = paced(pieces(2500, 2500, 2500), 10_000, never, clock);
    await sending.next();
    clock.at += 60_000;
    await sending.next();
    const before = clock.at;
    await sending.next();
    expect(clock.at - before).toBeCloseTo(250);
  });

  it('ends when it is aborted', async () => {
    const stop = new AbortController();
    const sending = paced(pieces(100_000), 1000, stop.signal, manual());
    await sending.next();
    stop.abort(new Error('enough'));
    await expect(sending.next()).rejects.toThrow('enough');
  });
});

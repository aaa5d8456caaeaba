import { describe, expect, it, vi } from 'vitest';
import { packDigests } from '../domain/digest-set.ts';
import { FRAME, type Frame } from '../domain/frames.ts';
import type { Digest } from '../domain/manifest.ts';
import { DIGESTS_LIMIT } from '../domain/transfer-bodies.ts';
import { knownWants, StreamedWants, type WantsListener } from './wants.ts';

const digest = (at: number): Digest => at.toString(16).padStart(64, '0');
const list = (...ats: readonly number[]): Frame => ({
  type: FRAME.digests,
  payload: packDigests(ats.map(digest)),
});
const deaf: WantsListener = { wanted: async () => undefined, waited: () => undefined };

/** Frames that come when they are told to. */
function line() {
  const waiting: (Frame | 'end' | Error)[] = [];
  let wake = () => {};
  const frames = (async function* () {
    for (;;) {
      const next = waiting.shift();
      if (next === 'end') return;
      if (next instanceof Error) throw next;
      if (next !== undefined) yield next;
      else
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
    }
  })();
  const come = (...what: typeof waiting) => {
    waiting.push(...what);
    wake();
  };
  return { frames, come };
}

const HOUR_MS = 3_600_000;
const settled = () => new Promise((done) => setTimeout(done, 20, 'still waited for'));

describe('wants', () => {
  it('that are known are as many as there are', async () => {
    const wants = knownWants([digest(1), digest(2)]);
    expect([wants.known(0), wants.known(1), wants.known(2)]).toEqual([digest(1), digest(2), undefined]);
    expect([await wants.comes(1), await wants.comes(2)]).toEqual([true, false]);
  });

  it('that come are waited for, in their order, up to the end', async () => {
    const { frames, come } = line();
    const told: unknown[] = [];
    const wants = new StreamedWants(frames, {
      wanted: async (digests) => void told.push(digests),
      waited: (part) => told.push(part),
    });
    expect(wants.known(0)).toBeUndefined();
    const first = wants.comes(0);
    expect(await Promise.race([first, settled()])).toBe('still waited for');
    come(list(1, 2), { type: FRAME.waited, payload: Buffer.from('0.25') });
    expect(await first).toBe(true);
    expect([wants.known(0), wants.known(1), wants.known(2)]).toEqual([digest(1), digest(2), undefined]);
    const third = wants.comes(2);
    come(list(3), 'end');
    expect([await third, await wants.comes(3)]).toEqual([true, false]);
    expect(told).toEqual([[digest(1), digest(2)], 0.25, [digest(3)]]);
  });

  it('may say once between two lists how long was waited', async () => {
    const { frames, come } = line();
    const wants = new StreamedWants(frames, deaf);
    const waited = { type: FRAME.waited, payload: Buffer.from('0.25') };
    come(waited, list(1), waited, list(2), waited, waited);
    expect(await wants.comes(1)).toBe(true);
    await expect(wants.comes(2)).rejects.toMatchObject({
      code: 'INPUT_INVALID',
      message: expect.stringContaining('twice in a row'),
    });
  });

  it.each<[string, Frame, string]>([
    ['that are none', list(), 'a list of no digests'],
    ['of deltas', { type: FRAME.want, payload: new Uint8Array(4) }, 'none of digests'],
    ['for later', { ...list(1), type: FRAME.later }, 'none of digests'],
    ['that are half a digest', { type: FRAME.digests, payload: new Uint8Array(33) }, 'list of digests'],
    [
      'with a part of time that is none',
      { type: FRAME.waited, payload: Buffer.from('2') },
      'part of its time',
    ],
  ])('%s are refused, behind those that came before', async (_, frame, why) => {
    const { frames, come } = line();
    const wants = new StreamedWants(frames, deaf);
    come(list(1), frame);
    expect(await wants.comes(0)).toBe(true);
    await expect(wants.comes(1)).rejects.toMatchObject({
      code: 'INPUT_INVALID',
      message: expect.stringContaining(why),
    });
  });

  it('are no more than one fetch may have, however many a frame brings', async () => {
    const { frames, come } = line();
    const wants = new StreamedWants(frames, deaf);
    const half = Array.from({ length: DIGESTS_LIMIT / 2 }, (_, at) => at);
    come(list(...half), list(...half));
    expect(await wants.comes(DIGESTS_LIMIT - 1)).toBe(true);
    const more = wants.comes(DIGESTS_LIMIT);
    come(list(1));
    await expect(more).rejects.toMatchObject({ code: 'INPUT_INVALID' });
  });

  it('are waited for for six hours, and no longer', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    try {
      const { frames, come } = line();
      const wants = new StreamedWants(frames, deaf);
      come(list(1));
      expect(await wants.comes(0)).toBe(true);
      const more = wants.comes(1);
      await vi.advanceTimersByTimeAsync(6 * HOUR_MS - 10_000);
      come(list(2));
      expect(await more).toBe(true);
      const never = expect(wants.comes(2)).rejects.toThrow('six hours');
      await vi.advanceTimersByTimeAsync(6 * HOUR_MS - 10_000);
      expect(wants.known(2)).toBeUndefined();
      await vi.advanceTimersByTimeAsync(20_000);
      await never;
    } finally {
      vi.useRealTimers();
    }
  });

  it('reject with what the line broke with, and with what their listener says', async () => {
    const broken = line();
    const wants = new StreamedWants(broken.frames, deaf);
    broken.come(new Error('the line broke'));
    await expect(wants.comes(0)).rejects.toThrow('the line broke');
    const other = line();
    const strict = new StreamedWants(other.frames, {
      ...deaf,
      wanted: async () => {
        throw new Error('not yours');
      },
    });
    other.come(list(1));
    await settled();
    await expect(strict.comes(0)).rejects.toThrow('not yours');
  });
});

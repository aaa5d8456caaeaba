import { describe, expect, it } from 'vitest';
import { KeptFrame } from './kept-frame.ts';

const MiB = 1024 * 1024;
const bytes = () => new Uint8Array(MiB).fill(7);
/** Until all promises that can have settled. */
const settled = () => new Promise((done) => setImmediate(done));

describe('a frame that parts are taken of', () => {
  it('is freed when it is given up, and parts of it stay', async () => {
    const raw = bytes();
    const frame = new KeptFrame(Promise.resolve(raw));
    const parts = [await frame.part(1000, 500), await frame.part(0, MiB / 2)];
    frame.giveUp();
    await settled();
    expect(raw.length).toBe(0);
    expect(parts).toEqual([500, MiB / 2].map((length) => new Uint8Array(length).fill(7)));
  });

  it('is not freed under who asked for a part before it was given up', async () => {
    const raw = bytes();
    const { promise, resolve } = Promise.withResolvers<Uint8Array>();
    const frame = new KeptFrame(promise);
    const part = frame.part(10, 20);
    frame.giveUp();
    resolve(raw);
    expect(await part).toEqual(new Uint8Array(20).fill(7));
    await settled();
    expect(raw.length).toBe(0);
  });

  it('is not freed under who was lent a part, until he is done', async () => {
    const raw = bytes();
    const frame = new KeptFrame(Promise.resolve(raw));
    const { promise, resolve } = Promise.withResolvers<void>();
    const seen: number[] = [];
    const lent = frame.lend(10, 20, async (part) => {
      seen.push(part.length);
      await promise;
      seen.push(part.length);
    });
    await settled();
    frame.giveUp();
    await settled();
    resolve();
    await lent;
    expect(seen).toEqual([20, 20]);
    await settled();
    expect(raw.length).toBe(0);
  });

  it('that cannot be read tells who asks, and nobody else', async () => {
    const frame = new KeptFrame(Promise.reject(new Error('damaged')));
    await expect(frame.part(0, 1)).rejects.toThrow('damaged');
    frame.giveUp();
    await settled();
  });
});

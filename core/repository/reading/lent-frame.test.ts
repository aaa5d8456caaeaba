import { describe, expect, it } from 'vitest';
import { LentFrame } from './lent-frame.ts';

const MiB = 1024 * 1024;
const bytes = () => new Uint8Array(MiB).fill(7);
/** Until all promises that can have settled. */
const settled = () => new Promise((done) => setImmediate(done));

describe('a frame that parts are taken of', () => {
  it('is freed when it is given up, and its short parts stay', async () => {
    const raw = bytes();
    const frame = new LentFrame(Promise.resolve(raw));
    const part = await frame.part(1000, 500);
    frame.giveUp();
    await settled();
    expect(raw.length).toBe(0);
    expect(part).toEqual(new Uint8Array(500).fill(7));
  });

  it('stays where a long part of it is in use', async () => {
    const raw = bytes();
    const frame = new LentFrame(Promise.resolve(raw));
    const part = await frame.part(0, MiB / 2);
    frame.giveUp();
    await settled();
    expect([raw.length, part.length]).toEqual([MiB, MiB / 2]);
  });

  it('is not freed under who asked for a part before it was given up', async () => {
    const raw = bytes();
    const { promise, resolve } = Promise.withResolvers<Uint8Array>();
    const frame = new LentFrame(promise);
    const part = frame.part(10, 20);
    frame.giveUp();
    resolve(raw);
    expect(await part).toEqual(new Uint8Array(20).fill(7));
    await settled();
    expect(raw.length).toBe(0);
  });

  it('that cannot be read tells who asks, and nobody else', async () => {
    const frame = new LentFrame(Promise.reject(new Error('damaged')));
    await expect(frame.part(0, 1)).rejects.toThrow('damaged');
    frame.giveUp();
    await settled();
  });
});

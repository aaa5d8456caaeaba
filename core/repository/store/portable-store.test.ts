import { expect, it } from 'vitest';
import type { Clock } from '../../contracts/clock.ts';
import { collect } from '../../testing/collect.ts';
import { FaultyBlobStore } from '../../testing/fakes/faulty-blob-store.ts';
import { MemoryBlobStore } from '../../testing/fakes/memory-blob-store.ts';
import { eagerClock, silentLog } from '../fixture.ts';
import { PortableStore } from './portable-store.ts';

const failing = (code: string) => () => {
  throw Object.assign(new Error(`failed with ${code}`), { code });
};

it('gives up on a store that hangs, saying what it was doing', async () => {
  const impatient: Clock = { now: () => 0, sleep: async () => undefined };
  const hanging = new FaultyBlobStore(new MemoryBlobStore(), () => new Promise(() => undefined));
  const store = new PortableStore(hanging, { clock: impatient, log: silentLog });
  const read = store.read('packs/ab/x.pack');
  await expect(read).rejects.toMatchObject({ code: 'TIMED_OUT' });
  await expect(read).rejects.toThrow('read packs/ab/x.pack');
});

it.each([
  ['EACCES', 'STATE_UNWRITABLE', 1],
  ['EROFS', 'STATE_UNWRITABLE', 1],
  ['EIO', 'PLUGIN_FAILED', 4],
])('codes %s as %s after %i tries', async (raw, code, tries) => {
  let asked = 0;
  const faulty = new FaultyBlobStore(new MemoryBlobStore(), () => {
    asked += 1;
    failing(raw)();
  });
  const store = new PortableStore(faulty, { clock: eagerClock, log: silentLog });
  await expect(store.write('a', [Buffer.from('x')])).rejects.toMatchObject({ code });
  expect(asked).toBe(tries);
  await expect(collect(store.list(''))).rejects.toMatchObject({ code });
});

it('tells a missing blob, and a taken name, from a failure', async () => {
  const store = new PortableStore(new MemoryBlobStore(), { clock: eagerClock, log: silentLog });
  expect(await store.read('nothing')).toBeUndefined();
  expect(await store.writeNew('a', Buffer.from('1'))).toBe(true);
  expect(await store.writeNew('a', Buffer.from('2'))).toBe(false);
  expect(Buffer.from((await store.read('a')) as Uint8Array).toString()).toBe('1');
});

it('tells whether a try that ran out of time may still be reading what it writes', async () => {
  let tries = 0;
  const once = new FaultyBlobStore(new MemoryBlobStore(), async () => {
    if (tries++ === 0) await new Promise(() => undefined);
  });
  const impatient: Clock = {
    now: () => 0,
    sleep: (ms) => (ms < 60_000 || tries === 0 ? Promise.resolve() : new Promise(() => undefined)),
  };
  const store = new PortableStore(once, { clock: impatient, log: silentLog });
  expect(await store.write('a', [Buffer.from('1')])).toBe(false);
  expect(await store.write('a', [Buffer.from('2')])).toBe(true);
});

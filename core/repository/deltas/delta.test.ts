import { describe, expect, it } from 'vitest';
import type { DeltaCodec } from '../../contracts/delta-codec.ts';
import type { Repository } from '../../contracts/repository.ts';
import { digestOf } from '../../domain/content-ref.ts';
import { dictionaryCodec } from '../../testing/fakes/dictionary-codec.ts';
import {
  commitTree,
  contentsOf,
  digestsOf,
  eachWorld,
  noise,
  packedChunks,
  prose,
  readTree,
  streamed,
} from '../fixture.ts';

const world = eachWorld();

/** A database file of 4 KiB pages: generation n has a few pages changed since n − 1. */
function generation(n: number): Buffer {
  const bytes = prose(2_000_000, 'database');
  for (let change = 1; change <= n; change++) {
    for (let page = 0; page < 12; page++) {
      const at = ((change * 977 + page * 4099) % 488) * 4096;
      noise(300, `${change} ${page}`).copy(bytes, at);
    }
  }
  return bytes;
}

async function commitGenerations(repository: Repository, count: number): Promise<void> {
  let near = new Map<
    string,
    Awaited<ReturnType<typeof contentsOf>> extends Map<string, infer C> ? C : never
  >();
  for (let n = 0; n < count; n++) {
    const files = { 'var/db': generation(n) };
    const { manifest } = await commitTree(repository, `s${n}`, files, (path) =>
      [near.get(path)].flatMap((c) => c ?? []),
    );
    near = await contentsOf(repository, manifest);
  }
}

describe('deltas', () => {
  it('store a changed database as a fraction of it, at most two in a row, and every generation restores', async () => {
    const repository = await world.open({ codecs: [dictionaryCodec()] });
    await commitGenerations(repository, 7);
    const { byForm } = await repository.stats();
    expect(byForm.dictionary?.chunks).toBeGreaterThanOrEqual(6);
    expect(byForm.dictionary?.storedBytes).toBeLessThan((byForm.whole?.storedBytes ?? 0) / 2);
    const depths = packedChunks(world.blobs).map((chunk) => chunk.delta?.depth ?? 0);
    expect(Math.max(...depths)).toBe(2);
    for (let n = 6; n >= 0; n--) {
      const snapshot = await repository.getSnapshot('web-1', `s${n}`);
      if (snapshot === undefined) throw new Error(`s${n} is gone`);
      expect(await readTree(repository, snapshot.manifest)).toEqual(digestsOf({ 'var/db': generation(n) }));
      await repository.removeSnapshot('web-1', `s${n}`);
    }
  });

  it('and their bases are given out in buffers that the caller may free', async () => {
    const repository = await world.open({ codecs: [dictionaryCodec()] });
    await commitGenerations(repository, 5);
    const digests = packedChunks(world.blobs).map(({ digest }) => digest);
    const isFreed: boolean[] = [];
    for (const digest of [...digests, ...digests.toReversed()]) {
      const bytes = await repository.readChunk(digest);
      expect(digestOf(bytes)).toBe(digest);
      (bytes.buffer as ArrayBuffer).transfer(0);
      isFreed.push(bytes.length === 0);
    }
    expect(new Set(isFreed)).toEqual(new Set([true]));
  });

  it('of a codec that gives out its base leave that alone', async () => {
    const echo: DeltaCodec = {
      ...dictionaryCodec(),
      encode: async () => new Uint8Array(1),
      decode: async (base, _delta, { targetBytes }) => base.subarray(0, targetBytes),
    };
    const repository = await world.open({ codecs: [echo] });
    const session = await repository.ingest({ label: 'echo' });
    const base = noise(200_000, 'base');
    const content = await session.addStream(streamed(base));
    const target = base.subarray(0, 199_000);
    const { digest } = await session.addStream(streamed(target), { contents: [content] });
    await session.flush();
    expect((await repository.stats()).byForm[echo.name]?.chunks).toBe(1);
    for (let time = 0; time < 2; time++) {
      const bytes = await repository.readChunk(digest);
      expect(Buffer.from(bytes)).toEqual(target);
      (bytes.buffer as ArrayBuffer).transfer(0);
    }
    await session.close();
  });

  it('find their base behind an insertion', async () => {
    const repository = await world.open({ codecs: [dictionaryCodec()] });
    const before = prose(12_000_000, 'log');
    const first = await commitTree(repository, 's1', { log: before });
    const near = (await contentsOf(repository, first.manifest)).get('log');
    const changed = Buffer.concat([noise(3_000_000, 'inserted'), before]);
    noise(200, 'late change').copy(changed, 12_500_000);
    const whole = (await repository.stats()).byForm.whole?.chunks ?? 0;
    await commitTree(repository, 's2', { log: changed }, () => (near === undefined ? [] : [near]));
    expect((await repository.stats()).byForm.dictionary?.chunks).toBeGreaterThanOrEqual(1);
    expect((await repository.stats()).byForm.whole?.chunks).toBeLessThan(whole + 8);
  });

  it('are not kept unless clearly smaller', async () => {
    const repository = await world.open({ codecs: [dictionaryCodec()] });
    const first = await commitTree(repository, 's1', { a: noise(200_000, 1) });
    const near = await contentsOf(repository, first.manifest);
    await commitTree(repository, 's2', { a: noise(200_000, 2) }, (path) =>
      [near.get(path)].flatMap((c) => c ?? []),
    );
    expect((await repository.stats()).byForm.dictionary).toBeUndefined();
  });
});

async function changedFile(codecs: readonly DeltaCodec[], choose?: 'whole' | 'second'): Promise<Repository> {
  const chosen = choose === undefined ? {} : { choose: async () => ({ codec: choose }) };
  const repository = await world.open({ codecs, ...chosen });
  const before = prose(400_000, 'file');
  const first = await commitTree(repository, 's1', { a: before });
  const near = await contentsOf(repository, first.manifest);
  const changed = Buffer.from(before);
  noise(100, 'change').copy(changed, 200_000);
  const second = await commitTree(repository, 's2', { a: changed }, (path) =>
    [near.get(path)].flatMap((c) => c ?? []),
  );
  expect(await readTree(repository, second.manifest)).toEqual(digestsOf({ a: changed }));
  return repository;
}

describe('codecs', () => {
  it('are overruled by choose, to the whole or to another codec', async () => {
    const repository = await changedFile([dictionaryCodec()], 'whole');
    expect(Object.keys((await repository.stats()).byForm)).toEqual(['whole']);
    await repository.close();
    world.blobs.blobs.clear();
    const lavish = dictionaryCodec({
      name: 'second',
      encode: async (base, target) =>
        Buffer.concat([await dictionaryCodec().encode(base, target), noise(900, 1)]),
      decode: async (base, delta, options) =>
        dictionaryCodec().decode(base, delta.subarray(0, delta.length - 900), options),
    });
    const other = await changedFile([dictionaryCodec(), lavish], 'second');
    expect(Object.keys((await other.stats()).byForm)).toEqual(['second', 'whole']);
  });

  it('that lie, throw or refuse lose to the next, and never cost a byte', async () => {
    const lying = dictionaryCodec({ name: 'lying', encode: async () => Buffer.from('tiny') });
    const wrong = dictionaryCodec({
      name: 'wrong',
      encode: async () => Buffer.from('tiny'),
      decode: async (_base, _delta, { targetBytes }) => new Uint8Array(targetBytes),
    });
    const throwing = dictionaryCodec({ name: 'throwing', encode: () => Promise.reject(new Error('no')) });
    const small = dictionaryCodec({ name: 'small', limits: { maxBaseBytes: 10, maxTargetBytes: 10 } });
    for (const bad of [lying, wrong, throwing, small]) {
      world.blobs.blobs.clear();
      const repository = await changedFile([bad, dictionaryCodec()]);
      expect(Object.keys((await repository.stats()).byForm)).not.toContain(bad.name);
      await repository.close();
    }
  });

  it('that are gone are named, with the plugin to load', async () => {
    await (await changedFile([dictionaryCodec()])).close();
    const repository = await world.open();
    const snapshot = await repository.getSnapshot('web-1', 's2');
    const read = readTree(repository, snapshot?.manifest ?? expect.fail('s2 is gone'));
    await expect(read).rejects.toMatchObject({ code: 'DRIVER_MISSING' });
    await expect(read).rejects.toThrow('dictionary');
  });
});

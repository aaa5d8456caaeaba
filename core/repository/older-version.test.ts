/** What an Overdub before format version 2 wrote: byte by byte as docs/repository-format.md has it. */

import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { zstdDecompressSync } from 'node:zlib';
import { expect, it } from 'vitest';
import { dictionaryCodec } from '../testing/fakes/dictionary-codec.ts';
import { recordingLog } from '../testing/fakes/recording-log.ts';
import { commitTree, contentsOf, digestsOf, eachWorld, noise, prose, readTree } from './fixture.ts';
import { FOOTER_BYTES } from './packs/pack-format.ts';

const FORMAT = 'format.json';

const world = eachWorld();

/** The same pack as version 1 has it: the index as it is, no effort in the header. Knows no placed bases. */
function asVersion1(pack: Uint8Array): Buffer {
  const bytes = Buffer.from(pack);
  const footer = Buffer.from(bytes.subarray(bytes.length - FOOTER_BYTES));
  const indexOffset = Number(footer.readBigUInt64LE(0));
  const index = zstdDecompressSync(bytes.subarray(indexOffset, bytes.length - FOOTER_BYTES));
  const frames = Buffer.from(bytes.subarray(0, indexOffset));
  frames.writeUInt32LE(1, 8);
  frames.writeUInt32LE(0, 12);
  footer.writeUInt32LE(index.length, 8);
  footer.writeUInt32LE(1, 12);
  createHash('sha256').update(index).digest().copy(footer, 16);
  return Buffer.concat([frames, index, footer]);
}

it('a chunk index of the version before keeps what it has noted', async () => {
  const repository = await world.open();
  await commitTree(repository, 's1', { a: prose(100_000, 'a') });
  await repository.verify({ readData: true });
  await repository.close();
  world.crash();
  const path = join(world.stateDir, 'chunks.db');
  const before = new DatabaseSync(path);
  before.exec('ALTER TABLE chunks RENAME COLUMN encoding TO zstd; PRAGMA user_version = 2');
  before.exec('UPDATE chunks SET suspect = 1');
  const suspects = before.prepare('SELECT count(*) AS count FROM chunks').get()?.count;
  before.close();
  const log = recordingLog();
  await (await world.open({ log })).close();
  const after = new DatabaseSync(path, { readOnly: true });
  expect(after.prepare('SELECT count(*) AS count FROM chunks WHERE suspect = 1').get()?.count).toBe(suspects);
  expect(after.prepare('SELECT count(*) AS count FROM checked').get()?.count).toBeGreaterThan(0);
  after.close();
  expect(log.lines).toEqual([]);
});

it('a repository of version 1 is read, deltas included, and raised when it is opened', async () => {
  const codecs = [dictionaryCodec()];
  const first = { 'etc/passwd': prose(4_000, 'passwd'), 'var/db': prose(600_000, 'db') };
  const second = { ...first, 'var/db': Buffer.concat([noise(900, 'new'), first['var/db']]) };
  const repository = await world.open({ codecs });
  const one = await commitTree(repository, 's1', first);
  const near = await contentsOf(repository, one.manifest);
  const two = await commitTree(repository, 's2', second, (path) => [near.get(path) ?? []].flat());
  expect((await repository.stats()).byForm.dictionary?.chunks).toBeGreaterThan(0);
  await repository.close();

  const { blobs } = world.blobs;
  for (const [name, bytes] of blobs) if (name.startsWith('packs/')) blobs.set(name, asVersion1(bytes));
  const format = JSON.parse(Buffer.from(blobs.get(FORMAT) as Uint8Array).toString()) as object;
  blobs.set(FORMAT, Buffer.from(JSON.stringify({ ...format, version: 1 })));

  const raised = await world.open({ codecs, stateDir: join(world.stateDir, 'another') });
  expect(await readTree(raised, one.manifest)).toEqual(digestsOf(first));
  expect(await readTree(raised, two.manifest)).toEqual(digestsOf(second));
  expect(JSON.parse(Buffer.from(blobs.get(FORMAT) as Uint8Array).toString())).toMatchObject({ version: 4 });
  const third = await commitTree(raised, 's3', { ...second, more: noise(5_000, 'more') });
  expect(await readTree(raised, third.manifest)).toMatchObject(digestsOf(second));
  await raised.removeSnapshot('web-1', 's1');
  await raised.optimise();
  await raised.collect();
  expect(await readTree(raised, two.manifest)).toEqual(digestsOf(second));
});

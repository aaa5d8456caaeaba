import { beforeEach, describe, expect, it } from 'vitest';
import type { MadeDelta, Repository } from '../../contracts/repository.ts';
import { digestOf } from '../../domain/content-ref.ts';
import { type Command, copies, encoded } from '../../testing/fakes/copies-codec.ts';
import { commitTree, eachWorld, fileEntry, prose, readTree } from '../fixture.ts';

const MIB = 1024 * 1024;

const world = eachWorld();
let repository: Repository;
beforeEach(async () => {
  repository = await world.open({ codecs: [copies] });
});

/** Twenty tables of a chunk each, and a log that takes one page from every one. */
const tables = Array.from({ length: 20 }, (_, at) => prose(400_000, `table ${at}`));
const log = Buffer.concat(tables.map((table) => table.subarray(8192, 8192 + 40_000)));

function madeLog(over: Partial<MadeDelta> = {}): MadeDelta {
  const commands = tables.map((_, at): Command => [at * MIB + 8192, 40_000]);
  return {
    codec: 'copies',
    formatVersion: 1,
    payload: encoded(commands),
    shared: false,
    bases: tables.map((table, at) => ({ digest: digestOf(table), at: at * MIB, bytes: table.length })),
    ...over,
  };
}

async function commitLog(made: MadeDelta, bytes: Buffer = log): Promise<void> {
  const session = await repository.ingest({ label: 'log' });
  const digest = digestOf(bytes);
  expect(await session.addBytes(bytes, () => true, { made })).toBe(digest);
  await session.flush();
  const content = { digest, bytes: bytes.length, chunks: [{ digest, bytes: bytes.length }] };
  const manifest = await session.writeManifest([fileEntry('wal', content)]);
  await session.flush();
  await session.close();
  expect(await readTree(repository, manifest)).toEqual({ wal: digest });
}

describe('a delta made elsewhere', () => {
  it('is kept as it came, with twenty bases at their places, and survives a lost index', async () => {
    const files = Object.fromEntries(tables.map((table, at) => [`table-${at}`, table]));
    await commitTree(repository, 's1', files);
    await commitLog(madeLog());
    expect((await repository.stats()).byForm.copies).toMatchObject({ chunks: 1 });
    await repository.close();
    world.crash();
    repository = await world.open({ codecs: [copies], stateDir: `${world.stateDir}/anew` });
    expect(digestOf(await repository.readChunk(digestOf(log)))).toBe(digestOf(log));
    expect((await repository.stats()).byForm.copies).toMatchObject({ chunks: 1 });
  });

  it('is stored whole where a base is unknown, of another length, or places overlap', async () => {
    await commitTree(repository, 's1', { first: tables[0] as Buffer });
    await commitLog(madeLog());
    const [first] = madeLog().bases;
    const base = first as MadeDelta['bases'][number];
    const short = { ...base, bytes: base.bytes - 1 };
    const page = (tables[0] as Buffer).subarray(8192, 48_192);
    const payload = encoded([[8192, 40_000]]);
    await commitLog(madeLog({ payload, bases: [short] }), Buffer.from(page));
    const other = Buffer.from((tables[0] as Buffer).subarray(9000, 49_000));
    await commitLog(madeLog({ payload, bases: [base, base] }), other);
    expect((await repository.stats()).byForm.copies).toBeUndefined();
  });

  it('is stored whole when it saves little', async () => {
    await commitTree(repository, 's1', { first: tables[0] as Buffer });
    const bytes = prose(50_000, 'new');
    const payload = encoded([bytes.toString('base64')]);
    await commitLog(madeLog({ payload, bases: madeLog().bases.slice(0, 1) }), bytes);
    expect((await repository.stats()).byForm.copies).toBeUndefined();
  });

  it('is never more than one deep where others may copy from it', async () => {
    const files = Object.fromEntries(tables.map((table, at) => [`table-${at}`, table]));
    await commitTree(repository, 's1', files);
    await commitLog(madeLog({ shared: true }));
    const onLog = Buffer.from(log.subarray(100, 300_100));
    const made = {
      ...madeLog(),
      payload: encoded([[100, 300_000]]),
      bases: [{ digest: digestOf(log), at: 0, bytes: log.length }],
    };
    await commitLog({ ...made, shared: true }, onLog);
    expect((await repository.stats()).byForm.copies).toMatchObject({ chunks: 1 });
    const again = Buffer.from(log.subarray(200, 300_200));
    await commitLog({ ...made, payload: encoded([[200, 300_000]]) }, again);
    expect((await repository.stats()).byForm.copies).toMatchObject({ chunks: 2 });
  });
});

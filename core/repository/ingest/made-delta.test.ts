import { beforeEach, describe, expect, it } from 'vitest';
import type { MadeDelta, Repository } from '../../contracts/repository.ts';
import { digestOf } from '../../domain/content-ref.ts';
import { type Command, copies, encoded } from '../../testing/fakes/copies-codec.ts';
import type { BaseFacts } from '../deltas/delta-search.ts';
import { commitTree, eachWorld, fileEntry, prose, readTree } from '../fixture.ts';
import { type MadeForm, mergeFloor, ReadingBound, WRITTEN_DEPTH } from './made-delta.ts';

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

const MADE = 8 * MIB;

function facts(
  bytes: number,
  depth: number,
  encoding: 'raw' | 'zstd' = 'raw',
  storedBytes = bytes,
): BaseFacts {
  const frame = { offset: 16, storedBytes, rawBytes: bytes, encoding };
  const stored = { bytes: depth === 0 ? bytes : MADE, payloadBytes: bytes, pack: 'a', frame };
  if (depth === 0) return stored;
  const delta = { codec: 'copies', formatVersion: 1, depth, bases: ['x'], places: [{ at: 0, bytes: MADE }] };
  return { ...stored, delta };
}

/** What lies on deltas of these lengths, the lowest first, and on a whole chunk. */
function above(lengths: readonly number[], whole: BaseFacts = facts(MADE, 0)): MadeForm {
  const below = new Map([['base', whole]]);
  for (const [at, bytes] of lengths.entries()) below.set(`delta ${at}`, facts(bytes, at + 1));
  const depth = lengths.length + 1;
  return { form: { codec: 'copies', formatVersion: 1, depth, bases: ['x'], places: [] }, below };
}

describe('what one delta too many is merged with', () => {
  const alike = (count: number, bytes: number) => Array.from({ length: count }, () => bytes);

  it('is nothing as long as there are not too many', () => {
    expect(mergeFloor(MADE, 1000, above(alike(WRITTEN_DEPTH - 1, 1000)))).toBeUndefined();
  });

  it('is all of them where they are alike, and what was merged before stays', () => {
    expect(mergeFloor(MADE, 1000, above(alike(WRITTEN_DEPTH, 1000)))).toBe(0);
    const later = [25_000, ...alike(WRITTEN_DEPTH - 1, 1000)];
    expect(mergeFloor(MADE, 1000, above(later))).toBe(1);
    const last = [25_000, 24_000, 23_000, ...alike(WRITTEN_DEPTH - 3, 1000)];
    expect(mergeFloor(MADE, 1000, above(last))).toBe(3);
  });

  it('is what lies above a large one, but no fewer than pay', () => {
    const lengths = alike(WRITTEN_DEPTH, 1000);
    expect(mergeFloor(MADE, 1000, above(lengths.with(9, 500_000)))).toBe(10);
    const floor = mergeFloor(MADE, 1000, above(lengths.with(WRITTEN_DEPTH - 2, 500_000)));
    expect(floor).toBe(0);
  });

  it('is nothing where the whole chunk is hardly more', () => {
    expect(mergeFloor(20_000, 1000, above(alike(WRITTEN_DEPTH, 1000)))).toBe('whole');
  });
});

describe('the bound of what is read', () => {
  const copied = (length: number) => new Map([['base', [{ at: 0, length, base: 'base', offset: 0 }]]]);
  const half = copied(MADE / 2);
  /** How many such chunks are taken, of ten, each with bases of its own. */
  const taken = (formOf: () => MadeForm, wanted: ReturnType<typeof copied>) => {
    const bound = new ReadingBound();
    return Array.from({ length: 10 }, (_, nth) => {
      const { form, below } = formOf();
      const own = new Map(
        [...below].map(([digest, one]) => [digest === 'base' ? digest : `${digest} ${nth}`, one]),
      );
      return bound.takesDeep(MADE, 1000, { form, below: own }, wanted);
    }).filter((takes) => takes).length;
  };
  const deltas = [MADE / 4, MADE / 4, MADE / 4];

  it('counts of a base that is not compressed only what is needed of it', () => {
    expect(taken(() => above(deltas), half)).toBe(10);
    expect(taken(() => above(deltas), copied(MADE))).toBeLessThan(10);
  });

  it('counts a base that is compressed once, and all of it', () => {
    expect(taken(() => above(deltas, facts(MADE, 0, 'zstd')), half)).toBe(10);
    const many = [...deltas, MADE / 4, MADE / 2, MADE / 2];
    expect(taken(() => above(many, facts(MADE, 0, 'zstd')), half)).toBeLessThan(10);
  });

  it('lets others cost more where a chunk is stored whole', () => {
    const bound = new ReadingBound();
    const dear = above([MADE, MADE, MADE]);
    expect(bound.takesDeep(MADE, 1000, dear, half)).toBe(false);
    for (let nth = 0; nth < 3; nth++) bound.takesWhole(MADE);
    expect(bound.takesDeep(MADE, 1000, dear, half)).toBe(true);
  });
});

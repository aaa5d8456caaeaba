import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { IngestSession, Repository } from '../../contracts/repository.ts';
import type { ContentRef } from '../../domain/manifest.ts';
import type { Snapshot } from '../../domain/snapshot.ts';
import { OverdubError } from '../../errors.ts';
import { dictionaryCodec } from '../../testing/fakes/dictionary-codec.ts';
import { FaultyBlobStore } from '../../testing/fakes/faulty-blob-store.ts';
import { MemoryBlobStore } from '../../testing/fakes/memory-blob-store.ts';
import {
  contentsOf,
  digestsOf,
  eachWorld,
  noise,
  prose,
  readTree,
  snapshotOf,
  storeTree,
} from '../fixture.ts';

const world = eachWorld();

/** A few versions of a few files: sessions meet the same contents again and again, whole and as deltas. */
const FILES: readonly Buffer[] = [
  ...['a', 'b', 'c'].map((seed) => noise(70_000, seed)),
  ...['d', 'e'].map((seed) => prose(5_000, seed)),
  ...[0, 1, 2, 3].map((length) => Buffer.concat([prose(length * 400, 'head'), prose(60_000, 'log')])),
];
type Tree = Record<string, Buffer>;

const step = fc.oneof(
  fc.record({ kind: fc.constant('open' as const) }),
  fc.record({
    kind: fc.constant('store' as const),
    which: fc.nat(7),
    files: fc.uniqueArray(fc.nat(FILES.length - 1), { minLength: 1, maxLength: 4 }),
  }),
  fc.record({ kind: fc.constant('commit' as const), which: fc.nat(7) }),
  fc.record({ kind: fc.constant('close' as const), which: fc.nat(7) }),
  fc.record({ kind: fc.constant('remove' as const), which: fc.nat(7) }),
  fc.record({ kind: fc.constant('collect' as const) }),
  fc.record({ kind: fc.constant('pause' as const), turns: fc.nat(40) }),
  fc.record({ kind: fc.constant('crash' as const), writes: fc.nat(3) }),
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

interface OpenSession {
  readonly session: IngestSession;
  tree?: Tree;
  manifest?: Snapshot['manifest'];
  committed?: true;
}

/** One appliance over the world, with whatever is under way in it. */
class Appliance {
  readonly repository: Repository;
  readonly sessions: OpenSession[] = [];
  readonly collections: Promise<void>[] = [];
  /** Writes and removals that still succeed; then the process is dead. */
  writesLeft = Number.POSITIVE_INFINITY;

  constructor(repository: Repository) {
    this.repository = repository;
  }

  static async start(): Promise<Appliance> {
    const holder: { appliance?: Appliance } = {};
    const store = new FaultyBlobStore(new MemoryBlobStore(world.blobs), async ({ operation }) => {
      await Promise.resolve();
      if (operation !== 'put' && operation !== 'remove') return;
      if (holder.appliance !== undefined && --holder.appliance.writesLeft < 0) {
        throw Object.assign(new Error('killed'), { code: 'EROFS' });
      }
    });
    const appliance = new Appliance(await world.open({ store, codecs: [dictionaryCodec()] }));
    holder.appliance = appliance;
    return appliance;
  }
}

class Model {
  readonly committed = new Map<string, { snapshot: Snapshot; tree: Tree }>();
  appliance!: Appliance;
  #next = 0;

  async run(steps: readonly Step[]): Promise<void> {
    this.appliance = await Appliance.start();
    for (const one of steps) await this.#step(one);
    await this.#end();
    await this.#verify();
  }

  async #step(one: Step): Promise<void> {
    const { appliance } = this;
    const { repository, sessions } = appliance;
    if (one.kind === 'open') sessions.push({ session: await repository.ingest({ label: 'test' }) });
    else if (one.kind === 'store')
      await this.#store(sessions[one.which % Math.max(1, sessions.length)], one.files);
    else if (one.kind === 'commit') await this.#commit(sessions[one.which % Math.max(1, sessions.length)]);
    else if (one.kind === 'close') {
      const [open] = sessions.splice(one.which % Math.max(1, sessions.length), 1);
      await open?.session.close();
    } else if (one.kind === 'remove') await this.#remove(one.which);
    else if (one.kind === 'collect') this.#collect();
    else if (one.kind === 'pause')
      for (let turn = 0; turn < one.turns; turn++) await new Promise(setImmediate);
    else await this.#crash(one.writes);
  }

  async #store(open: OpenSession | undefined, files: readonly number[]): Promise<void> {
    if (open === undefined || open.manifest !== undefined) return;
    const { repository } = this.appliance;
    const tree = Object.fromEntries(files.map((file) => [`f${file}`, FILES[file] as Buffer]));
    const last = [...this.committed.values()].at(-1);
    const near = new Map<string, ContentRef>();
    if (last !== undefined) {
      for (const [, content] of await contentsOf(repository, last.snapshot.manifest))
        near.set('any', content);
    }
    const any = near.get('any');
    open.manifest = await storeTree(open.session, tree, () => (any === undefined ? [] : [any]));
    open.tree = tree;
  }

  /** A session that stays open until its commit: what it referred to must not go away under it. */
  async #commit(open: OpenSession | undefined): Promise<void> {
    if (open?.manifest === undefined || open.tree === undefined || open.committed) return;
    open.committed = true;
    const id = `s${this.#next++}`;
    const snapshot = snapshotOf(id, open.manifest);
    await open.session.flush();
    await this.appliance.repository.commitSnapshot(snapshot);
    this.committed.set(id, { snapshot, tree: open.tree });
  }

  async #remove(which: number): Promise<void> {
    const ids = [...this.committed.keys()];
    const id = ids[which % Math.max(1, ids.length)];
    if (id === undefined) return;
    this.committed.delete(id);
    await this.appliance.repository.removeSnapshot('web-1', id);
  }

  #collect(): void {
    const busy = (error: unknown) => {
      if (!(error instanceof OverdubError) || error.code !== 'CONFLICT') throw error;
    };
    const collection = this.appliance.repository.collect().then(() => undefined, busy);
    collection.catch(() => undefined);
    this.appliance.collections.push(collection);
  }

  /** The process may still finish a few writes, then it is dead; another one takes over. */
  async #crash(writes: number): Promise<void> {
    const dying = this.appliance;
    dying.writesLeft = writes;
    for (let turn = 0; turn < 30; turn++) await new Promise(setImmediate);
    dying.writesLeft = 0;
    await dying.repository.close().catch(() => undefined);
    await Promise.allSettled(dying.collections);
    world.crash();
    this.appliance = await Appliance.start();
    await this.#verify();
  }

  async #end(): Promise<void> {
    for (const { session } of this.appliance.sessions) await session.close();
    await Promise.all(this.appliance.collections);
  }

  async #verify(): Promise<void> {
    const { repository } = this.appliance;
    const listed = (await repository.listSnapshots('web-1')).map(({ id }) => id);
    expect(listed.toSorted()).toEqual([...this.committed.keys()].toSorted());
    for (const { snapshot, tree } of this.committed.values()) {
      expect(await readTree(repository, snapshot.manifest)).toEqual(digestsOf(tree));
    }
  }

  /** With nothing committed nothing may be left. */
  async clear(): Promise<void> {
    for (const id of this.committed.keys()) await this.appliance.repository.removeSnapshot('web-1', id);
    await this.appliance.repository.collect();
    expect([...world.blobs.blobs.keys()].filter((name) => name.startsWith('packs/'))).toEqual([]);
    await this.appliance.repository.close();
  }
}

it('never loses what is committed, however sessions, removals, collections and crashes interleave', async () => {
  const runs = Number(process.env.OVERDUB_FUZZ_RUNS ?? 40);
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
      world.blobs.blobs.clear();
      world.crash();
      const model = new Model();
      await model.run(steps);
      await model.clear();
    }),
    { numRuns: runs, endOnFailure: true },
  );
}, 300_000);

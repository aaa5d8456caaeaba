/** A gateway over the real repository on a loopback port, and agents on directories: what the agent's tests share. */

import { randomBytes, randomUUID } from 'node:crypto';
import { chmod, link, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fastify, { type FastifyInstance } from 'fastify';
import type { AgentBundle } from '../../core/contracts/agent-bundle.ts';
import type { AgentIdentity, AgentPolicy, Gateway } from '../../core/contracts/gateway.ts';
import type { Repository } from '../../core/contracts/repository.ts';
import type { ManifestRef } from '../../core/domain/manifest.ts';
import type { RestoreTask, SnapshotTask } from '../../core/domain/protocol.ts';
import type { Snapshot } from '../../core/domain/snapshot.ts';
import { OverdubError } from '../../core/errors.ts';
import { createGateway } from '../../core/gateway/gateway.ts';
import { openRepository } from '../../core/repository/index.ts';
import { MemoryBlobStore, type MemoryBlobs } from '../../core/testing/index.ts';
import { Appliance } from '../../plugins/agent/program/link/appliance.ts';
import { restoreImage } from '../../plugins/agent/program/transfer/restore.ts';
import { type SnapshotContext, takeSnapshot } from '../../plugins/agent/program/transfer/snapshot.ts';
import rsync from '../../plugins/diff-rsync/agent.ts';
import xdelta from '../../plugins/diff-xdelta/agent.ts';
import zstd from '../../plugins/diff-zstd/agent.ts';
import { treeImager } from '../../plugins/imaging-tree/imager.ts';

export const codecs = [rsync, xdelta, zstd].flatMap((half) => half.codecs ?? []);

const silent = { debug() {}, info() {}, warn() {}, error() {} };

/** The real clock, with waits an agent's patience can be tested by. */
export const clock = {
  now: () => Date.now(),
  sleep: (ms: number, signal?: AbortSignal) =>
    new Promise<void>((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason as Error);
      const timer = setTimeout(resolve, ms);
      signal?.addEventListener('abort', () => {
        clearTimeout(timer);
        reject(signal.reason as Error);
      });
    }),
};

/** Lets one credential in, for one server; remembers how snapshots ended. */
export class TestPolicy implements AgentPolicy {
  readonly ended: { task: SnapshotTask; outcome: { snapshot: Snapshot } | { error: unknown } }[] = [];
  readonly committed: Snapshot[] = [];
  standing: AgentIdentity['standing'] = 'assigned';
  trust: 'stat' | 'nothing' = 'stat';
  known: ManifestRef | undefined;
  everything = false;
  readonly repository: Repository;
  /** Tells tasks apart, also those of before a restart. */
  readonly #start = randomUUID().slice(0, 8);
  #tasks = 0;

  constructor(repository: Repository) {
    this.repository = repository;
  }

  async admit(hello: Parameters<AgentPolicy['admit']>[0]) {
    if (hello.credential !== 'secret' && hello.nonce === undefined) {
      throw new OverdubError('UNAUTHORIZED', 'The credential is wrong.', 'Use the right one.');
    }
    const server = hello.server ?? 'web-1';
    const identity: AgentIdentity = { server, standing: this.standing, by: `agent of ${server}` };
    return { identity, welcome: { standing: this.standing, server } };
  }

  async readmit(identity: AgentIdentity) {
    const welcome = {
      standing: this.standing,
      ...(identity.server === undefined ? {} : { server: identity.server }),
    };
    return { identity: { ...identity, standing: this.standing }, welcome };
  }

  async beginSnapshot(_identity: AgentIdentity, request: { server: string; reason: Snapshot['reason'] }) {
    this.#tasks += 1;
    return {
      kind: 'snapshot' as const,
      id: `op-${this.#start}-${this.#tasks}/snapshot`,
      operation: `op-${this.#start}-${this.#tasks}`,
      server: serverOf(request.server),
      reason: request.reason,
      trust: this.trust,
      ...(this.known === undefined ? {} : { known: this.known }),
      suspect: request.reason === 'safety',
      ...(this.everything ? { everything: true as const } : {}),
    };
  }

  async endSnapshot(task: SnapshotTask, outcome: { snapshot: Snapshot } | { error: unknown }): Promise<void> {
    this.ended.push({ task, outcome });
  }

  async beginRestore(
    _identity: AgentIdentity,
    request: {
      server: string;
      selector: string;
      dryRun: boolean;
      keep: readonly string[];
      only: readonly string[];
    },
  ): Promise<RestoreTask> {
    const snapshots = await this.repository.listSnapshots(request.server);
    const image = snapshots.find((one) => one.id === request.selector) ?? snapshots.at(-1);
    if (image === undefined) throw new OverdubError('NOT_FOUND', 'No such snapshot.', 'Take one.');
    const { dryRun, keep, only } = request;
    return {
      kind: 'restore',
      id: 'op-r/restore',
      operation: 'op-r',
      server: serverOf(request.server),
      image: image.manifest,
      dryRun,
      keep,
      only,
      credential: 'secret',
    };
  }

  async snapshotCommitted(snapshot: Snapshot): Promise<void> {
    this.committed.push(snapshot);
  }

  async mayRead(identity: AgentIdentity, image: { root: string }): Promise<boolean> {
    const own = await this.repository.listSnapshots(identity.server ?? '');
    return own.some((snapshot) => snapshot.manifest.root === image.root);
  }
}

export function serverOf(name: string): SnapshotTask['server'] {
  const identity = { hostname: name, machineId: '0'.repeat(32), rootUuid: '0', espId: '00000000' };
  return { name, generation: 1, identity, imager: 'tree', excludes: [] };
}

export class World {
  readonly dir: string;
  readonly blobs: MemoryBlobs = { blobs: new Map() };
  readonly signal = new AbortController().signal;
  repository!: Repository;
  policy!: TestPolicy;
  gateway!: Gateway;
  server!: FastifyInstance;
  url = '';
  /** What agents fetch; set before `start`. */
  bundle: (() => Promise<AgentBundle>) | undefined;
  readonly #appliances: Appliance[] = [];

  private constructor(dir: string) {
    this.dir = dir;
  }

  static async create(bundle?: () => Promise<AgentBundle>): Promise<World> {
    const world = new World(await mkdtemp(join(tmpdir(), 'overdub-agent-')));
    world.bundle = bundle;
    await world.start();
    return world;
  }

  /** Starts the appliance's side; after `stop` on the same port, over the same repository. */
  async start(): Promise<void> {
    const store = new MemoryBlobStore(this.blobs);
    const stateDir = join(this.dir, 'repository-state');
    this.repository = await openRepository({ store, codecs, stateDir, clock, log: silent });
    this.policy = new TestPolicy(this.repository);
    this.gateway = createGateway({
      policy: this.policy,
      repository: this.repository,
      clock,
      log: silent,
      codecs: async () => codecs,
      spoolDir: join(this.dir, 'spool'),
      ...(this.bundle === undefined ? {} : { bundle: this.bundle }),
    });
    this.server = fastify({ forceCloseConnections: true });
    await this.gateway.register(this.server);
    const port = this.url === '' ? 0 : Number(new URL(this.url).port);
    this.url = await this.server.listen({ host: '127.0.0.1', port });
  }

  async stop(): Promise<void> {
    await this.gateway.close();
    await this.server.close();
    await this.repository.close();
  }

  async end(): Promise<void> {
    for (const appliance of this.#appliances) appliance.close();
    await this.stop();
    await rm(this.dir, { recursive: true, force: true });
  }

  connect(server = 'web-1', extra: { credential?: string; bootId?: string } = {}): Appliance {
    const appliance = new Appliance({
      url: this.url,
      self: {
        hello: { protocol: 1, where: 'server', bootId: extra.bootId ?? 'boot-1', server },
        credential: extra.credential ?? 'secret',
      },
      sleep: (ms, signal) => clock.sleep(Math.min(ms, 20), signal),
    });
    this.#appliances.push(appliance);
    return appliance;
  }

  async makeRoot(name: string): Promise<string> {
    const root = join(this.dir, name);
    await mkdir(root, { recursive: true });
    return root;
  }

  /** A tree with a little of everything: 3 MB in one file, sixty small ones, links, a mode. */
  async smallTree(): Promise<string> {
    const root = await this.makeRoot('root');
    await mkdir(join(root, 'etc/app'), { recursive: true });
    await mkdir(join(root, 'var/lib/db'), { recursive: true });
    await writeFile(join(root, 'etc/hosts'), '127.0.0.1 localhost\n');
    await writeFile(join(root, 'etc/empty'), '');
    await writeFile(join(root, 'etc/app/run'), '#!/bin/sh\n');
    await chmod(join(root, 'etc/app/run'), 0o4755);
    await symlink('../hosts', join(root, 'etc/app/hosts'));
    await link(join(root, 'etc/hosts'), join(root, 'etc/app/linked'));
    await writeFile(join(root, 'var/lib/db/table'), randomBytes(3_000_000));
    for (let n = 0; n < 60; n++) await writeFile(join(root, `etc/app/${n}.conf`), `value = ${n}\n`.repeat(n));
    return root;
  }

  /** What a tree is, by the imager's own scan and the bytes of each file. */
  async contentsOf(root: string): Promise<Map<string, string>> {
    const found = new Map<string, string>();
    const options = { excludes: [], onSkip: () => undefined, signal: this.signal };
    for await (const { entry } of treeImager.scan(root, options)) {
      const bytes = entry.type === 'file' ? (await readFile(join(root, entry.path))).toString('base64') : '';
      found.set(entry.path, `${JSON.stringify(entry)} ${bytes}`);
    }
    return found;
  }

  context(appliance: Appliance, root: string, over: Partial<SnapshotContext> = {}): SnapshotContext {
    return {
      appliance,
      imager: treeImager,
      codecs,
      root,
      stateDir: join(this.dir, 'agent-state'),
      still: false,
      signal: this.signal,
      onProgress: () => undefined,
      print: () => undefined,
      // Ten seconds ahead: what a test wrote a moment ago counts as settled.
      nowNs: () => BigInt(Date.now() + 10_000) * 1_000_000n,
      sleep: (ms, signal) => clock.sleep(Math.min(ms, 20), signal),
      ...over,
    };
  }

  async snapshot(root: string, over: Partial<SnapshotContext> = {}, reason: Snapshot['reason'] = 'manual') {
    const appliance = over.appliance ?? this.connect();
    const task = await appliance.beginSnapshot({ server: 'web-1', reason }, this.signal);
    return await takeSnapshot(this.context(appliance, root, over), task);
  }

  async restore(root: string, selector: string, over: Partial<SnapshotContext> & { dryRun?: boolean } = {}) {
    const appliance = over.appliance ?? this.connect();
    const request = { server: 'web-1', selector, dryRun: over.dryRun ?? false, keep: [], only: [] };
    const task = await appliance.beginRestore(request, this.signal);
    const context = { ...this.context(appliance, root, over), workDir: join(this.dir, 'agent-work') };
    return await restoreImage(context, { ...task, server: 'web-1', excludes: [] });
  }
}

/** Snapshots coming in: begin, offer, upload, commit. Nothing counts before the commit. */

import { createHash, randomUUID } from 'node:crypto';
import type { Clock } from '../contracts/clock.ts';
import type { DeltaCodec } from '../contracts/delta-codec.ts';
import type { AgentPolicy } from '../contracts/gateway.ts';
import type { Log } from '../contracts/log.ts';
import type { Repository } from '../contracts/repository.ts';
import type { Digest, ManifestRef } from '../domain/manifest.ts';
import type { CommitRequest, SnapshotTask, TransferOffer, TransferRequest } from '../domain/protocol.ts';
import type { Snapshot } from '../domain/snapshot.ts';
import { GROUP_BYTES } from '../domain/transfer-bodies.ts';
import { type ErrorCode, OverdubError } from '../errors.ts';
import { CommitCheck } from './commit.ts';
import { type ImageIndex, type ImageIndexes, pagesOf } from './image-index.ts';
import type { Jobs } from './jobs.ts';
import type { Session } from './sessions.ts';
import { Transfer } from './transfer.ts';
import { receiveUpload } from './upload.ts';

/** How many of a server's newest snapshots its offers are matched against, the named base besides. */
const HISTORY = 3;
/** A scan is believed to have begun at most this long ago. */
const MAX_AGE_MS = 24 * 3_600_000;
/** Skipped paths kept on the snapshot; all are counted. */
const MAX_SKIPPED = 100;

/** How damage of a committed image shows. */
const DAMAGE: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'REPOSITORY_DAMAGED',
  'NOT_FOUND',
  'IMAGE_INVALID',
]);

export interface TransfersOptions {
  readonly policy: AgentPolicy;
  readonly repository: Repository;
  readonly indexes: ImageIndexes;
  readonly jobs: Jobs;
  readonly clock: Clock;
  readonly log: Log;
  readonly codecs: () => Promise<readonly DeltaCodec[]>;
  readonly spoolDir: string;
}

export class Transfers {
  readonly #options: TransfersOptions;
  readonly #transfers = new Map<string, Transfer>();

  constructor(options: TransfersOptions) {
    this.#options = options;
  }

  /** Opens a transfer for a snapshot task; an earlier one of the same task ends. */
  async begin(
    session: Session,
    request: TransferRequest,
  ): Promise<{ offer: TransferOffer; transfer?: Transfer }> {
    const { repository, clock, jobs } = this.#options;
    const job = jobs.of(session, request.task);
    const task = job.task;
    if (task.kind !== 'snapshot') throw notASnapshot(request.task);
    const snapshots = await repository.listSnapshots(task.server.name);
    const committed = snapshots.find((snapshot) => snapshot.id.endsWith(suffixOf(task)));
    const codecs = (await this.#options.codecs()).filter((codec) => codec.signatures !== undefined);
    const names = codecs.map((codec) => codec.name);
    if (committed !== undefined) {
      return { offer: { transfer: '', baseKnown: true, codecs: names, committed } };
    }
    for (const other of this.#transfers.values()) {
      if (other.options.task.id === task.id) await this.#close(other);
    }
    const { images, base, parent } = await this.#knownTo(task, snapshots, request.base);
    const ingest = await repository.ingest({ label: task.id, signal: job.ended.signal });
    const transfer = new Transfer({
      id: randomUUID(),
      task,
      owner: session,
      job,
      ingest,
      repository,
      known: () => this.#indexed(images, task.server.name),
      base,
      parent,
      startedAt: clock.now() - Math.min(request.ageMs, MAX_AGE_MS),
      spoolDir: this.#options.spoolDir,
      touch: () => {
        job.lastContactAt = clock.now();
      },
    });
    this.#transfers.set(transfer.options.id, transfer);
    job.ended.signal.addEventListener('abort', () => void this.#close(transfer), { once: true });
    if (job.ended.signal.aborted) await this.#close(transfer);
    return {
      offer: {
        transfer: transfer.options.id,
        baseKnown: base !== undefined,
        codecs: names,
        groupBytes: GROUP_BYTES,
      },
      transfer,
    };
  }

  /** The transfer of an id, checked to be this agent's. NOT_FOUND. */
  of(session: Session, id: string): Transfer {
    const transfer = this.#transfers.get(id);
    if (transfer === undefined || transfer.closed) throw unknownTransfer();
    // A renewed session goes on with what its predecessor began.
    this.#options.jobs.of(session, transfer.options.task.id);
    return transfer;
  }

  /** Takes one upload in; one that is still running (its connection broke) ends first. */
  async upload(transfer: Transfer, body: AsyncIterable<Uint8Array>): Promise<void> {
    transfer.upload?.stop.abort(new Error('another upload took its place'));
    await transfer.upload?.done.catch(() => undefined);
    const stop = new AbortController();
    const signal = AbortSignal.any([stop.signal, transfer.options.job.ended.signal]);
    const done = receiveUpload(transfer, body, await this.#options.codecs(), signal);
    transfer.upload = { stop, done };
    await done;
  }

  /** Checks the image, makes it durable, commits. Only from then on the snapshot exists. */
  async commit(transfer: Transfer, request: CommitRequest): Promise<Snapshot> {
    const { repository, policy, clock } = this.#options;
    const { task, ingest, owner, parent } = transfer.options;
    const manifest =
      (await this.#unchanged(transfer, request.manifest)) ?? (await written(transfer, request.manifest));
    const machineId = owner.identity.machineId;
    const draft: Snapshot = {
      id: snapshotId(task, transfer.options.startedAt),
      server: task.server.name,
      ...(task.server.master === undefined ? {} : { master: task.server.master }),
      ...(parent === undefined ? {} : { parent }),
      manifest,
      startedAt: new Date(transfer.options.startedAt).toISOString(),
      endedAt: new Date(clock.now()).toISOString(),
      consistency: request.consistency,
      reason: task.reason,
      suspect: task.suspect,
      pinned: task.reason === 'safety',
      ...(machineId === undefined ? {} : { machineId }),
      skipped: request.skipped.slice(0, MAX_SKIPPED),
      skippedTotal: request.skippedTotal,
      stats: {
        bytesReceived: transfer.bytes.received,
        bytesSent: transfer.bytes.sent,
        bytesStored: ingest.storedBytes,
        filesChanged: request.filesChanged,
      },
    };
    // The answer to this very request counts too.
    const bytesSent = draft.stats.bytesSent + Buffer.byteLength(JSON.stringify(draft));
    const snapshot = { ...draft, stats: { ...draft.stats, bytesSent } };
    await repository.commitSnapshot(snapshot);
    await policy.snapshotCommitted(snapshot);
    await this.#close(transfer);
    return snapshot;
  }

  async close(): Promise<void> {
    for (const transfer of [...this.#transfers.values()]) await this.#close(transfer);
  }

  /** The image itself when it is the one that the agent compared with, checked when that was committed, and sound. */
  async #unchanged(transfer: Transfer, { root }: ManifestRef): Promise<ManifestRef | undefined> {
    const { base } = transfer.options;
    // What was sent all the same heals something, and has to become durable.
    if (base?.root !== root || transfer.asked.arrived > 0) return undefined;
    return (await this.#isSound(base)) ? base : undefined;
  }

  /** Are all pages of the image there, as far as is known? */
  async #isSound(image: ManifestRef): Promise<boolean> {
    const { repository } = this.#options;
    try {
      return !(await repository.hasChunks(await pagesOf(repository, image))).includes(false);
    } catch (error) {
      if (isDamage(error)) return false;
      throw error;
    }
  }

  /** What this server may refer to without sending it: its newest snapshots, the named base, its master. */
  async #knownTo(
    task: SnapshotTask,
    snapshots: readonly Snapshot[],
    baseRoot: Digest | undefined,
  ): Promise<{ images: ManifestRef[]; base: ManifestRef | undefined; parent: string | undefined }> {
    const { repository } = this.#options;
    const { master } = task.server;
    const masters = master === undefined ? [] : await repository.listMasters();
    const own = masters.find((one) => one.name === master?.name && one.version === master.version);
    const latest = snapshots.at(-1);
    const parent = snapshots.findLast((snapshot) => snapshot.manifest.root === baseRoot) ?? latest;
    const base = own?.manifest.root === baseRoot ? own?.manifest : parent?.manifest;
    const images = new Map<Digest, ManifestRef>();
    for (const image of [
      ...snapshots.slice(-HISTORY).map((snapshot) => snapshot.manifest),
      ...(base === undefined ? [] : [base]),
      ...(own === undefined ? [] : [own.manifest]),
    ]) {
      images.set(image.root, image);
    }
    const named = base?.root === baseRoot ? base : undefined;
    const usable = named !== undefined && (await this.#isSound(named));
    return { images: [...images.values()], base: usable ? named : undefined, parent: parent?.id };
  }

  /** What these images consist of. Nothing of a damaged one counts as known: what the agent offers of it comes anew. */
  async #indexed(images: readonly ManifestRef[], server: string): Promise<ImageIndex[]> {
    const known: ImageIndex[] = [];
    for (const image of images) {
      try {
        known.push(await this.#options.indexes.of(image, server));
      } catch (error) {
        if (!isDamage(error)) throw error;
        this.#options.log.warn({ image: image.root, error: error.message }, 'a known image is damaged');
      }
    }
    return known;
  }

  async #close(transfer: Transfer): Promise<void> {
    if (transfer.closed) return;
    transfer.closed = true;
    this.#transfers.delete(transfer.options.id);
    transfer.upload?.stop.abort(new Error('the transfer ended'));
    await transfer.upload?.done.catch(() => undefined);
    try {
      await transfer.options.ingest.close();
    } catch (error) {
      this.#options.log.warn({ err: error, task: transfer.options.task.id }, 'ingest session did not close');
    }
  }
}

/** Checks every entry, writes the image's pages where they are not yet, and makes all of it durable. */
async function written(transfer: Transfer, announced: ManifestRef): Promise<ManifestRef> {
  const { ingest } = transfer.options;
  const check = new CommitCheck(transfer, announced);
  const manifest = await ingest.writeManifest(check.entries(), { sorted: true });
  check.assertSame(manifest);
  await ingest.flush();
  return manifest;
}

/** Sorts by time of beginning; ends in what names its task, so that a repeated task finds it. */
function snapshotId(task: SnapshotTask, startedAt: number): string {
  const time = new Date(startedAt).toISOString().toLowerCase().replaceAll(/[-:]/g, '');
  return `${time}${suffixOf(task)}`;
}

function suffixOf(task: SnapshotTask): string {
  return `-${createHash('sha256').update(task.id).digest('hex').slice(0, 12)}`;
}

function isDamage(error: unknown): error is OverdubError {
  return error instanceof OverdubError && DAMAGE.has(error.code);
}

function unknownTransfer(): OverdubError {
  return new OverdubError(
    'NOT_FOUND',
    'The snapshot transfer is not open here: it ended, or the appliance restarted.',
    'The agent begins it again by itself.',
  );
}

function notASnapshot(task: string): OverdubError {
  return new OverdubError(
    'CONFLICT',
    `The task ${task} is no snapshot.`,
    'Compare the versions of agent and appliance.',
  );
}

/** One snapshot on its way in: what the appliance knows, what it asked for, what has come. */

import type { IngestSession, Repository } from '../contracts/repository.ts';
import type { ContentRef, Digest, ManifestRef } from '../domain/manifest.ts';
import type { SnapshotTask } from '../domain/protocol.ts';
import { BASE_LIMIT, type UploadHead } from '../domain/transfer-bodies.ts';
import { OverdubError } from '../errors.ts';
import { Asked } from './asked.ts';
import { findContents, type ImageIndex } from './image-index.ts';
import type { Job } from './jobs.ts';
import type { Session } from './sessions.ts';
import { VirtualBase } from './virtual-base.ts';

/** Most digests one transfer may offer: a hundred million files at a terabyte are far below. */
const MAX_OFFERED = 16 * 1024 * 1024;

export interface TransferOptions {
  readonly id: string;
  readonly task: SnapshotTask;
  readonly owner: Session;
  readonly job: Job;
  readonly ingest: IngestSession;
  readonly repository: Repository;
  /**
   * Images whose contents the server may refer to: its newest snapshots and its master. Looked at when something is offered:
   * of a million files that takes seconds, and a server of which nothing has changed offers nothing.
   */
  readonly known: () => Promise<readonly ImageIndex[]>;
  /** What the agent's own record of earlier contents belongs to, when it is known here. */
  readonly base: ManifestRef | undefined;
  readonly parent: string | undefined;
  readonly startedAt: number;
  /** Where bases of deltas are laid out while an upload runs. */
  readonly spoolDir: string;
  /** Notes a sign of life of the agent. */
  readonly touch: () => void;
}

export class Transfer {
  readonly options: TransferOptions;
  /** Pages and chunks. */
  readonly asked = new Asked();
  /** Lengths of arrived pages, needed to read them back. */
  readonly pageBytes = new Map<Digest, number>();
  readonly bytes = { received: 0, sent: 0 };
  /** Aborts the upload that runs now, if any; a new one takes its place. */
  upload: { readonly stop: AbortController; readonly done: Promise<unknown> } | undefined;
  closed = false;
  #known: Promise<readonly ImageIndex[]> | undefined;

  constructor(options: TransferOptions) {
    this.options = options;
  }

  /** Tells of a digest whether an image of this server may refer to it. */
  async referable(): Promise<(kind: keyof ImageIndex, digest: Digest) => boolean> {
    this.#known ??= this.options.known();
    const known = await this.#known;
    return (kind, digest) => this.asked.hasArrived(digest) || known.some((index) => index[kind].has(digest));
  }

  /**
   * Answers an offer: one bit a digest, lowest first, set when it must be sent. What the server may refer to but the
   * repository cannot read any more must be sent too: that is how damage heals.
   */
  async offer(kind: keyof ImageIndex, digests: readonly Digest[]): Promise<Buffer> {
    const isReferable = await this.referable();
    const readable = await this.options.repository.hasChunks(digests);
    const bitmap = Buffer.alloc(Math.ceil(digests.length / 8));
    for (const [at, digest] of digests.entries()) {
      if (this.asked.hasArrived(digest) || (readable[at] === true && isReferable(kind, digest))) continue;
      if (this.asked.size >= MAX_OFFERED) throw tooMany();
      this.asked.ask(digest);
      bitmap[at >> 3] = (bitmap[at >> 3] as number) | (1 << (at & 7));
    }
    return bitmap;
  }

  /** Bytes of a chunk known to this server or uploaded in this transfer. */
  async readChunk(chunk: { readonly digest: Digest; readonly bytes: number }): Promise<Uint8Array> {
    const { ingest } = this.options;
    const content: ContentRef = { digest: chunk.digest, bytes: chunk.bytes, chunks: [chunk] };
    return await ingest.openContent(content).read(0, chunk.bytes);
  }

  /** The bases an upload names, looked up in the image the agent compared with. CONFLICT when they differ. */
  async bases(head: UploadHead): Promise<{ contents: ContentRef[]; virtual: VirtualBase }> {
    const virtual = new VirtualBase((chunk) => this.readChunk(chunk), this.options.spoolDir);
    if (head.files.length === 0) return { contents: [], virtual };
    const { base, repository } = this.options;
    if (base === undefined || head.files.length > BASE_LIMIT) throw unknownBase('the base image');
    const found = await findContents(
      repository,
      base,
      head.files.map((file) => file.path),
    );
    const contents = head.files.map((file) => {
      const content = found.get(file.path);
      if (content === undefined || content.digest !== file.digest) throw unknownBase(file.path);
      return content;
    });
    for (const content of contents.slice(0, head.virtual)) virtual.append(content.chunks);
    return { contents, virtual };
  }
}

export function unknownBase(what: string): OverdubError {
  return new OverdubError(
    'CONFLICT',
    `The agent's deltas are made against a state of ${what} that is not known here.`,
    'The agent sends the files whole; nothing needs to be done.',
  );
}

function tooMany(): OverdubError {
  return new OverdubError(
    'INPUT_INVALID',
    `The agent offers more than ${MAX_OFFERED} chunks in one snapshot.`,
    'Exclude what makes the image so large, or split the server.',
  );
}

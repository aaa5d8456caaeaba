/**
 * Takes a snapshot: hooks, scan, contents, what was deferred or wanted again by hooks, pages, commit. Contents travel before
 * the post hooks run: what a database wrote after it left its backup mode must not get in.
 */

import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type Consistency,
  comparePaths,
  DEFAULT_COMPRESSION,
  type DeltaCodec,
  type Digest,
  type Imager,
  isUnder,
  type ManifestRef,
  OverdubError,
  type Progress,
  ROOM,
  type SkippedPath,
  type Snapshot,
  type SnapshotTask,
  type TransferOffer,
  withRoom,
} from '@overdub/core/agent';
import type { Appliance } from '../link/appliance.ts';
import { Collector } from './collector.ts';
import { Copies, openPlain, tooLively } from './copies.ts';
import { fetchRecord } from './fetch-record.ts';
import { betweenHooks, type Directive, type Quiesced } from './hooks.ts';
import { asChanged, inside, linksInto, merged, nothing, without } from './merge.ts';
import { sendPages } from './pages.ts';
import { putEntry } from './put-entry.ts';
import {
  keptLines,
  type RecordLine,
  readHeader,
  readRecord,
  writeRecord,
  writeUnlessKept,
} from './record.ts';
import { scanImage } from './scan.ts';
import { Sender } from './sender.ts';
import { DELTA_MIN_BYTES, SignatureStore, signingCodec } from './signatures.ts';
import { keepRecord, recordPath } from './state.ts';

/** Skipped paths sent with the commit; all are counted. */
const MAX_SKIPPED = 100;
/** How often files that change under the snapshot are copied anew. */
const CAPTURES = 3;

export interface SnapshotContext {
  readonly appliance: Appliance;
  readonly imager: Imager;
  readonly codecs: readonly DeltaCodec[];
  readonly root: string;
  /** The agent's own directory for this server, outside every overlay. */
  readonly stateDir: string;
  /** Holds `pre-snapshot.d` and `post-snapshot.d`; absent: no hooks. */
  readonly hooksDir?: string;
  /** Nothing else writes to the root (an unmounted disk). */
  readonly still: boolean;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: Progress) => void;
  /** A line for the log. */
  readonly print: (line: string) => void;
  readonly nowNs: () => bigint;
  readonly sleep: (ms: number, signal?: AbortSignal) => Promise<void>;
}

export async function takeSnapshot(context: SnapshotContext, task: SnapshotTask): Promise<Snapshot> {
  const work = new SnapshotWork(context, task);
  try {
    return await withRoom(ROOM.snapshot, () => work.run());
  } finally {
    // A committed snapshot stands; what is left takes room until the next one.
    await work.clear().catch((why) => context.print(`copies of the snapshot could not be removed: ${why}`));
  }
}

class SnapshotWork {
  readonly #context: SnapshotContext;
  readonly #task: SnapshotTask;
  readonly #copies: Copies;
  readonly #signatures: SignatureStore | undefined;
  readonly #codec: DeltaCodec | undefined;
  readonly #skipped: SkippedPath[] = [];
  readonly #spool: string;
  /** Record of earlier contents of this very server. */
  #previous: string | undefined;
  /** The record of earlier contents is the appliance's, not this machine's. */
  #vouched = false;
  /** That record's lines are its image's entries. */
  #exact = false;
  /** The record that says all there is to say, and its image: nothing at all has changed. */
  #unchanged: { readonly record: string; readonly manifest: ManifestRef } | undefined;
  /** Trees that are taken only after the post hooks. */
  #deferred: readonly string[] = [];
  #skippedTotal = 0;
  #changing = false;
  #filesChanged = 0;
  /** Large contents with their times: whose signatures are worth keeping. */
  readonly #large = new Map<Digest, bigint>();
  #bytesDone = 0;

  constructor(context: SnapshotContext, task: SnapshotTask) {
    this.#context = context;
    this.#task = task;
    this.#copies = new Copies(context.stateDir);
    this.#codec = signingCodec(context.codecs);
    this.#signatures =
      this.#codec?.signatures === undefined
        ? undefined
        : new SignatureStore(context.stateDir, { ...this.#codec, signatures: this.#codec.signatures });
    this.#spool = join(context.stateDir, 'spool');
  }

  async run(): Promise<Snapshot> {
    const { hooksDir, signal } = this.#context;
    return await betweenHooks(hooksDir, signal, (quiesced) => this.#between(quiesced));
  }

  readonly clear = (): Promise<void> => this.#copies.clear();

  async #between({ ran, deferred, post }: Quiesced): Promise<Snapshot> {
    this.#deferred = deferred;
    const { appliance, stateDir, signal, print } = this.#context;
    const began = performance.now();
    const base = await this.#earlier();
    const changed = new Collector((line) => line.changed === true);
    await this.#spoolScan(changed.pass(this.#scan()), base);
    const offer = await appliance.beginTransfer(
      {
        task: this.#task.id,
        ageMs: Math.round(performance.now() - began),
        ...(base === undefined ? {} : { base: base.root }),
      },
      signal,
    );
    if (offer.committed !== undefined) {
      await post();
      return offer.committed;
    }
    const sender = this.#sender(offer, base);
    const known = base !== undefined && offer.baseKnown && this.#task.everything !== true;
    await this.#send(sender, known ? changed.lines(this.#lines()) : asChanged(this.#lines()));
    await this.#obey(await post(), sender);
    const snapshot = await this.#commit(offer, sender, consistencyOf(ran, this.#context.still));
    const { server, manifest } = snapshot;
    if (this.#unchanged === undefined || this.#unchanged.record === this.#spool)
      await keepRecord(stateDir, this.#spool, { server, manifest, exact: true }, print);
    const left = (why: unknown) => print(`old signatures could not be removed: ${why}`);
    if (this.#unchanged === undefined) await this.#signatures?.prune(this.#large).catch(left);
    return snapshot;
  }

  /** What the scan compares with: the agent's own record, or the image that the appliance names. */
  async #earlier(): Promise<ManifestRef | undefined> {
    const { appliance, stateDir, signal } = this.#context;
    const { known: image, trust, server } = this.#task;
    if (image !== undefined && trust === 'nothing') {
      const record = join(stateDir, 'known');
      const scratch = join(stateDir, 'pages');
      await mkdir(stateDir, { recursive: true, mode: 0o700 });
      const what = { server: server.name, image, have: nothing(), scratch, record };
      await fetchRecord({ appliance, signal }, what);
      this.#previous = record;
      this.#vouched = true;
      return image;
    }
    const header = await readHeader(recordPath(stateDir));
    const base = header?.server === server.name ? header.manifest : undefined;
    this.#previous = base === undefined ? undefined : recordPath(stateDir);
    this.#exact = header?.exact === true;
    return base;
  }

  #lines(): AsyncIterable<RecordLine> {
    return this.#unchanged === undefined ? readRecord(this.#spool) : keptLines(this.#unchanged.record);
  }

  /** Spools what was scanned, unless it is what was there before, entry by entry. */
  async #spoolScan(lines: AsyncIterable<RecordLine>, base: ManifestRef | undefined): Promise<void> {
    if (base === undefined || this.#previous === undefined || !this.#exact) return await this.#rewrite(lines);
    const header = { server: this.#task.server.name };
    const record = this.#previous;
    const outcome = await writeUnlessKept(this.#spool, header, lines, record, base.entries);
    if (outcome === 'kept') this.#unchanged = { record, manifest: base };
    // Later scans need not read again what this one found to be as it was.
    if (outcome === 'same') this.#unchanged = { record: this.#spool, manifest: base };
  }

  /** Everything but what is deferred; or these trees alone, but for what is to be left out of them. */
  #scan(only?: readonly string[], omitted: readonly string[] = []): AsyncIterable<RecordLine> {
    const { imager, root, signal, nowNs } = this.#context;
    return scanImage({
      imager,
      root,
      signal,
      nowNs,
      signatures: this.#signatures,
      excludes: this.#task.server.excludes,
      trust: this.#task.trust,
      vouched: this.#vouched,
      ...(this.#previous === undefined ? {} : { previous: this.#previous }),
      ...(only === undefined ? { except: this.#deferred } : { only, except: omitted }),
      onSkip: (skipped) => this.#skip(skipped),
      onFile: (bytes) => this.#progress(bytes, 'reading'),
    });
  }

  #skip(skipped: SkippedPath): void {
    if (skipped.reason === 'changing') this.#changing = true;
    this.#skippedTotal += 1;
    if (this.#skipped.length < MAX_SKIPPED) this.#skipped.push(skipped);
  }

  #progress(bytes: number, text: string): void {
    this.#bytesDone += bytes;
    this.#context.onProgress({ doneBytes: this.#bytesDone, text });
  }

  #sender(offer: TransferOffer, base: ManifestRef | undefined): Sender {
    const { appliance, imager, root, signal, sleep } = this.#context;
    const codec =
      this.#codec !== undefined && offer.codecs.includes(this.#codec.name) ? this.#codec.name : undefined;
    return new Sender({
      appliance,
      transfer: offer.transfer,
      imager,
      root,
      // What the appliance lacks may be the very base of a delta.
      base: offer.baseKnown && this.#task.everything !== true ? base : undefined,
      codec,
      signatures: this.#signatures,
      groupBytes: offer.groupBytes,
      bandwidth: this.#task.server.bandwidth,
      compression: this.#task.server.compression ?? DEFAULT_COMPRESSION,
      signal,
      sleep,
      onBytes: (bytes) => this.#progress(bytes, 'sending'),
    });
  }

  /** Sends these lines' contents; files that changed since they were read are copied and sent from there. */
  async #send(sender: Sender, lines: AsyncIterable<RecordLine>): Promise<void> {
    let stale = await sender.send(lines);
    for (let capture = 1; stale.size > 0; capture++) {
      if (capture > CAPTURES) throw tooLively([...stale][0] as string);
      this.#changing = true;
      await this.#capture(stale);
      stale = await sender.send(inside(this.#lines(), [...stale]));
    }
  }

  /** Replaces lines by what the files hold now, from copies that nothing can change. */
  async #capture(paths: ReadonlySet<string>): Promise<void> {
    const { imager, root, signal } = this.#context;
    const onSkip = (skipped: SkippedPath) => this.#skip(skipped);
    await this.#rewrite(this.#copies.capture(this.#lines(), paths, { imager, root, signal, onSkip }));
  }

  /** What was deferred, and what post hooks asked for: trees taken again or left out, files put in place of others. */
  async #obey(directives: readonly Directive[], sender: Sender): Promise<void> {
    const rescans = directives.filter((one) => one.kind === 'rescan').map((one) => one.path);
    const again = [...new Set([...this.#deferred, ...rescans])];
    const omitted = directives.filter((one) => one.kind === 'omit').map((one) => one.path);
    const puts = directives.filter((one) => one.kind === 'put');
    const touched = [...again, ...puts.map((one) => one.path)];
    if (touched.length === 0 && omitted.length === 0) return;
    const taken = again.length === 0 ? nothing() : this.#scan(again, omitted);
    const rest = without(this.#lines(), [...again, ...omitted]);
    const lines = merged(merged(rest, taken), this.#put(puts));
    const changed = new Collector((line) => touched.some((path) => isUnder(line.entry.path, path)));
    await this.#rewrite(changed.pass(lines));
    await this.#send(sender, asChanged(changed.lines(this.#lines())));
    if (omitted.length > 0) await this.#freeLinks(omitted, sender);
  }

  /** Other names of what was left out are taken as files of their own: a link to what is not there could not be restored. */
  async #freeLinks(omitted: readonly string[], sender: Sender): Promise<void> {
    const links = await linksInto(this.#lines(), omitted);
    if (links.length === 0) return;
    const changed = new Collector((line) => links.some((path) => path === line.entry.path));
    await this.#rewrite(changed.pass(merged(without(this.#lines(), links), this.#scan(links))));
    await this.#send(sender, asChanged(changed.lines(this.#lines())));
  }

  async *#put(puts: readonly Extract<Directive, { kind: 'put' }>[]): AsyncGenerator<RecordLine> {
    const { signal } = this.#context;
    for (const put of [...puts].sort((a, b) => comparePaths(a.path, b.path))) {
      const source = await openPlain(put.file);
      try {
        const { path, content } = await this.#copies.take(source, signal);
        yield { entry: await putEntry(put, content), changed: true, copy: path };
      } finally {
        await source.close();
      }
    }
  }

  async #commit(offer: TransferOffer, sender: Sender, consistency: Consistency): Promise<Snapshot> {
    try {
      // Its pages need not even be named: where they are not sound any more, the appliance refuses.
      const manifest =
        offer.baseKnown && this.#task.everything !== true ? this.#unchanged?.manifest : undefined;
      return await this.#commitOnce(offer, consistency, manifest);
    } catch (error) {
      if (!isLacking(error)) throw error;
      // The record of earlier contents was wrong, or what it referred to is gone or damaged: offer everything.
      await this.#send(sender, asChanged(this.#lines()));
      return await this.#commitOnce(offer, consistency);
    }
  }

  /** `same`: the image is one that the appliance has. */
  async #commitOnce(offer: TransferOffer, consistency: Consistency, same?: ManifestRef): Promise<Snapshot> {
    const { appliance, stateDir, signal } = this.#context;
    const pages = join(stateDir, 'pages');
    const { bandwidth } = this.#task.server;
    const manifest =
      same ?? (await sendPages(appliance, offer.transfer, this.#counted(), pages, signal, bandwidth));
    const request = {
      manifest,
      consistency: consistency === 'crash' && this.#changing ? 'fuzzy' : consistency,
      skipped: this.#skipped,
      skippedTotal: this.#skippedTotal,
      filesChanged: this.#filesChanged,
    } as const;
    return await appliance.commit(offer.transfer, request, signal);
  }

  async *#counted(): AsyncGenerator<RecordLine> {
    this.#filesChanged = 0;
    this.#large.clear();
    for await (const line of this.#lines()) {
      const { content, mtimeNs } = line.entry;
      if (line.changed === true) this.#filesChanged += 1;
      if (content !== undefined && content.bytes >= DELTA_MIN_BYTES)
        this.#large.set(content.digest, BigInt(mtimeNs));
      yield line;
    }
  }

  async #rewrite(lines: AsyncIterable<RecordLine>): Promise<void> {
    // The old spool is read while the new one is written; the rename at the end replaces it.
    await writeRecord(this.#spool, { server: this.#task.server.name }, lines);
    this.#unchanged = undefined;
  }
}

function isLacking(error: unknown): boolean {
  return error instanceof OverdubError && ['CONFLICT', 'REPOSITORY_DAMAGED'].includes(error.code);
}

/** Only a quiesced or a still root is of one instant. */
function consistencyOf(preHooks: number, still: boolean): Consistency {
  if (preHooks > 0) return 'application';
  return still ? 'crash' : 'fuzzy';
}

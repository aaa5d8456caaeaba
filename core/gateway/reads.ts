/** What agents may read: pages and chunks of images that are theirs, whole or as deltas against what they have. */

import type { DeltaCodec } from '../contracts/delta-codec.ts';
import type { AgentPolicy } from '../contracts/gateway.ts';
import type { Repository } from '../contracts/repository.ts';
import { DigestSet } from '../domain/digest-set.ts';
import { badFrame, encodeFrame, FRAME, type Frame, readBody } from '../domain/frames.ts';
import { groupFrames } from '../domain/groups.ts';
import type { ContentRef, Digest, ManifestRef } from '../domain/manifest.ts';
import { walkPages } from '../domain/page-walk.ts';
import { PassedBytes, release } from '../domain/release.ts';
import { DIGESTS_LIMIT, type FetchedDelta, type ReadHead } from '../domain/transfer-bodies.ts';
import { OverdubError, toOverdubError } from '../errors.ts';
import { hasManyEntries, ROOM, takeRoom } from '../heap-room.ts';
import { WaitingGarbage } from '../waiting-garbage.ts';
import { GroupPlan } from './given-groups.ts';
import type { ImageIndex, ImageIndexes } from './image-index.ts';
import { LineGauge } from './line-gauge.ts';
import { packedAnswers } from './packed-answers.ts';
import { digestsOf, next, parseWant, readHead, readSignature } from './read-requests.ts';
import type { Session } from './sessions.ts';
import { knownWants, StreamedWants, type Wants } from './wants.ts';
import { wireDelta } from './wire-delta.ts';

/** Newest snapshots of a server whose chunks may be bases. */
const HISTORY = 3;
/** What a fetch asks with. */
const WANTS: ReadonlySet<number> = new Set([FRAME.digests, FRAME.want, FRAME.later]);

export interface ReadsOptions {
  readonly policy: AgentPolicy;
  readonly repository: Repository;
  readonly indexes: ImageIndexes;
  readonly codecs: () => Promise<readonly DeltaCodec[]>;
}

/** What answers a fetch. */
export interface Fetched {
  readonly frames: AsyncIterable<Uint8Array>;
  /** Each answer is compressed by itself. */
  readonly isPacked: boolean;
}

/** How the wants of a fetch are answered by groups, and which of them are due. */
interface Groups {
  readonly plan: GroupPlan;
  readonly due: Wants;
}

/** A checked read: the image may be read by this session. */
interface Grant {
  readonly head: ReadHead;
  readonly index: ImageIndex;
}

export class Reads {
  readonly #options: ReadsOptions;
  readonly #passed = new PassedBytes();
  readonly #garbage = new WaitingGarbage();
  readonly #lines = new WeakMap<Session, LineGauge>();
  #isPreparing = false;

  constructor(options: ReadsOptions) {
    this.#options = options;
  }

  /** Pages of an image that the agent lacks, in the order a walk meets them. */
  async manifest(session: Session, body: AsyncIterable<Uint8Array>): Promise<AsyncIterable<Uint8Array>> {
    const frames = readBody(body);
    const head = await readHead(frames);
    await this.#assertMayRead(session, head.image);
    const have = new DigestSet();
    for await (const frame of frames) for (const digest of digestsOf(frame)) have.add(digest);
    return answer(this.#pages(head.image, have, () => this.#prepare(session, head)));
  }

  /** The wanted chunks in the order asked for: groups, `chunk` or `delta` frames, or `unknownBase`. */
  async fetch(session: Session, body: AsyncIterable<Uint8Array>): Promise<Fetched> {
    const frames = readBody(body);
    const grant = await this.#grant(session, await readHead(frames));
    if (grant.head.streams === true) return this.#streamed(session, grant, frames);
    const wants: Frame[] = [];
    for await (const frame of frames) {
      if (wants.length >= DIGESTS_LIMIT) throw badFrame('it asks for too much at once');
      if (!WANTS.has(frame.type)) throw badFrame(`it holds a frame of the unknown type ${frame.type}`);
      wants.push(frame);
    }
    const groups = this.#groups(session, grant, wants);
    const hasDeltas = wants.some((want) => want.type === FRAME.want);
    const isPacked = groups !== undefined && !hasDeltas;
    const chunks = isPacked
      ? this.#packed(session, grant, groups)
      : this.#chunks(session, grant, wants, groups?.plan);
    // Deltas made on the way need memory themselves, and so do lists of very many files.
    const isTight = hasManyEntries(grant.head.image) || hasDeltas;
    return { frames: answer(isTight ? chunks : roomy(chunks)), isPacked };
  }

  /** Wants are answered while more of them come. What is wrong with one that comes is told by the answer. */
  #streamed(session: Session, grant: Grant, frames: AsyncIterable<Frame>): Fetched {
    const plan = this.#plan(session, grant, []);
    if (plan === undefined) throw badFrame('it streams its wants, but takes no groups');
    const line = this.#lineOf(session);
    const due = new StreamedWants(frames, {
      // Asked anew each time: a machine may be held meanwhile.
      wanted: async (digests) => {
        await this.#assertMayRead(session, grant.head.image);
        plan.want(this.#permitted(grant, digests));
      },
      waited: (part) => line.told(part),
    });
    const chunks = this.#packed(session, grant, { plan, due });
    return { frames: answer(hasManyEntries(grant.head.image) ? chunks : roomy(chunks)), isPacked: true };
  }

  /** A delta of the wanted chunks against the base whose signature the agent sends. */
  async fetchAgainst(session: Session, body: AsyncIterable<Uint8Array>): Promise<AsyncIterable<Uint8Array>> {
    const frames = readBody(body);
    const grant = await this.#grant(session, await readHead(frames));
    const target: Digest[] = [];
    let frame = await next(frames);
    for (; frame.type === FRAME.digests; frame = await next(frames)) {
      target.push(...this.#permitted(grant, digestsOf(frame)));
      if (target.length > DIGESTS_LIMIT) throw badFrame('it asks for too much at once');
    }
    const { signature, baseBytes } = await readSignature(frame, frames);
    const feature = (await this.#options.codecs()).find(
      (codec) => grant.head.codecs?.includes(codec.name) && codec.signatures,
    )?.signatures;
    if (feature === undefined) throw badFrame('it names no codec with signatures');
    const index = await feature.index([{ signature, baseBytes }]);
    return answer(deltaFrames(feature.delta(index, this.#whole(target))));
  }

  /** Signature of a content of an image, for an agent that has lost its own. */
  async signature(
    session: Session,
    image: ManifestRef,
    content: ContentRef,
    codecName: string,
    blockBytes: number,
  ): Promise<AsyncIterable<Uint8Array>> {
    const { index } = await this.#grant(session, { image });
    for (const chunk of content.chunks) if (!index.chunks.has(chunk.digest)) throw notInImage(chunk.digest);
    const codec = (await this.#options.codecs()).find((one) => one.name === codecName);
    if (codec?.signatures === undefined) throw badFrame('it names no codec with signatures');
    const source = this.#options.repository.readContent(content);
    return answer(deltaFrames(codec.signatures.sign(source, { sourceBytes: content.bytes, blockBytes })));
  }

  async #grant(session: Session, head: ReadHead): Promise<Grant> {
    await this.#assertMayRead(session, head.image);
    // Filed under whom the session is for, not under what a request says.
    return { head, index: await this.#options.indexes.of(head.image, session.identity.server) };
  }

  async #assertMayRead({ identity }: Session, image: ManifestRef): Promise<void> {
    if (identity.standing === 'held') throw heldMachine();
    if (!(await this.#options.policy.mayRead(identity, image))) throw notYours();
  }

  async *#pages(image: ManifestRef, have: DigestSet, onSent: () => void): AsyncGenerator<Uint8Array> {
    const sent: Uint8Array[] = [];
    const read = async (digest: Digest) => {
      const bytes = await this.#options.repository.readChunk(digest);
      sent.push(...encodeFrame(FRAME.page, bytes));
      return bytes;
    };
    const enter = (digest: Digest) => !have.has(digest);
    for await (const _page of walkPages(image, read, { enter })) {
      yield* sent.splice(0);
      this.#garbage.check();
    }
    yield* sent;
    onSent();
  }

  /**
   * What a fetch is judged by takes a while to find out, which is what the agent takes to look at the pages. For one agent at a time: nobody
   * has the appliance build many indexes at once. Where lists are very long, their memory is not taken before it is needed.
   */
  #prepare(session: Session, head: ReadHead): void {
    if (head.willFetch !== true || this.#isPreparing || hasManyEntries(head.image)) return;
    this.#isPreparing = true;
    this.#grant(session, head)
      .then((grant) => this.#ownIndexes(session, grant, true, (image) => !hasManyEntries(image)))
      // The fetch itself tells of it, to whom it matters.
      .catch(() => undefined)
      .finally(() => {
        this.#isPreparing = false;
      });
  }

  async *#packed(session: Session, grant: Grant, { plan, due }: Groups): AsyncGenerator<Uint8Array> {
    // Who takes groups compares each chunk with its digest, and asks for those that differ one by one.
    const readChunk = (digest: Digest) => this.#options.repository.readUncompared(digest);
    const isMany = hasManyEntries(grant.head.image);
    const line = this.#lineOf(session);
    line.begin(grant.head.waited);
    for await (const piece of packedAnswers({
      plan,
      wants: due,
      readChunk,
      ahead: isMany ? 1 : 2,
      readsAhead: !isMany,
      line,
    })) {
      if (isMany) this.#garbage.check();
      yield piece;
    }
  }

  #lineOf(session: Session): LineGauge {
    const line = this.#lines.get(session) ?? new LineGauge();
    this.#lines.set(session, line);
    return line;
  }

  async *#chunks(
    session: Session,
    grant: Grant,
    wants: readonly Frame[],
    groups: GroupPlan | undefined,
  ): AsyncGenerator<Uint8Array> {
    for (const want of wants) {
      if (hasManyEntries(grant.head.image)) this.#garbage.check();
      if (want.type === FRAME.digests) yield* this.#raw(this.#permitted(grant, digestsOf(want)), groups);
      else if (want.type === FRAME.want) yield* this.#delta(session, grant, want.payload);
    }
  }

  async *#raw(digests: readonly Digest[], groups?: GroupPlan): AsyncGenerator<Uint8Array> {
    for (const digest of digests) {
      const way = (await groups?.next()) ?? 'chunk';
      if (way === 'chunk') {
        const bytes = await this.#options.repository.readChunk(digest);
        const { length } = bytes;
        yield* encodeFrame(FRAME.chunk, bytes);
        release(bytes);
        this.#passed.add(length);
      } else if (way !== 'given') {
        yield* groupFrames(way.head, way.pieces);
        release(way.buffer);
      }
    }
  }

  /** For an agent that takes groups: how its wants are answered. */
  #groups(session: Session, grant: Grant, wants: readonly Frame[]): Groups | undefined {
    const listed = (type: number) => wants.filter((want) => want.type === type).flatMap(digestsOf);
    const due = listed(FRAME.digests);
    const plan = this.#plan(session, grant, [...due, ...listed(FRAME.later)]);
    return plan && { plan, due: knownWants(due) };
  }

  #plan(session: Session, grant: Grant, digests: readonly Digest[]): GroupPlan | undefined {
    const window = grant.head.groupBytes;
    if (window === undefined) return undefined;
    if (!Number.isSafeInteger(window) || window < 0)
      throw badFrame('it keeps a number of bytes that is none');
    const wanted = this.#permitted(grant, digests);
    let own: Promise<readonly ImageIndex[]> | undefined;
    const mayGive = async (digests: readonly Digest[]): Promise<boolean> => {
      const others = digests.filter((digest) => !grant.index.chunks.has(digest));
      if (others.length === 0) return true;
      own ??= this.#ownIndexes(session, grant, true);
      return isAmong(await own, others);
    };
    return new GroupPlan({ repository: this.#options.repository, wanted, mayGive, window });
  }

  async *#delta(session: Session, grant: Grant, payload: Uint8Array): AsyncGenerator<Uint8Array> {
    const { target, base } = parseWant(payload);
    this.#permitted(grant, target);
    if (!(await this.#isKnown(session, grant, base))) {
      yield* encodeFrame(FRAME.unknownBase);
      return;
    }
    const codecs = (await this.#options.codecs()).filter((codec) => grant.head.codecs?.includes(codec.name));
    const targetBytes = await this.#join(target);
    const baseBytes = await this.#join(base);
    const best = await wireDelta(codecs, baseBytes, targetBytes);
    this.#passed.add(targetBytes.length + baseBytes.length);
    for (const bytes of [targetBytes, baseBytes]) if (best?.delta.buffer !== bytes.buffer) release(bytes);
    if (best === undefined) {
      yield* this.#raw(target);
      return;
    }
    const head: FetchedDelta = { codec: best.codec.name, version: best.codec.formatVersion };
    yield* encodeFrame(FRAME.delta, JSON.stringify(head));
    yield* encodeFrame(FRAME.piece, best.delta);
  }

  /** Bases may be of the image itself and of the server's newest states: nothing that tells of others. */
  async #isKnown(session: Session, grant: Grant, digests: readonly Digest[]): Promise<boolean> {
    return isAmong(await this.#ownIndexes(session, grant, false), digests);
  }

  /** The image, the server's newest states and, if asked for, the master of the newest: as far as the session may read. */
  async #ownIndexes(
    session: Session,
    grant: Grant,
    withMaster: boolean,
    isDue: (image: ManifestRef) => boolean = () => true,
  ): Promise<readonly ImageIndex[]> {
    const { policy, repository, indexes } = this.#options;
    const { server } = grant.head;
    const newest = server === undefined ? [] : (await repository.listSnapshots(server)).slice(-HISTORY);
    const images = newest.map((snapshot) => snapshot.manifest);
    const master = withMaster ? newest.at(-1)?.master : undefined;
    if (master !== undefined) {
      const all = await repository.listMasters();
      const own = all.find((one) => one.name === master.name && one.version === master.version);
      if (own !== undefined) images.push(own.manifest);
    }
    const found = [grant.index];
    for (const image of images)
      if (isDue(image) && (await policy.mayRead(session.identity, image)))
        found.push(await indexes.of(image, session.identity.server));
    return found;
  }

  #permitted(grant: Grant, digests: readonly Digest[]): readonly Digest[] {
    for (const digest of digests) if (!grant.index.chunks.has(digest)) throw notInImage(digest);
    return digests;
  }

  async #join(digests: readonly Digest[]): Promise<Uint8Array> {
    const parts: Uint8Array[] = [];
    for (const digest of digests) parts.push(await this.#options.repository.readChunk(digest));
    return parts.length === 1 ? (parts[0] as Uint8Array) : Buffer.concat(parts);
  }

  async *#whole(digests: readonly Digest[]): AsyncGenerator<Uint8Array> {
    for (const digest of digests) yield await this.#options.repository.readChunk(digest);
  }
}

/** Adds the end; a failure on the way becomes a failure frame, because the status line is gone by then. */
async function* answer(frames: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* frames;
    yield* encodeFrame(FRAME.end);
  } catch (error) {
    const body = toOverdubError(error, 'INTERNAL', 'See the log of the appliance.').toJSON();
    yield* encodeFrame(FRAME.failure, JSON.stringify(body));
  }
}

async function* roomy(frames: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const leave = takeRoom(ROOM.reading);
  try {
    yield* frames;
  } finally {
    leave();
  }
}

async function* deltaFrames(delta: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const piece of delta) yield* encodeFrame(FRAME.piece, piece);
  yield* encodeFrame(FRAME.piecesEnd);
}

function isAmong(indexes: readonly ImageIndex[], digests: readonly Digest[]): boolean {
  return digests.every((digest) =>
    indexes.some((index) => index.chunks.has(digest) || index.pages.has(digest)),
  );
}

function notInImage(digest: Digest): OverdubError {
  return new OverdubError(
    'NOT_FOUND',
    `The chunk ${digest.slice(0, 12)}… does not belong to the image that is read.`,
    'Compare the versions of agent and appliance.',
  );
}

function notYours(): OverdubError {
  return new OverdubError(
    'UNAUTHORIZED',
    'This agent may not read that image: it is neither of its server nor its master.',
    'Use a token that is allowed to act for that server.',
  );
}

function heldMachine(): OverdubError {
  return new OverdubError(
    'MACHINE_HELD',
    'This machine is held and may read nothing.',
    'Accept it: overdub machine accept MACHINE.',
  );
}

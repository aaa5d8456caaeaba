/** The appliance as the agent sees it: one session that renews itself, one method a request. */

import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import {
  type CommitRequest,
  type ContentRef,
  compressFrames,
  type Digest,
  FRAME,
  type Frame,
  type Hello,
  type ManifestRef,
  type Orders,
  OverdubError,
  packDigests,
  type RestoreRequest,
  type RestoreTask,
  readBody,
  type Snapshot,
  type SnapshotRequest,
  type SnapshotTask,
  storeFrames,
  type TaskAnswer,
  type TaskReport,
  type TransferOffer,
  type TransferRequest,
  type Welcome,
} from '@overdub/core/agent';
import { type OpenedAnswer, openedAnswers } from '../receiver/opened-answers.ts';
import type { Receiver } from '../receiver/receiver.ts';
import type { SentAlong } from '../receiver/sent-along.ts';
import { ConnectionLost } from './connection-lost.ts';
import { HttpLink, type HttpRequest } from './http.ts';
import { paced } from './pace.ts';

const FRAMES_TYPE = 'application/vnd.overdub.frames+zstd';
const IMAGES = '/agent/v1/images';
const BINARY_TYPE = 'application/octet-stream';
/** Waits between tries while the appliance is away, milliseconds. */
const PATIENCE_MS = [500, 1000, 2000, 4000, 8000, 15_000];

/** Who the agent is: one of `credential` and `nonce`; `resume` is a session that it had before. */
export interface Self {
  readonly hello: Omit<Hello, 'nonce' | 'credential' | 'resume'>;
  readonly nonce?: string;
  readonly credential?: string;
  readonly resume?: string;
}

export interface ApplianceOptions {
  readonly url: string;
  readonly self: Self;
  readonly sleep: (ms: number, signal?: AbortSignal) => Promise<void>;
  /** Hears of every new session token, so that it can be kept for a restart of the program. */
  readonly onSession?: (token: string) => Promise<void>;
  /** How often a broken connection is tried again before a request fails; default 8. */
  readonly tries?: number;
}

/** How an upload travels. */
export interface UploadManner {
  /** Bytes a second at most. */
  readonly bandwidth?: number | undefined;
  /** The frames hold hardly anything that is not compressed yet. */
  readonly compressed?: boolean;
}

type Plain = Omit<HttpRequest, 'bearer' | 'signal' | 'body'> & {
  readonly body?: () => Uint8Array | Readable;
};

export class Appliance {
  readonly #http: HttpLink;
  readonly #options: ApplianceOptions;
  #session: string | undefined;
  #resume: string | undefined;
  #takesGroups = false;
  #takesStreams = false;

  constructor(options: ApplianceOptions) {
    this.#options = options;
    this.#http = new HttpLink(options.url);
    this.#resume = options.self.resume;
  }

  /** Body bytes moved since the beginning. */
  get bytes(): { readonly sent: number; readonly received: number } {
    return this.#http.bytes;
  }

  get url(): string {
    return this.#http.url;
  }

  /** Whether fetches may ask for groups: as the last welcome said. */
  get takesGroups(): boolean {
    return this.#takesGroups;
  }

  /** Whether a fetch may go on asking while it is answered. */
  get takesStreams(): boolean {
    return this.#takesStreams;
  }

  /**
   * Says hello anew: by credential or nonce, and where that no longer works (a nonce has grown too old) by the
   * last session. UNAUTHORIZED, or whatever the appliance refuses with; ConnectionLost when it is away.
   */
  async hello(signal: AbortSignal): Promise<Welcome> {
    const { hello, nonce, credential } = this.#options.self;
    const resume = this.#resume;
    const secret = credential === undefined ? { nonce: nonce ?? '' } : { credential };
    if (credential === undefined && nonce === undefined)
      return await this.#greet({ ...hello, resume: resume ?? '' }, signal);
    try {
      return await this.#greet({ ...hello, ...secret }, signal);
    } catch (error) {
      const refused = error instanceof OverdubError && error.code === 'UNAUTHORIZED';
      if (!refused || resume === undefined || credential !== undefined) throw error;
      return await this.#greet({ ...hello, resume }, signal);
    }
  }

  async orders(waitSeconds: number, signal: AbortSignal): Promise<Orders> {
    return await this.#json({ method: 'GET', path: `/agent/v1/task?wait=${waitSeconds}` }, signal);
  }

  async report(task: string, report: TaskReport, signal: AbortSignal): Promise<TaskAnswer> {
    const path = `/agent/v1/tasks/${encodeURIComponent(task)}`;
    return await this.#json({ method: 'POST', path, json: report }, signal);
  }

  async beginSnapshot(request: SnapshotRequest, signal: AbortSignal): Promise<SnapshotTask> {
    return await this.#json({ method: 'POST', path: '/agent/v1/snapshots', json: request }, signal);
  }

  async beginRestore(request: RestoreRequest, signal: AbortSignal): Promise<RestoreTask> {
    return await this.#json({ method: 'POST', path: '/agent/v1/restores', json: request }, signal);
  }

  async beginTransfer(request: TransferRequest, signal: AbortSignal): Promise<TransferOffer> {
    return await this.#json({ method: 'POST', path: '/agent/v1/transfers', json: request }, signal);
  }

  /** One bit a digest, lowest first: set when it must be sent. */
  async offer(
    transfer: string,
    kind: 'pages' | 'chunks',
    digests: readonly Digest[],
    signal: AbortSignal,
  ): Promise<(at: number) => boolean> {
    const bitmap = await this.#retry(signal, (bearer) =>
      this.#http.binary({
        method: 'POST',
        path: `/agent/v1/transfers/${transfer}/offer/${kind}`,
        body: packDigests(digests),
        type: BINARY_TYPE,
        bearer,
        signal,
      }),
    );
    return (at) => (((bitmap[at >> 3] ?? 0) >> (at & 7)) & 1) === 1;
  }

  /** Not repeated by itself: what arrived is not asked for in the next offer. */
  async upload(
    transfer: string,
    frames: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
    { bandwidth, compressed }: UploadManner = {},
  ): Promise<void> {
    const path = `/agent/v1/transfers/${transfer}/upload`;
    const whole = compressed === true ? storeFrames(frames) : compressFrames(frames, 'upload');
    const body = bandwidth === undefined ? whole : Readable.from(paced(whole, bandwidth, signal));
    try {
      await this.#http.json({ method: 'POST', path, body, type: FRAMES_TYPE, signal, ...this.#bearer() });
    } finally {
      body.destroy();
    }
  }

  async commit(transfer: string, request: CommitRequest, signal: AbortSignal): Promise<Snapshot> {
    const path = `/agent/v1/transfers/${transfer}/commit`;
    return await this.#json({ method: 'POST', path, json: request }, signal);
  }

  /** Frames of a read; `request` frames are made anew for each try. */
  async *read(
    what: 'manifest' | 'fetch' | 'fetch-against',
    request: () => AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): AsyncGenerator<Frame> {
    const path = `${IMAGES}/${what}`;
    const stream = await this.#retry(signal, async (bearer) => {
      const body = compressFrames(request(), 'light');
      return await this.#http.stream({ method: 'POST', path, body, type: FRAMES_TYPE, bearer, signal });
    });
    yield* this.#frames(stream);
  }

  /** The same of a fetch that takes groups, received by another thread where there is one. */
  async *fetch(
    request: () => AsyncIterable<Uint8Array>,
    receiver: Receiver | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<OpenedAnswer> {
    if (receiver === undefined) {
      yield* openedAnswers(this.read('fetch', request, signal));
      return;
    }
    const body = () => buffer(compressFrames(request(), 'light'));
    yield* await this.#received(receiver, body, signal);
  }

  /** The same of one that goes on asking, by a receiver only. */
  async *fetchAlong(asked: SentAlong, receiver: Receiver, signal: AbortSignal): AsyncGenerator<OpenedAnswer> {
    yield* await this.#received(receiver, async () => asked, signal);
  }

  #received(
    receiver: Receiver,
    body: () => Promise<Uint8Array | SentAlong>,
    signal: AbortSignal,
  ): Promise<AsyncGenerator<OpenedAnswer>> {
    const request = { method: 'POST', path: `${IMAGES}/fetch`, type: FRAMES_TYPE, signal } as const;
    return this.#retry(signal, async (bearer) =>
      this.#http.receive(receiver, { ...request, body: await body(), bearer }),
    );
  }

  /** A boot artifact, in pieces. NOT_FOUND. */
  async artifact(name: string, signal: AbortSignal): Promise<Readable> {
    return await this.#retry(signal, (bearer) =>
      this.#http.stream({ method: 'GET', path: `/boot/${name}`, bearer, signal }),
    );
  }

  /** Signature of a content of an image that the agent may read, in pieces. */
  async *signature(
    image: ManifestRef,
    content: ContentRef,
    codec: string,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    const json = { image, content, codec };
    const path = `${IMAGES}/signature`;
    const stream = await this.#retry(signal, (bearer) =>
      this.#http.stream({ method: 'POST', path, json, bearer, signal }),
    );
    for await (const frame of this.#frames(stream)) if (frame.type === FRAME.piece) yield frame.payload;
  }

  close(): void {
    this.#http.close();
  }

  async *#frames(stream: Readable): AsyncGenerator<Frame> {
    try {
      yield* readBody(stream);
    } catch (error) {
      throw error instanceof OverdubError ? error : new ConnectionLost(this.url, error);
    } finally {
      stream.destroy();
    }
  }

  async #greet(hello: Hello, signal: AbortSignal): Promise<Welcome> {
    const path = '/agent/v1/hello';
    const welcome = await this.#http.json<Welcome>({ method: 'POST', path, json: hello, signal });
    this.#session = welcome.session;
    this.#takesGroups = welcome.groups === true;
    this.#takesStreams = welcome.streams === true;
    this.#resume = welcome.session;
    await this.#options.onSession?.(welcome.session);
    return welcome;
  }

  #bearer(): { readonly bearer?: string } {
    return this.#session === undefined ? {} : { bearer: this.#session };
  }

  async #json<T>(request: Plain, signal: AbortSignal): Promise<T> {
    const { body: _body, ...rest } = request;
    return await this.#retry(signal, (bearer) => this.#http.json<T>({ ...rest, bearer, signal }));
  }

  /** Tries again while the appliance is away, and says hello again when it has forgotten us. */
  async #retry<T>(signal: AbortSignal, work: (bearer: string) => Promise<T>): Promise<T> {
    const tries = this.#options.tries ?? 8;
    let renewed = false;
    for (let attempt = 0; ; attempt++) {
      try {
        if (this.#session === undefined) await this.hello(signal);
        return await work(this.#session as string);
      } catch (error) {
        const forgotten = error instanceof OverdubError && error.code === 'UNAUTHORIZED' && !renewed;
        if (forgotten) {
          renewed = true;
          this.#session = undefined;
          continue;
        }
        if (!(error instanceof ConnectionLost) || attempt + 1 >= tries) throw error;
        await this.#options.sleep(PATIENCE_MS[Math.min(attempt, PATIENCE_MS.length - 1)] as number, signal);
      }
    }
  }
}

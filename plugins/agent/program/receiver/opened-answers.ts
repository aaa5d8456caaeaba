/** Answers of a fetch as they come, each group of chunks decoded and hashed. */

import {
  ahead,
  badFrame,
  type Digest,
  digestOf,
  FRAME,
  type Frame,
  frameJson,
  type GivenGroup,
  openGroup,
  Pieces,
  rawBytesOf,
  readGroup,
} from '@overdub/core/agent';

/** One answer, and when it had come, by {@link nowMs}. */
export type OpenedAnswer = { readonly cameMs: number } & (
  | { readonly frame: Frame }
  | { readonly group: OpenedGroup }
);

export interface OpenedGroup {
  /** As it was announced: its lengths are proper, what it gives are pairs of whole numbers. */
  readonly head: Pick<GivenGroup, 'chunks' | 'gives'>;
  /** Its decoded bytes, in a buffer of their own; undefined where it is damaged. */
  readonly raw: Uint8Array | undefined;
  /** Of each of its chunks that answers something. */
  readonly digests: readonly (Digest | undefined)[];
}

type ReceivedAnswer = { readonly cameMs: number } & (
  | { readonly frame: Frame }
  | { readonly head: GivenGroup; readonly decoding: Promise<Uint8Array | undefined> }
);

/** What an answer takes besides its bytes, at least; a group's announcement takes several times its length when it is read. */
const ANSWER_BYTES = 4096;
const HEAD_TIMES = 8;

/** Of all threads of this process, milliseconds. */
export function nowMs(): number {
  return Number(process.hrtime.bigint() / 1000n) / 1000;
}

export interface OpeningOptions {
  /** Waited for before the bytes of an answer are taken in. */
  readonly room?: (bytes: number) => Promise<void>;
  /** Does the next answer come, and is it decoded, while one is hashed? A frame that is no group has a buffer of its own then. */
  readonly overlaps?: boolean;
}

/**
 * The next answer is received when it is asked for. Frames that are no groups are passed on as they are. INPUT_INVALID when one is malformed.
 */
export async function* openedAnswers(
  frames: AsyncGenerator<Frame>,
  { room = async () => undefined, overlaps = false }: OpeningOptions = {},
): AsyncGenerator<OpenedAnswer> {
  const received = receivedAnswers(frames, room, overlaps);
  for await (const answer of overlaps ? ahead(received, 1) : received) {
    if ('frame' in answer) {
      yield answer;
      continue;
    }
    const { head, decoding, cameMs } = answer;
    const raw = await decoding;
    const { chunks, gives } = head;
    const digests = raw === undefined ? [] : digestsOf(raw, head);
    yield { group: { head: { chunks, gives }, raw, digests }, cameMs };
  }
}

/** Each group is being decoded. */
async function* receivedAnswers(
  frames: AsyncGenerator<Frame>,
  room: (bytes: number) => Promise<void>,
  areOwn: boolean,
): AsyncGenerator<ReceivedAnswer> {
  for await (const frame of frames) {
    if (frame.type !== FRAME.group) {
      const cameMs = nowMs();
      await room(ANSWER_BYTES + frame.payload.length);
      yield { frame: areOwn ? { ...frame, payload: new Uint8Array(frame.payload) } : frame, cameMs };
      continue;
    }
    const head = headOf(frame);
    await room(ANSWER_BYTES + HEAD_TIMES * frame.payload.length + rawBytesOf(head.chunks));
    const group = await readGroup(head, new Pieces(frames));
    const cameMs = nowMs();
    // A damaged one's chunks are asked for one by one, and the appliance says what is wrong where something is.
    yield { head, decoding: openGroup(group).catch(() => undefined), cameMs };
  }
}

/** What it gives may be anything that is a pair of whole numbers; nothing else of the announcement is passed on. */
function headOf(frame: Frame): GivenGroup {
  const said = frameJson<unknown>(frame);
  if (said === null || typeof said !== 'object') throw badFrame('a group announces nothing');
  const { chunks, encoding, bytes, gives } = said as GivenGroup;
  const isPair = (give: unknown) =>
    Array.isArray(give) && give.length === 2 && give.every((one) => Number.isSafeInteger(one) && one >= 0);
  if (!Array.isArray(gives) || !gives.every(isPair) || !Array.isArray(chunks))
    throw badFrame('a group gives nothing that was asked for');
  return { chunks, encoding, bytes, gives };
}

/** Where each chunk lies among the bytes of its group, and where they end. */
export function placesOf(lengths: readonly number[]): number[] {
  const places = [0];
  for (const length of lengths) places.push((places.at(-1) as number) + length);
  return places;
}

function digestsOf(raw: Uint8Array, { chunks, gives }: GivenGroup): (Digest | undefined)[] {
  const digests = new Array<Digest | undefined>(chunks.length).fill(undefined);
  const places = placesOf(chunks);
  for (const [, chunk] of gives) {
    const [from, to] = [places[chunk], places[chunk + 1]];
    if (from !== undefined && to !== undefined) digests[chunk] ??= digestOf(raw.subarray(from, to));
  }
  return digests;
}

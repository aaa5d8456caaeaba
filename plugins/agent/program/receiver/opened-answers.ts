/** Answers of a fetch as they come, each group of chunks decoded and hashed. */

import {
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
  /** As it was announced: of what it says, only the lengths are known to be proper. */
  readonly head: GivenGroup;
  /** Its decoded bytes, in a buffer of their own; undefined where it is damaged. */
  readonly raw: Uint8Array | undefined;
  /** Of each of its chunks that answers something. */
  readonly digests: readonly (Digest | undefined)[];
}

/** Of all threads of this process, milliseconds. */
export function nowMs(): number {
  return Number(process.hrtime.bigint() / 1000n) / 1000;
}

/**
 * The next answer is received when it is asked for. `room` is waited for before the bytes of one are taken in. Frames that are no groups
 * are passed on as they are. INPUT_INVALID when one is malformed.
 */
export async function* openedAnswers(
  frames: AsyncGenerator<Frame>,
  room: (bytes: number) => Promise<void> = async () => undefined,
): AsyncGenerator<OpenedAnswer> {
  for await (const frame of frames) {
    if (frame.type !== FRAME.group) {
      const cameMs = nowMs();
      await room(frame.payload.length);
      yield { frame, cameMs };
      continue;
    }
    const head = frameJson<GivenGroup>(frame);
    await room(rawBytesOf(Array.isArray(head.chunks) ? head.chunks : []));
    const group = await readGroup(head, new Pieces(frames));
    const cameMs = nowMs();
    // A damaged one's chunks are asked for one by one, and the appliance says what is wrong where something is.
    const raw = await openGroup(group).catch(() => undefined);
    yield { group: { head, raw, digests: raw === undefined ? [] : digestsOf(raw, head) }, cameMs };
  }
}

function digestsOf(raw: Uint8Array, { chunks, gives }: GivenGroup): (Digest | undefined)[] {
  const digests = new Array<Digest | undefined>(chunks.length).fill(undefined);
  const places = [0];
  for (const length of chunks) places.push((places.at(-1) as number) + length);
  for (const give of Array.isArray(gives) ? (gives as readonly unknown[]) : []) {
    const chunk = Array.isArray(give) ? Number(give[1]) : Number.NaN;
    const [from, to] = [places[chunk], places[chunk + 1]];
    if (from !== undefined && to !== undefined) digests[chunk] ??= digestOf(raw.subarray(from, to));
  }
  return digests;
}

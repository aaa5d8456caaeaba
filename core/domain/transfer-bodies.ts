/** JSON that travels in frames of transfer bodies (docs/agent-protocol.md). */

import type { Digest, ManifestRef } from './manifest.ts';

/** Most earlier contents one upload may name. */
export const BASE_LIMIT = 4096;

/** Most digests in one offer, one fetch or one delta's target. */
export const DIGESTS_LIMIT = 65_536;

/** Block length of signatures that travel or are kept by agents, bytes. */
export const WIRE_BLOCK_BYTES = 512;

/** First frame of an upload. */
export interface UploadHead {
  /** Codec of its deltas; absent when it has none. */
  readonly codec?: string;
  /** Earlier contents, by path in the base image. The first `virtual` of them, concatenated, are the delta base. */
  readonly files: readonly { readonly path: string; readonly digest: Digest }[];
  readonly virtual: number;
  /** Logs come last, whose deltas copy from what comes before: that must not be many deltas deep. */
  readonly logs?: true;
}

/** Announces a delta: it makes these chunks, one behind the other. */
export interface DeltaHead {
  /** Lengths of the chunks. */
  readonly chunks: readonly number[];
  /** Absent: what it makes joins the base. Logs repeat other files, seldom each other: theirs are base of nothing. */
  readonly joins?: false;
}

/** Chunks of a group together at most, bytes: what a frame of a pack may hold. */
export const GROUP_BYTES: number = 16 * 1024 * 1024;

/** Announces a group: chunks behind one another, compressed as one. */
export interface GroupHead {
  /** Lengths of the chunks. */
  readonly chunks: readonly number[];
  /** `zstd`: one frame, RFC 8878, that tells its content's length. `raw`: the chunks as they are. */
  readonly encoding: 'raw' | 'zstd';
  /** What the pieces add up to. */
  readonly bytes: number;
}

/** A group in a fetch answer: it stands where the first chunk of it is due that none before gave. */
export interface GivenGroup extends GroupHead {
  /**
   * Which wants it answers: pairs of a want (digests count from 0 through the request, of `later` behind those of
   * `digests`) and a chunk of the group, wants ascending. Nothing else is sent for them.
   */
  readonly gives: readonly (readonly [want: number, chunk: number])[];
}

/** First frame of a fetch, a manifest request or a signature request. */
export interface ReadHead {
  readonly image: ManifestRef;
  /** Server whose newest states may serve as bases. */
  readonly server?: string;
  /** Codecs the agent can decode. */
  readonly codecs?: readonly string[];
  /**
   * Wanted chunks may come in groups, as they are stored. The agent keeps so many bytes of them, decoded, until the last
   * wanted chunk of each had its turn. Absent: chunks come one by one.
   */
  readonly groupBytes?: number;
  /**
   * Digests come while those before them are answered, {@link DIGESTS_LIMIT} in all, and the body ends when the last answer has come: no
   * wants of deltas, nothing for `later`. With `groupBytes` only.
   */
  readonly streams?: true;
  /** Of the time that the answer before this one took, the part in which the agent waited for what had not come yet: 0 to 1. */
  readonly waited?: number;
  /** Of who asks for pages: contents are asked for next. What that is judged by is found out meanwhile. */
  readonly willFetch?: boolean;
}

/** Announces a delta in a fetch answer: base and target are what the want named. */
export interface FetchedDelta {
  readonly codec: string;
  readonly version: number;
}

/** The agent's program as machines fetch it: files by digest, one of them the entry. */

import type { Digest } from '../domain/manifest.ts';

/** One file of the bundle. `path` is clean and relative; `mode` holds permission bits. */
export interface AgentBundleFile {
  readonly path: string;
  readonly digest: Digest;
  readonly bytes: number;
  readonly mode: number;
}

/** What `GET /agent/v1/bundle` answers. Equal programs have equal digests. */
export interface AgentBundleManifest {
  /** SHA-256 over the sorted list of paths, modes and file digests. */
  readonly digest: Digest;
  /**
   * Path of the module to start. It exports `run`, the agent, and may export `main`: the process's command line, for
   * commands that are `bundled`.
   */
  readonly entry: string;
  readonly files: readonly AgentBundleFile[];
}

export interface AgentBundle extends AgentBundleManifest {
  /** Absolute paths of the files it was made from: while these stay as they are, so does the bundle. */
  readonly inputs?: readonly string[];
  /** The bytes of one of `files`; rejects with NOT_FOUND for any other digest. */
  read(digest: Digest): Promise<Uint8Array>;
}

/** A configured plugin's half that belongs into the bundle: its name, and the URLs of its module and of its threads' programs. */
export interface AgentHalfSource {
  readonly name: string;
  readonly agent: URL;
  readonly threads?: Readonly<Record<string, URL>>;
}

/** What a thread beside the agent's can make while that one plans: small things, in the order in which they are given. */

import { closeSync } from 'node:fs';
import type { FileStamp } from '@overdub/core/agent';
import { type Metadata, setMetadata } from '../metadata.ts';
import { type SpecialEntry, type WantedFile, writeShortFile, writeSpecial } from '../write-file.ts';

/** Handles are this process's, and so another thread's as well; paths lead through them. */
export type Job =
  | { readonly do: 'file'; readonly dirfd: number; readonly name: string; readonly file: WantedFile }
  | { readonly do: 'special'; readonly dirfd: number; readonly name: string; readonly entry: SpecialEntry }
  | { readonly do: 'metadata'; readonly at: string; readonly entry: Metadata }
  /** Nothing behind it goes through this handle. */
  | { readonly do: 'close'; readonly fd: number };

/** The thread says that it takes batches. */
export const READY = 'ready';
/** There will be no more batches. */
export const STOP = 'stop';

/** Jobs, and one behind another the bytes of their files. */
export interface Batch {
  readonly jobs: readonly Job[];
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** What became of a batch; its bytes are given back. */
export interface Done {
  /** Of each file of it that was made: undefined where it is another by now. */
  readonly stamps: readonly (FileStamp | undefined)[];
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** With the fields of a system error. Nothing is made any more from then on, handles are still closed. */
  readonly failed?: Failure;
}

type Failure = Pick<NodeJS.ErrnoException, 'message' | 'code' | 'errno' | 'syscall' | 'path'>;

/** Makes things until something fails. */
export class Jobs {
  #failed: Failure | undefined;

  perform({ jobs, bytes }: Batch): Done {
    const stamps: (FileStamp | undefined)[] = [];
    let at = 0;
    for (const job of jobs) {
      if (job.do === 'close') closeSync(job.fd);
      else if (this.#failed === undefined) {
        try {
          if (job.do === 'file') {
            const { dirfd, name, file } = job;
            const content = bytes.subarray(at, at + file.bytes);
            at += file.bytes;
            stamps.push(writeShortFile(dirfd, name, file, content));
          } else if (job.do === 'special') writeSpecial(job.dirfd, job.name, job.entry, true);
          else setMetadata(job.at, job.entry);
        } catch (error) {
          this.#failed = failureOf(error);
        }
      }
    }
    return { stamps, bytes, ...(this.#failed === undefined ? {} : { failed: this.#failed }) };
  }
}

/** As an error it would lose its fields on the way. */
function failureOf(error: unknown): Failure {
  const { message, code, errno, syscall, path } = error as Failure;
  const fields = Object.entries({ code, errno, syscall, path }).filter(([, value]) => value !== undefined);
  return { message, ...Object.fromEntries(fields) };
}

/** What an image is, learned while its entries pass by: kernels, and the processor its programs are for. */

import type { Arch } from '../domain/machine.ts';
import type { Entry } from '../domain/manifest.ts';
import { type Kernel, kernelsIn } from './kernels.ts';

/** `e_machine` of the ELF header (System V ABI, gabi §4). */
const ELF_MACHINES: Readonly<Record<number, Arch>> = { 62: 'x86_64', 183: 'arm64' };
const ELF_HEADER_BYTES = 20;
const PROGRAM = /^(usr\/)?s?bin\/[^/]+$/;
/** Programs every Linux has; the first that is there decides, any other only when none is. */
const KNOWN = ['sh', 'dash', 'bash', 'busybox', 'init', 'cat', 'ls'];

export class ImageSurvey {
  readonly #boot: string[] = [];
  readonly #machines = new Map<string, number>();

  see({ path, type }: Pick<Entry, 'path' | 'type'>): void {
    if (path.startsWith('boot/') && (type === 'file' || type === 'hardlink')) this.#boot.push(path);
  }

  /** Passes a file's bytes on; of a program, it looks at the ELF header. */
  async *peek(path: string, bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    const wanted = PROGRAM.test(path);
    let head = Buffer.alloc(0);
    for await (const piece of bytes) {
      if (wanted && head.length < ELF_HEADER_BYTES) {
        head = Buffer.concat([head, piece.subarray(0, ELF_HEADER_BYTES - head.length)]);
      }
      yield piece;
    }
    const machine = elfMachine(head);
    if (machine !== undefined) this.#machines.set(path, machine);
  }

  kernels(): Kernel[] {
    return kernelsIn(this.#boot);
  }

  /** The programs' architecture, or the ELF number of one that is not supported; neither without programs. */
  machine(): { readonly arch?: Arch; readonly unknown?: number } {
    const named = KNOWN.flatMap((name) =>
      ['usr/bin/', 'bin/', 'usr/sbin/', 'sbin/'].map((dir) => dir + name),
    );
    const decisive = named.find((path) => this.#machines.has(path));
    const machine =
      decisive === undefined ? this.#machines.values().next().value : this.#machines.get(decisive);
    if (machine === undefined) return {};
    const arch = ELF_MACHINES[machine];
    return arch === undefined ? { unknown: machine } : { arch };
  }
}

function elfMachine(head: Buffer): number | undefined {
  if (head.length < ELF_HEADER_BYTES || head.readUInt32BE(0) !== 0x7f454c46) return undefined;
  return head[5] === 2 ? head.readUInt16BE(18) : head.readUInt16LE(18);
}

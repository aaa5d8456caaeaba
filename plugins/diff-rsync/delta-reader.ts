/** Reads an rdiff delta in pieces of any size. Total: every byte string gives commands or a clear error. */

import type { DeltaPart } from '@overdub/core/agent';
import {
  DELTA_MAGIC,
  invalid,
  OP_COPY_N1_N1,
  OP_COPY_N8_N8,
  OP_END,
  OP_LITERAL_MAX_IMMEDIATE,
  OP_LITERAL_N1,
} from './format.ts';

/** A literal may come in several pieces. */
export type DeltaCommand = DeltaPart;

/** What the patcher allows: copies lie within the base, the output is exactly `targetBytes` where given. */
export interface DeltaBounds {
  readonly baseBytes: number;
  readonly targetBytes?: number;
}

const HEADER = -1;

/** Feed with {@link DeltaReader.read}, then call {@link DeltaReader.finish}. */
export class DeltaReader {
  readonly #bounds: DeltaBounds;
  /** Bytes of a header or of a command's numbers that are not complete yet. */
  readonly #pending = new Uint8Array(16);
  #pendingLength = 0;
  #wanted = 4;
  #opcode = HEADER;
  #literalLeft = 0;
  #produced = 0;
  #ended = false;

  constructor(bounds: DeltaBounds) {
    this.#bounds = bounds;
  }

  *read(chunk: Uint8Array): Generator<DeltaCommand> {
    let at = 0;
    while (at < chunk.length) {
      if (this.#ended) throw invalid('The delta goes on after its end command.');
      if (this.#literalLeft > 0) {
        const bytes = chunk.subarray(at, at + this.#literalLeft);
        at += bytes.length;
        this.#literalLeft -= bytes.length;
        yield { kind: 'literal', bytes };
      } else if (this.#wanted > 0) {
        const part = chunk.subarray(at, at + this.#wanted);
        this.#pending.set(part, this.#pendingLength);
        this.#pendingLength += part.length;
        this.#wanted -= part.length;
        at += part.length;
        if (this.#wanted === 0) yield* this.#complete();
      } else {
        this.#begin(chunk[at++] as number);
      }
    }
  }

  /** Rejects a delta that stopped early or made too little. */
  finish(): void {
    if (!this.#ended) throw invalid('The delta is truncated: it stops before its end command.');
    const { targetBytes } = this.#bounds;
    if (targetBytes !== undefined && this.#produced !== targetBytes) {
      throw invalid(`The delta makes ${this.#produced} bytes instead of ${targetBytes}.`);
    }
  }

  /** Bytes that the commands read so far make. */
  get produced(): number {
    return this.#produced;
  }

  #begin(opcode: number): void {
    this.#opcode = opcode;
    this.#pendingLength = 0;
    if (opcode === OP_END) this.#ended = true;
    else if (opcode <= OP_LITERAL_MAX_IMMEDIATE) this.#startLiteral(opcode);
    else if (opcode < OP_COPY_N1_N1) this.#wanted = 1 << (opcode - OP_LITERAL_N1);
    else if (opcode <= OP_COPY_N8_N8) this.#wanted = offsetWidth(opcode) + lengthWidth(opcode);
    else throw invalid(`The delta has an unknown command ${opcode}.`);
  }

  *#complete(): Generator<DeltaCommand> {
    if (this.#opcode === HEADER) {
      if (this.#number(0, 4) !== DELTA_MAGIC)
        throw invalid('This is no rdiff delta: its first bytes are wrong.');
    } else if (this.#opcode < OP_COPY_N1_N1) {
      this.#startLiteral(this.#number(0, this.#pendingLength));
    } else {
      const width = offsetWidth(this.#opcode);
      yield this.#copy(this.#number(0, width), this.#number(width, lengthWidth(this.#opcode)));
    }
  }

  #startLiteral(length: number): void {
    if (length === 0) throw invalid('The delta has a literal of no bytes.');
    this.#produce(length);
    this.#literalLeft = length;
  }

  #copy(offset: number, length: number): DeltaCommand {
    // librsync#206: a copy of no bytes made patchers loop for ever.
    if (length === 0) throw invalid('The delta has a copy of no bytes.');
    if (offset + length > this.#bounds.baseBytes) {
      throw invalid(
        `The delta copies ${length} bytes from ${offset}, past the base's ${this.#bounds.baseBytes}: it belongs to another base.`,
      );
    }
    this.#produce(length);
    return { kind: 'copy', offset, length };
  }

  #produce(length: number): void {
    this.#produced += length;
    const limit = this.#bounds.targetBytes ?? Number.MAX_SAFE_INTEGER;
    if (this.#produced > limit) {
      throw invalid(`The delta makes more than the ${limit} bytes expected.`);
    }
  }

  #number(from: number, width: number): number {
    let value = 0;
    for (let i = from; i < from + width; i++) value = value * 256 + (this.#pending[i] as number);
    if (!Number.isSafeInteger(value)) throw invalid('The delta has a number beyond 2^53.');
    return value;
  }
}

function offsetWidth(opcode: number): number {
  return 1 << ((opcode - OP_COPY_N1_N1) >> 2);
}

function lengthWidth(opcode: number): number {
  return 1 << ((opcode - OP_COPY_N1_N1) & 3);
}

/** All commands of a whole delta. */
export function commandsOf(delta: Uint8Array, bounds: DeltaBounds): readonly DeltaCommand[] {
  const reader = new DeltaReader(bounds);
  const commands = [...reader.read(delta)];
  reader.finish();
  return commands;
}

/** A codec for tests whose deltas can be read by eye. */

import type { DeltaCodec, DeltaPart } from '../../contracts/delta-codec.ts';

/** `[offset, length]`, or bytes in base64. */
export type Command = readonly [number, number] | string;

const COUNT_BYTES = 4;

/** The commands as JSON, of bytes their number only, behind its length; then the bytes. */
export function encoded(commands: readonly Command[]): Buffer {
  const bytes = commands.map((command) =>
    typeof command === 'string' ? Buffer.from(command, 'base64') : command,
  );
  const list = bytes.map((command) => (Buffer.isBuffer(command) ? command.length : command));
  const head = Buffer.from(JSON.stringify(list));
  const count = Buffer.alloc(COUNT_BYTES);
  count.writeUInt32LE(head.length);
  return Buffer.concat([count, head, ...bytes.filter((command) => Buffer.isBuffer(command))]);
}

export function partsOf(delta: Uint8Array): readonly DeltaPart[] {
  const buffer = Buffer.from(delta);
  let at = COUNT_BYTES + buffer.readUInt32LE();
  const list = JSON.parse(buffer.toString('utf8', COUNT_BYTES, at)) as (readonly [number, number] | number)[];
  return list.map((command) => {
    if (typeof command !== 'number') return { kind: 'copy', offset: command[0], length: command[1] };
    at += command;
    return { kind: 'literal', bytes: buffer.subarray(at - command, at) };
  });
}

/** Only places, and parts. */
export const copies: DeltaCodec = {
  name: 'copies',
  formatVersion: 1,
  limits: { maxBaseBytes: 0, maxTargetBytes: 0 },
  encode: () => Promise.reject(new Error('only placed bases')),
  decode: () => Promise.reject(new Error('only placed bases')),
  signatures: {
    sign: () => unused(),
    index: () => unused(),
    delta: () => unused(),
    parts: (delta) => partsOf(delta),
    compose: (parts) =>
      encoded(
        parts.map((part) =>
          part.kind === 'literal' ? Buffer.from(part.bytes).toString('base64') : [part.offset, part.length],
        ),
      ),
    async *patch(base, delta) {
      const pieces: Uint8Array[] = [];
      for await (const piece of delta) pieces.push(piece);
      for (const part of partsOf(Buffer.concat(pieces)))
        yield part.kind === 'literal' ? part.bytes : await base.read(part.offset, part.length);
    },
  },
};

/** The same, of bases that are joined in memory. */
export const joined: DeltaCodec = {
  ...copies,
  name: 'joined',
  decode: async (base, delta) =>
    Buffer.concat(
      partsOf(delta).map((part) =>
        part.kind === 'literal' ? part.bytes : base.subarray(part.offset, part.offset + part.length),
      ),
    ),
};

function unused(): never {
  throw new Error('not used here');
}

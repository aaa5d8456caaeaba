/** Contents and damage for {@link deltaFuzzConformance}, as fast-check arbitraries that shrink. */

import fc from 'fast-check';

export interface Pair {
  readonly base: Uint8Array;
  readonly target: Uint8Array;
}

const MOST_BYTES = 6000;

/** Pieces as files have them: bytes, text, runs, and one piece repeated. */
const content = fc
  .array(
    fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      fc.string({ maxLength: 200 }).map((text) => Buffer.from(text)),
      fc.tuple(fc.nat(255), fc.nat(2000)).map(([byte, length]) => Buffer.alloc(length, byte)),
      fc
        .tuple(fc.uint8Array({ minLength: 1, maxLength: 40 }), fc.nat(40))
        .map(([piece, times]) => Buffer.concat(Array.from({ length: times }, () => piece))),
    ),
    { maxLength: 8 },
  )
  .map((pieces) => cutTo(Buffer.concat(pieces), MOST_BYTES));

/** An edit at a place, both as shares of what is there, so that they fit every content. */
const edit = fc.record({
  kind: fc.constantFrom('insert', 'delete', 'overwrite', 'move', 'repeat'),
  at: fc.nat(1000),
  length: fc.nat(1000),
  to: fc.nat(1000),
  bytes: fc.uint8Array({ maxLength: 60 }),
});
type Edit = typeof edit extends fc.Arbitrary<infer T> ? T : never;

/** A base and a target that came of it by edits, or of nothing. */
export const pairs: fc.Arbitrary<Pair> = fc.oneof(
  { weight: 4, arbitrary: fc.tuple(content, fc.array(edit, { maxLength: 8 })).map(edited) },
  { weight: 1, arbitrary: fc.record({ base: content, target: content }) },
);

function edited([base, edits]: [Uint8Array, readonly Edit[]]): Pair {
  const target = edits.reduce((bytes, change) => cutTo(applied(bytes, change), 2 * MOST_BYTES), base);
  return { base, target: new Uint8Array(target) };
}

function applied(bytes: Uint8Array, { kind, at, length, to, bytes: fresh }: Edit): Uint8Array {
  const from = place(at, bytes.length);
  const end = from + place(length, bytes.length - from);
  const [before, here, after] = [bytes.subarray(0, from), bytes.subarray(from, end), bytes.subarray(end)];
  switch (kind) {
    case 'insert':
      return Buffer.concat([before, fresh, here, after]);
    case 'delete':
      return Buffer.concat([before, after]);
    case 'overwrite':
      return Buffer.concat([before, fresh, bytes.subarray(from + fresh.length)]);
    case 'repeat':
      return Buffer.concat([before, here, here, after]);
    default: {
      const rest = Buffer.concat([before, after]);
      const target = place(to, rest.length);
      return Buffer.concat([rest.subarray(0, target), here, rest.subarray(target)]);
    }
  }
}

/** What lengths and offsets become when somebody means harm: nothing, everything, the edges of signs and widths. */
const EXTREMES = [0n, 1n, 0x7fn, 0x80n, 0xffn, 0x7fffn, 0xffffn, 0x7fffffffn, 0x80000000n, 0xffffffffn];
const WIDE_EXTREMES = [...EXTREMES, 1n << 53n, 1n << 62n, (1n << 63n) - 1n, 1n << 63n, (1n << 64n) - 1n];

const spoiling = fc.oneof(
  fc.record({ kind: fc.constant('flip' as const), at: fc.nat(1000), bit: fc.nat(7) }),
  fc.record({ kind: fc.constant('cut' as const), at: fc.nat(1000) }),
  fc.record({
    kind: fc.constant('splice' as const),
    at: fc.nat(1000),
    from: fc.nat(1000),
    length: fc.nat(200),
  }),
  fc.record({
    kind: fc.constant('remove' as const),
    at: fc.nat(1000),
    length: fc.integer({ min: 1, max: 30 }),
  }),
  fc.record({
    kind: fc.constant('extreme' as const),
    /** Heads are where lengths are: half of these lie in the first bytes. */
    at: fc.oneof(
      fc.nat(1000),
      fc.nat(48).map((byte) => -byte),
    ),
    width: fc.constantFrom(1, 2, 4, 8),
    value: fc.constantFrom(...WIDE_EXTREMES),
    littleEndian: fc.boolean(),
  }),
  fc.record({ kind: fc.constant('append' as const), bytes: fc.uint8Array({ minLength: 1, maxLength: 40 }) }),
);
export type Spoiling = typeof spoiling extends fc.Arbitrary<infer T> ? T : never;
export const spoilings = fc.array(spoiling, { minLength: 1, maxLength: 4 });

/** A copy with each damage done in turn; splices take their bytes from `other`. */
export function spoiled(bytes: Uint8Array, other: Uint8Array, how: readonly Spoiling[]): Uint8Array {
  return how.reduce<Uint8Array>((now, step) => once(now, other, step), bytes);
}

function once(bytes: Uint8Array, other: Uint8Array, step: Spoiling): Uint8Array {
  if (step.kind === 'append') return Buffer.concat([bytes, step.bytes]);
  const at = step.at < 0 ? Math.min(-step.at, bytes.length) : place(step.at, bytes.length);
  switch (step.kind) {
    case 'flip':
      return bytes.map((byte, i) => (i === at ? byte ^ (1 << step.bit) : byte));
    case 'cut':
      return bytes.slice(0, at);
    case 'remove':
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + step.length)]);
    case 'splice': {
      const from = place(step.from, other.length);
      return Buffer.concat([
        bytes.subarray(0, at),
        other.subarray(from, from + step.length),
        bytes.subarray(at),
      ]);
    }
    default:
      return overwritten(bytes, at, numberBytes(step.value, step.width, step.littleEndian));
  }
}

function numberBytes(value: bigint, width: number, littleEndian: boolean): Uint8Array {
  const bytes = Uint8Array.from({ length: width }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn));
  return littleEndian ? bytes : bytes.reverse();
}

function overwritten(bytes: Uint8Array, at: number, fresh: Uint8Array): Uint8Array {
  const copy = new Uint8Array(bytes);
  copy.set(fresh.subarray(0, Math.max(0, copy.length - at)), at);
  return copy;
}

/** A share in thousandths of a length. */
function place(share: number, length: number): number {
  return Math.floor((share * length) / 1000);
}

function cutTo(bytes: Uint8Array, most: number): Uint8Array {
  return bytes.subarray(0, most);
}

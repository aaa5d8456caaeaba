/** Pairs of contents as they occur on servers, made from a seed. */

/** xorshift32: the same numbers everywhere, so that a failing case can be run again. */
export function createRandom(seed: number): () => number {
  let state = seed >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state;
  };
}

export interface DeltaSample {
  readonly title: string;
  readonly base: Uint8Array;
  readonly target: Uint8Array;
  /** When set, a delta larger than this is a defect: the codec found nothing. */
  readonly atMost?: number;
}

/** Bytes without any structure. */
export function noise(bytes: number, seed: number): Uint8Array {
  const random = createRandom(seed);
  return Uint8Array.from({ length: bytes }, () => random() >>> 11);
}

/** Database-like pages of 8 KB: headers, binary numbers, words. */
export function databasePages(bytes: number, seed: number): Uint8Array {
  const random = createRandom(seed);
  const words = Array.from({ length: 1024 }, () => Buffer.from(`${random().toString(36)} `));
  const out = Buffer.alloc(bytes);
  for (let page = 0; page + 8192 <= bytes; page += 8192) {
    out.writeUInt32LE(random(), page);
    let at = page + 24;
    while (at < page + 8192 - 80) {
      out.writeUInt32LE(random(), at);
      at += 8;
      for (let i = 0; i < 5; i++) at += (words[random() % words.length] as Buffer).copy(out, at);
    }
  }
  return new Uint8Array(out.buffer, out.byteOffset, out.length);
}

/** One page in ten gets `changed` other bytes, as a database does between two checkpoints. */
export function editPages(base: Uint8Array, changed: number, seed: number): Uint8Array {
  const random = createRandom(seed);
  const target = base.slice();
  for (let page = 0; page + 8192 <= base.length; page += 8192) {
    if (random() % 10 !== 0) continue;
    const at = page + 100 + (random() % 8000);
    for (let i = 0; i < changed; i++) target[at + i] = random();
  }
  return target;
}

/** The pairs every codec must get right. `largest` bounds the biggest one, bytes. */
export function deltaSamples(largest: number): DeltaSample[] {
  const empty = new Uint8Array(0);
  // No Buffer: its slice() is a view, and whoever spoils a piece of it spoils the sample.
  const text = new Uint8Array(Buffer.from('listen 80;\nserver_name web-1;\n'.repeat(400)));
  const pages = databasePages(256 * 1024, 7);
  const random = noise(100_003, 11);
  const blocks = shuffled(pages, 4096, 13);
  const large = databasePages(Math.min(largest, 8 * 1024 * 1024), 17);
  return [
    { title: 'empty to empty', base: empty, target: empty },
    { title: 'empty to tiny', base: empty, target: Uint8Array.of(1) },
    { title: 'tiny to empty', base: Uint8Array.of(1), target: empty },
    { title: 'one byte changed', base: Uint8Array.of(1, 2, 3), target: Uint8Array.of(1, 9, 3) },
    { title: 'nothing to text', base: empty, target: text },
    { title: 'text to nothing', base: text, target: empty },
    { title: 'equal text', base: text, target: text.subarray(), atMost: 512 },
    { title: 'equal pages', base: pages, target: pages.slice(), atMost: 512 },
    { title: 'a page of zeros grown', base: new Uint8Array(9000), target: new Uint8Array(300_000) },
    { title: 'appended', base: random, target: joined(random, noise(777, 3)), atMost: 6000 },
    { title: 'prepended', base: random, target: joined(noise(777, 3), random), atMost: 6000 },
    { title: 'cut short', base: random, target: random.subarray(0, 70_001), atMost: 6000 },
    { title: 'pages edited', base: pages, target: editPages(pages, 30, 5), atMost: 12_000 },
    { title: 'blocks shuffled', base: pages, target: blocks, atMost: 20_000 },
    { title: 'nothing in common', base: random, target: noise(50_021, 19) },
    { title: 'as large as allowed', base: large, target: editPages(large, 30, 23), atMost: 80_000 },
  ];
}

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

function shuffled(bytes: Uint8Array, blockBytes: number, seed: number): Uint8Array {
  const random = createRandom(seed);
  const blocks: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += blockBytes) blocks.push(bytes.subarray(at, at + blockBytes));
  for (let i = blocks.length - 1; i > 0; i--) {
    const j = random() % (i + 1);
    [blocks[i], blocks[j]] = [blocks[j] as Uint8Array, blocks[i] as Uint8Array];
  }
  return joined(...blocks);
}

/** A damaged copy: flipped, overwritten, cut, repeated or inserted bytes. */
export function damaged(bytes: Uint8Array, random: () => number): Uint8Array {
  const at = random() % (bytes.length || 1);
  const length = 1 + (random() % 8);
  const before = bytes.subarray(0, at);
  const here = bytes.slice(at, at + length);
  const after = bytes.subarray(at + here.length);
  switch (random() % 6) {
    case 0:
      return joined(
        before,
        here.map((byte) => byte ^ (1 << (random() % 8))),
        after,
      );
    case 1:
      return joined(
        before,
        here.map(() => random()),
        after,
      );
    case 2:
      return joined(before, here.fill(0xff), after);
    case 3:
      return joined(before, after);
    case 4:
      return joined(before, here, here, after);
    default:
      return joined(before, noise(length, random()), here, after);
  }
}

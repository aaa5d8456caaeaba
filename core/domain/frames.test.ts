import { randomBytes } from 'node:crypto';
import { zstdDecompressSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { digestOf } from './content-ref.ts';
import { DigestSet, digestBytes, packDigests, unpackDigests } from './digest-set.ts';
import {
  compressFrames,
  encodeFrame,
  FRAME,
  type Frame,
  parseFrames,
  readBody,
  requestFrames,
} from './frames.ts';
import { cut } from './pieces.ts';
import { storedFrames, storeFrames } from './stored-body.ts';

async function* inPieces(bytes: Uint8Array, length: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length);
}

async function all<T>(source: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of source) found.push(item);
  return found;
}

describe('frames', () => {
  it('come out as they went in, however the stream is cut', async () => {
    const frames = fc.array(
      fc.record({ type: fc.integer({ min: 1, max: 255 }), payload: fc.uint8Array({ maxLength: 300 }) }),
    );
    await fc.assert(
      fc.asyncProperty(frames, fc.integer({ min: 1, max: 50 }), async (list, length) => {
        const bytes = Buffer.concat(list.flatMap((frame) => encodeFrame(frame.type, frame.payload)));
        const read = await all(parseFrames(inPieces(bytes, length)));
        expect(read.map((frame) => [frame.type, [...frame.payload]])).toEqual(
          list.map((frame) => [frame.type, [...frame.payload]]),
        );
      }),
    );
  });

  it('of a group come in parts as they arrive, everything else whole', async () => {
    const payload = randomBytes(100);
    const frames = [
      encodeFrame(FRAME.piece, payload),
      encodeFrame(FRAME.group, '{}'),
      encodeFrame(FRAME.piece, payload),
      encodeFrame(FRAME.piece),
      encodeFrame(FRAME.piecesEnd),
      encodeFrame(FRAME.piece, payload),
    ];
    const bytes = Buffer.concat(frames.flat());
    for (let length = 1; length < 120; length++) {
      const read = await all(parseFrames(inPieces(Buffer.from(bytes), length)));
      const first = read.findIndex(({ type }) => type === FRAME.group);
      const last = read.findIndex(({ type }) => type === FRAME.piecesEnd);
      const outside = [...read.slice(0, first), ...read.slice(last + 1)].map((frame) => frame.payload.length);
      expect(outside).toEqual([100, 100]);
      const parts = read.slice(first + 1, last).map((frame) => frame.payload);
      expect(Buffer.concat(parts).equals(payload)).toBe(true);
    }
  });

  it('that were given out stay, also where their buffer comes again behind another one', async () => {
    const chunk = randomBytes(1000);
    const payload = randomBytes(900_000);
    const group = [encodeFrame(FRAME.group, '{}'), encodeFrame(FRAME.piece, payload)].flat();
    const bytes = Buffer.concat([...encodeFrame(FRAME.chunk, chunk), ...group, ...encodeFrame(FRAME.end)]);
    // As a decompressor fills its buffer while nobody reads: two parts of it that wait are joined in another.
    const source = (async function* () {
      for (let at = 0; at < bytes.length; at += 300_000) {
        const filled = new Uint8Array(bytes.subarray(at, at + 300_000));
        yield filled.subarray(0, 1010);
        yield new Uint8Array(filled.subarray(1010, 3000));
        yield filled.subarray(3000);
      }
    })();
    const given: Uint8Array[] = [];
    let got = 0;
    for await (const { type, payload: part } of parseFrames(source)) {
      if (type === FRAME.chunk) given.push(part);
      if (type === FRAME.piece) got += part.length;
    }
    expect(given.map((part) => chunk.equals(part))).toEqual([true]);
    expect(got).toBe(payload.length);
  });

  it('of a group come whole out of a decompressor, however slowly it is fed and read', async () => {
    const payload = randomBytes(600_000);
    const group = [encodeFrame(FRAME.group, '{}'), encodeFrame(FRAME.piece, payload)].flat();
    const body = compressFrames(requestFrames({}, [...group, ...encodeFrame(FRAME.piecesEnd)]), 'light');
    const slowly = (async function* () {
      for await (const piece of inPieces(Buffer.concat(await all(body)), 1400)) {
        await new Promise((done) => setImmediate(done));
        yield new Uint8Array(piece);
      }
    })();
    const parts: Uint8Array[] = [];
    for await (const { type, payload: part } of readBody(slowly)) {
      if (type === FRAME.piece && parts.push(new Uint8Array(part)) % 5 === 0)
        await new Promise((done) => setTimeout(done, 3));
    }
    expect(Buffer.concat(parts).equals(payload)).toBe(true);
  }, 10_000);

  it('travel compressed, with a head and an end', async () => {
    const payload = randomBytes(3_000_000);
    const body = compressFrames(requestFrames({ hello: 1 }, encodeFrame(FRAME.chunk, payload)), 'upload');
    const [head, chunk, ...rest] = await all(readBody(body));
    expect(Buffer.from(head?.payload ?? []).toString()).toBe('{"hello":1}');
    expect(Buffer.from(chunk?.payload ?? []).equals(payload)).toBe(true);
    expect(rest).toEqual([]);
  });

  it('may be freed once the next is asked for, whatever their lengths', async () => {
    const sizes = [10, 100_000, 3_000_000, 5, 1_048_576, 70_000, 70_000, 2_000_000, 1];
    const payloads = sizes.map((size) => randomBytes(size));
    const reused = (async function* () {
      for (const payload of payloads) {
        const pieces = encodeFrame(FRAME.chunk, Buffer.from(payload));
        for (const piece of pieces) {
          yield piece;
          piece.fill(0);
        }
      }
      yield* encodeFrame(FRAME.end);
    })();
    const read = await all(readBody(compressFrames(reused, 'light')));
    expect(read.map(({ payload }) => digestOf(payload))).toEqual(
      payloads.map((payload) => digestOf(payload)),
    );
  });

  it('carry a sender’s failure as its error', async () => {
    const failure = JSON.stringify({ code: 'NOT_FOUND', message: 'gone', remedy: 'look' });
    const sent = (async function* () {
      yield* encodeFrame(FRAME.failure, failure);
    })();
    await expect(all(readBody(compressFrames(sent, 'light')))).rejects.toMatchObject({
      code: 'NOT_FOUND',
      message: 'gone',
    });
  });

  it('cost about their content once, not again for each repetition', async () => {
    const payload = randomBytes(200_000);
    const frames = Array.from({ length: 20 }, () => encodeFrame(FRAME.chunk, payload)).flat();
    const parts = await all(compressFrames(requestFrames({}, frames), 'upload'));
    expect(Buffer.concat(parts).length).toBeLessThan(210_000);
  });
});

describe('frames that are compressed already', () => {
  it('travel as they are, in a zstd stream that any reader takes', async () => {
    const payload = randomBytes(3_000_001);
    const frames = [encodeFrame(FRAME.chunk), encodeFrame(FRAME.chunk, payload)].flat();
    const bytes = Buffer.concat(await all(storeFrames(requestFrames({ hello: 1 }, frames))));
    expect(bytes.length).toBeLessThan(payload.length + 200);
    const read = await all(readBody(inPieces(bytes, 70_000)));
    expect(read.map((frame) => frame.payload.length)).toEqual([11, 0, payload.length]);
    expect(Buffer.from(read[2]?.payload ?? []).equals(payload)).toBe(true);
    expect(zstdDecompressSync(bytes).includes(payload)).toBe(true);
    await expect(all(readBody(inPieces(bytes.subarray(0, -3), 70_000)))).rejects.toThrow();
  });

  it('come out as views of what arrived, but for short ones', async () => {
    const chunk = randomBytes(300_000);
    const bytes = Buffer.concat(await all(storeFrames(requestFrames({}, encodeFrame(FRAME.chunk, chunk)))));
    const parts = await all(storedFrames(inPieces(bytes, 70_000)));
    const views = parts.filter((part) => part.buffer === bytes.buffer);
    expect(views.reduce((sum, { length }) => sum + length, 0)).toBeGreaterThan(290_000);
    expect(Buffer.concat(parts).equals(zstdDecompressSync(bytes))).toBe(true);
  });

  it('come out the same, wherever they were cut', async () => {
    const bytes = Buffer.concat(await all(storeFrames(requestFrames({}, encodeFrame(FRAME.chunk, 'abc')))));
    for (let length = 1; length <= bytes.length; length++) {
      const parts = await all(storedFrames(inPieces(bytes, length)));
      expect(Buffer.concat(parts).equals(zstdDecompressSync(bytes))).toBe(true);
      const read = await all(readBody(inPieces(bytes, length)));
      expect(Buffer.from(read[1]?.payload ?? []).toString()).toBe('abc');
    }
  });

  it.each([
    ['cut off', (bytes: Buffer) => bytes.subarray(0, -1)],
    ['cut off inside its header', (bytes: Buffer) => bytes.subarray(0, 4)],
    ['going on behind the last block', (bytes: Buffer) => Buffer.concat([bytes, Buffer.from([0])])],
    [
      'of another kind of block',
      (bytes: Buffer) => Buffer.from(bytes.map((byte, at) => (at === 6 ? byte | 2 : byte))),
    ],
    [
      'of a block that is too long',
      (bytes: Buffer) => Buffer.from(bytes.map((byte, at) => (at === 8 ? 0xff : byte))),
    ],
  ])('are refused %s', async (_what, spoil) => {
    const bytes = Buffer.concat(await all(storeFrames(requestFrames({}, encodeFrame(FRAME.chunk, 'abc')))));
    await expect(all(readBody(inPieces(spoil(bytes), 5)))).rejects.toMatchObject({ code: 'INPUT_INVALID' });
  });
});

describe('cutting a stream', () => {
  it('gives chunks of the lengths asked for, and refuses any other sum', async () => {
    const bytes = randomBytes(1000);
    const chunks = await all(cut(inPieces(bytes, 7), [1, 500, 499]));
    expect(chunks.map((chunk) => chunk.length)).toEqual([1, 500, 499]);
    expect(Buffer.concat(chunks).equals(bytes)).toBe(true);
    await expect(all(cut(inPieces(bytes, 7), [999]))).rejects.toThrow(/more than it announced/);
    await expect(all(cut(inPieces(bytes, 7), [1001]))).rejects.toThrow(/less than it announced/);
  });
});

describe('a set of digests', () => {
  it('holds what was added and nothing else, in about fifty bytes each', () => {
    const set = new DigestSet();
    const digests = Array.from({ length: 20_000 }, (_, n) => digestOf(Buffer.from(String(n))));
    for (const digest of digests) set.add(digest);
    for (const digest of digests) set.add(digest);
    expect(set.size).toBe(20_000);
    expect(digests.every((digest) => set.has(digest))).toBe(true);
    expect(set.has(digestOf(Buffer.from('another')))).toBe(false);
    expect(set.bytes / set.size).toBeLessThan(60);
  });

  it('finds digests that begin alike', () => {
    const set = new DigestSet();
    const alike = ['a', 'b', 'c'].map((end) => `${'0'.repeat(63)}${end}`);
    for (const digest of alike) set.add(digest);
    expect(alike.map((digest) => set.has(digest))).toEqual([true, true, true]);
    expect(set.has('0'.repeat(64))).toBe(false);
  });

  it('packs and unpacks lists', () => {
    const digests = [digestOf(Buffer.from('a')), digestOf(Buffer.from('b'))];
    expect(unpackDigests(packDigests(digests))).toEqual(digests);
    expect(unpackDigests(digestBytes(digests[0] as string).subarray(1))).toBeUndefined();
  });
});

describe('a stored body', () => {
  /** Every byte in a block of its own. */
  function byteByByte(plain: Uint8Array): Buffer {
    const out = Buffer.alloc(6 + plain.length * 4 + 3);
    Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38]).copy(out);
    for (const [at, byte] of plain.entries()) {
      out[6 + at * 4] = 1 << 3;
      out[9 + at * 4] = byte;
    }
    out[6 + plain.length * 4] = 1;
    return out;
  }

  it('in blocks of one byte is read as what it holds, in a moment', async () => {
    const payload = Buffer.alloc(2 * 1024 * 1024, 7);
    const plain = Buffer.concat([...encodeFrame(FRAME.chunk, payload), ...encodeFrame(FRAME.end)]);
    for (const piece of [1000, 65_536]) {
      const body = byteByByte(piece === 1000 ? plain.subarray(plain.length - 5) : plain);
      const lengths: number[] = [];
      for await (const { payload: bytes } of readBody(inPieces(body, piece))) lengths.push(bytes.length);
      expect(lengths).toEqual(piece === 1000 ? [] : [payload.length]);
    }
  }, 20_000);
});

describe('a body whose pieces are lent', () => {
  const frames = [
    ...encodeFrame(FRAME.chunk, Buffer.alloc(70_000, 'chunk')),
    ...encodeFrame(FRAME.group, JSON.stringify({ a: 'x'.repeat(300) })),
    ...encodeFrame(FRAME.piece, Buffer.alloc(50_000, 'piece')),
    ...encodeFrame(FRAME.piece),
    ...encodeFrame(FRAME.piecesEnd),
    ...encodeFrame(FRAME.page, 'page'),
    ...encodeFrame(FRAME.end),
  ];
  const source = async function* () {
    yield* frames;
  };

  /** What it holds; parts of one piece are joined. */
  async function held(body: AsyncGenerator<Frame>): Promise<string[]> {
    const found: [number, string][] = [];
    for await (const { type, payload } of body) {
      const last = found.at(-1);
      const text = Buffer.from(payload).toString();
      if (last !== undefined && type === FRAME.piece && last[0] === type) last[1] += text;
      else found.push([type, text]);
    }
    return found.map(([type, text]) => `${type} ${text}`);
  }

  it.each([
    ['stored', storeFrames],
    ['compressed', (body: AsyncIterable<Uint8Array>) => compressFrames(body, 'light')],
  ])('%s, is read alike, however it is cut', async (_, made) => {
    const whole = Buffer.concat(await all<Uint8Array>(made(source())));
    const once = async function* () {
      yield whole;
    };
    const expected = await held(readBody(once()));
    expect(expected).toHaveLength(5);
    for (const most of [1, 3, 7, 100, 5000, whole.length]) {
      const lent = async function* () {
        const buffer = Buffer.alloc(most);
        for (let at = 0; at < whole.length; at += most) {
          const bytes = whole.copy(buffer, 0, at, at + most);
          yield buffer.subarray(0, bytes);
          buffer.fill(0xee);
        }
      };
      expect(await held(readBody(lent(), { areLent: true }))).toEqual(expected);
    }
  });
});

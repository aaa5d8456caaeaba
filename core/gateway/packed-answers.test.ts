/** Answers that are compressed each by itself: what goes out as it is, what is joined, what is freed. */

import { randomBytes } from 'node:crypto';
import { zstdDecompressSync } from 'node:zlib';
import { describe, expect, it, vi } from 'vitest';
import type { StoredFrame } from '../contracts/repository.ts';
import { digestOf } from '../domain/content-ref.ts';
import { FRAME, parseFrames } from '../domain/frames.ts';
import type { GivenGroup } from '../domain/transfer-bodies.ts';
import { GroupPlan } from './given-groups.ts';
import { LineGauge } from './line-gauge.ts';
import { type PackedAnswersOptions, packedAnswers } from './packed-answers.ts';
import { knownWants, type Wants } from './wants.ts';

const KiB = 1024;
const settled = () => new Promise((done) => setTimeout(done, 20, 'still under way'));

interface Received {
  readonly head: GivenGroup;
  readonly raw: Buffer;
}

/** One that takes longer than the making. */
function slowLine(): LineGauge {
  let now = 0;
  const line = new LineGauge(() => now);
  now += 100;
  line.sent(1);
  return line;
}

/** Answers to these wants, as the appliance has them made, but for their plan. */
function of(digests: readonly string[], readChunk: PackedAnswersOptions['readChunk'], line = slowLine()) {
  return { wants: knownWants(digests), readChunk, ahead: 2, readsAhead: true, line };
}

/** What comes for these chunks, none of which lies in a frame but those of `frame`. */
async function received(chunks: readonly Uint8Array[], frame?: StoredFrame, line = slowLine()) {
  const wanted = chunks.map(digestOf);
  const handed: Uint8Array[] = [];
  const readChunk = async (digest: string) => {
    const bytes = new Uint8Array(chunks[wanted.indexOf(digest)] as Uint8Array);
    handed.push(bytes);
    return bytes;
  };
  const frameOf = async (digest: string) => (frame?.digests.includes(digest) ? frame : undefined);
  const options = { repository: { frameOf }, wanted, mayGive: async () => true, window: 64 * KiB * KiB };
  const frames = packedAnswers({ ...of(wanted, readChunk, line), plan: new GroupPlan(options) });
  const groups: Received[] = [];
  let parts: Buffer[] = [];
  let head: GivenGroup | undefined;
  for await (const { type, payload } of parseFrames(frames)) {
    if (type === FRAME.group) head = JSON.parse(Buffer.from(payload).toString());
    else if (type === FRAME.piece) parts.push(Buffer.from(payload));
    else if (head !== undefined) {
      const stored = Buffer.concat(parts);
      groups.push({ head, raw: head.encoding === 'zstd' ? zstdDecompressSync(stored) : stored });
      parts = [];
    }
  }
  return { groups, handed };
}

const gives = (groups: readonly Received[]) => groups.map(({ head }) => head.gives);

describe('packed answers', () => {
  it('compress a chunk that is in no frame by itself, and free it', async () => {
    const chunk = Buffer.alloc(900 * KiB, 'text ');
    const { groups, handed } = await received([chunk]);
    expect(gives(groups)).toEqual([[[0, 0]]]);
    expect(groups[0]?.head).toMatchObject({ chunks: [900 * KiB], encoding: 'zstd' });
    expect(groups[0]?.head.bytes).toBeLessThan(KiB);
    expect(groups[0]?.raw.equals(chunk)).toBe(true);
    expect(handed[0]?.length).toBe(0);
  });

  it('tell the line how many bytes went out', async () => {
    const line = new LineGauge();
    const sent = vi.spyOn(line, 'sent');
    const { groups } = await received([randomBytes(600 * KiB), randomBytes(700 * KiB)], undefined, line);
    expect(sent.mock.calls).toEqual(groups.map(({ head }) => [head.bytes]));
    expect(groups).toHaveLength(2);
  });

  it('send as it is what does not shrink', async () => {
    const chunk = randomBytes(300 * KiB);
    const { groups } = await received([chunk]);
    expect(groups[0]?.head).toMatchObject({ encoding: 'raw', bytes: 300 * KiB });
    expect(groups[0]?.raw.equals(chunk)).toBe(true);
  });

  it('are compressed no longer where they are waited for, and the line is not', async () => {
    let now = 0;
    const line = new LineGauge(() => now);
    now += 20_000;
    line.made();
    const chunk = Buffer.alloc(900 * KiB, 'text ');
    const { groups } = await received([chunk], undefined, line);
    expect(groups[0]?.head).toMatchObject({ encoding: 'raw', bytes: 900 * KiB });
    expect(groups[0]?.raw.equals(chunk)).toBe(true);
  });

  it('free what was compressed for nothing', async () => {
    const chunk = randomBytes(4000 * KiB);
    const wanted = [digestOf(chunk)];
    const readChunk = async () => new Uint8Array(chunk);
    const repository = { frameOf: async () => undefined };
    const plan = new GroupPlan({ repository, wanted, mayGive: async () => true, window: KiB });
    const before = process.memoryUsage().arrayBuffers;
    for await (const piece of packedAnswers({ ...of(wanted, readChunk), plan })) void piece;
    // The compressor's own buffer, out of which Node joins what comes in two parts, is nobody's to free.
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(6000 * KiB);
  });

  it.each([
    ['three chunks', 900, 5],
    ['two chunks, where they are long', 3000, 4],
    ['one chunk, where they are longer', 5000, 3],
  ] as const)(
    'begin to read %s while the one before is being made; when nobody wants them, all are waited for',
    async (_, length, most) => {
      const chunks = Array.from({ length: 8 }, (_, at) => Buffer.alloc(length * KiB, at));
      const wanted = chunks.map(digestOf);
      const begun: string[] = [];
      const ready = chunks.map(() => Promise.withResolvers<Uint8Array>());
      const readChunk = (digest: string) => {
        begun.push(digest);
        return (ready[wanted.indexOf(digest)] as PromiseWithResolvers<Uint8Array>).promise;
      };
      const make = (at: number) => ready[at]?.resolve(new Uint8Array(chunks[at] as Buffer));
      const expectBegun = async (count: number) => {
        await vi.waitFor(() => expect(begun).toHaveLength(count));
        await settled();
        expect(begun).toEqual(wanted.slice(0, count));
      };
      const repository = { frameOf: async () => undefined };
      const plan = new GroupPlan({ repository, wanted, mayGive: async () => true, window: KiB });
      const answers = packedAnswers({ ...of(wanted, readChunk, new LineGauge()), plan, ahead: 1 });
      const first = answers.next();
      await expectBegun(2);
      make(0);
      await first;
      await expectBegun(most);
      make(1);
      await expectBegun(most);
      const ended = answers.return(undefined);
      for (let at = 3; at < begun.length; at++) make(at);
      expect(await Promise.race([ended, settled()])).toBe('still under way');
      ready[2]?.reject(new Error('nobody hears of it'));
      await ended;
      expect(begun).toEqual(wanted.slice(0, most));
    },
  );

  it.each([
    ['two answers made behind the one that is sent, and one read', 2, true, 4],
    ['where memory is short, one', 1, false, 2],
  ] as const)('hold no more frames at a time than they should: %s', async (_, depth, readsAhead, most) => {
    const chunks = Array.from({ length: 8 }, (_, at) => Buffer.alloc(300 * KiB, at));
    const wanted = chunks.map(digestOf);
    let frames = 0;
    const frameOf = async (digest: string): Promise<StoredFrame> => {
      const bytes = chunks[wanted.indexOf(digest)] as Buffer;
      const { length } = bytes;
      const read = async () => {
        frames += 1;
        return new Uint8Array(bytes);
      };
      const sizes = { rawBytes: length, storedBytes: length, lengths: [length] };
      const listed = { digests: [digest], chunks: [{ digest, bytes: length, at: 0, place: 0 }] };
      return { id: digest, encoding: 'zstd', ...sizes, ...listed, read, open: read };
    };
    const plan = new GroupPlan({
      repository: { frameOf },
      wanted,
      mayGive: async () => true,
      window: KiB * KiB * KiB,
    });
    const readChunk = () => Promise.reject(new Error('all lie in frames'));
    const answers = packedAnswers({ ...of(wanted, readChunk), plan, ahead: depth, readsAhead });
    await answers.next();
    await settled();
    expect(frames).toBe(most);
    await answers.return(undefined);
  });

  it('join small chunks with their neighbours, in order, and none with large ones', async () => {
    const small = Array.from({ length: 5 }, (_, at) => Buffer.from(`small ${at}`));
    const large = Buffer.alloc(600 * KiB, 'large');
    const { groups } = await received([...small.slice(0, 3), large, ...small.slice(3)]);
    expect(gives(groups)).toEqual([
      [
        [0, 0],
        [1, 1],
        [2, 2],
      ],
      [[3, 0]],
      [
        [4, 0],
        [5, 1],
      ],
    ]);
    expect(groups.map(({ raw }) => raw.length)).toEqual([21, large.length, 14]);
  });

  it('keep the order where a stored frame comes between', async () => {
    const [first, second, third] = ['1st', '2nd', '3rd'].map((text) => Buffer.from(text)) as [
      Buffer,
      Buffer,
      Buffer,
    ];
    const digest = digestOf(second);
    const frame: StoredFrame = {
      id: 'frame',
      encoding: 'raw',
      rawBytes: 3,
      storedBytes: 3,
      lengths: [3],
      digests: [digest],
      chunks: [{ digest, bytes: 3, at: 0, place: 0 }],
      read: async () => new Uint8Array(second),
      open: async () => new Uint8Array(second),
    };
    const { groups } = await received([first, second, third], frame);
    expect(gives(groups)).toEqual([[[0, 0]], [[1, 0]], [[2, 0]]]);
    expect(groups.map(({ raw }) => raw.toString())).toEqual(['1st', '2nd', '3rd']);
  });

  it('end with the failure of what cannot be read, behind what could be', async () => {
    const wanted = [digestOf(Buffer.from('a')), digestOf(Buffer.alloc(900 * KiB))];
    const readChunk = async (digest: string) => {
      if (digest === wanted[0]) return new Uint8Array(Buffer.from('a'));
      throw new Error('damaged');
    };
    const repository = { frameOf: async () => undefined };
    const plan = new GroupPlan({ repository, wanted, mayGive: async () => true, window: KiB });
    await expect(async () => {
      for await (const piece of packedAnswers({ ...of(wanted, readChunk), plan })) void piece;
    }).rejects.toThrow('damaged');
  });

  it('pause where no more is known to be wanted, with nothing kept back, and go on', async () => {
    const chunks = ['first', 'second', 'third'].map((text) => Buffer.from(text));
    const wanted = chunks.map(digestOf);
    let known = 2;
    const more = Promise.withResolvers<void>();
    const wants: Wants = {
      known: (want) => (want < known ? wanted[want] : undefined),
      comes: async (want) => {
        if (want < known) return true;
        if (known === 3) return false;
        await more.promise;
        return true;
      },
    };
    const plan = new GroupPlan({
      repository: { frameOf: async () => undefined },
      wanted: wanted.slice(0, 2),
      mayGive: async () => true,
      window: KiB,
    });
    const readChunk = async (digest: string) => new Uint8Array(chunks[wanted.indexOf(digest)] as Buffer);
    const answers = packedAnswers({ ...of(wanted, readChunk), wants, plan });
    const until = async () => {
      const pieces: Uint8Array[] = [];
      for (let next = await answers.next(); ; next = await answers.next()) {
        if (next.done === true || next.value.length === 0) return { pieces, ended: next.done === true };
        pieces.push(Uint8Array.from(next.value));
      }
    };
    const first = await until();
    const text = Buffer.concat(first.pieces).toString('latin1');
    expect(text).toContain('"gives":[[0,0],[1,1]]');
    const rest = answers.next();
    expect(await Promise.race([rest, settled()])).toBe('still under way');
    known = 3;
    plan.want([wanted[2] as string]);
    more.resolve();
    const head = await rest;
    const second = await until();
    const all = Buffer.concat([head.value as Uint8Array, ...second.pieces]).toString('latin1');
    expect(all).toContain('"gives":[[2,0]]');
    expect(all).toContain('third');
    expect((await until()).ended).toBe(true);
  });

  it('tell of a failure while more are waited for', async () => {
    const chunk = Buffer.from('damaged');
    const wanted = [digestOf(chunk)];
    const never = new Promise<boolean>(() => undefined);
    const wants: Wants = {
      known: (want) => wanted[want],
      comes: async (want) => (want === 0 ? true : never),
    };
    const readChunk = async () => {
      throw new Error('it cannot be read');
    };
    const repository = { frameOf: async () => undefined };
    const plan = new GroupPlan({ repository, wanted, mayGive: async () => true, window: KiB });
    const answers = packedAnswers({ ...of(wanted, readChunk), wants, plan });
    await expect(answers.next()).rejects.toThrow('it cannot be read');
  });
});

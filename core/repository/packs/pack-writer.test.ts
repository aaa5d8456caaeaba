import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../domain/content-ref.ts';
import { prose } from '../fixture.ts';
import { MAX_FRAME_BYTES } from './pack-format.ts';
import { PackWriter } from './pack-writer.ts';

/** More than one group: the first is compressed, the second still open. */
const chunks = Array.from({ length: 11 }, (_, at) => prose(500_000, `chunk ${at}`));

async function filled(): Promise<PackWriter> {
  const writer = new PackWriter();
  for (const payload of chunks) {
    writer.append({ digest: digestOf(payload), bytes: payload.length, payload });
    await writer.settle();
  }
  return writer;
}

const payloadOf = (writer: PackWriter, at: number) =>
  writer.find(digestOf(chunks[at] as Buffer))?.payload() as Promise<Uint8Array>;

describe('a pack in the making', () => {
  it('gives back every chunk, of groups open and closed, in any order', async () => {
    const writer = await filled();
    for (const at of [0, 10, 3, 9, 1, 8, 0]) {
      expect(digestOf(await payloadOf(writer, at))).toBe(digestOf(chunks[at] as Buffer));
    }
    await writer.finish();
    expect(digestOf(await payloadOf(writer, 10))).toBe(digestOf(chunks[10] as Buffer));
  });

  it('opens a closed group once for chunks that are read one behind another', async () => {
    const writer = await filled();
    const first = await payloadOf(writer, 0);
    const second = await payloadOf(writer, 1);
    expect(second.buffer).toBe(first.buffer);
  });

  it('frees what it compressed once it is told so, but for what is being opened', async () => {
    const noise = randomBytes(MAX_FRAME_BYTES / 8);
    const payload = Buffer.concat([noise, noise, Buffer.alloc(noise.length)]);
    const writer = new PackWriter();
    writer.append({ digest: digestOf(payload), bytes: payload.length, payload });
    const { pieces } = await writer.finish();
    const reading = writer.find(digestOf(payload))?.payload();
    const lengths = () => pieces.map(({ length }) => length);
    const before = lengths();
    writer.free();
    expect(lengths()).toEqual(before);
    expect(digestOf((await reading) as Uint8Array)).toBe(digestOf(payload));
    writer.free();
    expect(lengths()).toEqual([before[0], 0, before[2]]);
  });

  it('made at leisure has the largest frames there may be, and none larger', async () => {
    const writer = new PackWriter('idle');
    for (let at = 0; at < 9; at++) {
      const payload = Buffer.alloc(3 << 20, at);
      writer.append({ digest: digestOf(payload), bytes: payload.length, payload });
      await writer.settle();
    }
    const { frames } = await writer.finish();
    expect(frames.map((frame) => frame.chunks.length)).toEqual([5, 4]);
    expect(MAX_FRAME_BYTES).toBeLessThan(6 * (3 << 20));
  });

  it.each(['store', 'idle'] as const)('keeps deltas of deltas out of large groups: %s', async (effort) => {
    const writer = new PackWriter(effort);
    const [base, places] = [digestOf(Buffer.from('base')), [{ at: 0, bytes: 1 }]];
    const delta = { codec: 'rsync', formatVersion: 1, depth: 3, bases: [base], places };
    const append = async (count: number, bytes: number, isDelta: boolean) => {
      for (let at = 0; at < count; at++) {
        const payload = Buffer.alloc(bytes, `${at} ${count}`);
        writer.append({ digest: digestOf(payload), bytes, payload, ...(isDelta ? { delta } : {}) });
        await writer.settle();
      }
    };
    await append(20, 100_000, false);
    await append(3, 10_000, true);
    await append(21, 100_000, false);
    const { frames } = await writer.finish();
    expect(frames.map(({ rawBytes }) => rawBytes)).toEqual([2_000_000, 430_000, 1_700_000]);
    expect(frames.map(({ chunks }) => chunks.filter((chunk) => chunk.delta).length)).toEqual([0, 3, 0]);
  });
});

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { runLength, runsOf } from './runs.ts';

const slab = Buffer.from(Array.from({ length: 4000 }, (_, n) => n & 0xff));
const at = (offset: number, length: number) => slab.subarray(offset, offset + length);

test('packets behind one another are one run, which a shorter one ends', () => {
  const packets = [at(0, 100), at(100, 100), at(200, 40), at(240, 100)];
  expect(runsOf(packets, 100).map((run) => run.packets.length)).toEqual([3, 1]);
});

test('what lies elsewhere, or is longer than a segment, begins another', () => {
  const packets = [at(0, 100), at(200, 100), at(300, 150), at(450, 100), Buffer.from('elsewhere')];
  expect(runsOf(packets, 100).map((run) => run.packets.length)).toEqual([1, 1, 1, 1, 1]);
});

test.each([
  [1472, 44],
  [12, 64],
  [65_468, 1],
  [70_000, 1],
])('of packets of %i bytes, %i are the longest run', (bytes, most) => {
  expect(runLength(bytes)).toBe(most);
});

test('runs hold all packets in order, and the kernel’s limits', () => {
  const lengths = fc.array(fc.record({ bytes: fc.integer({ min: 0, max: 30 }), gap: fc.boolean() }), {
    maxLength: 200,
  });
  fc.assert(
    fc.property(lengths, (wanted) => {
      const packets: Uint8Array[] = [];
      let from = 0;
      for (const { bytes, gap } of wanted) {
        const start = gap ? from + 1 : from;
        if (start + bytes > slab.length) break;
        packets.push(at(start, bytes));
        from = start + bytes;
      }
      const runs = runsOf(packets, 20);
      expect(runs.flatMap((run) => run.packets)).toEqual(packets);
      for (const run of runs) {
        expect(Buffer.concat(run.packets).equals(run.bytes)).toBe(true);
        expect(run.packets.length).toBeLessThanOrEqual(64);
        if (run.packets.length === 1) continue;
        expect(run.packets.slice(0, -1).every((packet) => packet.length === 20)).toBe(true);
        expect(run.packets.every((packet) => packet.length <= 20)).toBe(true);
      }
    }),
  );
});

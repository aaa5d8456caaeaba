import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Command, encoded, partsOf } from '../../testing/fakes/copies-codec.ts';
import { noise } from '../fixture.ts';
import { type ChainLink, type ChainPart, flatten, MAX_PARTS } from './delta-chain.ts';

function link(
  bytes: number,
  depth: number,
  commands: readonly Command[],
  ...bases: ChainLink['delta']['bases']
) {
  const places = bases.map((_, at) => ({ at: at * 1000, bytes: 1000 }));
  const delta = { codec: 'copies', formatVersion: 1, depth, bases, places };
  return { bytes, delta, payload: () => Promise.resolve(encoded(commands)) };
}

function sourceOf(links: Readonly<Record<string, ChainLink>>) {
  return {
    link: (digest: string) => links[digest],
    parts: (_: ChainLink, payload: Uint8Array) => partsOf(payload),
  };
}

function made(parts: readonly ChainPart[], bases: Readonly<Record<string, Buffer>>): Buffer {
  return Buffer.concat(
    parts.map((part) =>
      'bytes' in part
        ? part.bytes
        : (bases[part.base] as Buffer).subarray(part.offset, part.offset + part.length),
    ),
  );
}

const text = (bytes: string) => Buffer.from(bytes).toString('base64');

describe('deltas of deltas', () => {
  it('are put together from what is at the bottom and what changed since', async () => {
    const bottom = noise(1000, 'bottom');
    const links = {
      one: link(1000, 1, [[0, 100], text('first!'), [106, 894]], 'bottom'),
      two: link(1000, 2, [[0, 500], text('second'), [506, 494]], 'one'),
    };
    const top = link(1006, 3, [[50, 60], text('inserted'), [98, 902], [0, 36]], 'two');
    const parts = await flatten(top, sourceOf(links));
    const one = Buffer.concat([bottom.subarray(0, 100), Buffer.from('first!'), bottom.subarray(106)]);
    const two = Buffer.concat([one.subarray(0, 500), Buffer.from('second'), one.subarray(506)]);
    const three = [two.subarray(50, 110), Buffer.from('inserted'), two.subarray(98), two.subarray(0, 36)];
    expect(made(parts, { bottom })).toEqual(Buffer.concat(three));
    expect(
      parts.filter((part) => 'base' in part).every((part) => 'base' in part && part.base === 'bottom'),
    ).toBe(true);
  });

  it('may lie on several, deltas and whole ones', async () => {
    const [left, right] = [noise(1000, 'left'), noise(1000, 'right')];
    const links = { mixed: link(1000, 1, [[500, 1000]], 'left', 'right') };
    const top = link(1000, 2, [[200, 1000]], 'mixed', 'right');
    const parts = await flatten(top, sourceOf(links));
    const mixed = Buffer.concat([left, right]).subarray(500, 1500);
    expect(made(parts, { left, right })).toEqual(Buffer.concat([mixed, right]).subarray(200, 1200));
  });

  it('are refused when they copy from a hole, from behind an end, make too much, or come in too many pieces', async () => {
    const hole = link(20, 3, [[990, 20]], 'two');
    await expect(flatten(hole, sourceOf({}))).rejects.toThrow('where no base lies');
    const short = link(10, 3, [[0, 10]], 'two');
    await expect(flatten(short, sourceOf({ two: link(5, 2, [[0, 5]], 'one') }))).rejects.toThrow(
      'behind the end',
    );
    const long = link(10, 3, [[0, 20]], 'two');
    await expect(flatten(long, sourceOf({}))).rejects.toThrow('20 bytes instead of 10');
    const many = Array.from({ length: MAX_PARTS + 1 }, (): Command => [0, 1]);
    await expect(flatten(link(MAX_PARTS + 1, 3, many, 'two'), sourceOf({}))).rejects.toThrow('pieces');
  });

  it('are read only where something of them is still needed, which may be pages that come together again', async () => {
    const links = {
      swapped: link(
        1000,
        1,
        [
          [500, 500],
          [0, 500],
        ],
        'bottom',
      ),
      gone: {
        ...link(500, 2, [text('x'.repeat(500))], 'swapped'),
        payload: () => Promise.reject(new Error('read')),
      },
      beside: link(1000, 3, [[0, 1000]], 'swapped', 'gone'),
    };
    const parts = await flatten(
      link(
        1000,
        4,
        [
          [500, 500],
          [0, 500],
        ],
        'beside',
      ),
      sourceOf(links),
    );
    expect(parts).toEqual([{ at: 0, length: 1000, base: 'bottom', offset: 0 }]);
  });

  it('end at a chunk that is as deep as what is made from it: it is read whole, and goes in no circle', async () => {
    const links = { ring: link(1000, 3, [[0, 1000]], 'ring') };
    const parts = await flatten(link(1000, 3, [[0, 1000]], 'ring'), sourceOf(links));
    expect(parts).toEqual([{ at: 0, length: 1000, base: 'ring', offset: 0 }]);
  });

  it('make what making them one after another makes', async () => {
    const edit = fc.record({ at: fc.nat(999), bytes: fc.uint8Array({ minLength: 1, maxLength: 40 }) });
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(edit, { maxLength: 4 }), { minLength: 1, maxLength: 12 }),
        async (turns) => {
          const bottom = noise(1000, 'bottom');
          const links: Record<string, ChainLink> = {};
          let now = bottom;
          let name = 'bottom';
          for (const [turn, edits] of turns.entries()) {
            const commands: Command[] = [];
            let from = 0;
            for (const { at, bytes } of edits.toSorted((a, b) => a.at - b.at)) {
              const put = bytes.subarray(0, 1000 - at);
              if (at < from) continue;
              if (at > from) commands.push([from, at - from]);
              commands.push(Buffer.from(put).toString('base64'));
              from = at + put.length;
              now = Buffer.concat([now.subarray(0, at), put, now.subarray(from)]);
            }
            if (from < 1000) commands.push([from, 1000 - from]);
            links[`${turn}`] = link(1000, turn + 1, commands, name);
            name = `${turn}`;
          }
          const parts = await flatten(links[name] as ChainLink, sourceOf(links));
          expect(made(parts, { bottom }).equals(now)).toBe(true);
        },
      ),
    );
  });
});

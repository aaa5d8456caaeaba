import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { VirtualBase } from './virtual-base.ts';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'overdub-virtual-base-'));
});
afterEach(() => rm(dir, { recursive: true }));

describe('a virtual base', () => {
  const first = Buffer.alloc(1000, 'first');
  const second = Buffer.alloc(500, 'second');
  const contents = new Map([
    ['a', first],
    ['b', second],
  ]);
  const read = async ({ digest }: { readonly digest: string }) => contents.get(digest) as Buffer;

  it('is its chunks one behind another, and tells which were read', async () => {
    const base = new VirtualBase(read, dir);
    base.append([
      { digest: 'a', bytes: 1000 },
      { digest: 'b', bytes: 500 },
    ]);
    expect(Buffer.from(await base.read(990, 30))).toEqual(
      Buffer.concat([first.subarray(990), second.subarray(0, 20)]),
    );
    expect(base.takeTouched()).toEqual([
      { digest: 'a', at: 0, bytes: 1000 },
      { digest: 'b', at: 1000, bytes: 500 },
    ]);
    await base.close();
  });

  it('refuses a chunk of another length than its image says, and leaves the next one what it is', async () => {
    const base = new VirtualBase(read, dir);
    base.append([
      { digest: 'a', bytes: 400 },
      { digest: 'b', bytes: 500 },
    ]);
    expect(Buffer.from(await base.read(400, 500))).toEqual(second);
    await expect(base.read(0, 100)).rejects.toMatchObject({ code: 'DELTA_INVALID' });
    expect(Buffer.from(await base.read(400, 500))).toEqual(second);
    await base.close();
  });
});

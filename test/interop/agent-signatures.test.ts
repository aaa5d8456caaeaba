/** The agent's kept signatures are a cache: unreadable or another codec's, they cost bytes, never a snapshot. */

import { randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { DeltaCodec, SignatureFeature } from '@overdub/core/agent';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SignatureStore } from '../../plugins/agent/program/transfer/signatures.ts';
import { rsyncCodec } from '../../plugins/diff-rsync/codec.ts';
import { World } from './agent-world.ts';

const DIGEST = 'a'.repeat(64);
const FILE_BYTES = 1_000_000;

let world: World;
beforeEach(async () => {
  world = await World.create();
});
afterEach(() => world.end());

const rsync = rsyncCodec();
const signatures = rsync.signatures as SignatureFeature;

/** As a stranger's codec may be: what it throws carries no code. */
const plainSpoken: DeltaCodec = {
  ...rsync,
  signatures: {
    ...signatures,
    index: (bases) =>
      signatures.index(bases).catch((cause) => {
        throw new Error('no signature of mine', { cause });
      }),
  },
};

function storeOf(name: string): SignatureStore {
  return new SignatureStore(world.dir, { ...rsync, name, signatures });
}

describe('kept signatures', () => {
  it('of one codec are none of another’s, and go when the other one prunes', async () => {
    const before = storeOf('rsync');
    const after = storeOf('blocks');
    await before.put(DIGEST, Buffer.from('a signature'));
    expect(await after.get(DIGEST)).toBeUndefined();
    await after.put(DIGEST, Buffer.from('another'));
    await after.prune(new Map([[DIGEST, 1n]]));
    expect(await after.get(DIGEST)).toEqual(Buffer.from('another'));
    expect(await before.get(DIGEST)).toBeUndefined();
  });

  it.each([
    ['of our own codec', rsync],
    ['of a codec that throws plain errors', plainSpoken],
  ])('%s that power loss cut short are made anew, and the snapshot holds', async (_whose, codec) => {
    const over = { codecs: [codec] };
    const root = await world.makeRoot('root');
    await mkdir(join(root, 'srv'));
    const path = join(root, 'srv/table');
    const bytes = randomBytes(FILE_BYTES);
    await writeFile(path, bytes);
    await world.snapshot(root, over);
    const kept = await keptSignatures();
    expect(kept).toHaveLength(1);
    for (const signature of kept) await truncate(signature, 100);

    bytes.fill(7, 500_000, 500_100);
    await writeFile(path, bytes);
    const whole = await world.snapshot(root, over);
    expect(whole.stats.bytesReceived).toBeGreaterThan(FILE_BYTES / 4);

    bytes.fill(8, 500_000, 500_100);
    await writeFile(path, bytes);
    const delta = await world.snapshot(root, over);
    expect(delta.stats.bytesReceived).toBeLessThan(FILE_BYTES / 20);

    const copy = await world.makeRoot('copy');
    await world.restore(copy, delta.id);
    expect((await readFile(join(copy, 'srv/table'))).equals(bytes)).toBe(true);
  });
});

async function keptSignatures(): Promise<string[]> {
  const dir = join(world.dir, 'agent-state/signatures');
  const found = await readdir(dir, { recursive: true, withFileTypes: true });
  return found.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

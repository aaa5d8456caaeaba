import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { collect } from '@overdub/core/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openLocalStore } from './store.ts';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'overdub-local-'));
});
afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

const MIB = 1024 * 1024;

describe('the lock', () => {
  it('is kept by a living process and falls to the next one when that is killed', async () => {
    const script = `
      import { openLocalStore } from ${JSON.stringify(pathToFileURL(join(import.meta.dirname, 'store.ts')).href)};
      const store = await openLocalStore(process.argv[2], { reserveBytes: 0 });
      await store.lock('the first appliance');
      console.log('locked');
      setInterval(() => {}, 1000);`;
    const file = join(directory, 'holder.ts');
    await writeFile(file, script);
    const root = join(directory, 'store');
    const child = spawn(process.execPath, ['--conditions=overdub-source', file, root], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(child.stdout, 'data');
    const store = await openLocalStore(root, { reserveBytes: 0 });
    const refused = store.lock('the second');
    await expect(refused).rejects.toMatchObject({ name: 'BlobStoreLocked' });
    await expect(refused).rejects.toThrow(`the first appliance (process ${child.pid}`);
    child.kill('SIGKILL');
    await once(child, 'exit');
    await store.lock('the second');
    await store.close();
  });

  it('clears what a killed holder left half-written', async () => {
    await openLocalStore(directory, { reserveBytes: 0 });
    const temporary = join(directory, '.overdub/tmp');
    await writeFile(join(temporary, 'half'), 'half a blob');
    const store = await openLocalStore(directory, { reserveBytes: 0 });
    await store.lock('next');
    expect(await readdir(temporary)).toEqual([]);
    await store.close();
  });
});

describe('the reserve', () => {
  it('grows on lock and follows the option down', async () => {
    const size = async () => (await stat(join(directory, '.overdub/reserve'))).size;
    const large = await openLocalStore(directory, { reserveBytes: 3 * MIB });
    await large.lock('a');
    expect(await size()).toBe(3 * MIB);
    await large.close();
    const small = await openLocalStore(directory, { reserveBytes: MIB });
    await small.lock('b');
    expect(await size()).toBe(MIB);
    await small.close();
  });
});

/** A file system of 8 MiB, where the machine lets us mount one. */
function mountSmall(): boolean {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', directory], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

describe('a full disk', () => {
  it('is BlobStoreFull, keeps what was there, and leaves room for records and removal', async (context) => {
    if (!mountSmall()) context.skip('no permission to mount a small file system');
    try {
      const store = await openLocalStore(directory, { reserveBytes: 2 * MIB });
      await store.lock('test');
      await store.put('packs/one', Buffer.alloc(3 * MIB, 1));
      await expect(store.put('packs/two', Buffer.alloc(4 * MIB, 2))).rejects.toMatchObject({
        name: 'BlobStoreFull',
      });
      expect((await collect(store.list(''))).map((blob) => blob.name)).toEqual(['packs/one']);

      await writeFile(join(directory, 'others'), Buffer.alloc(8 * MIB)).catch(() => undefined);
      expect((await store.space())?.freeBytes).toBe(0);
      await store.put('snapshots/web-1/a.json', Buffer.from('{}'));
      await store.remove('packs/one');
      expect((await stat(join(directory, '.overdub/reserve'))).size).toBe(2 * MIB);
      await store.close();
    } finally {
      execFileSync('umount', [directory]);
    }
  });
});

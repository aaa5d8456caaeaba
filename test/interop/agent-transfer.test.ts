/** Snapshot and restore end to end: the real repository, imager and codecs, over HTTP on loopback. */

import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { appendFileSync, existsSync } from 'node:fs';
import {
  appendFile,
  chmod,
  open,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { readRecord } from '../../plugins/agent/program/transfer/record.ts';
import { recordRestored, restoreImage } from '../../plugins/agent/program/transfer/restore.ts';
import { setXattr } from '../../plugins/imaging-tree/tree/libc.ts';
import { World } from './agent-world.ts';
import { openingBy } from './opening.ts';

let world: World;

beforeEach(async () => {
  world = await World.create();
});
afterEach(() => world.end());

async function overwrite(path: string, at: number, bytes: string | Uint8Array): Promise<void> {
  const file = await open(path, 'r+');
  const buffer = Buffer.from(bytes as string);
  await file.write(buffer, 0, buffer.length, at);
  await file.close();
}

describe('snapshot and restore', () => {
  it('restore an empty directory to an equal tree', async () => {
    const root = await world.smallTree();
    const before = await world.contentsOf(root);
    const snapshot = await world.snapshot(root);
    expect(snapshot.manifest.entries).toBe(before.size);
    const copy = await world.makeRoot('copy');
    const result = await world.restore(copy, snapshot.id);
    expect(await world.contentsOf(copy)).toEqual(before);
    expect(result.bytesReceived).toBeGreaterThan(3_000_000);
    expect(world.policy.ended).toMatchObject([{ outcome: { snapshot: { id: snapshot.id } } }]);
  });

  it('reads nothing again when nothing changed, and sends next to nothing', async () => {
    const root = await world.smallTree();
    await world.snapshot(root);
    const read: string[] = [];
    const imager = openingBy((path, really) => {
      read.push(path);
      return really();
    });
    const second = await world.snapshot(root, { imager });
    expect(read).toEqual([]);
    expect(second.stats.filesChanged).toBe(0);
    expect(second.stats.bytesReceived + second.stats.bytesSent).toBeLessThan(2_500);
    expect(second.parent).toBe(world.policy.committed[0]?.id);
  });

  it('says by the image’s name alone that nothing changed, and sees what only metadata tells', async () => {
    const root = await world.smallTree();
    const at = (path: string) => join(root, path);
    const first = await world.snapshot(root);
    const { manifest, stats } = await world.snapshot(root);
    expect(manifest).toEqual(first.manifest);
    expect(stats.bytesReceived + stats.bytesSent).toBeLessThan(1_800);
    const changes = [
      () => chmod(at('var/lib'), 0o700),
      () => setXattr(at('etc/app/8.conf'), 'user.note', Buffer.from('changed'), false),
      () => rm(at('etc/app/hosts')).then(() => symlink('../empty', at('etc/app/hosts'))),
      () => rename(at('etc/app/10.conf'), at('etc/app/9.conf')),
    ];
    let last = manifest.root;
    for (const [step, change] of changes.entries()) {
      await change();
      const taken = await world.snapshot(root);
      const anew = await world.snapshot(root, { stateDir: join(world.dir, `${step}`) });
      expect(taken.manifest).toEqual(anew.manifest);
      expect(taken.manifest.root).not.toBe(last);
      last = taken.manifest.root;
    }
  });

  it('sends a change inside a large file as a delta', async () => {
    const root = await world.smallTree();
    await world.snapshot(root);
    await overwrite(join(root, 'var/lib/db/table'), 1_500_000, 'hacked');
    const second = await world.snapshot(root);
    expect(second.stats.filesChanged).toBe(1);
    expect(second.stats.bytesReceived + second.stats.bytesSent).toBeLessThan(8_000);
    const copy = await world.makeRoot('copy');
    await world.restore(copy, second.id);
    expect(await world.contentsOf(copy)).toEqual(await world.contentsOf(root));
  });

  it('asks the appliance for a signature when its own is lost', async () => {
    const root = await world.smallTree();
    await world.snapshot(root);
    await rm(join(world.dir, 'agent-state/signatures'), { recursive: true });
    // In several chunks: for a short one alone the signature would cost more than it saves.
    for (const at of [500_000, 1_500_000, 2_500_000])
      await overwrite(join(root, 'var/lib/db/table'), at, 'hacked');
    const appliance = world.connect();
    const second = await world.snapshot(root, { appliance });
    expect(second.stats.bytesReceived).toBeLessThan(8_000);
    expect(appliance.bytes.received).toBeLessThan(3_000_000 * 0.04);
  });

  it('sends whole files when its record is gone', async () => {
    const root = await world.smallTree();
    await world.snapshot(root);
    await rm(join(world.dir, 'agent-state'), { recursive: true });
    const second = await world.snapshot(root);
    expect(second.manifest).toEqual(world.policy.committed[0]?.manifest);
  });

  it('rolls back with deltas against what is there', async () => {
    const root = await world.smallTree();
    const first = await world.snapshot(root);
    const before = await world.contentsOf(root);
    await overwrite(join(root, 'var/lib/db/table'), 1_500_000, 'hacked');
    await appendFile(join(root, 'etc/app/7.conf'), 'more\n');
    await writeFile(join(root, 'etc/new'), 'new');
    await rm(join(root, 'etc/app/9.conf'));
    await world.snapshot(root);
    const result = await world.restore(root, first.id);
    expect(await world.contentsOf(root)).toEqual(before);
    expect(result.bytesReceived + (result.bytesSent ?? 0)).toBeLessThan(8_000);
    expect(result).toMatchObject({ removed: 1 });
  });

  it('rolls back many files by deltas, in one answer', async () => {
    const root = await world.makeRoot('root');
    const names = Array.from({ length: 12 }, (_, nth) => join(root, `table ${nth}`));
    for (const name of names) await writeFile(name, randomBytes(1_000_000));
    const first = await world.snapshot(root);
    const before = await world.contentsOf(root);
    for (const name of names) await overwrite(name, 500_000, 'hacked');
    await world.snapshot(root);
    const result = await world.restore(root, first.id);
    expect(await world.contentsOf(root)).toEqual(before);
    expect(result.bytesReceived).toBeLessThan(100_000);
  });

  it('rolls back what the appliance never saw by sending a signature', async () => {
    const root = await world.smallTree();
    const first = await world.snapshot(root);
    const before = await world.contentsOf(root);
    await overwrite(join(root, 'var/lib/db/table'), 1_500_000, 'hacked');
    const result = await world.restore(root, first.id);
    expect(await world.contentsOf(root)).toEqual(before);
    // A signature of the chunk that differs, 36 bytes for each 512: where cuts fall badly the chunk is most of the file.
    expect(result.bytesReceived + (result.bytesSent ?? 0)).toBeLessThan(3_000_000 * 0.08);
  });

  it('shows in a dry run what would change, and changes nothing', async () => {
    const root = await world.smallTree();
    const first = await world.snapshot(root);
    await writeFile(join(root, 'etc/hosts'), 'defaced\n');
    const now = await world.contentsOf(root);
    const result = await world.restore(root, first.id, { dryRun: true });
    expect(result.changes.map((change) => change.path)).toContain('etc/app/linked');
    expect(await world.contentsOf(root)).toEqual(now);
  });

  it('finds a file altered with its times restored: by ctime, and by reading everything', async () => {
    const root = await world.smallTree();
    const first = await world.snapshot(root);
    const path = join(root, 'etc/app/40.conf');
    const times = join(world.dir, 'times');
    await writeFile(times, '');
    execFileSync('touch', ['-r', path, times]);
    await overwrite(path, 0, 'VALUE');
    execFileSync('touch', ['-r', times, path]);
    const second = await world.snapshot(root);
    expect(second.stats.filesChanged).toBe(1);
    world.policy.trust = 'nothing';
    await overwrite(path, 0, 'value');
    execFileSync('touch', ['-r', times, path]);
    const third = await world.snapshot(root);
    expect(third.manifest).toEqual(first.manifest);
  });

  it('reads everything, but cuts and offers only what differs from the image the appliance knows', async () => {
    const root = await world.smallTree();
    const first = await world.snapshot(root);
    const times = await stat(join(root, 'var/lib/db/table'));
    await overwrite(join(root, 'var/lib/db/table'), 1_000_000, 'broken in');
    await utimes(join(root, 'var/lib/db/table'), times.atime, times.mtime);
    const before = await world.contentsOf(root);
    // A machine that has no record of its own, as the ramdisk.
    const stateDir = join(world.dir, 'ramdisk');
    world.policy.trust = 'nothing';
    world.policy.known = first.manifest;
    const second = await world.snapshot(root, { stateDir });
    expect(second.stats.filesChanged).toBe(1);
    expect(second.stats.bytesReceived).toBeLessThan(300_000);
    world.policy.known = undefined;
    const third = await world.snapshot(root, { stateDir: join(world.dir, 'another') });
    expect(third.manifest).toEqual(second.manifest);
    const copy = await world.makeRoot('copy');
    await world.restore(copy, second.id);
    expect(await world.contentsOf(copy)).toEqual(before);
  });

  it.each([true, false])(
    'reads nothing again of what it restored, until it is touched; empty before: %s',
    async (empty) => {
      const root = await world.smallTree();
      setXattr(join(root, 'etc/app/42.conf'), 'user.note', Buffer.from('kept'));
      const first = await world.snapshot(root);
      const copy = empty ? await world.makeRoot('copy') : root;
      if (!empty) {
        await writeFile(join(root, 'etc/app/40.conf'), 'changed');
        await rm(join(root, 'etc/app/41.conf'));
      }
      const stateDir = join(world.dir, 'state-of-the-copy');
      const appliance = world.connect();
      const request = { server: 'web-1', selector: first.id, dryRun: false, keep: [], only: [] };
      const task = await appliance.beginRestore(request, world.signal);
      const context = { ...world.context(appliance, copy), workDir: join(world.dir, 'agent-work') };
      const order = { ...task, server: 'web-1', excludes: [] };
      await restoreImage(context, order);
      await recordRestored(context, order, stateDir);
      const opened: string[] = [];
      const imager = openingBy((path, really) => {
        opened.push(path);
        return really();
      });
      const second = await world.snapshot(copy, { stateDir, imager });
      expect(second.manifest).toEqual(first.manifest);
      // The first of two links has changed when the second was made.
      const written = empty ? [] : ['etc/app/40.conf', 'etc/app/41.conf'];
      expect(opened.filter((path) => path !== 'etc/app/linked').sort()).toEqual(written);
      await appendFile(join(copy, 'etc/app/50.conf'), 'more');
      await chmod(join(copy, 'etc/app/51.conf'), 0o600);
      opened.length = 0;
      const third = await world.snapshot(copy, { stateDir, imager });
      expect(third.stats.filesChanged).toBe(1);
      expect(new Set(opened)).toEqual(new Set(['etc/app/50.conf', 'etc/app/51.conf']));
    },
  );

  it('takes for no restored file what somebody else wrote to it meanwhile', async () => {
    const root = await world.smallTree();
    await writeFile(join(root, 'big'), randomBytes(8_000_000));
    const first = await world.snapshot(root);
    const copy = await world.makeRoot('copy');
    const stateDir = join(world.dir, 'state-of-the-copy');
    const appliance = world.connect();
    const request = { server: 'web-1', selector: first.id, dryRun: false, keep: [], only: [] };
    const task = await appliance.beginRestore(request, world.signal);
    let appended = false;
    const onProgress = () => {
      if (appended || !existsSync(join(copy, 'big'))) return;
      appended = true;
      appendFileSync(join(copy, 'big'), Buffer.alloc(9_000_000, 'X'));
    };
    const context = { ...world.context(appliance, copy), workDir: join(world.dir, 'agent-work'), onProgress };
    const order = { ...task, server: 'web-1', excludes: [] };
    await restoreImage(context, order);
    await recordRestored(context, order, stateDir);
    const { size } = await stat(join(copy, 'big'));
    expect(size).toBeGreaterThan(8_000_000);
    const second = await world.snapshot(copy, { stateDir });
    expect(second.stats.filesChanged).toBe(1);
    expect(second.manifest.bytes - first.manifest.bytes).toBe(size - 8_000_000);
  });

  it('never trusts times as new as the moment before the file was opened', async () => {
    const root = await world.smallTree();
    const stamped = async () => {
      const found = new Map<string, boolean>();
      for await (const line of readRecord(join(world.dir, 'agent-state/record'))) {
        found.set(line.entry.path, line.stamp !== undefined);
      }
      return ['etc/app/40.conf', 'etc/app/41.conf'].map((path) => found.get(path));
    };
    await new Promise((resolve) => setTimeout(resolve, 150));
    await writeFile(join(root, 'etc/app/40.conf'), 'one');
    const written = BigInt(Date.now()) * 1_000_000n;
    const first = await world.snapshot(root, { nowNs: () => written });
    expect(await stamped()).toEqual([false, true]);
    // Read again and found to be the same: the image needs no word, and the next snapshot need not read it.
    const read: string[] = [];
    const imager = openingBy((path, really) => {
      read.push(path);
      return really();
    });
    const second = await world.snapshot(root, { imager });
    expect(read).toEqual(['etc/app/40.conf']);
    expect(second.manifest).toEqual(first.manifest);
    expect(second.stats.bytesReceived + second.stats.bytesSent).toBeLessThan(1_800);
    expect(await stamped()).toEqual([true, true]);
    await world.snapshot(root, { imager });
    expect(read).toHaveLength(1);
    // Written again within the same tick, of equal length and times: only its being read tells.
    await overwrite(join(root, 'etc/app/40.conf'), 0, 'two');
    const third = await world.snapshot(root, { imager, nowNs: () => written });
    expect(third.stats.filesChanged).toBe(1);
    await overwrite(join(root, 'etc/app/40.conf'), 0, 'six');
    expect((await world.snapshot(root)).stats.filesChanged).toBe(1);
  });
});

describe('a tree that does not hold still', () => {
  it('captures a file that changes between reading and sending', async () => {
    const root = await world.smallTree();
    const path = join(root, 'var/lib/db/table');
    let opened = 0;
    const imager = openingBy(async (name, really) => {
      if (name === 'var/lib/db/table' && ++opened === 2) await overwrite(path, 10, 'later');
      return really();
    });
    const snapshot = await world.snapshot(root, { imager });
    expect(snapshot.consistency).toBe('fuzzy');
    expect(snapshot.skipped).toEqual([{ path: 'var/lib/db/table', reason: 'changing' }]);
    const copy = await world.makeRoot('copy');
    await world.restore(copy, snapshot.id);
    expect(await readFile(join(copy, 'var/lib/db/table'))).toEqual(await readFile(path));
  });

  it('notices a file that changes while it is read', async () => {
    const root = await world.smallTree();
    const path = join(root, 'var/lib/db/table');
    const imager = openingBy(async (name, really) => {
      const file = await really();
      if (name !== 'var/lib/db/table') return file;
      return {
        ...file,
        bytes: file.bytes,
        stamp: file.stamp.bind(file),
        close: file.close.bind(file),
        read: async (offset: number, length: number) => {
          await overwrite(path, 5, randomBytes(4));
          return file.read(offset, length);
        },
      };
    });
    const snapshot = await world.snapshot(root, { imager });
    expect(snapshot.skipped.some((one) => one.reason === 'changing')).toBe(true);
    const copy = await world.makeRoot('copy');
    await world.restore(copy, snapshot.id);
    expect((await stat(join(copy, 'var/lib/db/table'))).size).toBe(3_000_000);
  });

  it('leaves out a file that vanishes, and says so', async () => {
    const root = await world.smallTree();
    const imager = openingBy(async (path, really) => {
      if (path === 'etc/app/5.conf') await rm(join(root, 'etc/app/5.conf'), { force: true });
      return really();
    });
    const snapshot = await world.snapshot(root, { imager });
    expect(snapshot.skipped).toEqual([{ path: 'etc/app/5.conf', reason: 'vanished' }]);
  });

  it('says at once that the root is gone, and takes it for nothing that was refused', async () => {
    const root = await world.smallTree();
    const appliance = world.connect();
    const offer = vi.spyOn(appliance, 'offer').mockImplementationOnce(async (_transfer, _kind, digests) => {
      await rm(root, { recursive: true });
      return (at) => at < digests.length;
    });
    const upload = vi.spyOn(appliance, 'upload');
    const gone = expect.objectContaining({ code: 'INPUT_INVALID', message: expect.stringContaining(root) });
    await expect(world.snapshot(root, { appliance })).rejects.toEqual(gone);
    expect(offer).toHaveBeenCalledTimes(1);
    expect(upload).not.toHaveBeenCalled();
  });
});

describe('large renamed and shrunken files', () => {
  it('survive a round trip', async () => {
    const root = await world.smallTree();
    const first = await world.snapshot(root);
    await rename(join(root, 'var/lib/db/table'), join(root, 'var/lib/db/table.1'));
    await writeFile(join(root, 'var/lib/db/table'), randomBytes(100_000));
    const second = await world.snapshot(root);
    const now = await world.contentsOf(root);
    await world.restore(root, first.id);
    await world.restore(root, second.id);
    expect(await world.contentsOf(root)).toEqual(now);
  });
});

/** Hooks of a snapshot: what runs around the scan, and what it may say. */

import { link, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { World } from './agent-world.ts';
import { openingBy } from './opening.ts';

let world: World;

beforeEach(async () => {
  world = await World.create();
});
afterEach(() => world.end());

describe('hooks', () => {
  async function hook(kind: 'pre' | 'post', name: string, script: string): Promise<void> {
    const dir = join(world.dir, `hooks/${kind}-snapshot.d`);
    await mkdir(dir, { recursive: true });
    await writeFile(join(dir, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  }
  const hooksDir = () => join(world.dir, 'hooks');
  /** An imager, and the paths of all it opened. */
  const noting = () => {
    const read: string[] = [];
    const imager = openingBy((path, really) => {
      read.push(path);
      return really();
    });
    return { read, imager };
  };

  it('run around the scan; rescan and put get in', async () => {
    const root = await world.smallTree();
    await writeFile(join(world.dir, 'label'), 'START WAL LOCATION\n');
    await hook('pre', '10-begin', `echo begun > ${root}/etc/state`);
    await hook(
      'post',
      '10-end',
      `echo ended > ${root}/etc/state\necho rescan /etc/state\necho put var/lib/db/backup_label ${world.dir}/label`,
    );
    const snapshot = await world.snapshot(root, { hooksDir: hooksDir() });
    expect(snapshot.consistency).toBe('application');
    const copy = await world.makeRoot('copy');
    await world.restore(copy, snapshot.id);
    expect(await readFile(join(copy, 'etc/state'), 'utf8')).toBe('ended\n');
    expect(await readFile(join(copy, 'var/lib/db/backup_label'), 'utf8')).toBe('START WAL LOCATION\n');
    await expect(stat(join(root, 'var/lib/db/backup_label'))).rejects.toThrow();
  });

  it('take out of the image what a rescan no longer finds', async () => {
    const root = await world.smallTree();
    await hook('pre', 'a', `echo x > ${root}/var/lib/db/temporary`);
    await hook('post', 'a', `rm ${root}/var/lib/db/temporary\necho rescan var/lib/db`);
    const snapshot = await world.snapshot(root, { hooksDir: hooksDir() });
    const copy = await world.makeRoot('copy');
    await world.restore(copy, snapshot.id);
    await expect(stat(join(copy, 'var/lib/db/temporary'))).rejects.toThrow();
    expect((await stat(join(copy, 'var/lib/db/table'))).size).toBe(3_000_000);
  });

  it('leave out what post hooks name: of a deferred tree unread, of what was scanned before as well', async () => {
    const root = await world.smallTree();
    await mkdir(join(root, 'var/lib/db/old'));
    await writeFile(join(root, 'var/lib/db/old/1'), 'done with\n');
    await hook('pre', 'a', 'echo defer /var/lib/db');
    await hook('post', 'a', 'echo omit /var/lib/db/old\necho omit /etc/state');
    await writeFile(join(root, 'etc/state'), 'private\n');
    const { read, imager } = noting();
    for (let nth = 0; nth < 2; nth++) {
      const snapshot = await world.snapshot(root, { hooksDir: hooksDir(), imager });
      const copy = await world.makeRoot(`copy${nth}`);
      await world.restore(copy, snapshot.id);
      for (const path of ['var/lib/db/old', 'etc/state'])
        await expect(stat(join(copy, path))).rejects.toThrow(/ENOENT/);
      expect((await stat(join(copy, 'var/lib/db/table'))).size).toBe(3_000_000);
    }
    expect(read).not.toContain('var/lib/db/old/1');
  });

  it('leave out one name of a file that has others: they hold it', async () => {
    const root = await world.smallTree();
    await mkdir(join(root, 'var/lib/db/old'));
    await writeFile(join(root, 'var/lib/db/old/1'), 'done with\n');
    await link(join(root, 'var/lib/db/old/1'), join(root, 'var/lib/db/zz-kept'));
    await link(join(root, 'var/lib/db/old/1'), join(root, 'var/zz-archive'));
    await hook('pre', 'a', 'echo defer /var/lib/db');
    await hook('post', 'a', 'echo omit /var/lib/db/old');
    for (let nth = 0; nth < 2; nth++) {
      const snapshot = await world.snapshot(root, { hooksDir: hooksDir() });
      const copy = await world.makeRoot(`copy${nth}`);
      await world.restore(copy, snapshot.id);
      await expect(stat(join(copy, 'var/lib/db/old'))).rejects.toThrow(/ENOENT/);
      for (const path of ['var/lib/db/zz-kept', 'var/zz-archive'])
        expect(await readFile(join(copy, path), 'utf8')).toBe('done with\n');
    }
  });

  it('take a deferred tree once, after the post hooks; no word of it is needed there', async () => {
    const root = await world.smallTree();
    await hook('pre', 'a', `echo before > ${root}/var/lib/db/log\necho defer /var/lib/db`);
    await hook('post', 'a', `echo after > ${root}/var/lib/db/log`);
    const { read, imager } = noting();
    const snapshot = await world.snapshot(root, { hooksDir: hooksDir(), imager });
    // Once to hash it, once to send it.
    expect(read.filter((path) => path === 'var/lib/db/table')).toHaveLength(2);
    const before = await world.contentsOf(root);
    const copy = await world.makeRoot('copy');
    await world.restore(copy, snapshot.id);
    expect(await readFile(join(copy, 'var/lib/db/log'), 'utf8')).toBe('after\n');
    expect(await world.contentsOf(copy)).toEqual(before);
  });

  it('take a deferred tree in which nothing changed as it is', async () => {
    const root = await world.smallTree();
    await hook('pre', 'a', 'echo defer /var/lib/db');
    const first = await world.snapshot(root, { hooksDir: hooksDir() });
    const second = await world.snapshot(root, { hooksDir: hooksDir() });
    expect(second.manifest).toEqual(first.manifest);
    expect(second.stats.bytesStored).toBe(0);
  });

  it('may not defer what is outside of the root, or all of it', async () => {
    const root = await world.smallTree();
    await hook('pre', 'a', 'echo defer /');
    await expect(world.snapshot(root, { hooksDir: hooksDir() })).rejects.toThrow(/"defer \/", which is not/);
    expect(world.policy.committed).toEqual([]);
  });

  it('that fail before the scan fail the snapshot, after the post hooks ran', async () => {
    const root = await world.smallTree();
    await hook('pre', 'a', 'echo no database >&2; exit 3');
    await hook('post', 'a', `touch ${world.dir}/thawed`);
    await expect(world.snapshot(root, { hooksDir: hooksDir() })).rejects.toThrow(/no database/);
    expect((await stat(join(world.dir, 'thawed'))).isFile()).toBe(true);
    expect(world.policy.committed).toEqual([]);
  });

  it('that print nonsense fail the snapshot', async () => {
    const root = await world.smallTree();
    await hook('post', 'a', 'echo put ../../etc/passwd /etc/passwd');
    await expect(world.snapshot(root, { hooksDir: hooksDir() })).rejects.toMatchObject({
      code: 'INPUT_INVALID',
    });
  });
});

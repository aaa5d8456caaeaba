/** The field's own tools judge what the tree imager restored. */

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { applyTo, ContentShelf, nastyTree, readTree } from '@overdub/core/testing';
import agentHalf from '@overdub/imaging-tree/agent';
import { afterEach, beforeEach, expect, it } from 'vitest';

const [imager] = agentHalf.imagers ?? [];
let base: string;
let from: string;
let to: string;

/** A nasty tree, restored over another one. Sockets, which no image holds, are removed before. */
beforeEach(async () => {
  base = mkdtempSync(join(tmpdir(), 'overdub-interop-'));
  from = join(base, 'from');
  to = join(base, 'to');
  mkdirSync(from);
  mkdirSync(to);
  await nastyTree(from);
  await nastyTree(to, 'other');
  for (const root of [from, to]) execFileSync('find', [root, '-type', 's', '-delete']);
  if (imager === undefined) throw new Error('the plugin has no imager');
  const shelf = new ContentShelf();
  await applyTo(imager, to, await readTree(imager, from, shelf), shelf);
});
afterEach(() => rmSync(base, { recursive: true, force: true }));

const run = (program: string, args: readonly string[], cwd = base) =>
  execFileSync(program, args, { cwd, encoding: 'latin1', maxBuffer: 1 << 26 });

it('rsync -aHAX --checksum finds nothing to do', () => {
  const options = ['-aHAXn', '--itemize-changes', '--checksum', '--delete'];
  expect(run('rsync', [...options, `${from}/`, `${to}/`])).toBe('');
  run('chmod', ['601', join(to, 'modes/suid')]);
  expect(run('rsync', [...options, `${from}/`, `${to}/`])).toContain('modes/suid');
});

it('tar --diff finds no difference', () => {
  const archive = join(base, 'tree.tar');
  run('tar', ['-C', from, '--xattrs', '--xattrs-include=*', '--format=pax', '-cf', archive, '.']);
  run('tar', ['-C', to, '--diff', '--xattrs', '-f', archive]);
});

it('getfacl, getcap, getfattr and stat print the same', () => {
  const both = (program: string, args: readonly string[]) => {
    const [a, b] = [run(program, args, from), run(program, args, to)];
    expect(b).toBe(a);
    return a;
  };
  expect(both('getfacl', ['-Rpn', '.'])).toContain('user:1000:rw-');
  expect(both('getcap', ['-r', '.'])).toContain('cap_net_raw');
  expect(both('getfattr', ['-Rdhm', '-', '-e', 'hex', '.'])).toContain('trusted.overdub');
  const stat = both('find', ['.', '-printf', '%p %y %m %U %G %s %n %T@ %l\\n']);
  expect(stat).toContain('1700000000.1234567890');
});

import { execFileSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ownDirectory } from './own-directory.ts';

let root: string;
let own: string;
let victim: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'overdub-own-'));
  own = join(root, 'var/lib/overdub');
  victim = join(root, 'victim');
  mkdirSync(join(root, 'var/lib'), { recursive: true });
  mkdirSync(victim);
  writeFileSync(join(victim, 'kept'), 'x');
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

it('makes it where it is missing, for us alone', async () => {
  await ownDirectory(own);
  expect(statSync(own).mode & 0o777).toBe(0o700);
});

it('takes the place of a link, and leaves what that led to alone', async () => {
  symlinkSync(victim, own);
  await ownDirectory(own);
  expect(readdirSync(own)).toEqual([]);
  expect(readdirSync(victim)).toEqual(['kept']);
});

it('removes links and special files at any depth; the agent’s own files stay', async () => {
  mkdirSync(join(own, 'state/web-1'), { recursive: true });
  writeFileSync(join(own, 'state/web-1/record'), 'r');
  symlinkSync(join(victim, 'kept'), join(own, 'node.part'));
  symlinkSync(victim, join(own, 'state/web-1/work'));
  execFileSync('mkfifo', [join(own, 'state/fifo')]);
  await ownDirectory(own);
  expect(readdirSync(own, { recursive: true }).toSorted()).toEqual([
    'state',
    'state/web-1',
    'state/web-1/record',
  ]);
  expect(readFileSync(join(victim, 'kept'), 'utf8')).toBe('x');
});
